import pytest

from benchmarks.near_duplicates import CHANGES, as_markdown, count_false, count_family, count_tied
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
