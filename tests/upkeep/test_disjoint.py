from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difficulty.errors import InvalidValueError, TooFewSamplesError, UnknownNameError
from difficulty.upkeep.disjoint import (
    ASIDE_PART,
    UNDATED,
    families_of,
    split_by_hash,
    split_by_time,
)


class Rows:
    """What of traffic a split reads."""

    def __init__(self, keys, near=None, days=None):
        self.split_groups = list(keys)
        self.near_groups = near or [[] for _ in self.split_groups]
        self.days = days or [None] * len(self.split_groups)

    def __len__(self):
        return len(self.split_groups)

    def column(self, name):
        """Return the times."""
        assert name == "timestamp"
        return [None if day is None else datetime(2026, 1, day, tzinfo=UTC) for day in self.days]


def test_families_follow_ties_to_their_end():
    """Worked by hand: a and c are tied by way of b, d stands alone, and e by the key of a."""
    rows = Rows("abcda", near=[[], ["a"], ["b"], [], []])
    assert families_of(rows).tolist() == [0, 0, 0, 1, 0]


def test_a_key_that_no_row_has_ties_all_the_same():
    """Both rows are near to a third that was left out of the file."""
    assert families_of(Rows("ab", near=[["gone"], ["gone"]])).tolist() == [0, 0]


@given(
    st.lists(
        st.tuples(st.integers(0, 8), st.lists(st.integers(0, 8), max_size=2)),
        min_size=1,
        max_size=40,
    ),
    st.integers(0, 5),
)
def test_tied_rows_share_a_part_whatever_the_ties(rows, seed):
    """No key stands in two parts."""
    traffic = Rows([str(key) for key, _ in rows], near=[[*map(str, near)] for _, near in rows])
    placed = split_by_hash(traffic, [0.5, 0.3, 0.2], seed=seed)
    part_of = {}
    for part, key, near in zip(placed.part, traffic.split_groups, traffic.near_groups, strict=True):
        for each in (key, *near):
            assert part_of.setdefault(each, part) == part


def test_hash_parts_have_their_shares_and_do_not_move():
    """Of 4,000 groups each part has its share within chance, also where families are large; the
    order of rows changes nothing, and another seed does.
    """
    traffic = Rows([str(number // 3) for number in range(12_000)])
    placed = split_by_hash(traffic, [0.6, 0.2, 0.2])
    shares = np.bincount(placed.part) / len(traffic)
    assert shares == pytest.approx([0.6, 0.2, 0.2], abs=0.03)
    turned = split_by_hash(Rows(traffic.split_groups[::-1]), [0.6, 0.2, 0.2])
    assert (turned.part[::-1] == placed.part).all()
    assert (split_by_hash(traffic, [0.6, 0.2, 0.2], seed=1).part != placed.part).any()
    tied = Rows([str(n) for n in range(6_000)], near=[[str(n - n % 3)] for n in range(6_000)])
    large = split_by_hash(tied, [0.5, 0.5])
    assert np.bincount(large.part) / 6_000 == pytest.approx([0.5, 0.5], abs=0.04)


TIMED = Rows("abcbde", days=[1, 2, 3, 6, 5, None])
"""Group b stands on both sides of a cut after day 3; e has no time."""


@pytest.mark.parametrize(
    ("rule", "parts"),
    [
        ("earlier", [0, 0, 0, 0, 1, UNDATED]),
        ("later", [0, 1, 0, 1, 1, UNDATED]),
        ("aside", [0, ASIDE_PART, 0, ASIDE_PART, 1, UNDATED]),
    ],
)
def test_what_straddles_goes_where_the_rule_says(rule, parts):
    """Worked by hand: three of five dated rows are the first part."""
    placed = split_by_time(TIMED, [0.6, 0.4], straddling=rule)
    assert placed.part.tolist() == parts
    assert placed.cuts == (datetime(2026, 1, 5),)
    assert placed.straddling.tolist() == [False, True, False, True, False, False]


def test_undated_row_follows_its_group():
    placed = split_by_time(Rows("aabb", days=[1, None, 9, None]), [0.5, 0.5])
    assert placed.part.tolist() == [0, 0, 1, 1]


def test_cuts_take_the_place_of_shares():
    """A row at the very time of a cut belongs to the later part."""
    cut = datetime(2026, 1, 2, tzinfo=UTC)
    placed = split_by_time(Rows("abc", days=[1, 2, 3]), [0.5, 0.5], cuts=[cut])
    assert placed.part.tolist() == [0, 1, 1]
    with pytest.raises(InvalidValueError, match="be 1 ascending times"):
        split_by_time(Rows("ab", days=[1, 2]), [0.5, 0.5], cuts=[cut, cut])


@pytest.mark.parametrize("shares", [[1.0], [0.5, 0.6], [1.5, -0.5]])
def test_shares_that_are_none_are_refused(shares):
    with pytest.raises(InvalidValueError, match="sum to 1"):
        split_by_hash(Rows("ab"), shares)


def test_time_is_needed_to_split_by_it():
    with pytest.raises(TooFewSamplesError, match="got 0 of 2. Add the column timestamp"):
        split_by_time(Rows("ab"), [0.5, 0.5])
    with pytest.raises(UnknownNameError, match="straddling"):
        split_by_time(TIMED, [0.5, 0.5], straddling="both")
