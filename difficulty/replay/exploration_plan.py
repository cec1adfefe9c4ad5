"""How much exploration, or how many shadow calls, for how long would make a difference known to a
wanted width, and what that costs.

The difference of two rules rests on the requests that they send apart. Of such a request the
logged route is seen nearly always and the other one with probability epsilon, so its part of the
variance is the spread of an outcome over epsilon. A shadow call shows the other route at no loss to
the user, for the price of a call.

References
----------
Dudík, Erhan, Langford and Li (2014), "Doubly robust policy evaluation and optimization" (the
variance of the estimate); Kish (1965), "Survey Sampling" (planning a sample from a variance).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from difficulty.form import Record
from difficulty.metrics.arrays import FloatArray, IntArray
from difficulty.replay.weighed import Weighed

EPSILONS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
SHADOWS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
_NORMAL = 1.959963984540054
_UNKNOWN_SPREAD = 0.25
"""The most that an outcome in [0, 1] can vary, where no model says less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedExploration(Record):
    """One way to learn the difference to the wanted width."""

    way: Literal["explore", "shadow"]
    share: float
    """Epsilon, or the share of the requests with a shadow call."""
    requests: int
    """Requests that the log must hold in all."""
    days: float | None
    """At the log's pace; ``None``: it says none."""
    quality_lost: float | None
    """Mean quality that a request loses meanwhile, by the model; below 0: it gains."""
    usd: float | None
    """What all of it costs more than the logged rule alone; ``None`` where costs are unknown."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PlanBasis:
    """What a plan is reckoned from, of n requests.

    Attributes
    ----------
    moved : ndarray of shape (n, 2)
        What the other rule takes of each side more than the logged one: -1, 0 or 1.
    spread : ndarray of shape (n, 2)
        Variance of an outcome about what is expected.
    told : pair of float
        Share of the outcomes of each side that come to be known where it is taken.
    ground : float
        Variance of a request's expected difference, alike requests of a group counted in.
    expected_gain : ndarray of shape (n,)
        Expected quality of the other route minus that of the logged rule's.
    extra_cost, other_cost : ndarray of shape (n,)
        USD that taking the other route costs more, and that a call of the other model costs; NaN
        where unknown.
    open_ : ndarray of shape (n,)
        Whether the route may be explored.
    per_day : float or None
        Requests a day.
    """

    moved: FloatArray
    spread: FloatArray
    told: tuple[float, float]
    ground: float
    expected_gain: FloatArray
    extra_cost: FloatArray
    other_cost: FloatArray
    open_: NDArray[np.bool_]
    per_day: float | None

    @classmethod
    def of(
        cls,
        quality: tuple[Weighed, Weighed],
        cost: tuple[Weighed, Weighed],
        codes: IntArray,
        *,
        told: tuple[float, float],
        open_: NDArray[np.bool_],
        per_day: float | None,
    ) -> PlanBasis:
        """Read it off what the replay was estimated from, after and before."""
        after, before = quality
        moved = after.taken - before.taken
        base = (moved * after.model).sum(axis=1)
        between = np.bincount(codes, weights=base - base.mean())
        own = (before.taken[:, 1] > 0.5).astype(np.intp)
        rows = np.arange(len(own))
        costs, known = cost[1].model, cost[1].known.any(axis=0)
        costs = np.where(known, costs, np.nan)
        return cls(
            moved=moved,
            spread=_spread(after),
            told=told,
            ground=float(between @ between) / len(base),
            expected_gain=after.model[rows, 1 - own] - after.model[rows, own],
            extra_cost=costs[rows, 1 - own] - costs[rows, own],
            other_cost=costs[rows, 1 - own],
            open_=open_,
            per_day=per_day,
        )

    def variance(self, own: float, other: float) -> float:
        """Return the variance of one request's part, where the logged rule's side is seen with
        probability ``own`` and the other one with ``other``; infinite where it never is.
        """
        # The side that the rule gains is the one that the log does not take.
        chance = np.where(self.moved > 0.0, other, own) * np.array(self.told)
        part = self.moved**2 * self.spread
        seen = np.divide(part, chance, out=np.where(part > 0.0, np.inf, 0.0), where=chance > 0.0)
        return self.ground + float(seen.sum(axis=1).mean())


def plan_exploration(basis: PlanBasis, width: float) -> tuple[PlannedExploration, ...]:
    """Return ways to learn the difference of quality to a 95 % interval of a width.

    Parameters
    ----------
    basis : PlanBasis
    width : float
        From end to end, above 0.
    """
    ways = [("explore", share) for share in EPSILONS] + [("shadow", share) for share in SHADOWS]
    return tuple(_plan(basis, width, way, share) for way, share in ways if _can(basis, way, share))


def _can(basis: PlanBasis, way: str, share: float) -> bool:
    own, other = (1.0 - share, share) if way == "explore" else (1.0, share)
    return bool(np.isfinite(basis.variance(own, other)))


def _plan(basis: PlanBasis, width: float, way: str, share: float) -> PlannedExploration:
    explores = way == "explore"
    variance = basis.variance(1.0 - share if explores else 1.0, share)
    requests = int(np.ceil(variance * (2.0 * _NORMAL / width) ** 2))
    gain = np.where(basis.open_, basis.expected_gain, 0.0)
    usd = np.where(basis.open_, basis.extra_cost, 0.0) if explores else basis.other_cost
    each = float(usd.mean()) * share
    return PlannedExploration(
        way="explore" if explores else "shadow",
        share=share,
        requests=requests,
        days=None if not basis.per_day else requests / basis.per_day,
        quality_lost=-share * float(gain.mean()) if explores else 0.0,
        usd=each * requests if np.isfinite(each) else None,
    )


def _spread(weighed: Weighed) -> FloatArray:
    """Return the variance of each outcome about the model, shape (n, 2)."""
    share = np.clip(weighed.model, 0.0, 1.0)
    spread = np.maximum(share * (1.0 - share), 0.01)
    for side in range(spread.shape[1]):
        known = weighed.known[:, side]
        if not known.any():
            # Nothing was seen there, so the model is no more than a claim.
            spread[:, side] = _UNKNOWN_SPREAD
            continue
        squares = float((weighed.residual[known, side] ** 2).mean())
        spread[:, side] *= squares / float(spread[known, side].mean())
    return spread
