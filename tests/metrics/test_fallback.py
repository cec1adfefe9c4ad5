"""Requests that are kept, when failing answers are caught."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difficulty.errors import InvalidValueError
from difficulty.metrics import kept_with_fallback

CHEAP, FRONTIER = np.array([0.0, 1.0, 0.5]), np.array([1.0, 0.0, 0.9])
COSTS = np.array([1.0, 1.0, 1.0]), np.array([10.0, 10.0, 10.0])


def test_kept_by_hand():
    """Of three answers with quality 0, 1 and 0.5, a validator that catches 80 % of failures catches
    0.8, 0 and 0.4.
    """
    kept = kept_with_fallback(CHEAP, FRONTIER, *COSTS, catch_rate=0.8)
    assert kept.caught == pytest.approx([0.8, 0.0, 0.4])
    assert kept.quality == pytest.approx([0.8, 1.0, 0.66])
    assert kept.failure == pytest.approx([0.2, 0.0, 0.3])
    assert kept.cost == pytest.approx([9.0, 1.0, 5.0])


@pytest.mark.parametrize("catch_rate", [None, 0.0])
def test_kept_without_fallback_is_the_cheap_model(catch_rate):
    """Where nothing is caught, or it is not known whether anything is, figures are those of the
    cheap model.
    """
    kept = kept_with_fallback(
        CHEAP, np.full(3, np.nan), COSTS[0], np.full(3, np.nan), catch_rate=catch_rate
    )
    assert kept.quality.tolist() == CHEAP.tolist()
    assert kept.cost.tolist() == COSTS[0].tolist()
    assert np.isnan(kept.caught).all() if catch_rate is None else (kept.caught == 0.0).all()


def test_kept_keeps_the_unknown_unknown():
    """What is not known of the cheap model stays NaN, whatever the catch rate."""
    kept = kept_with_fallback(
        np.array([np.nan]), np.array([1.0]), np.array([1.0]), np.array([2.0]), catch_rate=0.5
    )
    assert np.isnan([kept.caught[0], kept.quality[0], kept.failure[0], kept.cost[0]]).all()


@given(quality=st.floats(0, 1), low=st.floats(0, 1), high=st.floats(0, 1))
def test_catching_more_never_lets_more_failures_through(quality, low, high):
    """The higher the catch rate, the fewer failures reach the user and the more is paid."""
    arrays = (np.array([quality]), np.array([1.0]), np.array([1.0]), np.array([5.0]))
    less, more = (kept_with_fallback(*arrays, catch_rate=rate) for rate in sorted((low, high)))
    assert more.failure[0] <= less.failure[0] + 1e-12
    assert more.cost[0] >= less.cost[0] - 1e-12
    assert more.quality[0] >= less.quality[0] - 1e-12


@pytest.mark.parametrize("catch_rate", [-0.1, 1.1, 80.0])
def test_kept_refuses_a_catch_rate_that_is_no_share(catch_rate):
    """A percentage is not a share."""
    with pytest.raises(InvalidValueError, match="catch_rate must be in"):
        kept_with_fallback(CHEAP, FRONTIER, *COSTS, catch_rate=catch_rate)
