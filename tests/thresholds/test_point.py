from dataclasses import replace

import numpy as np
import pytest

from difficulty.errors import InvalidValueError, NotAttainableError
from difficulty.evaluation.scored import Thresholds
from difficulty.metrics import Resampling
from difficulty.thresholds import OBJECTIVES
from difficulty.thresholds.point import changes, choose, operating_point
from difficulty.thresholds.policy_curve import Objective, PolicyCurve, parse_objective
from tests.thresholds.conftest import NAN, scored


@pytest.fixture
def many():
    """Four hundred requests in groups of two, the score knowing something of the gain, a tenth of
    each fixed route.
    """
    rng = np.random.default_rng(3)
    score = np.round(rng.random(400), 2)
    gain = np.where(rng.random(400) < score, rng.integers(-1, 3, 400).clip(-1, 1), 0.0)
    gain[rng.random(400) < 0.1] = NAN
    cost = rng.gamma(2, 1e-4, 400)
    return scored(
        score,
        gain=gain,
        cheap=rng.choice([0.0, 0.5, 1.0], 400),
        fixed=rng.choice([NAN, 0.0, 1.0], 400, p=[0.8, 0.1, 0.1]),
        groups=np.repeat(np.arange(200), 2).astype(str),
        costs=(cost, 20 * cost),
    )


def test_percentage_is_refused_with_a_hint():
    with pytest.raises(
        InvalidValueError,
        match=r"share must be in \[0, 1\]: got 70.0. Shares are fractions, not percentages",
    ):
        choose(scored([0.2, 0.8]), parse_objective("share=70"), Resampling(10))


def test_operating_point_by_hand():
    """At threshold 0.5 the first two requests are sent: qualities 1, 1, 1, 0, half the requests,
    one of a gap of two, costs in mills.
    """
    traffic = scored(
        [0.9, 0.8, 0.2, 0.1],
        cheap=[0, 1, 1, 0],
        gain=[1, 0, 0, 1],
        costs=([0.001] * 4, [0.011] * 4),
    )
    point = operating_point(traffic, Thresholds(0.5), Resampling(200), objective="share=0.5")
    assert point.frontier_share.value == 0.5
    assert point.quality.value == 0.75
    assert point.gap_recovered.value == 0.5
    assert point.cost.value == pytest.approx(1000 * (0.011 * 2 + 0.001 * 2) / 4)
    assert [
        estimate.n
        for estimate in (point.frontier_share, point.quality, point.gap_recovered, point.cost)
    ] == [4, 4, 4, 4]


def test_weighted_operating_point_by_hand():
    point = operating_point(
        scored([0.9, 0.1], cheap=[0, 1], gain=[1, -1], weight=[3, 1]),
        Thresholds(0.5),
        Resampling(10),
        objective="x",
    )
    assert (point.frontier_share.value, point.quality.value) == (0.75, 1.0)
    assert point.gap_recovered.value == pytest.approx(3 / 2)


def test_intervals_contain_the_value(many):
    point = choose(many, Objective("share", 0.3), Resampling(300))
    for name in ("frontier_share", "quality", "gap_recovered", "cost"):
        estimate = getattr(point, name)
        assert estimate.low < estimate.value < estimate.high, name
        assert 0 < estimate.n <= 400


def test_unknown_figures_say_why():
    point = operating_point(
        scored([0.9, 0.1], cheap=[0.5, 1]), Thresholds(0.5), Resampling(10), objective="share=0.5"
    )
    assert point.frontier_share.value == 0.5
    assert (point.quality.value, point.quality.note) == (None, "no request has both outcomes known")
    assert (
        point.gap_recovered.note
        == "no request has both outcomes known, or the frontier model is not better"
    )
    assert point.cost.note == "no prices were given, or no token counts are known"


def test_same_seed_same_point(many):
    one, other = (
        choose(many, Objective("quality", 0.5), Resampling(50)).as_dict() for _ in range(2)
    )
    assert one == other
    assert one["objective"] == "quality=0.5"


ATTAINABLE = {
    "share": (0.25, 0.5, 1.0),
    "quality": (0.2, 0.5, 0.8),
    "mean_quality": (0.5, 0.6),
    "cost": (1.5, 3.0),
    "utility": (0.0, 0.005, 1.0),
    "risk": (0.65, 0.8),
    "missed": (0.5, 0.7),
}
"""For the contract below: numbers that every objective can be asked for on the traffic ``many``."""


def test_every_objective_has_numbers_for_the_contract():
    assert set(ATTAINABLE) == set(OBJECTIVES)


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in ATTAINABLE.items() for value in values]
)
def test_objective_keeps_the_contract(many, name, value):
    """It gives a threshold of the curve, the same each time; the point carries it, and what was
    asked for stands in its objective.
    """
    objective, curve = Objective(name, value), PolicyCurve.of(many)
    found = objective.find(curve)
    assert found.threshold in curve.thresholds
    assert objective.find(curve) == found
    assert (found.guarantee is not None) == objective.promises
    point = choose(many, objective, Resampling(20))
    assert (point.threshold, point.objective, point.guarantee) == (
        found.threshold,
        f"{name}={value:g}",
        found.guarantee,
    )


@pytest.mark.parametrize("value", [-1.0, NAN, float("inf")])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_objective_refuses_what_it_cannot_mean(many, name, value):
    with pytest.raises(InvalidValueError, match=f"{name} must be"):
        choose(many, Objective(name, value), Resampling(20))


@pytest.mark.parametrize(
    ("name", "value", "fixed"),
    [
        ("share", 0.1, 1.0),
        ("quality", 0.9, 0.0),
        ("mean_quality", 0.9, 0.0),
        ("cost", 1.0, 1.0),
        ("risk", 0.1, 0.0),
        ("missed", 0.1, 0.0),
    ],
)
def test_objective_that_cannot_be_reached_exits_with_1(name, value, fixed):
    """The input is fine and the answer is no."""
    traffic = scored(
        [0.3, 0.6], gain=[1, 1], cheap=[0, 0], fixed=[fixed, fixed], costs=([0.001] * 2, [0.1] * 2)
    )
    with pytest.raises(
        NotAttainableError, match="Nearest|Take tasks out|No number of samples"
    ) as caught:
        choose(traffic, Objective(name, value), Resampling(10))
    assert caught.value.exit_code == 1


def test_operating_point_with_fallback_by_hand():
    """Two kept requests of which one fails; a validator that catches 80 % of failures sends it on
    for the price of both calls.
    """
    traffic = scored(
        [0.9, 0.2, 0.1],
        cheap=[0, 1, 0],
        gain=[1, 0, 1],
        costs=([0.001] * 3, [0.011] * 3),
        catch_rate=0.8,
    )
    point = operating_point(traffic, Thresholds(0.5), Resampling(20), objective="share=0.4")
    assert point.fallback_share.value == pytest.approx(0.8 / 3)
    assert point.quality.value == pytest.approx(2.8 / 3)
    assert point.gap_recovered.value == pytest.approx(1.8 / 2)
    assert point.risk.value == pytest.approx(0.2 / 2)
    assert point.cost.value == pytest.approx(1000 * (0.011 + 0.001 + 0.001 + 0.8 * 0.011) / 3)
    assert any("catches 0.8" in sentence for sentence in point.assumed)


def test_operating_point_without_a_catch_rate_says_that_fallbacks_are_left_out():
    point = operating_point(
        scored([0.9, 0.1], cheap=[0, 0], gain=[1, 1]),
        Thresholds(0.5),
        Resampling(10),
        objective="x",
    )
    assert (point.fallback_share.value, point.fallback_share.note) == (
        None,
        "the catch rate of validation is not known",
    )
    assert (point.quality.value, point.risk.value) == (0.5, 1.0)
    assert any("fallback calls are not included" in sentence for sentence in point.assumed)


def test_point_and_curve_are_the_same_figures(many):
    """What the curve says at a threshold is what the operating point says of it, fallback
    included.
    """
    traffic = replace(many, catch_rate=0.7)
    curve = PolicyCurve.of(traffic)
    for at in (0, len(curve.thresholds) // 2, -1):
        point = operating_point(
            traffic, Thresholds(float(curve.thresholds[at])), Resampling(5), objective="x"
        )
        for name in ("frontier_share", "quality", "gap_recovered", "cost"):
            assert getattr(point, name).value == pytest.approx(curve.figure(name)[at]), name


def test_changes_are_differences_on_the_same_draws(many):
    """The change is the difference of the values, and surer than two separate intervals would
    be.
    """
    old, new = (
        operating_point(many, Thresholds(threshold), Resampling(200), objective="x")
        for threshold in (0.6, 0.5)
    )
    moved = changes(many, old, new, Resampling(200))
    assert moved["frontier_share"].value == pytest.approx(
        new.frontier_share.value - old.frontier_share.value
    )
    assert moved["frontier_share"].low > 0
    assert moved["quality"].high - moved["quality"].low < new.quality.high - new.quality.low
    same = changes(many, old, old, Resampling(20))
    assert (same["quality"].value, same["quality"].low, same["quality"].high) == (0.0, 0.0, 0.0)
