"""The language of a text, by the package py3langid: offline, 97 languages, a naive Bayes classifier
on bytes.

Of the languages that are told apart the common ones are asked for alone, since a short English text
may else look like one that hardly anybody writes. Texts that are too short, or about which the
classifier is not sure (formulas, code, lists of names), are ``unclear``. Of 2,006 RouteLLM MMLU
requests 1,973 are English so and 33 unclear, of 912 tool calls 894 and 18.

References
----------
Lui and Baldwin (2012), "langid.py: An Off-the-shelf Language Identification Tool".
"""

from __future__ import annotations

from functools import cache
from typing import Any

UNCLEAR = "unclear"
_COMMON = (
    "ar", "bg", "bn", "ca", "cs", "da", "de", "el", "en", "es", "et", "fa", "fi", "fr", "gu", "he",
    "hi", "hr", "hu", "id", "it", "ja", "kn", "ko", "lt", "lv", "ml", "mr", "nl", "no", "pl", "pt",
    "ro", "ru", "sk", "sl", "sq", "sv", "sw", "ta", "te", "th", "tl", "tr", "uk", "ur", "vi", "zh",
)  # fmt: skip
_MOST_CHARS = 256
_LEAST_LETTERS = 12
# Chinese says in one letter what others say in three.
_LEAST_OTHER_LETTERS = 4
_CLEAR = 0.8
"""Least probability."""


def language_of(text: str) -> str:
    """Return the language of a text as a code of ISO 639-1, or ``unclear``.

    Only the first 256 characters are looked at.
    """
    text = text[:_MOST_CHARS].strip()
    letters = [letter for letter in text if letter.isalpha()]
    foreign = sum(not letter.isascii() for letter in letters)
    if len(letters) < _LEAST_LETTERS and foreign < _LEAST_OTHER_LETTERS:
        return UNCLEAR
    # No file and no classifier can hold half of a pair.
    language, probability = _identifier().classify(text.encode("utf-8", "replace").decode())
    return str(language) if probability >= _CLEAR else UNCLEAR


@cache
def _identifier() -> Any:
    """Return the classifier; reading it takes a second."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    known = {*identifier.labels}
    identifier.set_languages([name for name in _COMMON if name in known])
    return identifier
