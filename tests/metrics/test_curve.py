"""The cost-quality curve, APGR and CPT."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difficulty.errors import InvalidValueError, UndefinedMetricError
from difficulty.metrics import (
    average_gap_recovered,
    calls_for_gap,
    cost_quality_curve,
    gap_recovered,
    quality_at_share,
)

# Four requests, best score first: gains 1, 0, -1, 1; cheap quality 0.25, frontier quality 0.5.
SCORE = np.array([0.2, 0.9, 0.4, 0.6])
CHEAP = np.array([0.0, 0.0, 1.0, 0.0])
FRONTIER = np.array([1.0, 1.0, 0.0, 0.0])
ENDS = {"cheap_quality": 0.25, "frontier_quality": 0.5}


def curve_of(score, gain, weight=None):
    """Return the curve where the cheap model scores 0 and the frontier model ``gain``."""
    return cost_quality_curve(score, np.zeros(len(gain)), gain, weight=weight)


def apgr_of(score, gain, weight=None):
    share, quality = curve_of(score, gain, weight)
    return average_gap_recovered(share, quality, cheap_quality=0.0, frontier_quality=quality[-1])


requests = st.lists(
    st.tuples(st.integers(-3, 3), st.sampled_from([-1.0, 0.0, 0.5, 1.0]), st.integers(1, 3)),
    min_size=1,
    max_size=30,
).filter(lambda rows: sum(gain * weight for _, gain, weight in rows) > 0)


def test_curve_of_four_requests():
    """Requests move to the frontier model highest score first."""
    share, quality = cost_quality_curve(SCORE, CHEAP, FRONTIER)
    assert share == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0])
    assert quality == pytest.approx([0.25, 0.5, 0.5, 0.25, 0.5])


def test_apgr_and_calls_of_four_requests():
    """PGR is 0, 1, 1, 0, 1 along the curve: area 0.625, half of the gap after an eighth of the
    requests.
    """
    share, quality = cost_quality_curve(SCORE, CHEAP, FRONTIER)
    assert average_gap_recovered(share, quality, **ENDS) == pytest.approx(0.625)
    assert calls_for_gap(share, quality, target=0.5, **ENDS) == pytest.approx(0.125)
    assert calls_for_gap(share, quality, target=1.0, **ENDS) == pytest.approx(0.25)


def test_apgr_of_a_straight_line_is_one_half():
    """Routing at random recovers half the gap, whatever the two models score."""
    rate, quality = np.array([0.0, 0.5, 1.0]), np.array([40.0, 60.0, 80.0])
    assert average_gap_recovered(
        rate, quality, cheap_quality=40.0, frontier_quality=80.0
    ) == pytest.approx(0.5)


def test_calls_take_the_first_crossing_of_a_curve_that_falls_again():
    """Interpolating over the whole of a non-monotone curve would find another crossing."""
    share, quality = np.array([0.0, 0.2, 0.4, 0.9, 1.0]), np.array([0.0, 0.8, 0.1, 0.4, 1.0])
    assert calls_for_gap(
        share, quality, target=0.4, cheap_quality=0.0, frontier_quality=1.0
    ) == pytest.approx(0.1)


def test_calls_are_nan_when_the_curve_never_reaches_the_target():
    value = calls_for_gap(
        [0.0, 0.5], [0.0, 0.3], target=0.8, cheap_quality=0.0, frontier_quality=1.0
    )
    assert np.isnan(value)


def test_tied_scores_are_one_step():
    share, quality = cost_quality_curve(
        [1.0, 0.5, 0.5, 0.0], [0.0, 0.0, 0.0, 1.0], [1.0, 1.0, 0.0, 1.0]
    )
    assert share == pytest.approx([0.0, 0.25, 0.75, 1.0])
    assert quality == pytest.approx([0.25, 0.5, 0.75, 0.75])


def test_a_weight_counts_like_copies():
    share, quality = cost_quality_curve(SCORE, CHEAP, FRONTIER, weight=[1, 2, 1, 1])
    assert share == pytest.approx([0.0, 0.4, 0.6, 0.8, 1.0])
    assert quality == pytest.approx([0.2, 0.6, 0.6, 0.4, 0.6])


def test_quality_at_a_share_lies_on_the_curve():
    share, quality = cost_quality_curve(SCORE, CHEAP, FRONTIER)
    assert quality_at_share(share, quality, share=0.125) == pytest.approx(0.375)


def test_gap_recovered_is_the_share_of_the_way_from_cheap_to_frontier():
    assert gap_recovered(0.7, cheap_quality=0.6, frontier_quality=0.8) == pytest.approx(0.5)


@pytest.mark.parametrize("frontier_quality", [0.5, 0.4])
def test_a_frontier_model_that_is_not_better_leaves_apgr_undefined(frontier_quality):
    with pytest.raises(
        UndefinedMetricError, match="APGR needs frontier quality above cheap quality"
    ):
        average_gap_recovered(
            [0.0, 1.0],
            [0.5, frontier_quality],
            cheap_quality=0.5,
            frontier_quality=frontier_quality,
        )


@pytest.mark.parametrize("target", [0.0, -0.1, 1.5, 80, float("nan")])
def test_calls_refuse_a_target_that_is_no_share(target):
    with pytest.raises(InvalidValueError, match=r"target must be a share of the gap in \(0, 1\]"):
        calls_for_gap(
            [0.0, 1.0], [0.0, 1.0], target=target, cheap_quality=0.0, frontier_quality=1.0
        )


@pytest.mark.parametrize(
    ("score", "cheap", "weight", "message"),
    [
        ([0.1, float("nan")], [0.0, 0.0], None, "score must hold no NaN"),
        ([0.1, 0.2], [0.0, float("nan")], None, "cheap_quality must hold no NaN"),
        ([0.1, 0.2], [0.0], None, "cheap_quality must have the shape"),
        ([], [], None, "score must have the shape"),
        ([0.1, 0.2], [0.0, 0.0], [1.0, -1.0], "weight must be 0 or more"),
        ([0.1, 0.2], [0.0, 0.0], [0.0, 0.0], "weight must be 0 or more"),
    ],
)
def test_curve_refuses_bad_columns(score, cheap, weight, message):
    with pytest.raises(InvalidValueError, match=message):
        cost_quality_curve(score, cheap, np.ones(len(score)), weight=weight)


def test_a_share_that_does_not_ascend_is_refused():
    with pytest.raises(InvalidValueError, match="frontier_share must ascend"):
        average_gap_recovered([1.0, 0.0], [0.0, 1.0], cheap_quality=0.0, frontier_quality=1.0)


@given(requests)
def test_apgr_depends_on_the_order_of_scores_only(rows):
    """A strictly increasing transform of the score changes nothing, nor does the order of the
    requests.
    """
    score, gain, weight = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    value = apgr_of(score, gain, weight)
    assert apgr_of(np.exp(score), gain, weight) == pytest.approx(value)
    assert apgr_of(score[::-1], gain[::-1], weight[::-1]) == pytest.approx(value)


@given(requests)
def test_whole_weights_are_copies(rows):
    score, gain, weight = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    times = weight.astype(int)
    share, quality = curve_of(score, gain, weight)
    copied_share, copied_quality = curve_of(np.repeat(score, times), np.repeat(gain, times))
    assert share == pytest.approx(copied_share)
    assert quality == pytest.approx(copied_quality)


@given(requests)
def test_equal_scores_are_one_step_and_recover_half_the_gap(rows):
    _, gain, weight = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    share, _ = curve_of(np.full(len(gain), 0.3), gain, weight)
    assert share == pytest.approx([0.0, 1.0])
    assert apgr_of(np.full(len(gain), 0.3), gain, weight) == pytest.approx(0.5)


@given(requests)
def test_a_reversed_score_mirrors_apgr(rows):
    """Sending last what was sent first recovers what was left: the two add up to 1."""
    score, gain, weight = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    assert apgr_of(score, gain, weight) + apgr_of(-score, gain, weight) == pytest.approx(1.0)


@given(requests)
def test_no_score_beats_the_gain_itself(rows):
    score, gain, weight = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    assert apgr_of(score, gain, weight) <= apgr_of(gain, gain, weight) + 1e-9


@given(requests, st.floats(0.01, 1.0))
def test_calls_are_the_smallest_share_that_reaches_the_target(rows, target):
    """The curve reaches the target there and lies below it before."""
    score, gain, weight = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    share, quality = curve_of(score, gain, weight)
    calls = calls_for_gap(
        share, quality, target=target, cheap_quality=0.0, frontier_quality=quality[-1]
    )
    level = target * quality[-1]
    assert quality_at_share(share, quality, share=calls) == pytest.approx(level)
    assert (quality[share < calls - 1e-9] <= level + 1e-9).all()
