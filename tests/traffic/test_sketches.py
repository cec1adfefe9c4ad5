"""Nearly the same texts are known again from their sketches alone, as the search at ingest knows
them.
"""

import numpy as np
import pytest

from difficulty.traffic.duplicates import NO_SKETCHES, NearIndex, near_any, sketches_of

WORDS = (
    "the quick brown fox jumps over a lazy dog while seven ducks watch from the green pond near our"
    " old mill and".split()
)


def known_again(asked, known):
    return near_any(sketches_of(asked), sketches_of(known)).tolist()


def test_text_with_a_word_changed_is_known_again():
    text = " ".join(WORDS)
    other = " ".join(reversed(WORDS))
    assert known_again([text, text.replace("mill", "barn"), other, f"{text} swans"], [text]) == [
        True,
        True,
        False,
        True,
    ]


@pytest.mark.parametrize("asked", ["", "one", "two words"])
def test_short_texts_are_near_to_none(asked):
    assert known_again([asked], ["", "one", "two words", asked]) == [False]


def test_nothing_is_near_to_nothing():
    assert NO_SKETCHES.shape == sketches_of([]).shape == (0, 128)
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
    index = NearIndex()
    for text in known:
        index.add(text)
    size = index._size
    expected = [any(entry < size for entry in index.add(text)) for text in asked]
    found = known_again(asked, known)
    assert 60 < sum(expected) < 240
    assert np.mean(np.array(found) == expected) > 0.98


def test_template_known_many_times_is_still_known():
    known = [" ".join(WORDS) + f" item {number}" for number in range(3000)]
    assert known_again([" ".join(WORDS) + " item 5000"], known) == [True]


def test_sketch_does_not_depend_on_the_others():
    assert sketches_of(["a b c d", "e f g h"])[1].tolist() == sketches_of(["e f g h"])[0].tolist()
