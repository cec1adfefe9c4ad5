"""Intervals of replayed figures, by hand and by simulation."""

import numpy as np
import pytest

from difficulty.replay.doubly_robust import correct_model
from difficulty.replay.grouped_interval import Spread, spread_of
from difficulty.replay.weighed import Weighed


def seen_fully(values, model=None):
    values = np.asarray(values, dtype=float)[:, None]
    ones = np.ones_like(values)
    expected = np.zeros_like(values) if model is None else np.full_like(values, model)
    return Weighed(taken=ones, chance=ones, value=values, model=expected)


def test_error_of_a_mean_by_hand():
    """1, 0, 1, 0, each a group: the variance is 1/4 * 4/3 over 4; where all outcomes are seen for
    certain, their chances add nothing.
    """
    weighed = seen_fully([1, 0, 1, 0])
    spread = spread_of(correct_model(weighed), weighed, np.arange(4))
    assert spread.value == pytest.approx(0.5)
    assert spread.error == pytest.approx(np.sqrt(1 / 12))


def test_requests_of_one_group_are_one():
    """The same outcomes ten times, in the groups of the first: no surer than once."""
    values, codes = np.array([1, 0, 1, 1, 0, 1] * 50, dtype=float), np.arange(300)
    once, often = seen_fully(values, 0.5), seen_fully(np.repeat(values, 10), 0.5)
    alone = spread_of(correct_model(once), once, codes)
    grouped = spread_of(correct_model(often), often, np.repeat(codes, 10))
    assert grouped.error == pytest.approx(alone.error, rel=0.1)


def test_one_group_has_no_interval():
    weighed = seen_fully([1, 0, 1])
    spread = spread_of(correct_model(weighed), weighed, np.zeros(3, dtype=int))
    assert spread.interval((0.0, 1.0)) == (0.0, 1.0)


def test_skewness_moves_both_ends():
    """Where great values are rare, the estimate is more often below the truth than above."""
    even = Spread(value=0.5, error=0.1, freedom=50.0, skew=0.0, outcomes=51.0).interval()
    skew = Spread(value=0.5, error=0.1, freedom=50.0, skew=0.3, outcomes=51.0).interval()
    assert skew[0] > even[0]
    assert skew[1] > even[1]


def test_outcomes_that_nobody_happened_to_see_widen_the_interval():
    """Of 400 requests with a chance of 0.01 none was seen: the spread is there all the same."""
    n = 2000
    chance, seen = np.ones((n, 1)), np.ones(n, dtype=bool)
    chance[:400], seen[:400] = 0.01, False
    rng = np.random.default_rng(0)
    value = np.where(seen[:, None], rng.integers(0, 2, (n, 1)).astype(float), np.nan)
    weighed = Weighed(taken=np.ones((n, 1)), chance=chance, value=value, model=np.full((n, 1), 0.5))
    spread = spread_of(correct_model(weighed), weighed, np.arange(n))
    # 400 outcomes of variance 1/4 and weight 100, over 2,000 requests.
    assert spread.error > 0.5 * np.sqrt(400 * 100 * 0.25) / n


def coverage(rng, n_logs, epsilon):
    """Return how often intervals hold the mean of what was drawn; groups of three."""
    held = 0
    for _ in range(n_logs):
        n_groups = 500
        codes = np.repeat(np.arange(n_groups), 3)
        p = 1 / (1 + np.exp(-(rng.normal(0.8, 0.7, n_groups)[codes] + rng.normal(size=1500))))
        chance = np.where(rng.random(1500) < 0.3, epsilon, 1 - epsilon)
        value = np.where(rng.random(1500) < chance, rng.random(1500) < p, np.nan)
        model = np.clip(p.mean() + 0.3 * (p - p.mean()), 0, 1)
        weighed = Weighed(
            taken=np.ones((1500, 1)),
            chance=chance[:, None],
            value=value[:, None].astype(float),
            model=model[:, None],
        )
        low, high = spread_of(correct_model(weighed), weighed, codes).interval((0.0, 1.0))
        held += low <= MEAN <= high
    return held / n_logs


MEAN = 0.6503
"""Of the expected outcomes above, by a draw of twenty million."""


@pytest.mark.parametrize("epsilon", [0.02, 0.1])
def test_intervals_hold_the_truth_as_often_as_they_say(epsilon):
    """400 logs: 95 % would be missed by three standard errors at 91.7 %."""
    assert coverage(np.random.default_rng(3), 400, epsilon) > 0.917
