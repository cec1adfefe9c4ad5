"""Copies are found whatever little was changed, what many texts share ties none, and copies are
known again from their sketches alone, as the search at ingest knows them.
"""

import re

import numpy as np
import pytest

from difficulty.engine import LocalEngine
from difficulty.records import Message, Sample
from difficulty.traffic.duplicates import Grouper, comparable_text, place_together
from difficulty.traffic.near import NO_SKETCHES, NearSearch, near_any, sketches_of

WORDS = (
    "the quick brown fox jumps over a lazy dog while seven ducks watch from the green pond near our"
    " old mill and".split()
)


HEADER = " ".join(WORDS[::-1] * 5)
_SYLLABLES = [a + b for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u", "ar", "en")]


def questions(n, *, seed=0, n_words=(8, 40)):
    """Return questions of invented words, some of them in every question, with four options."""
    rng = np.random.default_rng(seed)
    words = np.array(
        ["".join(rng.choice(_SYLLABLES, size=rng.integers(1, 4))) for _ in range(3000)]
    )
    chance = 1.0 / (np.arange(len(words)) + 5.0)
    chance /= chance.sum()

    def said(size):
        return " ".join(rng.choice(words, size=size, p=chance))

    return [
        f"{said(rng.integers(*n_words))}, {rng.integers(2000)} {said(4)}?\n"
        + "\n".join(f"{letter}. {said(rng.integers(2, 6))}" for letter in "ABCD")
        for _ in range(n)
    ]


def _without_punctuation(text, rng):
    return re.sub(r"[^\w\s]", "", text)


def _spaces_for_punctuation(text, rng):
    return re.sub(r"[^\w\s]", " ", text)


def _in_upper_case(text, rng):
    return text.upper()


def _with_a_prefix(text, rng):
    return " ".join(f"extra{rng.choice(_SYLLABLES)}" for _ in range(6)) + f": {text}"


def _with_a_suffix(text, rng):
    return f"{text} " + " ".join(f"more{rng.choice(_SYLLABLES)}" for _ in range(6))


def _with_a_word_changed(text, rng):
    words = text.split(" ")
    words[rng.integers(len(words))] = "zebra"
    return " ".join(words)


def _with_options_reordered(text, rng):
    question, *options = text.split("\n")
    order = np.roll(np.arange(4), rng.integers(1, 4))
    return "\n".join(
        [question, *(f"{'ABCD'[place]}. {options[n][3:]}" for place, n in enumerate(order))]
    )


def _with_other_numbers(text, rng):
    return re.sub(r"\d+", lambda number: str(int(number[0]) + int(rng.integers(1, 50))), text)


COPIES = (
    _in_upper_case,
    _without_punctuation,
    _spaces_for_punctuation,
    _with_a_prefix,
    _with_a_suffix,
    _with_a_word_changed,
    _with_options_reordered,
    _with_other_numbers,
)


def count_false_ties(texts, alone):
    """Return how many texts share a key with one that they share none with alone."""
    first, wrongly = {}, 0
    for key, own in zip(keys(texts), keys(alone), strict=True):
        wrongly += first.setdefault(key, own) != own
    return wrongly


def keys(texts):
    samples = [
        Sample(id="x", messages=(Message("user", text),), cheap_quality=1.0) for text in texts
    ]
    with Grouper() as grouper:
        return [placement.split_group for placement in place_together(samples, grouper)]


@pytest.mark.parametrize("change", COPIES)
def test_copies_are_tied_to_their_original(change):
    """200 copies after 800 questions; 95 % at least, by the ingest and by the sketches."""
    rng, texts = np.random.default_rng(1), questions(800)
    copies = [change(text, rng) for text in texts[:200]]
    groups = keys([*texts, *copies])
    tied = np.array(groups[:200]) == np.array(groups[800:])
    again = np.array(known_again(copies, texts))
    assert min(tied.mean(), again.mean()) >= 0.95, (int(tied.sum()), int(again.sum()))
    # And the originals among each other are not.
    assert len(set(groups[:800])) == 800


@pytest.mark.parametrize("n", [1000, 2000])
@pytest.mark.parametrize("shared", ["header", "few-shot examples"])
def test_requests_behind_one_header_are_not_tied(shared, n):
    """But for the first sixteen, of different questions behind 538 characters or three examples."""
    shots = [f"{text}\nAnswer: B" for text in questions(3, seed=7)]
    before = HEADER[:538] if shared == "header" else "\n\n".join(shots)
    texts = questions(n, seed=3)
    assert count_false_ties([f"{before}\n\n{text}" for text in texts], texts) <= 16


def test_short_questions_behind_a_header_tie_the_first_alone():
    """Three words behind 538 characters look like copies until sixteen of them came."""
    texts = [f"{HEADER[:538]} {text[:16]}" for text in questions(500, seed=5)]
    assert len(set(keys(texts))) >= 500 - 20


def test_copies_behind_a_header_are_tied_to_their_original():
    rng, texts = np.random.default_rng(2), questions(600)
    copies = [_with_a_word_changed(text, rng) for text in texts[100:300]]
    groups = keys([f"{HEADER[:538]} {text}" for text in (*texts, *copies)])
    assert np.mean(np.array(groups[100:300]) == np.array(groups[600:])) >= 0.95


def known_again(asked, known):
    compared = ([comparable_text([("user", text)]) for text in texts] for texts in (asked, known))
    return near_any(*map(sketches_of, compared)).tolist()


def test_text_with_a_word_changed_is_known_again():
    text = " ".join(WORDS)
    other = " ".join(word[::-1] + "e" for word in WORDS)
    assert known_again([text, text.replace("mill", "barn"), other, f"{text} swans"], [text]) == [
        True,
        True,
        False,
        True,
    ]


@pytest.mark.parametrize("asked", ["", "one", "two words"])
def test_short_texts_are_near_to_themselves_alone(asked):
    assert known_again([asked], [f"{asked}s", "three words here"]) == [False]
    assert known_again([f"{asked}!"], [asked]) == [bool(asked)]


def test_nothing_is_near_to_nothing():
    assert NO_SKETCHES.shape == sketches_of([]).shape == (0, 130)
    assert known_again(["some words here"], []) == [False]
    assert known_again([], ["some words here"]) == []


def test_sketches_agree_with_the_search_at_ingest():
    """300 texts that differ from 100 known ones in 0 to 9 words: at 0.75, the threshold, an
    estimate may fall either way.
    """
    rng = np.random.default_rng(0)
    known = [" ".join(rng.choice(WORDS, size=40)) for _ in range(100)]
    asked = []
    for place in range(300):
        words = known[place % 100].split()
        for spot in rng.choice(40, size=place % 10, replace=False):
            words[spot] = f"new{place}"
        asked.append(" ".join(words))
    search, size = NearSearch(LocalEngine()), len(known)
    search.begin([*known, *asked])
    expected = [any(entry < size for entry in near) for near in search.find()][size:]
    search.close()
    found = known_again(asked, known)
    assert 60 < sum(expected) < 240
    assert np.mean(np.array(found) == expected) > 0.98


def test_what_many_seen_texts_share_makes_none_known():
    """One template with another number in it is no copy, one with the same item is."""
    texts = questions(40)
    known = [f"{HEADER} {text}" for text in texts[:30]]
    asked = [f"{HEADER} {text}" for text in (*texts[30:], texts[3] + " thanks")]
    assert known_again(asked, known) == [False] * 10 + [True]
    numbered = [" ".join(WORDS) + f" item {number}" for number in range(3000)]
    assert known_again([" ".join(WORDS) + " item 5000"], numbered) == [False]


def test_sketch_does_not_depend_on_the_others():
    assert sketches_of(["a b c d", "e f g h"])[1].tolist() == sketches_of(["e f g h"])[0].tolist()
