"""What is asked of columns, and what weights are worth."""

import numpy as np
import pytest

from difficulty.errors import InvalidValueError
from difficulty.metrics.arrays import column, effective_samples, spread_rows, weights


@pytest.mark.parametrize(
    ("values", "n", "message"),
    [
        ([0.1, float("nan")], None, "score must hold no NaN"),
        ([0.1, float("inf")], 2, "score must hold no NaN and no infinity: got '1 of 2'"),
        ([0.1], 2, "score must have the shape"),
        ([], None, "score must have the shape"),
        ([[0.1]], None, "score must have the shape"),
    ],
)
def test_column_refuses_what_is_no_number_a_request(values, n, message):
    with pytest.raises(InvalidValueError, match=message):
        column("score", values, n=n)


@pytest.mark.parametrize("weight", [[1.0, -1.0], [0.0, 0.0]])
def test_weights_are_0_or_more_and_not_all_0(weight):
    with pytest.raises(InvalidValueError, match="weight must be 0 or more"):
        weights(weight, n=2)


@pytest.mark.parametrize(
    ("weight", "worth"),
    [([2, 2, 2, 2], 4), ([1, 3], 16 / 10), ([1e300, 1.0], 1), ([], 0), ([0, 0], 0)],
)
def test_effective_samples_by_hand(weight, worth):
    assert effective_samples(weight) == pytest.approx(worth)


def test_effective_samples_do_not_depend_on_the_unit():
    weight = np.random.default_rng(0).exponential(size=50)
    assert effective_samples(1e-200 * weight) == pytest.approx(effective_samples(weight))


@pytest.mark.parametrize("n", [100, 101, 199, 1_000])
def test_spread_rows_are_one_of_each_stretch(n):
    """As many as may be, ascending, and the same each time."""
    rows = spread_rows(n, 100)
    assert len(rows) == 100
    assert (np.diff(rows) > 0).all()
    assert 0 <= rows[0] <= rows[-1] < n
    assert (abs(rows - np.arange(100) * n / 100) < n / 100 + 1).all()
    assert np.array_equal(rows, spread_rows(n, 100))
    assert np.array_equal(spread_rows(90, 100), np.arange(90))


@pytest.mark.parametrize("period", [2, 3, 4])
def test_spread_rows_have_their_share_of_what_comes_every_so_many(period):
    """Every so many rows would hold all of a kind that has this period, or none."""
    chosen = spread_rows(40_000, 10_000) % period
    assert np.bincount(chosen) / 10_000 == pytest.approx(np.full(period, 1 / period), abs=0.02)
