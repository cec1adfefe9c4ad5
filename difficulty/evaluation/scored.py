"""What is judged: scores and probabilities beside the outcomes they were to predict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import InvalidValueError
from difficulty.metrics.arrays import FloatArray, IntArray, Ratio, column, probabilities
from difficulty.metrics.routing import Kept, kept_with_fallback
from difficulty.traffic.outcomes import Outcomes

Target = Literal["benefit", "failure"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """Scores of n requests with their outcomes.

    Attributes
    ----------
    difficulty_score : ndarray of shape (n,)
        Higher = more worth the frontier model.
    p_cheap_fails : ndarray of shape (n,)
        Calibrated probability that the cheap model fails.
    p_frontier_fails : ndarray of shape (n,) or None
        The same of the frontier model, where trained.
    outcomes : Outcomes
        What is known of both models; NaN where unknown.
    groups : ndarray of shape (n,)
        Requests of one group are resampled together.
    tasks : sequence of n str or None
        Task of each request.
    n_tokens : ndarray of shape (n,)
        Length of each request in tokens.
    cheap_cost, frontier_cost : ndarray of shape (n,)
        What one answer of each model costs, in USD; NaN where unknown.
    target : {"benefit", "failure"}
        What the score predicts; decides what "needed the frontier model" means.
    threshold : float or None
        Requests with a score above it go to the frontier model; None when none has been chosen.
    fixed : ndarray of shape (n,) or None
        Route that the policy gives without a score: 0 cheap, 1 frontier, NaN where the score
        decides. None: the score decides all.
    task_thresholds : mapping of str to float
        Thresholds of single tasks, in place of ``threshold``.
    catch_rate : float or None
        Share of the cheap model's failures that validation catches, after which the frontier model
        answers; None: not known, and figures are those without a fallback.
    labels : mapping of str to sequence of n str or None
        Further kinds of slices (script, source, model pair, ...): a name for each request.
    """

    difficulty_score: FloatArray
    p_cheap_fails: FloatArray
    p_frontier_fails: FloatArray | None
    outcomes: Outcomes
    groups: NDArray[np.str_]
    tasks: Sequence[str | None]
    n_tokens: IntArray
    cheap_cost: FloatArray
    frontier_cost: FloatArray
    target: Target
    threshold: float | None
    fixed: FloatArray | None = None
    task_thresholds: Mapping[str, float] = field(default_factory=dict)
    catch_rate: float | None = None
    labels: Mapping[str, Sequence[str | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.outcomes)
        column("difficulty_score", self.difficulty_score, n=n)
        probabilities("p_cheap_fails", self.p_cheap_fails, n=n)
        if self.p_frontier_fails is not None:
            probabilities("p_frontier_fails", self.p_frontier_fails, n=n)
        sizes = {
            name: len(getattr(self, name))
            for name in ("groups", "tasks", "n_tokens", "cheap_cost", "frontier_cost")
        }
        if self.fixed is not None:
            sizes["fixed"] = len(self.fixed)
        sizes |= {f"labels[{name!r}]": len(values) for name, values in self.labels.items()}
        for name, size in sizes.items():
            if size != n:
                raise InvalidValueError(
                    name, f"{size:,}", rule=f"have one entry for each of the {n:,} requests"
                )
        if self.target not in get_args(Target):
            raise InvalidValueError("target", self.target, rule="be 'benefit' or 'failure'")
        thresholds = {"threshold": self.threshold} | {
            f"task_thresholds[{name!r}]": cut for name, cut in self.task_thresholds.items()
        }
        for name, cut in thresholds.items():
            if cut is not None and not 0.0 <= cut <= 1.0:
                raise InvalidValueError(name, cut, rule="be a probability in [0, 1]")

    def __len__(self) -> int:
        return len(self.outcomes)

    @property
    def needed(self) -> FloatArray:
        """1 where the request needed the frontier model, else 0; NaN where that is unknown.

        For the target ``benefit``: the frontier model did better. For ``failure``: the cheap model
        failed (quality below 1/2).
        """
        if self.target == "benefit":
            return _above(self.outcomes.gain, 0.0)
        return _above(self.outcomes.cheap_failure, 0.5)

    @property
    def settled(self) -> FloatArray:
        """Route that does not move with ``threshold``: that of ``fixed``, else by the task's own
        threshold; NaN elsewhere.
        """
        fixed = np.full(len(self), np.nan) if self.fixed is None else self.fixed
        if not self.task_thresholds:
            return fixed
        own = np.array(
            [self.task_thresholds.get(task or "", np.nan) for task in self.tasks], dtype=np.float64
        )
        by_own = np.where(np.isnan(own), np.nan, (self.difficulty_score > own).astype(np.float64))
        return np.where(np.isnan(fixed), by_own, fixed)

    @property
    def sent(self) -> FloatArray | None:
        """1 where the request goes to the frontier model, else 0; None without a threshold."""
        if self.threshold is None:
            return None
        settled = self.settled
        return np.where(
            np.isnan(settled), (self.difficulty_score > self.threshold).astype(np.float64), settled
        )

    @property
    def kept(self) -> Kept:
        """What to expect of each request if it is kept on the cheap model."""
        outcomes = self.outcomes
        return kept_with_fallback(
            outcomes.cheap_quality,
            outcomes.frontier_quality,
            self.cheap_cost,
            self.frontier_cost,
            catch_rate=self.catch_rate,
        )


def _above(values: FloatArray, bound: float) -> FloatArray:
    """Return 1 above the bound and 0 elsewhere, NaN staying NaN."""
    return np.where(np.isnan(values), np.nan, (values > bound).astype(np.float64))


ROUTED = (
    "routing_precision", "routing_recall", "cheap_route_precision", "cheap_route_recall", "risk",
    "frontier_share", "fallback_share",
    "quality", "gap_recovered", "cost", "saving",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Routed:
    """One figure: (numerator, denominator) of each request when it is kept and when it is sent, 0
    where it takes no part.

    Attributes
    ----------
    kept, sent : pair of ndarray of shape (n,)
        Numerator and denominator.
    counted : ndarray of shape (n,) or None
        Requests that stand behind the figure whatever their route; None: those whose denominator is
        not 0.
    """

    kept: tuple[FloatArray, FloatArray]
    sent: tuple[FloatArray, FloatArray]
    counted: FloatArray | None = None

    @classmethod
    def of(
        cls,
        *,
        known: FloatArray,
        kept: tuple[FloatArray | float, FloatArray | float],
        sent: tuple[FloatArray | float, FloatArray | float],
        counted: bool = False,
    ) -> Routed:
        """Build from columns that may be NaN; a request takes part where ``known`` is not NaN."""
        told = ~np.isnan(known)

        def filled(value: FloatArray | float) -> FloatArray:
            return np.where(told, value, 0.0)

        return cls(
            (filled(kept[0]), filled(kept[1])),
            (filled(sent[0]), filled(sent[1])),
            told.astype(np.float64) if counted else None,
        )

    def at(self, sent: FloatArray, rows: IntArray) -> Ratio:
        """Return the figure over ``rows`` for ``sent`` of shape (n_rows,): the probability of the
        frontier route, NaN to leave out.
        """
        part = np.nan_to_num(sent)
        numerator, denominator = (
            np.where(np.isnan(sent), 0.0, (1.0 - part) * kept[rows] + part * moved[rows])
            for kept, moved in zip(self.kept, self.sent, strict=True)
        )
        behind = denominator if self.counted is None else self.counted[rows] * ~np.isnan(sent)
        return Ratio(numerator, denominator, int(np.count_nonzero(behind)))


def routed_figures(judged: Judged, names: Sequence[str] = ROUTED) -> Mapping[str, Routed]:
    """Return the columns of each figure, by name; a figure of which nothing is known has zeros
    throughout.
    """
    outcomes, needed, kept = judged.outcomes, judged.needed, judged.kept
    gain, requests = outcomes.gain, outcomes.per_request
    both = kept.quality + outcomes.frontier_quality
    costs = kept.cost + judged.frontier_cost
    regained = gain * (0.0 if judged.catch_rate is None else kept.caught)
    made = {
        "routing_precision": Routed.of(known=needed, kept=(0.0, 0.0), sent=(needed, 1.0)),
        "routing_recall": Routed.of(known=needed, kept=(0.0, needed), sent=(needed, needed)),
        "cheap_route_precision": Routed.of(known=needed, kept=(1.0 - needed, 1.0), sent=(0.0, 0.0)),
        "cheap_route_recall": Routed.of(
            known=needed, kept=(1.0 - needed, 1.0 - needed), sent=(0.0, 1.0 - needed)
        ),
        "risk": Routed.of(known=kept.failure, kept=(kept.failure, 1.0), sent=(0.0, 0.0)),
        "frontier_share": Routed.of(
            known=requests, kept=(0.0, requests), sent=(requests, requests)
        ),
        "fallback_share": Routed.of(
            known=kept.caught, kept=(kept.caught * requests, requests), sent=(0.0, requests)
        ),
        "quality": Routed.of(
            known=both, kept=(kept.quality, 1.0), sent=(outcomes.frontier_quality, 1.0)
        ),
        "gap_recovered": Routed.of(
            known=regained, kept=(regained, gain), sent=(gain, gain), counted=True
        ),
        "cost": Routed.of(
            known=costs, kept=(1000.0 * kept.cost, 1.0), sent=(1000.0 * judged.frontier_cost, 1.0)
        ),
        "saving": Routed.of(
            known=costs,
            kept=(judged.frontier_cost - kept.cost, judged.frontier_cost),
            sent=(0.0, judged.frontier_cost),
        ),
    }
    return {name: made[name] for name in names}


AT_THRESHOLD = ROUTED

_BOTH = "no request has the known quality of both models"
_GAIN = f"{_BOTH}, or a preference"
_SENT = "no request whose outcome is known is sent to the frontier model"
_KEPT = "no request whose outcome is known is kept on the cheap model"
_PRICES = "no request has prices and token counts for both models"
_NOT_BETTER = "the frontier model is not better than the cheap one on these requests"

_NOTHING_KNOWN = {
    "apgr": _GAIN,
    "cpt_50": _GAIN,
    "cpt_80": _GAIN,
    "gap_recovered": _GAIN,
    "auroc": "of no request is it known whether it needed the frontier model",
    "brier": "no request has a known outcome of the cheap model",
    "ece": "no request has a known outcome of the cheap model",
    "brier_frontier": "no request has a known outcome of the frontier model",
    "ece_frontier": "no request has a known outcome of the frontier model",
    "routing_precision": _SENT,
    "routing_recall": "no request is known to have needed the frontier model",
    "cheap_route_precision": _KEPT,
    "cheap_route_recall": "no request is known not to have needed the frontier model",
    "risk": _KEPT,
    "fallback_share": (
        "the share of failing answers that validation catches is not known (catch_rate of the"
        " policy's fallback)"
    ),
    "gap": _GAIN,
    "quality": _BOTH,
    "cost": _PRICES,
    "saving": _PRICES,
    "frontier_share": "there is no request",
    "apgr_difference": "one of the two APGR is unknown",
    "quality_difference": "one of the two qualities is unknown",
}

_UNDEFINED = {
    "saving": "the frontier model costs nothing",
    "apgr": _NOT_BETTER,
    "cpt_50": _NOT_BETTER,
    "cpt_80": _NOT_BETTER,
    "gap_recovered": _NOT_BETTER,
    "auroc": "the requests with a known outcome all needed the frontier model, or none did",
}


def why_undefined(figure: str, *, n: int, routed: bool) -> str:
    """Return why ``figure`` has no value, given the number of requests behind it and whether there
    was a routing to judge.
    """
    if not routed and figure in (*AT_THRESHOLD, "quality_difference"):
        return "no threshold was given"
    return _UNDEFINED.get(figure, _NOTHING_KNOWN[figure]) if n else _NOTHING_KNOWN[figure]
