"""What each task of the router's rule gains or costs, beside what the score would do there.

A rule settles requests without asking the score: an easy task stays on the cheap model, a hard one
goes to the frontier model. Each such task is taken out of the rule by itself, and the score decides
its requests together with all others that it decides already, for the same money (the same number
of frontier calls where prices are not known). What that changes is ``net``: one number in which
quality and money are both counted, whichever way the rule sends the task.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from difficulty.evaluation.parts import Ratios, drawn, estimate
from difficulty.evaluation.scored import ScoredTraffic, Thresholds
from difficulty.form import Record
from difficulty.metrics.arrays import FloatArray, IntArray, ratio
from difficulty.metrics.bootstrap import GroupDraws, Resampling
from difficulty.records import Estimate
from difficulty.routes import Route
from difficulty.text import quantity_text

Verdict = Literal["loses", "gains", "no difference shown", "too few"]
LEAST_JUDGED = 50
"""Requests of a task with known outcomes below which its rule is not judged."""
_PRICED = 0.9
"""Share of the known requests that must have costs for money to be what is kept equal."""
_UNKNOWN = "no request of this task has the outcomes known"
_UNPRICED = "no request has prices and token counts for both models"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTask(Record):
    """One task of the rule, measured; differences are rule minus score."""

    task: str
    route: Route
    """Where the rule sends it."""
    requests: int
    """How many the rule settles."""
    n: int
    """Those of them of which it is known what the frontier model would gain."""
    otherwise: int
    """How many of the requests the score would route otherwise."""
    gap: Estimate
    """Frontier minus cheap quality of these; for the target ``failure``, the share that the cheap
    model fails.
    """
    quality: Estimate
    """Their mean quality by the rule, minus that by the score at its threshold."""
    cost: Estimate
    """Their cost by the rule, minus that by the score at its threshold; USD per 1,000 of them."""
    net: Estimate
    """Mean quality of all requests with the rule, minus that without this task in the rule and with
    the threshold moved until what is spent is the same.
    """
    same: Literal["money", "number of frontier calls"]
    """What is the same on both sides of ``net``."""

    @property
    def verdict(self) -> Verdict:
        """What the interval of ``net`` says."""
        if self.n < LEAST_JUDGED or self.net.low is None or self.net.high is None:
            return "too few"
        if self.net.high < 0.0:
            return "loses"
        return "gains" if self.net.low > 0.0 else "no difference shown"

    @property
    def sentence(self) -> str:
        """What was measured, in words."""
        kept = self.route == "cheap"
        where = "kept on the cheap model" if kept else "sent to the frontier model"
        count = (
            f"rule, {self.task}: {quantity_text(self.requests, 'request')} {where} whatever"
            " the score"
        )
        if self.verdict == "too few":
            return (
                f"{count}; the outcomes of {self.n:,} are known, too few to judge the rule"
                f" ({LEAST_JUDGED} are needed)."
            )
        better = f"{count}. The frontier model is better there by {_signed(self.gap)}."
        if not self.otherwise:
            return f"{better} The score would route them all alike, so the rule loses nothing."
        money = f", cost {_signed(self.cost)} USD per 1,000" if self.cost.value is not None else ""
        verdicts = {"loses": "the rule loses", "gains": "the rule gains"}
        return (
            f"{better} The score would {'send' if kept else 'keep'} {self.otherwise:,} of them;"
            f" against that: quality {_signed(self.quality)}{money}. For the same {self.same},"
            f" quality of all requests {_signed(self.net)}:"
            f" {verdicts.get(self.verdict, self.verdict)}."
        )


def judge_rule(scored: ScoredTraffic, resampling: Resampling) -> tuple[RuleTask, ...]:
    """Return what each task of the rule gains or costs, the easy ones first.

    Parameters
    ----------
    scored : ScoredTraffic
        Requests as a policy routes them: with its fixed routes and its threshold. None that the
        heads learned from, as the score would know these better than others.
    resampling : Resampling
        In each draw of whole groups the spending is made equal again.

    Returns
    -------
    tuple of RuleTask
        Empty without a threshold, and without a task that the rule settles.
    """
    if scored.threshold is None:
        return ()
    settled = [*_settled(scored)]
    if not settled:
        return ()
    draws = resampling.affordable(len(scored)).of(scored.groups)
    return tuple(_judge(scored, *each, draws) for each in settled)


def losing(tasks: Iterable[RuleTask]) -> tuple[RuleTask, ...]:
    """Return the tasks whose rule clearly loses."""
    return tuple(task for task in tasks if task.verdict == "loses")


def _settled(scored: ScoredTraffic) -> Iterable[tuple[str, Route, IntArray]]:
    """Yield each task of the rule with its route and the requests that it settles."""
    tasks = np.array([task or "" for task in scored.tasks])
    routes: tuple[tuple[Route, float], ...] = (("cheap", 0.0), ("frontier", 1.0))
    for route, value in routes:
        fixed = scored.by_rule == value
        for task in np.unique(tasks[fixed & (tasks != "")]):
            rows = np.flatnonzero((tasks == task) & fixed)
            # Unfamiliar requests are sent too, of any task; a hard task is sent as a whole.
            if route == "cheap" or len(rows) == np.count_nonzero(tasks == task):
                yield str(task), route, rows


def _judge(
    scored: ScoredTraffic, task: str, route: Route, rows: IntArray, draws: GroupDraws
) -> RuleTask:
    gain, weight = _gain(scored), scored.outcomes.weight
    fixed = scored.by_rule.copy()
    fixed[rows] = np.nan
    freed = replace(scored, fixed=fixed)
    policy = Thresholds(float(scored.threshold or 0.0), scored.task_thresholds)
    moved = (scored.routes(policy) - freed.routes(policy))[rows]
    dearer = scored.frontier_cost - scored.kept.cost
    part = Ratios.of(
        rows,
        {
            "gap": ratio(gain[rows]),
            "quality": ratio(moved * gain[rows]),
            "cost": ratio(1000.0 * moved * dearer[rows]),
        },
    )
    point, resampled = drawn(part, draws, weight)
    figures = {
        name: estimate(
            point[name], resampled[name], n=n, unknown=_UNPRICED if name == "cost" else _UNKNOWN
        )
        for name, n in part.n.items()
    }
    known = int(np.count_nonzero(~np.isnan(gain[rows])))
    trade, same = _Trade.of(scored, freed, policy, gain, dearer)
    net = estimate(
        trade.change(weight[None, :]),
        draws.values(trade.change, weight),
        n=len(trade.rows),
        unknown=_UNKNOWN,
    )
    return RuleTask(
        task=task,
        route=route,
        requests=len(rows),
        n=known,
        otherwise=int(np.count_nonzero(moved)),
        net=net,
        same=same,
        **figures,
    )


def _gain(scored: ScoredTraffic) -> FloatArray:
    """Return what sending a request gains over keeping it, fallbacks reckoned with; NaN where that
    is unknown.
    """
    if scored.target == "failure":
        return scored.kept.failure
    return scored.outcomes.gain * (1.0 - scored.kept.twice)


class _Trade(NamedTuple):
    """Two routings that spend the same: with a task in the rule, and with the score in its place.

    ``order`` has the requests that the score decides in the second, the highest score first; the
    rest of ``rows`` is routed alike by both.
    """

    rows: IntArray
    order: IntArray
    sent: FloatArray
    gain: FloatArray
    spent: FloatArray

    @classmethod
    def of(
        cls,
        scored: ScoredTraffic,
        freed: ScoredTraffic,
        policy: Thresholds,
        gain: FloatArray,
        dearer: FloatArray,
    ) -> tuple[_Trade, Literal["money", "number of frontier calls"]]:
        """Return the two and what is the same in both."""
        known = ~np.isnan(gain)
        priced = known & ~np.isnan(dearer)
        by_money = bool(priced.sum() >= _PRICED * max(1, int(known.sum())))
        # A frontier call that is no dearer is free: more of those never spend less.
        spent = np.maximum(dearer, 0.0) if by_money else scored.outcomes.per_request
        rows = np.flatnonzero(priced if by_money else known)
        free = rows[np.isnan(freed.by_rule[rows])]
        # By the distance from the own threshold, so that thresholds of single tasks move together.
        margin = (freed.difficulty_score - freed.cuts(policy))[free]
        order = free[np.argsort(-margin, kind="stable")]
        trade = cls(rows, order, scored.routes(policy)[order], gain[order], spent[order])
        return trade, "money" if by_money else "number of frontier calls"

    def change(self, weight: FloatArray) -> FloatArray:
        """Return quality with the rule minus quality without, for weights of shape (n_draws, n)."""
        own = weight[:, self.order]
        spent, gained = own * self.spent, own * self.gain
        budget, by_rule = spent @ self.sent, gained @ self.sent
        start = np.zeros((len(own), 1))
        upto = np.hstack([start, np.cumsum(spent, axis=1)])
        reached = np.hstack([start, np.cumsum(gained, axis=1)])
        # The last request may be sent in part, so that not a cent is left over.
        by_score = np.array(
            [np.interp(*each) for each in zip(budget, upto, reached, strict=True)], dtype=np.float64
        )
        total = weight[:, self.rows].sum(axis=1)
        change = np.full(len(own), np.nan)
        np.divide(by_rule - by_score, total, out=change, where=total > 0.0)
        return change


def _signed(figure: Estimate) -> str:
    """Return a difference with its sign and interval."""
    if figure.value is None:
        return "unknown"
    if figure.low is None or figure.high is None:
        return f"{figure.value:+.3f}"
    return f"{figure.value:+.3f} [{figure.low:+.3f}, {figure.high:+.3f}]"
