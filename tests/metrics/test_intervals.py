"""Intervals where a bootstrap sees too little: rare events, few groups, uneven groups."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest, t

from difficulty.errors import InvalidValueError
from difficulty.evaluation import evaluate
from difficulty.evaluation.parts import Ratios, difference_supports, supports_of, values_of
from difficulty.evaluation.scored import Thresholds
from difficulty.metrics.arrays import Ratio
from difficulty.metrics.bootstrap import Resampling
from difficulty.metrics.intervals import (
    exact_interval,
    interval_of,
    share_interval,
    sum_interval,
    support_of,
)
from difficulty.thresholds.point import operating_point
from tests.evaluation.conftest import scored_of


def support(failed, weight=None, codes=None):
    """Return the support of a mean of 0 and 1, and the mean."""
    failed = np.asarray(failed, dtype=float)
    weight = np.ones(len(failed)) if weight is None else np.asarray(weight, dtype=float)
    value = float(np.average(failed, weights=weight))
    behind = support_of(weight, weight * (failed - value), codes)
    assert behind is not None
    return value, behind


def share_of(failed, weight=None, codes=None):
    """Return the interval of a share of failures."""
    value, behind = support(failed, weight, codes)
    return share_interval(value, replace(behind, unit=1.0, whole=True))


def test_no_failure_of_thirty_has_the_exact_upper_end():
    """1 - 0.025^(1/30): the rule of three would say 0.1."""
    assert share_of(np.zeros(30)) == (0.0, pytest.approx(1 - 0.025 ** (1 / 30)))
    assert share_of(np.ones(30)) == (pytest.approx(0.025 ** (1 / 30)), 1.0)


def test_single_requests_have_about_the_exact_interval():
    """The spread is estimated, so that one request of sixty is lost to the mean."""
    failed = np.arange(60) < 12
    expected = binomtest(12, 60).proportion_ci(method="exact")
    assert share_of(failed) == pytest.approx(tuple(expected), abs=0.005)


def test_copies_of_thirty_requests_are_thirty_requests():
    """Ten rows a group that always agree tell no more than one."""
    failed = np.repeat(np.arange(30) < 6, 10)
    codes = np.repeat(np.arange(30), 10)
    low, high = share_of(failed, codes=codes)
    assert (low, high) == pytest.approx(share_of(np.arange(30) < 6), abs=0.01)
    assert share_of(np.zeros(300), codes=codes)[1] == pytest.approx(
        share_of(np.zeros(30))[1], abs=0.01
    )


def test_groups_that_say_nothing_of_each_other_cost_nothing():
    rng = np.random.default_rng(0)
    failed = rng.random(3000) < 0.3
    alone, grouped = share_of(failed), share_of(failed, codes=np.repeat(np.arange(300), 10))
    assert grouped[1] - grouped[0] == pytest.approx(alone[1] - alone[0], rel=0.15)


def test_equal_groups_have_one_degree_of_freedom_less_than_there_are():
    _, behind = support(np.arange(40) % 3 == 0, codes=np.arange(40))
    assert behind.freedom == pytest.approx(39.0)
    assert behind.widen == pytest.approx(np.sqrt(40 / 39))
    assert behind.stretch == pytest.approx(np.sqrt(40 / 39) * t(39).ppf(0.975) / 1.959964)


def test_one_group_with_most_of_the_requests_leaves_little_freedom():
    """It is nearly alone, whatever the number of the others."""
    codes = np.concatenate([np.zeros(200, dtype=int), np.arange(1, 45)])
    luck = np.random.default_rng(1).random(45) < 0.5
    luck[0] = True
    _, behind = support(luck[codes], codes=codes)
    assert behind.freedom < 2.0
    assert behind.groups < 2.0


def test_a_single_group_has_no_spread_to_see():
    low, high = share_of(np.arange(50) < 10, codes=np.zeros(50, dtype=int))
    assert low < 0.05
    assert high > 0.9


def test_a_sum_of_shares_takes_the_ends_of_each():
    """0 of 30 gained, 0 of 30 lost: the difference is 0, and not surely."""
    value, behind = support(np.zeros(30))
    share = replace(behind, unit=1.0, whole=True)
    end = 1 - 0.025 ** (1 / 30)
    assert sum_interval([(1.0, value, share), (-1.0, value, share)]) == pytest.approx((-end, end))


def test_without_support_the_interval_is_that_of_the_draws():
    draws = np.arange(1.0, 1000.0)
    assert interval_of(500.0, draws, None) == pytest.approx((25.0, 975.0))


@pytest.mark.parametrize(("count", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_a_count_that_cannot_be_is_refused(count, n):
    with pytest.raises(InvalidValueError):
        exact_interval(count, n)


def test_no_failure_of_thirty_kept_requests_at_an_operating_point():
    """Evaluation, operating points and the curve say the same: at most about 0.116."""
    scored = scored_of(np.append(np.full(30, 0.2), np.full(10, 0.9)), np.ones(40), np.ones(40))
    result = evaluate(scored, Resampling(50))
    point = operating_point(scored, Thresholds(0.5), Resampling(50), objective="none")
    along = result.curve.figures["risk"].at(result.curve.threshold.index(0.5))
    for risk in (result.overall["risk"], point.risk, along):
        assert (risk.value, risk.low, risk.n) == (0.0, 0.0, 30)
        assert risk.high == pytest.approx(0.1157, abs=1e-4)


def test_one_group_says_nothing_of_the_spread():
    """All its draws are the same, which is no certainty."""
    scores = np.linspace(0.01, 0.99, 200)
    cheap = (np.arange(200) % 3 > 0).astype(float)
    judged = evaluate(
        scored_of(scores, cheap, np.ones(200), groups=np.full(200, "one")), Resampling(20)
    )
    assert judged.overall["apgr"].value is not None
    assert (judged.overall["apgr"].low, judged.overall["apgr"].high) == (None, None)


def test_a_share_of_all_has_the_exact_interval_whatever_rounding_leaves():
    """Savings of requests that all stay cheap are one and the same share of their cost."""
    for n in (50, 400, 500, 600, 800):
        cost = np.full(n, 0.011)
        kept = support_of(cost, cost * 1e-17, None)
        assert kept is not None
        low, high = share_interval(1.0 - 1e-16, replace(kept, unit=1.0, whole=True))
        assert low == pytest.approx(0.025 ** (1 / n), abs=1e-3)
        assert high == 1.0


def cost_draws(rng, n):
    """Return what n requests cost: most next to nothing, few very much; 1.0 on the average."""
    return np.where(rng.random(n) < 0.1, rng.exponential(9.0, n), rng.exponential(0.1 / 0.9, n))


def test_no_cost_is_below_0_and_none_covers_less():
    """What is cut off the interval no cost could be, so it holds the truth exactly as often."""
    rng, resampling = np.random.default_rng(5), Resampling(200)
    below = held = held_uncut = 0
    for _ in range(60):
        costs, groups = cost_draws(rng, 14), np.arange(14)
        part = Ratios.of(np.arange(14), {"cost": Ratio(costs, np.ones(14), 14)})
        draws = resampling.of(groups)
        points, values = values_of([part], draws, np.ones(14))
        behind = supports_of([part], draws, np.ones(14))["cost"]
        low, high = interval_of(points["cost"][0], values["cost"], behind)
        uncut = interval_of(points["cost"][0], values["cost"], replace(behind, bounds=None))
        assert 0.0 <= low <= points["cost"][0] <= high == uncut[1]
        below += uncut[0] < 0.0
        held += low <= 1.0 <= high
        held_uncut += uncut[0] <= 1.0 <= uncut[1]
    assert below > 0
    assert held == held_uncut


def test_a_difference_of_costs_may_be_below_0():
    rng = np.random.default_rng(6)
    ones, costs = np.ones(40), cost_draws(rng, 40)
    cheap, dear = (
        Ratios.of(np.arange(40), {"cost": Ratio(factor * costs, ones, 40)}) for factor in (1, 2)
    )
    draws = Resampling(200).of(np.arange(40))
    support = difference_supports([cheap], [dear], draws, ones)["cost"]
    low, high = interval_of(-costs.mean(), -draws.values(lambda w: w @ costs / 40, ones), support)
    assert low < high < 0.0


@pytest.mark.parametrize("n", [2, 3, 9])
def test_few_requests_that_are_all_alike_have_no_interval_of_no_width(n):
    """By hand: n costs of 2, each of its own group; their mean is 2 in every draw, which says
    nothing of others. Ten have one: that many alike say something.
    """
    mass = np.ones(n)
    support = support_of(mass, np.zeros(n), None)
    assert np.isnan(interval_of(2.0, np.full(100, 2.0), support)).all()
    more = support_of(np.ones(10), np.zeros(10), None)
    assert interval_of(2.0, np.full(100, 2.0), more) == (2.0, 2.0)
