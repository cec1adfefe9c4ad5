"""What several stages do with traffic: tokenize it, count its tokens, apply the task rules, and
judge scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.bundle.policy import Fallback, Policy
from difficulty.economics import request_costs
from difficulty.evaluation.scored import Judged
from difficulty.model.combination import Target
from difficulty.records import Prices
from difficulty.runtime.rule import TaskRules, before_scoring
from difficulty.stages.slicing import traffic_labels
from difficulty.text import TextView
from difficulty.thresholds.policy_curve import ScoredTraffic
from difficulty.tokens import RequestTokenizer
from difficulty.traffic.table import Traffic

FloatArray = NDArray[np.float64]
_BAND_EDGES = [0.05, 0.2, 0.5]


class Tokenized(NamedTuple):
    """Token ids of n requests, cut to the scorer's limit, how many tokens each has in all, and
    their tasks.
    """

    ids: list[list[int]]
    totals: NDArray[np.int64]
    tasks: list[str | None]
    """``None`` also for a request of which the tokenizer keeps nothing: serving does not score
    those.
    """
    shortened: NDArray[np.bool_]
    """Whether the text was cut before it was tokenized, so that the total is an estimate."""

    def at(self, rows: NDArray[np.intp]) -> Tokenized:
        """Return some requests."""
        return Tokenized(
            [self.ids[row] for row in rows],
            self.totals[rows],
            [self.tasks[row] for row in rows],
            self.shortened[rows],
        )


def tokenize(traffic: Traffic, *, view: TextView, tokenizer: RequestTokenizer) -> Tokenized:
    """Return the token ids of all requests."""
    views = traffic.views(view)
    rows = tokenizer.encode_batch([one.text for one in views])
    totals = [one.whole(row.total) for one, row in zip(views, rows, strict=True)]
    tasks = [task if row.ids else None for task, row in zip(traffic.tasks, rows, strict=True)]
    shortened = np.array([one.truncated for one in views], dtype=bool)
    return Tokenized([row.ids for row in rows], np.array(totals, dtype=np.int64), tasks, shortened)


def fixed_routes(
    rules: TaskRules,
    tasks: Sequence[str | None],
    tokens: FloatArray,
    familiarity: NDArray[np.floating] | None = None,
) -> FloatArray:
    """Return the route that the score does not change: 0 cheap, 1 frontier, NaN where the score
    decides; shape (n,).
    """
    route_of = {"cheap": 0.0, "frontier": 1.0}
    verdicts = (
        before_scoring(rules, task=task, tokens=int(count))
        for task, count in zip(tasks, tokens, strict=True)
    )
    fixed = np.array(
        [route_of[verdict.route] if verdict else np.nan for verdict in verdicts], dtype=np.float64
    )
    if familiarity is None:
        return fixed
    return np.where(np.isnan(fixed) & (familiarity < rules.min_familiarity), 1.0, fixed)


def rule_tokens(traffic: Traffic, totals: NDArray[np.int64]) -> FloatArray:
    """Return the token counts that the rule uses: the request's own where the traffic has one, else
    the tokenizer's.
    """
    own = traffic.tokens.prompt
    return np.where(np.isnan(own), totals, own)


def scored_traffic(
    traffic: Traffic,
    outputs: dict[str, NDArray[np.floating]],
    totals: NDArray[np.int64],
    *,
    rules: TaskRules,
    prices: Prices | None,
    catch_rate: float | None,
) -> ScoredTraffic:
    """Return what thresholds are chosen on."""
    cheap_cost, frontier_cost = request_costs(traffic.tokens, prices)
    return ScoredTraffic(
        score=outputs["difficulty_score"].astype(np.float64),
        fixed=fixed_routes(
            rules, traffic.tasks, rule_tokens(traffic, totals), outputs.get("familiarity")
        ),
        outcomes=traffic.outcomes,
        groups=np.asarray(traffic.split_groups),
        cheap_cost=cheap_cost,
        frontier_cost=frontier_cost,
        tasks=traffic.tasks,
        catch_rate=catch_rate,
    )


def judged(
    traffic: Traffic,
    outputs: dict[str, NDArray[np.floating]],
    totals: NDArray[np.int64],
    *,
    target: Target,
    prices: Prices | None,
    policy: Policy | None = None,
) -> Judged:
    """Return what evaluation judges; with a ``policy`` by its whole rule, the task rules before the
    score.
    """
    cheap_cost, frontier_cost = request_costs(traffic.tokens, prices)
    p_frontier, familiarity = outputs.get("p_frontier_fails"), outputs.get("familiarity")
    return Judged(
        difficulty_score=outputs["difficulty_score"].astype(np.float64),
        p_cheap_fails=outputs["p_cheap_fails"].astype(np.float64),
        p_frontier_fails=None if p_frontier is None else p_frontier.astype(np.float64),
        outcomes=traffic.outcomes,
        groups=np.asarray(traffic.split_groups),
        tasks=traffic.tasks,
        n_tokens=totals,
        cheap_cost=cheap_cost,
        frontier_cost=frontier_cost,
        target=target,
        threshold=policy.threshold if policy else None,
        fixed=fixed_routes(policy, traffic.tasks, rule_tokens(traffic, totals), familiarity)
        if policy
        else None,
        task_thresholds=policy.task_thresholds if policy else {},
        catch_rate=catch_rate(policy.fallback) if policy else None,
        labels=traffic_labels(traffic)
        | ({} if familiarity is None else {"familiarity": _bands(familiarity)}),
    )


def catch_rate(fallback: Fallback) -> float | None:
    """Return the share of failing answers that is caught; none where there is no fallback."""
    return fallback.catch_rate if fallback.on_validation_failure else 0.0


def _bands(familiarity: NDArray[np.floating]) -> list[str]:
    """Return the band of each request, the least familiar first by name."""
    places = np.searchsorted(_BAND_EDGES, familiarity, side="right")
    names = [f"{low:.2f}-{high:.2f}" for low, high in pairwise([0.0, *_BAND_EDGES, 1.0])]
    return [names[place] for place in places]
