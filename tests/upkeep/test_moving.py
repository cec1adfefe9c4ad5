from dataclasses import replace

import numpy as np
import pytest

from difficulty.evaluation.scored import ScoredTraffic
from difficulty.records import Estimate
from difficulty.traffic.outcomes import Outcomes
from difficulty.upkeep.logit_map import LogitMap
from difficulty.upkeep.moving import (
    blind_part,
    brier_change,
    check_calibrators,
    check_figures,
    difference_of,
    known_target,
    ranking_lost,
    unfamiliar,
)

UNKNOWN = np.nan


def scored(p, cheap, frontier=None, *, measured_by=None, target="benefit", groups=None):
    n = len(p)
    frontier = np.full(n, UNKNOWN) if frontier is None else np.asarray(frontier, dtype=float)
    return ScoredTraffic(
        difficulty_score=np.asarray(p, dtype=float),
        outcomes=Outcomes(
            cheap_quality=np.asarray(cheap, dtype=float),
            frontier_quality=frontier,
            preferred_gain=np.full(n, UNKNOWN),
            weight=np.ones(n),
            measured_by=measured_by,
        ),
        groups=np.arange(n).astype(str) if groups is None else groups,
        tasks=[None] * n,
        cheap_cost=np.full(n, UNKNOWN),
        frontier_cost=np.full(n, UNKNOWN),
        target=target,
    )


def test_targets_worked_by_hand():
    """What each output predicts of (cheap, frontier) = (1, 0.5) and (0, unknown)."""
    data = scored([0.2, 0.7], [1.0, 0.0], [0.5, UNKNOWN])
    assert known_target("p_cheap_fails", data).tolist() == [0.0, 1.0]
    assert known_target("p_frontier_fails", data)[0] == 0.5
    assert known_target("difficulty_score", data)[0] == 0.25
    assert np.isnan(known_target("difficulty_score", data)[1])
    failure = replace(data, target="failure")
    assert known_target("difficulty_score", failure).tolist() == [0.0, 1.0]


def test_checks_of_the_form_do_not_test_what_was_measured_otherwise():
    data = scored([0.2, 0.7], [1.0, 0.0], measured_by=np.array(["validators:json", "exact"]))
    assert np.isnan(known_target("p_cheap_fails", data)[0])
    assert known_target("p_cheap_fails", data, forms=True).tolist() == [0.0, 1.0]


def drawn(n, *, slope=1.0, shift=0.0, seed=0, alike=1):
    """Draw probabilities and outcomes that a map would put right; groups of ``alike`` requests
    have one outcome.
    """
    rng = np.random.default_rng(seed)
    p = np.repeat(rng.uniform(0.05, 0.95, n // alike), alike)
    failed = np.repeat(rng.random(n // alike), alike) < LogitMap(slope, shift)(p)
    groups = np.repeat(np.arange(n // alike), alike).astype(str)
    return p, scored(p, 1.0 - failed, target="failure", groups=groups)


def test_what_is_right_moves_in_few_draws():
    """At most its level of 5 %, and binomial error: 8 of 60, groups of five alike."""
    moved = 0
    for seed in range(60):
        p, data = drawn(500, seed=seed, alike=5)
        moved += check_calibrators({"p_cheap_fails": p}, data)[0].moves
    assert moved <= 8


def test_what_is_off_moves_and_says_so():
    p, data = drawn(1_500, slope=0.6, shift=0.7)
    (test,) = check_calibrators({"p_cheap_fails": p}, data)
    assert test.moves
    assert test.p_value < 1e-6
    assert test.slope.high < 1.0 < 1.0 + test.intercept.low
    assert "slope 0.6" in test.reason
    assert (test.n, test.groups, test.effective) == (1_500, 1_500, 1_500.0)
    assert test.map.shift == pytest.approx(0.7, abs=0.2)


def test_few_outcomes_are_not_tested():
    p, data = drawn(40, shift=3.0)
    (test,) = check_calibrators({"p_cheap_fails": p}, data)
    assert (test.p_value, test.moves) == (None, False)
    assert "40 outcomes are known" in test.reason


def test_difference_counts_both_intervals():
    """Worked by hand: halves 0.03 and 0.04 make 0.05."""
    expected = Estimate(value=0.30, low=0.27, high=0.33, n=100)
    found = Estimate(value=0.40, low=0.36, high=0.44, n=200)
    difference, p_value = difference_of(expected, found)
    assert (difference.value, difference.low, difference.high) == pytest.approx((0.1, 0.05, 0.15))
    # Two half widths are 3.92 standard errors.
    assert p_value == pytest.approx(8.9e-5, rel=0.02)
    assert difference_of(expected, Estimate(value=None))[1] is None
    assert difference_of(replace(expected, low=None), found)[1] is None


def test_only_figures_of_the_objective_decide():
    wide = Estimate(value=0.3, low=0.28, high=0.32, n=9)
    far = Estimate(value=0.5, low=0.48, high=0.52, n=9)
    tests = check_figures(
        {"frontier_share": wide, "quality": wide, "cost": Estimate(value=None)},
        {"frontier_share": far, "quality": far, "cost": Estimate(value=None)},
        decisive=("frontier_share",),
    )
    assert [(each.figure, each.moves) for each in tests] == [
        ("frontier_share", True),
        ("quality", False),
        ("cost", False),
    ]


def test_ranking_is_lost_only_beyond_chance():
    before = Estimate(value=0.8, low=0.76, high=0.84, n=100)
    after = Estimate(value=0.7, low=0.66, high=0.74, n=100)
    assert "AUROC 0.700 [0.660, 0.740], it was 0.800" in ranking_lost(before, after, name="AUROC")
    near = Estimate(value=0.78, low=0.74, high=0.82, n=100)
    assert ranking_lost(before, near, name="AUROC") is None
    assert ranking_lost(after, before, name="AUROC") is None


def test_unfamiliar_traffic_is_told():
    """Familiarity is uniform where traffic is like that of training."""
    same, groups = np.random.default_rng(0).random(1_000), np.arange(1_000)
    assert unfamiliar(same, groups) is None
    left = np.where(np.arange(1_000) % 4 == 0, 0.01, same)
    assert "the traffic has left what the scorer learned" in unfamiliar(left, groups)
    # One group of all the unfamiliar ones is one surprise.
    assert unfamiliar(left, np.where(left == 0.01, -1, groups)) is None


def test_blind_part_is_where_nobody_looked():
    score = np.linspace(0.0, 1.0, 1_000)
    target = np.where(score < 0.7, 0.0, UNKNOWN)
    share, lowest = blind_part(score, target, np.ones(1_000))
    assert share == pytest.approx(0.3)
    assert lowest == pytest.approx(0.7, abs=0.002)
    assert blind_part(score, np.zeros(1_000), np.ones(1_000))[0] == 0.0


def test_brier_change_worked_by_hand():
    """(0.2² - 0.5²) of half and (0.4² - 0.5²) of the others: -0.21 and -0.09."""
    target = np.tile([1.0, 1.0], 20)
    after = np.tile([0.8, 0.6], 20)
    change = brier_change(np.full(40, 0.5), after, target, weight=np.ones(40), groups=np.arange(40))
    assert change.value == pytest.approx(-0.15)
    assert change.low < -0.15 < change.high < 0.0
    unknown = np.full(40, UNKNOWN)
    none = brier_change(after, after, unknown, weight=np.ones(40), groups=np.arange(40))
    assert none.value is None
