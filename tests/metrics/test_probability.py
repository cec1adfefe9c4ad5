"""Brier score, ECE and its bins."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difficulty.errors import InvalidValueError
from difficulty.metrics import brier, expected_calibration_error
from difficulty.metrics.probability import equal_mass_bins
from tests.reference import reliability


def test_brier_of_three_requests():
    assert brier([0.2, 0.5, 1.0], [0, 1, 1]) == pytest.approx((0.04 + 0.25 + 0.0) / 3)


def test_brier_takes_soft_outcomes_and_weights():
    assert brier([0.5, 0.5], [0.5, 1.0], weight=[3, 1]) == pytest.approx(0.25 / 4)


def test_ece_of_two_bins():
    """Bins {0.1, 0.3} and {0.6, 0.8}: predicted 0.2 and 0.7, observed 0.5 and 1.0."""
    assert expected_calibration_error(
        [0.1, 0.3, 0.6, 0.8], [0, 1, 1, 1], n_bins=2
    ) == pytest.approx(0.5 * 0.3 + 0.5 * 0.3)


def test_equal_probabilities_fall_in_one_bin():
    """A constant that equals the base rate is calibrated, however many bins there are."""
    assert expected_calibration_error([0.25] * 4, [0, 1, 0, 0], n_bins=15) == pytest.approx(0.0)
    assert len(set(equal_mass_bins(np.full(4, 0.25), n_bins=15, weight=np.ones(4)))) == 1


def test_bins_hold_equal_shares_of_the_requests():
    probability, outcome = np.array([0.1, 0.3, 0.6, 0.8]), [0, 1, 1, 1]
    bins = equal_mass_bins(probability, n_bins=2, weight=np.ones(4))
    assert bins.tolist() == [0, 0, 1, 1]
    assert reliability(probability, outcome, bins) == pytest.approx(
        np.array([[0.2, 0.5, 2], [0.7, 1.0, 2]])
    )


@pytest.mark.parametrize("probability", [[-0.1, 0.5], [0.5, 1.5], [0.5, float("nan")]])
def test_what_is_no_probability_is_refused(probability):
    with pytest.raises(InvalidValueError, match="probability must"):
        brier(probability, [0, 1])


def test_an_outcome_outside_0_and_1_is_refused():
    with pytest.raises(InvalidValueError, match=r"outcome must be in \[0, 1\]: got 70"):
        expected_calibration_error([0.5, 0.5], [0, 70])


def test_no_bin_is_refused():
    with pytest.raises(InvalidValueError, match="n_bins must be 1 or more"):
        expected_calibration_error([0.5], [1], n_bins=0)


forecasts = st.lists(
    st.tuples(st.integers(0, 20), st.sampled_from([0.0, 0.3, 1.0]), st.integers(1, 3)),
    min_size=1,
    max_size=60,
)


@given(forecasts, st.integers(1, 20))
def test_ece_is_the_weighted_gap_of_its_bins(rows, n_bins):
    probability, outcome, weight = (
        np.array(column, dtype=float) for column in zip(*rows, strict=True)
    )
    probability /= 20
    times = weight.astype(int)
    bins = equal_mass_bins(probability, n_bins=n_bins, weight=weight)
    copies = [np.repeat(values, times) for values in (probability, outcome, bins)]
    predicted, observed, n = reliability(*copies).T
    ece = expected_calibration_error(probability, outcome, n_bins=n_bins, weight=weight)
    assert ece == pytest.approx((n * np.abs(predicted - observed)).sum() / times.sum())
    assert n.sum() == times.sum()
    assert (np.diff(predicted) > 0).all()


@given(forecasts)
def test_whole_weights_are_copies_and_order_does_not_matter(rows):
    probability, outcome, weight = (
        np.array(column, dtype=float) for column in zip(*rows, strict=True)
    )
    probability /= 20
    times = weight.astype(int)
    for metric in (brier, expected_calibration_error):
        value = metric(probability, outcome, weight=weight)
        assert metric(np.repeat(probability, times), np.repeat(outcome, times)) == pytest.approx(
            value
        )
        assert metric(probability[::-1], outcome[::-1], weight=weight[::-1]) == pytest.approx(value)


@given(forecasts)
def test_ece_is_at_least_the_gap_of_the_means(rows):
    """Bins only add to what the overall means are apart."""
    probability, outcome, weight = (
        np.array(column, dtype=float) for column in zip(*rows, strict=True)
    )
    probability /= 20
    gap = abs(np.average(probability - outcome, weights=weight))
    assert gap - 1e-9 <= expected_calibration_error(probability, outcome, weight=weight) <= 1.0
