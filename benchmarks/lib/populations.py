"""Simulated traffic on which promises are hard to keep: repeated requests, conversations that fail
as a whole, heavy groups and weights, graded answers, rules, early exit, exploration.

Whether the cheap model fails follows from a difficulty that the score knows (``informative``) or
does not. Every population is a function of a number of groups' worth of requests and a generator,
so the truth at a threshold is its value on one very large draw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.special import expit, logit

from difficulty.evaluation.scored import ScoredTraffic
from difficulty.metrics.arrays import FloatArray, IntArray
from difficulty.metrics.bootstrap import group_codes
from difficulty.traffic.outcomes import Outcomes

Draw = Callable[[int, np.random.Generator], ScoredTraffic]
RATE: Final = 0.15
"""Failure rate at the middle difficulty."""
TASKS: Final = ("sort", "extract", "plan", "chat")
EASY: Final = "sort"
"""Short requests of this task stay cheap whatever their score, in the population with a rule."""
EPSILON: Final = 0.1
CATCH_RATE: Final = 0.6
KNOWN_OF_FAILURE: Final = 1.5
"""What an answer that fails adds to the logit of its score."""
LEAST: Final = 0.05
"""Smallest probability with which a logged policy took the cheap route."""
LARGEST: Final = 200
"""Requests of the largest group there can be."""


@dataclass(frozen=True)
class Simulated:
    """A population by name."""

    name: str
    says: str
    draw: Draw
    per_task: bool = False
    early_noise: float = 0.0
    """Spread of the early score around the score, on the logit; 0: no early exit."""
    whole: Draw | None = None
    """Draws requests of which all is known, where ``draw`` draws a log; ``None``: the same."""


def populations(*, informative: bool) -> tuple[Simulated, ...]:
    """Return all populations; where not ``informative``, the score says nothing and the loss is the
    same wherever a threshold stands.
    """

    def drawn(make: Callable[..., ScoredTraffic]) -> Draw:
        return lambda n, rng: make(n, rng, informative=informative)

    return (
        Simulated("alone", "every request stands alone", drawn(alone)),
        Simulated(
            "retries",
            "a request that fails is asked again with probability 0.5, at most twice",
            drawn(retries),
        ),
        Simulated(
            "failing clusters",
            "of 1,000 groups 8 have ten requests that all fail, the others one request",
            drawn(failing_clusters),
        ),
        Simulated(
            "heavy groups",
            "sizes of groups are Pareto(1.1) up to 200; half of the luck is the group's",
            drawn(heavy_groups),
        ),
        Simulated(
            "heavy groups fail more",
            "the same, and groups of more than 20 are harder",
            drawn(heavy_hard_groups),
        ),
        Simulated("weights", "weights are log-normal with spread 1", drawn(weights)),
        Simulated(
            "weights of the hard", "the same, and what weighs more is harder", drawn(hard_weights)
        ),
        Simulated(
            "graded, caught",
            f"answers are graded, validation catches {CATCH_RATE:.0%}, groups of one to three",
            drawn(graded),
        ),
        Simulated(
            "per task",
            "a threshold for each of four tasks, of one the rule keeps short requests",
            drawn(ruled),
            per_task=True,
        ),
        Simulated("exploration", f"{EPSILON:.0%} of the routes are exchanged", drawn(explored)),
        Simulated(
            "early exit", "a light score decides what is far off", drawn(alone), early_noise=0.25
        ),
        Simulated(
            "logged",
            f"a policy with a hunch kept the easier ones cheap, {LEAST:.0%} of the others;"
            " outcomes of the route taken",
            drawn(logged),
            whole=drawn(alone),
        ),
        Simulated(
            "logged by luck",
            f"the same, and what it kept is no easier; {LEAST:.0%} of half of the requests",
            drawn(logged_by_luck),
            whole=drawn(alone),
        ),
    )


def with_answers(
    traffic: ScoredTraffic, rng: np.random.Generator, *, informative: bool
) -> ScoredTraffic:
    """Return the same requests with a score of each cheap answer, and prices. Where it is
    ``informative`` it knows what the request's score knows, and something of the outcome; else it
    is the same for a whole group, and says nothing.
    """
    n, failure = len(traffic), traffic.outcomes.cheap_failure
    codes = group_codes(traffic.groups)
    known = np.clip(traffic.difficulty_score, 1e-6, 1.0 - 1e-6)
    score = (
        expit(logit(known) + KNOWN_OF_FAILURE * failure + rng.normal(size=n))
        if informative
        else rng.random(int(codes.max()) + 1)[codes]
    )
    return replace(
        traffic, answer_score=score, cheap_cost=np.full(n, 0.05e-3), frontier_cost=np.full(n, 1e-3)
    )


def alone(n: int, rng: np.random.Generator, *, informative: bool) -> ScoredTraffic:
    """Return independent requests."""
    hard = rng.normal(size=n)
    return _table(hard, _fails(hard, rng.random(n)), np.arange(n), rng, informative=informative)


def retries(n: int, rng: np.random.Generator, *, informative: bool) -> ScoredTraffic:
    """Return requests of which those that fail come again; a copy has the outcome of the first."""
    hard = rng.normal(size=n)
    failure = _fails(hard, rng.random(n))
    again = (failure > 0) & (rng.random(n) < 0.5)
    more = again & (rng.random(n) < 0.5)
    rows = np.concatenate([np.arange(n), np.flatnonzero(again), np.flatnonzero(more)])
    return _table(hard, failure, np.arange(n), rng, informative=informative, rows=rows)


def failing_clusters(n: int, rng: np.random.Generator, *, informative: bool) -> ScoredTraffic:
    """Return single requests, and a few groups of ten that all fail."""
    cluster = rng.random(n) < 0.008
    hard = rng.normal(size=n)
    failure = np.where(cluster, 1.0, _fails(hard - 1.5, rng.random(n)))
    rows = np.repeat(np.arange(n), np.where(cluster, 10, 1))
    return _table(hard, failure, np.arange(n), rng, informative=informative, rows=rows)


def heavy_groups(
    n: int, rng: np.random.Generator, *, informative: bool, harder: float = 0.0
) -> ScoredTraffic:
    """Return groups of heavy-tailed sizes that share difficulty and half of their luck."""
    # The mean size is about 4.5.
    n_groups = max(2, round(n / 4.5))
    sizes = np.minimum(np.floor((1.0 - rng.random(n_groups)) ** (-1.0 / 1.1)), LARGEST)
    groups = np.repeat(np.arange(n_groups), sizes.astype(int))
    hard = rng.normal(size=n_groups)[groups] + harder * (sizes[groups] > 20)
    shared = rng.random(len(groups)) < 0.5
    luck = np.where(shared, rng.random(n_groups)[groups], rng.random(len(groups)))
    return _table(hard, _fails(hard, luck), groups, rng, informative=informative)


def heavy_hard_groups(n: int, rng: np.random.Generator, *, informative: bool) -> ScoredTraffic:
    """Return the same with large groups that fail more."""
    return heavy_groups(n, rng, informative=informative, harder=1.0)


def weights(
    n: int, rng: np.random.Generator, *, informative: bool, harder: float = 0.0
) -> ScoredTraffic:
    """Return independent requests of log-normal weights."""
    spread, own = rng.normal(size=n), rng.normal(size=n)
    hard = np.sqrt(1.0 - harder**2) * own + harder * spread
    data = _table(hard, _fails(hard, rng.random(n)), np.arange(n), rng, informative=informative)
    return replace(data, outcomes=replace(data.outcomes, weight=np.exp(spread)))


def hard_weights(n: int, rng: np.random.Generator, *, informative: bool) -> ScoredTraffic:
    """Return the same where what weighs more fails more."""
    return weights(n, rng, informative=informative, harder=0.7)


def graded(n: int, rng: np.random.Generator, *, informative: bool) -> ScoredTraffic:
    """Return graded failures in groups of one to three, some of which validation catches."""
    n_groups = max(2, n // 2)
    groups = np.repeat(np.arange(n_groups), rng.integers(1, 4, n_groups))
    hard = rng.normal(size=n_groups)[groups]
    failure = _fails(hard + 1.0, rng.random(len(groups))) * rng.beta(2.0, 1.0, len(groups))
    data = _table(hard, failure, groups, rng, informative=informative)
    return replace(data, catch_rate=CATCH_RATE)


def ruled(n: int, rng: np.random.Generator, *, informative: bool) -> ScoredTraffic:
    """Return four tasks of different difficulty, pairs of requests sharing a group."""
    groups = np.arange(n) // 2
    task = rng.integers(0, len(TASKS), n)
    hard = rng.normal(size=n) + (0.3 * (task - 1.5) if informative else 0.0)
    data = _table(hard, _fails(hard, rng.random(n)), groups, rng, informative=informative)
    short = (task == TASKS.index(EASY)) & (rng.random(n) < 0.5)
    return replace(
        data, tasks=[TASKS[number] for number in task], fixed=np.where(short, 0.0, np.nan)
    )


def explored(n: int, rng: np.random.Generator, *, informative: bool) -> ScoredTraffic:
    """Return independent requests of which some take the other route."""
    return replace(alone(n, rng, informative=informative), exchanged=np.full(n, EPSILON))


def logged(
    n: int, rng: np.random.Generator, *, informative: bool, knows: float = 1.0
) -> ScoredTraffic:
    """Return what a log tells of independent requests: outcomes where the cheap model was called,
    weighted by the inverse propensity.
    """
    hard = rng.normal(size=n)
    data = _table(hard, _fails(hard, rng.random(n)), np.arange(n), rng, informative=informative)
    hunch = knows * hard + rng.normal(size=n) < 0.0
    propensity = np.where(hunch, 1.0 - LEAST, LEAST)
    known = np.flatnonzero(rng.random(n) < propensity)
    data = data.at(known)
    weight = 1.0 / propensity[known]
    ones = np.ones(len(known))
    outcomes = replace(data.outcomes, weight=weight / weight.mean(), request_weight=ones)
    return replace(data, outcomes=outcomes)


def logged_by_luck(n: int, rng: np.random.Generator, *, informative: bool) -> ScoredTraffic:
    """Return the same of a policy that knew nothing."""
    return logged(n, rng, informative=informative, knows=0.0)


def _fails(hard: FloatArray, luck: FloatArray) -> FloatArray:
    return (luck < expit(logit(RATE) + hard)).astype(np.float64)


def _table(
    hard: FloatArray,
    failure: FloatArray,
    groups: IntArray,
    rng: np.random.Generator,
    *,
    informative: bool,
    rows: IntArray | None = None,
) -> ScoredTraffic:
    """Return scored requests; ``rows`` repeats some, with the score of the first."""
    score = expit(hard) if informative else rng.random(len(hard))
    if rows is None:
        rows = np.arange(len(hard))
    n = len(rows)
    return ScoredTraffic(
        difficulty_score=score[rows],
        outcomes=Outcomes(
            cheap_quality=1.0 - failure[rows],
            frontier_quality=np.ones(n),
            preferred_gain=np.full(n, np.nan),
            weight=np.ones(n),
        ),
        groups=groups[rows],
        tasks=[None] * n,
        cheap_cost=np.full(n, np.nan),
        frontier_cost=np.full(n, np.nan),
    )
