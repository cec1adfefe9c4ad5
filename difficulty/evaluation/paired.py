"""Two routers on the same requests: figures of both and their difference, each draw of the bootstrap seen by both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from difficulty.errors import InvalidValueError
from difficulty.evaluation.figures import Draws, Part, gap_figures, ratios_at, values_of
from difficulty.evaluation.judged import Judged
from difficulty.evaluation.routed import routed_figures
from difficulty.metrics.arrays import FloatArray
from difficulty.metrics.bootstrap import affordable_draws, percentile_interval, weight_blocks
from difficulty.records import Estimate

__all__ = ["PAIRED", "Contender", "Paired", "compare_pair"]

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
        at_threshold = ratios_at(routed_figures(self.judged, _AT_THRESHOLD), self.sent, rows)
        return [*at_threshold, *gap_figures(self.judged.difficulty_score, self.judged.outcomes.gain, rows)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """One figure of both routers."""

    challenger: Estimate
    champion: Estimate
    difference: Estimate
    """Challenger minus champion; its interval is that of the difference, not the difference of intervals."""

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {name: getattr(self, name).as_dict() for name in ("challenger", "champion", "difference")}


def compare_pair(challenger: Contender, champion: Contender, *, n_draws: int = 1000, rng: np.random.Generator) -> dict[str, Paired]:
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
        raise InvalidValueError("champion", f"{len(champion.judged):,} requests", rule=f"be judged on the challenger's {n:,} requests")
    both = {"challenger": challenger.parts(), "champion": champion.parts()}
    weight = challenger.judged.outcomes.weight
    counts = {name: count for part in both["challenger"] for name, count in part.n.items()}
    points = {who: values_of(parts, weight[None, :]) for who, parts in both.items()}
    draws: dict[str, list[Draws]] = {who: [] for who in both}
    for block in weight_blocks(challenger.judged.groups, n_draws=affordable_draws(n, n_draws), rng=rng):
        for who, parts in both.items():
            draws[who].append(values_of(parts, block * weight))
    return {name: _paired(name, points, draws, counts.get(name, 0)) for name in PAIRED}


def _paired(name: str, points: Mapping[str, Draws], draws: Mapping[str, list[Draws]], n: int) -> Paired:
    if any(name not in found for found in points.values()):
        unknown = Estimate(value=None, n=0, note="not known of this traffic")
        return Paired(challenger=unknown, champion=unknown, difference=unknown)
    drawn = {who: np.concatenate([block[name] for block in blocks]) for who, blocks in draws.items()}
    first, second = points["challenger"][name], points["champion"][name]
    return Paired(
        challenger=_estimate(first, drawn["challenger"], n),
        champion=_estimate(second, drawn["champion"], n),
        difference=_estimate(first - second, drawn["challenger"] - drawn["champion"], n),
    )


def _estimate(point: FloatArray, draws: FloatArray, n: int) -> Estimate:
    value = float(point[0])
    if np.isnan(value):
        return Estimate(value=None, n=n, note="not known of this traffic")
    low, high = percentile_interval(draws)
    return Estimate(value=value) if np.isnan(low) else Estimate(value=value, low=low, high=high, n=n)
