"""What a threshold does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difficulty.errors import InvalidValueError, UndefinedMetricError
from difficulty.metrics import (
    cheap_route_precision,
    cost_quality_curve,
    quality_at_share,
    risk,
    routing_precision,
    routing_recall,
    sent_at_share,
    sent_to_frontier,
)

SCORE = [0.9, 0.8, 0.5, 0.4, 0.1]
NEEDED = [1, 0, 1, 1, 0]


def test_figures_at_a_threshold_by_hand():
    """Two requests are sent, one rightly; three are kept, of which two needed the frontier model
    (one is tied and stays cheap).
    """
    assert routing_precision(SCORE, NEEDED, threshold=0.5) == pytest.approx(1 / 2)
    assert routing_recall(SCORE, NEEDED, threshold=0.5) == pytest.approx(1 / 3)
    assert cheap_route_precision(SCORE, NEEDED, threshold=0.5) == pytest.approx(1 / 3)


def test_risk_counts_what_both_models_fail():
    """The last request is failed by both models: it did not need the frontier model, yet it is at
    risk.
    """
    assert risk(SCORE, [1, 0, 1, 1, 1], threshold=0.5) == pytest.approx(1.0)


def test_soft_needs_and_weights():
    assert routing_precision([0.9, 0.8], [0.5, 1.0], threshold=0.0, weight=[3, 1]) == pytest.approx(
        2.5 / 4
    )


def test_ties_at_the_threshold_stay_cheap():
    assert sent_to_frontier([0.5, 0.50001], 0.5).tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("metric", "threshold", "needed"),
    [
        (routing_precision, 1.0, NEEDED),
        (cheap_route_precision, 0.0, NEEDED),
        (risk, 0.0, NEEDED),
        (routing_recall, 0.5, [0] * 5),
    ],
)
def test_an_empty_route_has_no_figure(metric, threshold, needed):
    with pytest.raises(UndefinedMetricError, match="needs a request"):
        metric(SCORE, needed, threshold=threshold)


def test_a_threshold_that_is_nan_is_refused():
    with pytest.raises(InvalidValueError, match="threshold must be a number"):
        routing_precision(SCORE, NEEDED, threshold=float("nan"))


def test_a_need_outside_0_and_1_is_refused():
    with pytest.raises(InvalidValueError, match="cheap_fails must be in"):
        risk(SCORE, [2, 0, 0, 0, 0], threshold=0.5)


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


@given(routed)
def test_the_two_routes_account_for_every_need(rows):
    """Needs sent plus needs kept are all needs."""
    score, needed, weight = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    needed = (needed > 0).astype(float)
    sent = sent_to_frontier(score, 0.0)
    if 0 < sent.sum() < len(sent):
        hit = routing_precision(score, needed, threshold=0.0, weight=weight) * (weight @ sent)
        missed = (1 - cheap_route_precision(score, needed, threshold=0.0, weight=weight)) * (
            weight @ (1 - sent)
        )
        assert hit + missed == pytest.approx(weight @ needed)
