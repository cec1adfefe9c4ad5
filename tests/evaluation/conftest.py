"""Made-up judged requests for the tests of this folder."""

import numpy as np
import pytest

from difficulty.evaluation import ScoredTraffic
from difficulty.traffic.outcomes import Outcomes


def outcomes_of(cheap, frontier, preferred=None, weight=None):
    """Return outcomes; unknown ones are NaN."""
    n = len(cheap)
    return Outcomes(
        cheap_quality=np.asarray(cheap, dtype=float),
        frontier_quality=np.asarray(frontier, dtype=float),
        preferred_gain=np.full(n, np.nan)
        if preferred is None
        else np.asarray(preferred, dtype=float),
        weight=np.ones(n) if weight is None else np.asarray(weight, dtype=float),
    )


def scored_of(score, cheap, frontier, **changes):
    """Return judged requests with plain defaults, some of them changed."""
    n = len(score)
    fields = {
        "difficulty_score": np.asarray(score, dtype=float),
        "p_cheap_fails": np.full(n, 0.3),
        "p_frontier_fails": None,
        "outcomes": outcomes_of(cheap, frontier),
        "groups": np.arange(n).astype(str),
        "tasks": [None] * n,
        "n_tokens": np.full(n, 100),
        "cheap_cost": np.full(n, np.nan),
        "frontier_cost": np.full(n, np.nan),
        "target": "benefit",
        "threshold": 0.5,
    }
    return ScoredTraffic(**(fields | changes))


@pytest.fixture
def four():
    """Four requests worked by hand: gains 1, 0, -1, 1 from the highest score down; one is sent at
    threshold 0.7.
    """
    return scored_of(
        [0.2, 0.9, 0.4, 0.6],
        [0.0, 0.0, 1.0, 0.0],
        [1.0, 1.0, 0.0, 0.0],
        n_tokens=np.array([10, 40, 30, 20]),
        tasks=["code", "code", "extract", "extract"],
        cheap_cost=np.full(4, 0.001),
        frontier_cost=np.full(4, 0.021),
        threshold=0.7,
    )


@pytest.fixture
def many():
    """Six hundred requests in groups of two; the score knows something of a latent difficulty."""
    rng = np.random.default_rng(5)
    n = 600
    difficulty = np.repeat(rng.normal(size=n // 2), 2) + rng.normal(0, 0.5, n)
    chance = 1 / (1 + np.exp(difficulty - 1))
    return scored_of(
        1 / (1 + np.exp(-difficulty + rng.normal(0, 1, n))),
        (rng.random(n) < chance).astype(float),
        (rng.random(n) < 0.9).astype(float),
        p_cheap_fails=1 - chance,
        p_frontier_fails=np.full(n, 0.1),
        groups=np.repeat(np.arange(n // 2), 2).astype(str),
        tasks=np.where(difficulty > 0, "code", "extract").tolist(),
        n_tokens=rng.integers(10, 2000, n),
        cheap_cost=rng.gamma(2.0, 0.0001, n),
        frontier_cost=rng.gamma(2.0, 0.003, n),
        threshold=0.6,
    )
