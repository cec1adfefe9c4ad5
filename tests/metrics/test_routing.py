"""Who is sent at a share, and what becomes of kept requests when failing answers are caught."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difficulty.errors import InvalidValueError
from difficulty.metrics import kept_with_fallback, sent_at_share
from tests.reference import (
    cheap_route_precision,
    cost_quality_curve,
    quality_at_share,
    risk,
    routing_precision,
    routing_recall,
)

CHEAP, FRONTIER = np.array([0.0, 1.0, 0.5]), np.array([1.0, 0.0, 0.9])
COSTS = np.array([1.0, 1.0, 1.0]), np.array([10.0, 10.0, 10.0])


def test_plain_formulas_at_a_threshold_by_hand():
    """Two requests are sent, one rightly; three are kept, of which two needed the frontier model
    (one is tied and stays cheap).
    """
    score, needed = [0.9, 0.8, 0.5, 0.4, 0.1], [1, 0, 1, 1, 0]
    assert routing_precision(score, needed, threshold=0.5) == pytest.approx(1 / 2)
    assert routing_recall(score, needed, threshold=0.5) == pytest.approx(1 / 3)
    assert cheap_route_precision(score, needed, threshold=0.5) == pytest.approx(1 / 3)
    assert risk(score, [1, 0, 1, 1, 1], threshold=0.5) == pytest.approx(1.0)
    soft = routing_precision([0.9, 0.8], [0.5, 1.0], threshold=0.0, weight=[3, 1])
    assert soft == pytest.approx(2.5 / 4)


def test_ties_at_the_cut_share_what_is_left():
    """Two of five requests: the first, and one of the two tied after it."""
    assert sent_at_share([0.9, 0.5, 0.5, 0.1, 0.0], 0.4) == pytest.approx([1.0, 0.5, 0.5, 0.0, 0.0])


def test_a_share_in_percent_is_refused():
    with pytest.raises(InvalidValueError, match=r"share must be in \[0, 1\]: got 40"):
        sent_at_share([0.1, 0.2], 40)


routed = st.lists(
    st.tuples(st.integers(-3, 3), st.sampled_from([-1.0, 0.0, 1.0]), st.integers(1, 3)),
    min_size=1,
    max_size=30,
)


@given(routed, st.floats(0.0, 1.0))
def test_sending_a_share_gives_the_quality_of_the_curve(rows, share):
    score, gain, weight = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    sent = sent_at_share(score, share, weight=weight)
    assert np.average(sent, weights=weight) == pytest.approx(share, abs=1e-12)
    shares, quality = cost_quality_curve(score, np.zeros(len(gain)), gain, weight=weight)
    assert np.average(sent * gain, weights=weight) == pytest.approx(
        quality_at_share(shares, quality, share=share), abs=1e-9
    )


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
