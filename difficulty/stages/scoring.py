"""What several stages do with traffic: tokenize it, count its tokens, apply the task rules, and
judge scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.bundle.policy import Fallback, Policy
from difficulty.economics import request_costs
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.evaluation.scripts import traffic_labels
from difficulty.model.combination import Target
from difficulty.records import Prices
from difficulty.runtime.rule import TaskRules, before_scoring
from difficulty.text import TextView
from difficulty.tokens import RequestTokenizer
from difficulty.traffic.table import Traffic

FloatArray = NDArray[np.float64]


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
    outputs: Mapping[str, NDArray[np.floating]],
    totals: NDArray[np.int64],
    *,
    target: Target,
    prices: Prices | None,
    sliced: bool = True,
) -> ScoredTraffic:
    """Return scored traffic before any policy, with the kinds of slices where they are wanted."""
    return ScoredTraffic.of(
        traffic,
        outputs,
        totals,
        costs=request_costs(traffic.tokens, prices),
        target=target,
        labels=traffic_labels(traffic) if sliced else None,
    )


def under_rules(
    scored: ScoredTraffic,
    traffic: Traffic,
    rules: TaskRules,
    *,
    familiarity: NDArray[np.floating] | None,
    catch_rate: float | None,
) -> ScoredTraffic:
    """Return scored traffic with the routes that rules give without the score."""
    assert scored.n_tokens is not None
    tokens = rule_tokens(traffic, scored.n_tokens)
    fixed = fixed_routes(rules, traffic.tasks, tokens, familiarity)
    return replace(scored, fixed=fixed, catch_rate=catch_rate)


def under_policy(
    scored: ScoredTraffic,
    traffic: Traffic,
    policy: Policy,
    *,
    familiarity: NDArray[np.floating] | None,
) -> ScoredTraffic:
    """Return scored traffic as a policy routes it: its rules first, then its thresholds."""
    ruled = under_rules(
        scored, traffic, policy, familiarity=familiarity, catch_rate=catch_rate(policy.fallback)
    )
    return replace(ruled, threshold=policy.threshold, task_thresholds=policy.task_thresholds)


def catch_rate(fallback: Fallback) -> float | None:
    """Return the share of failing answers that is caught; none where there is no fallback."""
    return fallback.catch_rate if fallback.on_validation_failure else 0.0
