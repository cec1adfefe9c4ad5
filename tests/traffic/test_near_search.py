"""The search ties copies, leaves templates apart, and depends on nothing but order."""

from contextlib import closing

import numpy as np
import pytest

from difficulty.engine import LocalEngine
from difficulty.traffic.near import NearSearch, common_runs, near_search, sketch_file
from difficulty.traffic.near.common_runs import CommonRuns
from difficulty.traffic.near.likeness import NO_HASH
from difficulty.traffic.near.sketch_file import PairFile

WORDS = [
    f"{first}{second}"
    for first in (
        "amber",
        "brick",
        "cloud",
        "delta",
        "ember",
        "flint",
        "grove",
        "haven",
        "inlet",
        "joker",
    )
    for second in ("ing", "ed", "er", "s", "ly", "ness", "ful")
]


def some_texts(n, *, seed=0):
    """Return texts of forty words by chance."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, size=40)) for _ in range(n)]


def search(texts, *, processes=1, block=7):
    """Return what the search finds of each text."""
    search = NearSearch(LocalEngine(processes=processes))
    for start in range(0, len(texts), block):
        search.begin(texts[start : start + block])
    found = list(search.find())
    search.close()
    return found


def filled_texts(n, *, seed=0):
    """Return texts of six of twenty sentences, each with one of three words in it."""
    rng = np.random.default_rng(seed)
    sentences = [" ".join(rng.choice(WORDS, size=9)) for _ in range(20)]
    return [
        " ".join(
            f"{sentences[place]} {WORDS[rng.integers(3)]}"
            for place in rng.permutation(len(sentences))[:6]
        )
        for _ in range(n)
    ]


@pytest.fixture
def from_the_first(monkeypatch):
    """Compare by long runs however few texts there are."""
    monkeypatch.setattr(near_search, "LONG_FROM", 0)


def mixed_texts():
    """Return texts with copies of some, each with one word more, and a family behind a header."""
    texts = some_texts(60)
    copies = [f"{text} indeed" for text in texts[:30:3]]
    header = some_texts(1, seed=9)[0]
    return [*texts, *copies, *(f"{header} {text}" for text in some_texts(30, seed=3))]


def test_copy_is_tied_to_its_original():
    texts = some_texts(5)
    assert search([*texts, f"kindly {texts[2]}", texts[3].upper().casefold() + "!"])[-2:] == [
        [2],
        [3],
    ]


def test_same_letters_in_another_order_are_tied():
    first, second = some_texts(2)
    halves = first.split()
    assert search([second, first, " ".join(halves[20:] + halves[:20])])[2] == [1]


def test_copies_of_texts_from_templates_are_found_by_long_runs(monkeypatch):
    """Every run is common there; which sentences stand beside each other is not."""
    texts = filled_texts(900)
    words = [text.split() for text in texts[300:340]]
    copies = [" ".join([*each[:25], "zebra", *each[26:]]) for each in words]
    without = search([*texts, *copies])
    monkeypatch.setattr(near_search, "LONG_FROM", 0)
    found = search([*texts, *copies])
    tied = [300 + row in each for row, each in enumerate(found[900:])]
    assert np.mean(tied) >= 0.9
    assert np.mean([300 + row in each for row, each in enumerate(without[900:])]) <= 0.1
    # And hardly any of the others is.
    assert sum(map(bool, found[:900])) - sum(map(bool, without[:900])) <= 9


def test_answers_by_long_runs_depend_on_neither_workers_nor_later_texts(from_the_first):
    texts = filled_texts(300)
    texts += [f"{text} indeed" for text in texts[100:110]]
    whole = search(texts)
    assert sum(map(bool, whole[300:])) >= 9
    assert search(texts, processes=3) == whole
    assert search(texts[:305]) == whole[:305]


@pytest.mark.usefixtures("from_the_first")
def test_header_that_many_have_ties_no_further_text():
    """Short questions behind a long header: the first 16 are tied, then its runs are common."""
    header = some_texts(1)[0]
    found = search([f"{header} {text[:40]}" for text in some_texts(30, seed=1)])
    assert found[0] == []
    assert found[15] == list(range(15))
    assert [each for each in found[17:] if each] == []


def test_later_texts_change_nothing_of_earlier_ones():
    texts = mixed_texts()
    assert search(texts[:70]) == search(texts)[:70]


def test_answers_depend_on_neither_workers_nor_what_is_done_at_once(monkeypatch):
    texts = mixed_texts()
    whole = search(texts)
    assert sum(map(bool, whole)) >= 10
    assert search(texts, processes=3) == whole
    monkeypatch.setattr(common_runs, "WINDOW_RUNS", 100)
    monkeypatch.setattr(sketch_file, "_PART_TEXTS", 20)
    for name, least in [
        ("_PART_TEXTS", 20),
        ("_SORTED_KEYS", 50),
        ("_SORTED_TEXTS", 20),
        ("_PAIRS", 3),
        ("_COMPARED", 2),
    ]:
        monkeypatch.setattr(near_search, name, least)
    assert search(texts, block=50) == whole


def test_one_text_longer_than_all_others_is_a_part_of_its_own():
    """Of three workers one has nothing to do."""
    texts = [" ".join(some_texts(60, seed=5)), *some_texts(3), some_texts(2)[1] + " indeed"]
    assert search(texts, processes=3, block=1) == [[], [], [], [], [2]]


@pytest.mark.parametrize(
    "texts", [[], ["?"], ["?", "!", "short", "short one"], ["of twelve letters", "more"]]
)
def test_few_or_empty_texts_are_near_to_none(texts):
    assert search(texts) == [[] for _ in texts]


def test_run_is_common_after_its_sixteenth_text_alone():
    common = CommonRuns(np.array([5, 2**31, 2**32 - 2], np.uint32), np.array([9, 3, 0], np.uint32))
    runs = np.array([5, 5, 6, 2**31, 2**32 - 2, NO_HASH], np.uint32)
    texts = np.array([9, 10, 99, 4, 1, 99], np.uint32)
    assert common.among(runs, texts).tolist() == [False, True, False, True, True, False]


def test_pairs_are_read_by_their_later_text_however_they_were_added():
    """Parts of ten texts; a part that nothing fell into is left out."""
    with closing(PairFile(10)) as file:
        for later in ([3, 12], [], [3, 9, 31], [30]):
            file.add(np.array([text << 32 | 1 for text in later], np.uint64))
        read = [(part >> np.uint64(32)).tolist() for part in file.parts()]
    assert read == [[3, 3, 9], [12], [31, 30]]
