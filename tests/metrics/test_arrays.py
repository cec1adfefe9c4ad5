"""What is asked of columns, and what weights are worth."""

import numpy as np
import pytest

from difficulty.errors import InvalidValueError
from difficulty.metrics.arrays import column, effective_samples, weights


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
