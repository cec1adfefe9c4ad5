"""The language of a text."""

import pytest

from benchmarks.lib.other_languages import ASKS
from difficulty.traffic import languages
from difficulty.traffic.languages import language_of, languages_of

CODES = {
    "English": "en",
    "German": "de",
    "Spanish": "es",
    "Russian": "ru",
    "Chinese": "zh",
    "Thai": "th",
    "Arabic": "ar",
    "Hindi": "hi",
}


@pytest.mark.parametrize("language", ASKS)
def test_short_asks_have_their_language_or_none(language):
    """Never another one; a short line may be unclear."""
    found = [language_of(ask) for ask in ASKS[language]]
    assert set(found) <= {CODES[language], "unclear"}
    assert found.count(CODES[language]) >= 7


@pytest.mark.parametrize(
    "text",
    ["", "42", "ok", "A\nB. 3x+4=2", "\U0001f600 " * 50, '{"name": "get_weather"}', "\ud800"],
)
def test_what_has_no_language_is_unclear(text):
    assert language_of(text) == "unclear"


def test_only_the_beginning_counts():
    assert language_of("Which planet is closest to the sun? " * 20 + "Где вокзал? " * 5_000) == "en"


def test_many_at_once_are_told_as_the_package_tells_one():
    """Of every language, of two mixed, in capitals, and with half of a pair in it."""
    asks = [ask for each in ASKS.values() for ask in each[:4]]
    texts = [*asks, *map("".join, zip(asks, asks[5:], strict=False)), *map(str.upper, asks)]
    texts += [f"\ud800 {ask}" for ask in asks]
    identifier = languages._identifier()
    for text, language in zip(texts, languages_of(texts), strict=True):
        name, probability = identifier.classify(text[:256].strip().encode("utf-8", "replace"))
        assert language in (name if probability >= 0.8 else "unclear", "unclear")
        assert language == language_of(text)
    assert languages_of([]) == []
