"""Two routers on the same requests: figures of both and their difference, each draw of the
bootstrap seen by both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from difficulty.errors import InvalidValueError
from difficulty.evaluation.figures import Draws, Part, Ratios, ranked_figures, routed_at, values_of
from difficulty.evaluation.judged import Judged
from difficulty.evaluation.routed import routed_figures
from difficulty.metrics.arrays import FloatArray
from difficulty.metrics.bootstrap import GroupDraws, affordable_draws, percentile_interval
from difficulty.records import Estimate

PAIRED = ("quality", "frontier_share", "cost", "risk", "gap_recovered", "apgr")
_AT_THRESHOLD = ("quality", "frontier_share", "cost", "risk", "gap_recovered")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contender:
    """What a router did with n requests.

    Attributes
    ----------
    judged : Judged
        Its scores, beside the outcomes and costs.
    sent : ndarray of shape (n,)
        1 where it chose the frontier model, else 0.
    """

    judged: Judged
    sent: FloatArray

    def parts(self) -> list[Part]:
        """Return what its figures are computed from."""
        rows = np.arange(len(self.judged))
        at_threshold = Ratios.of(
            rows, routed_at(routed_figures(self.judged, _AT_THRESHOLD), self.sent, rows)
        )
        return [
            at_threshold,
            *ranked_figures(self.judged.difficulty_score, rows, gain=self.judged.outcomes.gain),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """One figure of both routers."""

    challenger: Estimate
    champion: Estimate
    difference: Estimate
    """Challenger minus champion; its interval is that of the difference, not the difference of
    intervals.
    """

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            name: getattr(self, name).as_dict() for name in ("challenger", "champion", "difference")
        }


def compare_pair(
    challenger: Contender, champion: Contender, *, n_draws: int = 1000, rng: np.random.Generator
) -> dict[str, Paired]:
    """Return every figure of ``PAIRED`` for two routers and their difference, with 95 % intervals.

    Parameters
    ----------
    challenger, champion : Contender
        On the same requests, in the same order, with the same outcomes.
    n_draws : int, default 1000
        Bootstrap draws of whole groups; lowered for very many requests.
    rng : numpy.random.Generator
        Source of chance.

    Returns
    -------
    dict of str to Paired
        A figure that is unknown on this traffic has estimates without a value.

    References
    ----------
    Efron and Tibshirani (1993), "An Introduction to the Bootstrap", chapter 8 (paired data).
    """
    n = len(challenger.judged)
    if len(champion.judged) != n:
        raise InvalidValueError(
            "champion",
            f"{len(champion.judged):,} requests",
            rule=f"be judged on the challenger's {n:,} requests",
        )
    draws = GroupDraws.of(challenger.judged.groups, n_draws=affordable_draws(n, n_draws), rng=rng)
    weight, parts = challenger.judged.outcomes.weight, challenger.parts()
    counts = {name: count for part in parts for name, count in part.n.items()}
    ours, theirs = values_of(parts, draws, weight), values_of(champion.parts(), draws, weight)
    return {name: _paired(name, ours, theirs, counts.get(name, 0)) for name in PAIRED}


def _paired(name: str, ours: tuple[Draws, Draws], theirs: tuple[Draws, Draws], n: int) -> Paired:
    """Return the estimates of one figure from its points and draws of both."""
    if any(name not in values for values in (*ours, *theirs)):
        unknown = Estimate(value=None, n=0, note="not known of this traffic")
        return Paired(challenger=unknown, champion=unknown, difference=unknown)
    (point, drawn), (other_point, other_drawn) = (
        [values[name] for values in pair] for pair in (ours, theirs)
    )
    return Paired(
        challenger=_estimate(point, drawn, n),
        champion=_estimate(other_point, other_drawn, n),
        difference=_estimate(point - other_point, drawn - other_drawn, n),
    )


def _estimate(point: FloatArray, draws: FloatArray, n: int) -> Estimate:
    value = float(point[0])
    if np.isnan(value):
        return Estimate(value=None, n=n, note="not known of this traffic")
    low, high = percentile_interval(draws)
    return (
        Estimate(value=value) if np.isnan(low) else Estimate(value=value, low=low, high=high, n=n)
    )
