import pytest

from benchmarks.near_duplicates import (
    CHANGES,
    PLANTED,
    SHINGLES,
    as_markdown,
    count_false,
    count_false_ties,
    count_family,
    count_planted,
    count_planted_among,
    count_tied,
    jaccard,
    plant_pairs,
)
from tests.traffic.test_near import HEADER, questions


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_makes_copies_and_those_are_tied(name):
    share = count_tied(questions(100), CHANGES[name])
    assert share.n >= 90
    assert share.value >= 0.9


def test_ties_behind_a_header_and_in_families_are_counted():
    texts = questions(100)
    false, family = count_false(texts, HEADER[:538]), count_family(texts, 5)
    assert (false.n, family.n) == (100, 80)
    assert false.count <= 5
    assert family.value > 0.9
    page = as_markdown({"date": "x", "command": "y", "figures": {"tied": {"case": str(family)}}})
    assert f"| case | {family} |" in page


@pytest.mark.parametrize("change", PLANTED)
@pytest.mark.parametrize("shingles", SHINGLES)
def test_planted_pairs_are_as_similar_as_said(shingles, change):
    texts = questions(30)
    pairs = plant_pairs(texts, shingles, change)
    assert len(pairs) >= 5
    for row, copy in pairs:
        similar = jaccard(SHINGLES[shingles](texts[row]), SHINGLES[shingles](copy))
        assert 0.78 <= similar <= 0.82
    assert count_planted(texts, shingles, change).n >= 5


def test_jaccard_is_what_is_shared_of_all():
    assert jaccard({"a", "b", "c"}, {"b", "c", "d"}) == 0.5
    assert jaccard(set(), set()) == 1.0


def test_tie_of_texts_that_are_not_alike_is_false(monkeypatch):
    """The search ties all to the first; the second is its copy, the third another text."""
    texts = ["a plan for the week of a family", "A plan, for the week of a family", "sort numbers"]
    search = "benchmarks.near_duplicates.search"
    monkeypatch.setattr(search, lambda texts, engine: [[], [0], [0]])
    share = count_false_ties(texts)
    assert (share.count, share.n) == (1, 3)


def test_copies_are_planted_among_generated_requests():
    share = count_planted_among(300, "three words")
    assert share.n >= 100
    assert share.value >= 0.9
