"""The operating points along the threshold."""

import dataclasses

import numpy as np
import pytest

from difficulty.evaluation import evaluate
from difficulty.evaluation.tradeoff import CURVE_FIGURES, Curve, curve_thresholds
from difficulty.metrics import Resampling

from .conftest import scored_of


def run(scored, n_draws=30):
    return evaluate(scored, Resampling(n_draws))


def test_curve_of_four_requests_by_hand(four):
    """From none sent to all: gains along the ranking are 1, 0, -1, 1; the threshold 0.7 stands for
    all between 0.6 and 0.9.
    """
    curve = run(four).curve
    assert curve.threshold == pytest.approx((0.95, 0.7, 0.5, 0.3, 0.1))
    assert curve.figures["frontier_share"].value == pytest.approx((0.0, 0.25, 0.5, 0.75, 1.0))
    assert curve.figures["quality"].value == pytest.approx((0.25, 0.5, 0.5, 0.25, 0.5))
    assert curve.figures["gap_recovered"].value == pytest.approx((0.0, 1.0, 1.0, 0.0, 1.0))
    assert curve.figures["cost"].value == pytest.approx((1.0, 6.0, 11.0, 16.0, 21.0))
    assert curve.figures["routing_precision"].value == (None, 1.0, 0.5, pytest.approx(1 / 3), 0.5)
    assert curve.figures["routing_precision"].n == (0, 1, 2, 3, 4)
    assert curve.figures["cheap_route_precision"].value == (
        0.5,
        pytest.approx(2 / 3),
        0.5,
        0.0,
        None,
    )
    assert curve.figures["cheap_route_recall"].value == pytest.approx((1.0, 1.0, 0.5, 0.0, 0.0))
    assert curve.figures["fallback_share"].value == (None,) * 5


@pytest.mark.parametrize("changes", [{}, {"catch_rate": 0.6}, {"task_thresholds": {"code": 0.4}}])
def test_curve_at_any_threshold_is_what_evaluation_says_of_it(many, changes):
    """Moving the threshold to a point of the curve gives the curve's numbers there, intervals too:
    all see the same draws.
    """
    fixed = np.where(
        np.arange(len(many)) % 7 == 0, 1.0, np.where(np.arange(len(many)) % 5 == 0, 0.0, np.nan)
    )
    scored = dataclasses.replace(many, fixed=fixed, **changes)
    curve = run(scored).curve
    for place in (1, 40, 90, len(curve.threshold) - 2):
        there = run(dataclasses.replace(scored, threshold=curve.threshold[place])).overall
        for name in CURVE_FIGURES:
            one, other = curve.figures[name].at(place), there[name]
            assert (one.value, one.low, one.high) == pytest.approx(
                (other.value, other.low, other.high)
            ), (name, place)
            assert one.n == other.n or other.value is None


def test_curve_at_the_operating_threshold_is_the_overall_figures(many):
    """To the last digit, so that two readers of the file print the same number."""
    result = run(many)
    place = result.curve.threshold.index(many.threshold)
    for name in CURVE_FIGURES:
        one, other = result.curve.figures[name].at(place), result.overall[name]
        assert (one.value, one.low, one.high, one.n) == (
            other.value,
            other.low,
            other.high,
            other.n,
        )


def test_curve_has_a_bounded_number_of_points_evenly_in_share(many):
    """Some six hundred scores, 151 thresholds and perhaps the operating one; thresholds fall as the
    share rises.
    """
    curve = run(many).curve
    assert len(curve.threshold) in (151, 152)
    assert (np.diff(curve.threshold) < 0).all()
    share = np.array(curve.figures["frontier_share"].value)
    assert (share[0], share[-1]) == (0.0, 1.0)
    assert np.diff(share).max() < 3 / 150


def test_curve_of_equal_scores_has_two_points(many):
    """None or all: there is no threshold between equal scores, and the operating one keeps them."""
    curve = run(dataclasses.replace(many, difficulty_score=np.full(len(many), 0.6))).curve
    assert curve.threshold == (0.6, 0.3)
    assert curve.figures["frontier_share"].value == (0.0, 1.0)


def test_curve_without_a_threshold_or_of_a_run_is_there(many):
    curve = run(dataclasses.replace(many, threshold=None)).curve
    assert curve.figures["frontier_share"].value[-1] == 1.0


def test_curve_of_requests_that_rules_settle_is_one_point(four):
    """No threshold moves anything."""
    curve = run(dataclasses.replace(four, fixed=np.array([0.0, 1.0, 0.0, 0.0]))).curve
    assert curve.threshold == (0.7,)
    assert curve.figures["frontier_share"].value == (0.25,)


def test_scores_of_zero_are_never_sent():
    """No threshold in [0, 1] is below 0, so the curve does not pretend that they can be."""
    curve = run(scored_of([0.0, 0.0, 0.8, 0.4], [0, 1, 0, 1], [1, 1, 1, 1])).curve
    assert curve.figures["frontier_share"].value == (0.0, 0.25, 0.5)


def test_neighbouring_floats_are_kept_apart():
    """Between two scores without a number between them the lower one is the threshold: ties stay
    cheap.
    """
    low = 0.5
    high = np.nextafter(low, 1.0)
    thresholds = curve_thresholds(scored_of([low, high], [0, 1], [1, 1], threshold=None))
    assert [int((np.array([low, high]) > cut).sum()) for cut in thresholds] == [0, 1, 2]


def test_curve_survives_its_json_form(many):
    curve = run(many).curve
    assert Curve.from_dict(curve.as_dict()) == curve
