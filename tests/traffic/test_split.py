from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difficulty.errors import InvalidValueError
from difficulty.traffic.stored.splits import assign_splits


def test_a_key_falls_where_its_hash_says():
    """Positions, by sha256sum of "0:d", "0:a", "0:b" and "0:j": 0.491, 0.617, 0.876 and 0.595."""
    assert assign_splits(["d", "a", "b", "j"], [()] * 4).tolist() == [
        "fit",
        "calibration",
        "test",
        "fit",
    ]


def test_a_sample_tied_to_both_sides_is_set_aside():
    keys = [str(i) for i in range(20)]
    side = dict(zip(keys, assign_splits(keys, [()] * 20).tolist(), strict=True))
    fit, other = (
        next(k for k in keys if side[k] == "fit"),
        next(k for k in keys if side[k] != "fit"),
    )
    fit_too = next(k for k in keys if side[k] == "fit" and k != fit)
    assert assign_splits([fit, fit], [[other], [fit_too]]).tolist() == ["aside", "fit"]


def test_shares_are_close_to_the_fractions():
    counts = Counter(
        assign_splits(
            [str(i) for i in range(20_000)], [()] * 20_000, fractions=(0.5, 0.3, 0.2)
        ).tolist()
    )
    assert [counts[name] / 20_000 for name in ("fit", "calibration", "test")] == pytest.approx(
        [0.5, 0.3, 0.2], abs=0.015
    )


@given(st.lists(st.text(), max_size=30), st.lists(st.text(), max_size=10), st.integers(0, 5))
def test_more_samples_move_none_of_the_old_ones(old, new, seed):
    before = assign_splits(old, [()] * len(old), seed=seed)
    after = assign_splits(old + new, [()] * (len(old) + len(new)), seed=seed)
    assert np.array_equal(before, after[: len(old)])


def test_no_test_split_leaves_none_in_test():
    sides = set(
        assign_splits([str(i) for i in range(500)], [()] * 500, fractions=(0.7, 0.3, 0.0)).tolist()
    )
    assert sides == {"fit", "calibration"}


@pytest.mark.parametrize("fractions", [(0.5, 0.5, 0.5), (1.2, -0.2, 0.0), (0.5, 0.5), (60, 20, 20)])
def test_fractions_must_sum_to_one(fractions):
    with pytest.raises(InvalidValueError, match="fractions must be three shares"):
        assign_splits(["a"], [()], fractions=fractions)


def test_lengths_must_agree():
    with pytest.raises(InvalidValueError, match="must have one length"):
        assign_splits(["a"], [])
