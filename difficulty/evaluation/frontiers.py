"""Three ways to spend money on the frontier model, and what each costs at the same quality.

``request``: the request's score sends at once, no answer is checked. ``check``: the cheap model
answers everything, and the check of its answer sends on. ``both``: the requests with the highest
scores are sent at once, the answers to the rest are checked. A check pays the cheap call before
each frontier call, so it may order requests better and lose money all the same: ways are compared
by their cost at equal quality, never by how well they order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, Literal, NamedTuple, Self, get_args

import numpy as np
from numpy.typing import NDArray

from difficulty.engine.threads import in_threads
from difficulty.evaluation.figures import Pair, columns_of
from difficulty.evaluation.parts import estimate
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.evaluation.tradeoff import known_or_none, thresholds_between
from difficulty.form import Record
from difficulty.metrics.arrays import FloatArray, divide
from difficulty.metrics.bootstrap import Resampling, group_codes
from difficulty.records import Estimate
from difficulty.traffic.outcomes import Outcomes

CheckKind = Literal["request", "check", "both"]
CHECK_KINDS: Final[tuple[CheckKind, ...]] = get_args(CheckKind)
"""The simplest first."""
CHEAP_CALL: Final = 0.05
"""What a call of the cheap model costs in calls of the frontier one where nobody gave prices."""
AT_ONCE: Final = (0.05, 0.1, 0.2, 0.3, 0.45, 0.6)
"""Shares sent at once that ``both`` is tried with."""
LEAST_ANSWERS: Final = 60
"""Samples with a checked answer and known outcomes below which ways are not compared."""
_FOLDS = 4
_PRICED = 0.9
"""Share of the samples that must have costs for money to be what is compared."""


@dataclass(frozen=True, kw_only=True)
class ThresholdSweep:
    """Every operating point that one moving threshold can reach, from the fewest frontier calls to
    the most.

    Attributes
    ----------
    traffic : ScoredTraffic
        What it is the sweep of.
    thresholds : ndarray of shape (n_points,)
        Descending. Each lies between two neighbouring scores, so rounding in another runtime moves
        no request of this traffic.
    order : ndarray of int, shape (n_free,)
        Requests that the score decides, highest score first.
    ends : ndarray of int, shape (n_points,)
        How many of ``order`` each threshold sends.
    of_answers : bool
        Whether the threshold is on the score of the answers, so that what it sends has been
        answered by the cheap model already.
    wait_usd : float
        What an answer that is made twice costs beside its calls, in USD: the user waits for both.
    """

    traffic: ScoredTraffic
    thresholds: FloatArray
    order: NDArray[np.intp]
    ends: NDArray[np.intp]
    of_answers: bool = False
    wait_usd: float = 0.0
    _figures: dict[str, FloatArray] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, traffic: ScoredTraffic) -> Self:
        """Return the sweep of the request's score."""
        # Only rules settle a request here: thresholds of single tasks are what may be sought.
        free = np.flatnonzero(np.isnan(traffic.by_rule))
        return cls._of(traffic, traffic.difficulty_score, free, of_answers=False)

    @classmethod
    def over_answers(cls, traffic: ScoredTraffic, *, at_once: float = 1.0) -> Self:
        """Return the sweep of the answers' score; requests with a score above ``at_once`` are sent
        before they are answered, as are those that a rule sends.

        The traffic must have scores of its answers. An answer that was not checked stays where it
        is, whatever the threshold.
        """
        assert traffic.answer_score is not None
        open_ = np.isnan(traffic.by_rule)
        sent = open_ & (traffic.difficulty_score > at_once)
        # What a rule keeps is answered by the cheap model like any other, so it is checked too.
        free = np.flatnonzero((traffic.by_rule != 1.0) & ~sent & ~np.isnan(traffic.answer_score))
        settled = replace(traffic.unchecked, fixed=np.where(sent, 1.0, traffic.by_rule))
        return cls._of(settled, traffic.answer_score, free, of_answers=True)

    @classmethod
    def _of(
        cls, traffic: ScoredTraffic, score: FloatArray, free: NDArray[np.intp], *, of_answers: bool
    ) -> Self:
        order = free[np.argsort(-score[free], kind="stable")]
        ranked = score[order]
        # Equal scores move together, so a step ends where the score changes; -1 ends the last.
        last = np.flatnonzero(np.diff(ranked, append=-1.0))
        scores = ranked[last]
        # No threshold sends a score of 0.
        reachable = slice(None, -1 if len(scores) and scores[-1] <= 0.0 else None)
        ends = np.append(0, last + 1).astype(np.intp)
        return cls(
            traffic=traffic,
            thresholds=thresholds_between(scores)[reachable],
            order=order,
            ends=ends[reachable],
            of_answers=of_answers,
        )

    def figure(self, name: str, weight: FloatArray | None = None) -> FloatArray:
        """Return a figure of :data:`difficulty.evaluation.figures.FIGURES` at each threshold, of
        shape (n_points,); NaN where it is undefined.

        Parameters
        ----------
        name : str
        weight : ndarray of shape (n,), optional
            In place of the outcomes' weights, as in a draw of the bootstrap.
        """
        if weight is None and name in self._figures:
            return self._figures[name]
        kept, sent, moved = self._columns(name)
        own = self.traffic.outcomes.weight if weight is None else weight
        above, below = (self._along((kept[part], sent[part], moved[part]), own) for part in (0, 1))
        values = divide(above, below, total=own.sum())
        if weight is None:
            self._figures[name] = values
        return values

    @property
    def kept_always(self) -> NDArray[np.bool_]:
        """Which requests no threshold sends, shape (n,)."""
        movable = np.zeros(len(self.traffic), dtype=bool)
        movable[self.order] = True
        return np.asarray(~movable & (self.traffic.by_rule != 1.0))

    def _columns(self, name: str) -> tuple[Pair, Pair, Pair]:
        """Return a figure's columns of requests that are kept, that are sent at once, and that the
        threshold has moved.
        """
        if name in self._laid_out:
            return self._laid_out[name]
        columns = columns_of(self.traffic, [name])[name]
        moved = columns.sent
        if self.of_answers:
            dearer = self.traffic.frontier_cost + self.wait_usd
            all_sent_on = replace(self.traffic.all_escalated, frontier_cost=dearer)
            moved = columns_of(all_sent_on, [name])[name].kept
        self._laid_out[name] = (columns.kept, columns.sent, moved)
        return self._laid_out[name]

    @cached_property
    def _laid_out(self) -> dict[str, tuple[Pair, Pair, Pair]]:
        return {}

    def _along(self, column: tuple[FloatArray, ...], weight: FloatArray) -> FloatArray:
        """Return, at each threshold, the weighted sum of what requests are, kept or sent."""
        kept, sent, moved = (values * weight for values in column)
        start = np.where(self.traffic.by_rule == 1.0, sent, kept).sum()
        steps = np.append(0.0, np.cumsum((moved - kept)[self.order]))
        return np.asarray(start + steps[self.ends])


@dataclass(frozen=True, kw_only=True, eq=False)
class Frontiers:
    """What each way costs at each quality, on the same requests.

    Attributes
    ----------
    traffic : ScoredTraffic
        Requests whose answers were checked and of which cost and gain are known.
    in_usd : bool
        Whether costs are money; else they are in frontier calls, a cheap call counting
        ``CHEAP_CALL``.
    frontier_assumed : bool
        Whether the frontier model is taken to be right throughout, as nothing is known of it.
    """

    traffic: ScoredTraffic
    in_usd: bool
    frontier_assumed: bool
    wait_usd: float = 0.0

    @classmethod
    def of(cls, traffic: ScoredTraffic, *, wait_usd: float = 0.0) -> Frontiers | None:
        """Return the comparison; None where too few answers were checked, or nothing tells what the
        frontier model would gain.

        Parameters
        ----------
        traffic : ScoredTraffic
        wait_usd : float
            What a user's wait for a second answer costs, in USD; counts where costs are money.
        """
        if traffic.answer_score is None:
            return None
        outcomes = traffic.outcomes
        assumed = bool(np.isnan(outcomes.gain).all())
        if assumed:
            outcomes = replace(outcomes, frontier_quality=np.ones(len(traffic)))
        known = ~np.isnan(traffic.answer_score) & ~np.isnan(outcomes.gain)
        priced = known & ~np.isnan(traffic.cheap_cost + traffic.frontier_cost)
        in_usd = bool(priced.sum() >= max(1.0, _PRICED * known.sum()))
        rows = priced if in_usd else known
        if rows.sum() < LEAST_ANSWERS:
            return None
        table = replace(traffic, outcomes=outcomes, task_thresholds={}).unchecked
        if not in_usd:
            n = len(traffic)
            table = replace(table, cheap_cost=np.full(n, CHEAP_CALL), frontier_cost=np.full(n, 1.0))
        table = table.at(rows)
        gap = float(table.outcomes.weight @ table.outcomes.gain)
        if gap <= 0.0:
            return None
        wait = wait_usd if in_usd else 0.0
        return cls(traffic=table, in_usd=in_usd, frontier_assumed=assumed, wait_usd=wait)

    @cached_property
    def sweeps(self) -> Mapping[CheckKind, tuple[ThresholdSweep, ...]]:
        """The sweeps of each way; of ``both`` one for each share that is sent at once."""
        return {
            "request": (ThresholdSweep.of(self.traffic),),
            "check": (self._over_answers(1.0),),
            "both": tuple(self._over_answers(cut) for cut in at_once_cuts(self.traffic)),
        }

    def _over_answers(self, at_once: float) -> ThresholdSweep:
        sweep = ThresholdSweep.over_answers(self.traffic, at_once=at_once)
        return replace(sweep, wait_usd=self.wait_usd)

    def costs(
        self, kind: CheckKind, recovered: FloatArray, *, weight: FloatArray | None = None
    ) -> FloatArray:
        """Return the least cost of 1,000 requests at which a way recovers at least so much of the
        quality gap; NaN where it never does.

        Parameters
        ----------
        kind : {"request", "check", "both"}
        recovered : ndarray of shape (m,)
            Shares of the gap.
        weight : ndarray of shape (n,), optional
            Of the requests, as in a draw of the bootstrap.
        """
        least = [_least_cost(sweep, recovered, weight) for sweep in self.sweeps[kind]]
        return np.asarray(np.fmin.reduce(least or [np.full(len(recovered), np.nan)]))

    def clearly_both(self, recovered: float, *, against: CheckKind) -> float:
        """Return what ``both`` saves against a simpler way where the share that is sent at once is
        chosen on other requests than it is judged by; NaN where that cannot be told.

        Of several shares the best on the same requests looks better than it is.
        """
        codes = group_codes(self.traffic.groups)
        # By a shuffle of its own, so that groups in order of time are spread.
        fold = (np.random.default_rng(0).permutation(int(codes.max()) + 1) % _FOLDS)[codes]
        around, weight = around_level(recovered), self.traffic.outcomes.weight
        own, other = 0.0, 0.0
        for number in range(_FOLDS):
            elsewhere, here = weight * (fold != number), weight * (fold == number)
            if not (elsewhere.any() and here.any() and self.sweeps["both"]):
                continue
            best = min(
                self.sweeps["both"],
                key=lambda sweep: _mean_known(_least_cost(sweep, around, elsewhere)),
            )
            pair = _least_cost(best, around, here), self.costs(against, around, weight=here)
            known = ~np.isnan(pair[0]) & ~np.isnan(pair[1])
            own, other = own + pair[0][known].sum(), other + pair[1][known].sum()
        return 1.0 - own / other if other > 0.0 else float("nan")

    def best_utility(self, kind: CheckKind, value: float) -> tuple[float, float]:
        """Return the most that a way reaches of ``value * quality - cost`` of 1,000 requests, and
        what it costs there.
        """
        points = [
            (1000.0 * value * sweep.figure("quality") - sweep.figure("cost"), sweep.figure("cost"))
            for sweep in self.sweeps[kind]
        ]
        utility, cost = (np.concatenate(part) for part in zip(*points, strict=True))
        if np.isnan(utility).all():
            return float("nan"), float("nan")
        best = int(np.nanargmax(utility))
        return float(utility[best]), float(cost[best])

    def best_cut(self, recovered: float) -> float:
        """Return the threshold of the request's score with which ``both`` costs least around a
        share of the gap.
        """
        around = around_level(recovered)
        cuts = zip(at_once_cuts(self.traffic), self.sweeps["both"], strict=True)
        return min(cuts, key=lambda cut: _mean_known(_least_cost(cut[1], around, None)))[0]

    def saved(
        self,
        kind: CheckKind,
        recovered: float,
        *,
        against: CheckKind = "request",
        weight: FloatArray | None = None,
    ) -> float:
        """Return the share of the cost that a way saves against another around a share of the gap;
        NaN where either does not reach it.
        """
        around = around_level(recovered)
        own, other = (self.costs(name, around, weight=weight) for name in (kind, against))
        both = ~np.isnan(own) & ~np.isnan(other)
        return 1.0 - float(own[both].sum() / other[both].sum()) if both.any() else float("nan")


_AROUND = np.linspace(-0.08, 0.08, 9)


def around_level(recovered: float) -> FloatArray:
    """Return the shares of the gap over which costs are averaged: at one alone chance decides."""
    return np.clip(recovered + _AROUND, 0.02, 0.98)


def at_once_cuts(traffic: ScoredTraffic) -> tuple[float, ...]:
    """Return thresholds of the request's score that send the shares of ``AT_ONCE`` at once."""
    sweep = ThresholdSweep.of(traffic.unchecked)
    shares = sweep.figure("frontier_share")
    places = {int(np.searchsorted(shares, share, side="right")) - 1 for share in AT_ONCE}
    return tuple(float(sweep.thresholds[place]) for place in sorted(places) if place > 0)


def _mean_known(values: FloatArray) -> float:
    """Return the mean, infinite where a value is unknown: that level is not reached."""
    return float("inf") if np.isnan(values).any() else float(values.mean())


def _least_cost(
    sweep: ThresholdSweep, recovered: FloatArray, weight: FloatArray | None
) -> FloatArray:
    cost, reached = (sweep.figure(name, weight) for name in ("cost", "gap_recovered"))
    order = np.argsort(reached, kind="stable")
    # From the end: the least cost of all points that recover as much or more.
    least = np.append(np.minimum.accumulate(cost[order][::-1])[::-1], np.nan)
    return np.asarray(least[np.searchsorted(reached[order], recovered - 1e-12)])


_GRID = np.linspace(0.02, 0.98, 49)
_USUAL = 0.8
"""Share of the gap at which ways are compared where no threshold names another."""
MOST_DRAWS = 200
"""Each draw sorts all requests twice more."""


class Told(NamedTuple):
    """What a finding says."""

    severity: Literal["warning", "info"]
    message: str
    numbers: Mapping[str, float | int]


def _mean_qualities(outcomes: Outcomes) -> tuple[float, float]:
    """Return the mean quality of both models; of requests with votes the gain alone is known."""
    cheap, weight = outcomes.cheap_quality, outcomes.weight
    if not np.isnan([cheap, outcomes.frontier_quality]).any():
        return (
            float(np.average(cheap, weights=weight)),
            float(np.average(outcomes.frontier_quality, weights=weight)),
        )
    gap, known = float(np.average(outcomes.gain, weights=weight)), ~np.isnan(cheap)
    # Of votes alone a win rate, ties half.
    least = np.average(cheap[known], weights=weight[known]) if known.any() else (1.0 - gap) / 2.0
    return float(least), float(least) + gap


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFigures(Record):
    """Three ways to route: the request's score alone, the check of the answer alone, both."""

    kind: CheckKind | None
    """The way that is in use; ``None`` before a threshold is chosen."""
    threshold: float | None
    """Of the answers' score; ``None`` where answers are not checked."""
    requests: int
    """Requests behind it: those whose answer was checked, with known outcomes and costs."""
    in_usd: bool
    """Whether costs are USD; else frontier calls, a call of the cheap model counting 0.05."""
    frontier_assumed: bool
    """Whether the frontier model is taken to be right throughout, as nothing is known of it."""
    recovered: tuple[float, ...]
    """Shares of the quality gap."""
    quality: tuple[float, ...]
    """The mean quality that each of them is; the win rate where nothing but votes is known."""
    cost: Mapping[str, tuple[float | None, ...]]
    """Way, then the least cost of 1,000 requests that reaches each quality."""
    level: float
    """Share of the gap that the way in use recovers here, at which ``saved`` compares."""
    saved: Mapping[str, Estimate]
    """Way, then the share of the cost that it saves against the request's score alone."""

    @classmethod
    def of(
        cls, scored: ScoredTraffic, resampling: Resampling, *, level: float | None
    ) -> CheckFigures | None:
        """Return the figures; None where nothing was checked, or too little to compare.

        Parameters
        ----------
        scored : ScoredTraffic
            As a policy routes it.
        resampling : Resampling
        level : float, optional
            Share of the gap that the policy recovers.
        """
        frontiers = Frontiers.of(scored)
        if frontiers is None:
            return None
        at = _USUAL if level is None or not 0.0 < level <= 1.0 else level
        ends = _mean_qualities(frontiers.traffic.outcomes)
        return cls(
            kind=kind_in_use(scored),
            threshold=scored.answer_threshold,
            requests=len(frontiers.traffic),
            in_usd=frontiers.in_usd,
            frontier_assumed=frontiers.frontier_assumed,
            recovered=tuple(_GRID.tolist()),
            quality=tuple((ends[0] + _GRID * (ends[1] - ends[0])).tolist()),
            cost={kind: known_or_none(frontiers.costs(kind, _GRID)) for kind in CHECK_KINDS},
            level=at,
            saved=_saved(frontiers, at, resampling),
        )

    @property
    def is_used(self) -> bool:
        """Whether the policy checks answers."""
        return self.kind in ("check", "both")

    @property
    def decides(self) -> bool:
        """Whether the check of answers routes, alone or too, and is shown to save money by it."""
        if self.kind is None or self.kind == "request":
            return False
        low = self.saved[self.kind].low
        return low is not None and low > 0.0

    def told_of_a_loss(self) -> Told | None:
        """Return what to say where the check in use costs more than the request's score alone."""
        if self.kind is None or self.kind == "request":
            return None
        saved = self.saved[self.kind]
        if saved.value is None or saved.value >= 0.0:
            return None
        sure = saved.high is not None and saved.high < 0.0
        return self._told(
            "warning" if sure else "info",
            f"The check of answers loses money here: for {100.0 * self.level:.0f} % of the quality"
            f" gap it costs {_size(saved)} more than the request's score alone"
            f"{'' if sure else ', which chance may explain'}. Choose again on traffic like this"
            " ('difficulty thresholds --answer auto'), or leave it out (--answer off).",
            saved,
        )

    def told_of_a_saving(self) -> Told | None:
        """Return what to say where a check that is not in use would clearly save money."""
        saved = self.saved["check"]
        if self.kind != "request" or saved.low is None or saved.low <= 0.0:
            return None
        return self._told(
            "info",
            f"Checking the cheap model's answers would save {_size(saved)} of the cost here, for"
            f" {100.0 * self.level:.0f} % of the quality gap; the policy does not check them."
            " Choose again on traffic like this ('difficulty thresholds --answer auto').",
            saved,
        )

    def _told(self, severity: Literal["warning", "info"], text: str, saved: Estimate) -> Told:
        ends = {"saved": saved.value, "low": saved.low, "high": saved.high}
        known = {name: value for name, value in ends.items() if value is not None}
        return Told(severity, text, {"level": self.level, "requests": self.requests, **known})

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> CheckFigures:
        """Return the figures that :meth:`as_dict` wrote."""
        known = {name: content[name] for name in cls.__slots__ if name in content}
        return cls(
            **known
            | {
                "recovered": tuple(content["recovered"]),
                "quality": tuple(content["quality"]),
                "cost": {kind: tuple(costs) for kind, costs in content["cost"].items()},
                "saved": {kind: Estimate(**saved) for kind, saved in content["saved"].items()},
            }
        )


def kind_in_use(scored: ScoredTraffic) -> CheckKind | None:
    """Return the way in which a policy routes; ``None`` where there is none yet."""
    if scored.threshold is None:
        return None
    if scored.escalated is None:
        return "request"
    # Above 1 there is no score, so a threshold of 1 sends nothing.
    return "both" if scored.threshold < 1.0 else "check"


def _saved(frontiers: Frontiers, level: float, resampling: Resampling) -> dict[str, Estimate]:
    traffic = frontiers.traffic
    few = Resampling(min(MOST_DRAWS, resampling.draws), resampling.seed)
    draws = few.of(traffic.groups)

    def each(kind: CheckKind) -> Estimate:
        def drawn(weight: FloatArray) -> FloatArray:
            return np.array([frontiers.saved(kind, level, weight=row) for row in weight])

        return estimate(
            np.array([frontiers.saved(kind, level)]),
            draws.values(drawn, traffic.outcomes.weight),
            n=len(traffic),
            unknown="no threshold recovers as much of the gap",
        )

    kinds = [kind for kind in CHECK_KINDS if kind != "request"]
    return dict(zip(kinds, in_threads(each, kinds), strict=True))


def _size(saved: Estimate) -> str:
    """Return the size of a share saved or lost, in percent with its interval."""
    value, low, high = saved.value or 0.0, saved.low, saved.high
    if low is None or high is None:
        return f"{100.0 * abs(value):.1f} %"
    low, high = (low, high) if value >= 0.0 else (-high, -low)
    return f"{100.0 * abs(value):.1f} % ({100.0 * low:.1f} to {100.0 * high:.1f})"


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedFacts:
    """How far the facts about answers are from those that a check was trained on."""

    share: float
    """Share of the facts that moved by more than half a deviation."""
    limit: float
    """Share past which the check does not count."""
    n_facts: int
    n_answers: int
    names: tuple[str, ...]
    """Facts that moved furthest."""

    @property
    def is_stale(self) -> bool:
        """Whether more moved than may."""
        return self.share > self.limit
