"""Tests of names as numbers."""

from collections import Counter

import numpy as np
import pytest

from difficulty.metrics.coded_names import (
    CodedNames,
    codes_of,
    count_names,
    join_names,
    look_up,
    pick_names,
)

NAMES = ["b", "a", None, "c", "a", "b", "a"]


def test_coded_names_read_as_the_names():
    """One, some or all of them."""
    coded = CodedNames.of(NAMES)
    assert coded == NAMES
    assert [*coded] == NAMES
    assert coded[0] == "b"
    assert coded[2] is None
    assert coded[1:4] == NAMES[1:4]
    assert coded.codes.tolist() == [1, 0, -1, 2, 0, 1, 0]
    assert np.array(coded, dtype=object).tolist() == NAMES


@pytest.mark.parametrize("of", [list, CodedNames.of])
def test_names_are_asked_in_either_form(of):
    """Lists and coded names answer alike."""
    names, rows = of(NAMES), np.array([3, 0, 2])
    assert [*pick_names(names, rows)] == ["c", "b", None]
    assert [*join_names(names, ["d", None])] == [*NAMES, "d", None]
    assert look_up(names, lambda name: len(name or ""), np.int64).tolist() == [1, 1, 0, 1, 1, 1, 1]
    known = np.array([True, True, True, False, True, True, False])
    counted = count_names(names, known)
    assert counted == Counter({"b": 2, "a": 2, None: 1})
    assert [*counted] == ["b", "a", None]  # in the order in which they come
    full = of([name or "" for name in NAMES])
    assert codes_of(full).tolist() == [2, 1, 0, 3, 1, 2, 1]


def test_names_may_be_read_when_they_are_asked_for():
    """Codes alone need none."""
    asked = []

    def read():
        asked.append(1)
        return ["a", "b"]

    coded = CodedNames(np.array([1, 0, 1]), read)
    assert codes_of(coded[np.array([0, 2])]).tolist() == [0, 0]
    assert not asked
    assert [*coded] == ["b", "a", "b"]
