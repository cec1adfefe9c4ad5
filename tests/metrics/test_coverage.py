"""Intervals cover the truth as often as they say: simulations in which the truth is known."""

import numpy as np
import pytest

from difficulty.metrics.bootstrap import percentile_interval, weight_blocks
from difficulty.metrics.ratios import ratio
from difficulty.metrics.steps import Ranking, area, auroc_of, first_crossing, gap_curve

THRESHOLD = 0.6


def traffic(n_groups, rng):
    """Return groups, scores, outcomes and costs; the one to three requests of a group share difficulty and, half the time, luck."""
    groups = np.repeat(np.arange(n_groups), rng.integers(1, 4, n_groups))
    n = len(groups)
    difficulty = rng.normal(size=n_groups)[groups] + rng.normal(0, 0.5, n)
    luck = np.where(rng.random(n) < 0.5, rng.random(n_groups)[groups], rng.random(n))
    cheap = (luck < 1 / (1 + np.exp(difficulty - 0.8))).astype(float)
    frontier = (rng.random(n) < 1 / (1 + np.exp(0.5 * difficulty - 1.8))).astype(float)
    score = np.round(1 / (1 + np.exp(rng.normal(0, 1, n) - difficulty)), 2)
    return groups, score, cheap, frontier, np.exp(0.3 * difficulty)


def figures(score, cheap, frontier, cost, weight):
    """Return the figures for weights of shape (n_draws, n), each of shape (n_draws,)."""
    ranking, gain = Ranking.of(score), frontier - cheap
    share, recovered = gap_curve(ranking, gain[ranking.order], weight)
    sent = (score > THRESHOLD).astype(float)
    return {
        "apgr": area(share, recovered),
        "cpt_50": first_crossing(share, recovered, 0.5),
        "auroc": auroc_of(ranking, (gain > 0)[ranking.order].astype(float), weight),
        "frontier_share": ratio(sent).value(weight),
        "quality": ratio(cheap + sent * gain).value(weight),
        "cost": ratio(sent * cost).value(weight),
    }


def coverage(*, n_groups, n_simulations, n_draws, n_truth):
    """Return, for each figure, how often its 95 % interval holds the figure of a very large sample."""
    _, *columns = traffic(n_truth, np.random.default_rng(10**6))
    truth = figures(*columns, np.ones((1, len(columns[0]))))
    hits = dict.fromkeys(truth, 0)
    for seed in range(n_simulations):
        rng = np.random.default_rng(seed)
        groups, *columns = traffic(n_groups, rng)
        blocks = [figures(*columns, weight) for weight in weight_blocks(groups, n_draws=n_draws, rng=rng)]
        for name in truth:
            low, high = percentile_interval(np.concatenate([block[name] for block in blocks]))
            hits[name] += low <= truth[name][0] <= high
    return {name: count / n_simulations for name, count in hits.items()}


def test_intervals_cover_the_truth():
    """A small simulation: 200 samples, so that 95 % stands for 91 to 99 %."""
    for name, share in coverage(n_groups=200, n_simulations=200, n_draws=200, n_truth=200_000).items():
        assert 0.91 <= share <= 0.99, name


@pytest.mark.slow
@pytest.mark.parametrize("n_groups", [300, 1000])
def test_intervals_cover_the_truth_within_two_points(n_groups):
    for name, share in coverage(n_groups=n_groups, n_simulations=2000, n_draws=500, n_truth=2_000_000).items():
        assert 0.93 <= share <= 0.97, name
