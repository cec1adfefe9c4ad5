"""How far decisions hold when the same requests come perturbed: shares, the order of the score, and
what it does to APGR, each with its interval over groups.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from difficulty.metrics.arrays import FloatArray
from difficulty.metrics.bootstrap import Resampling, group_codes
from difficulty.metrics.intervals import Support, interval_of, support_of
from difficulty.metrics.ranking import Ranking, area, auroc_of, gap_curve
from difficulty.records import Estimate

_Statistic = Callable[[FloatArray], FloatArray]
FIGURES = (
    "unchanged",
    "told_apart",
    "apgr_change",
    "frontier_share_change",
    "unfamiliar",
    "unchanged_or_unfamiliar",
)
"""What :func:`measure_stability` returns, by flat name."""


@dataclass(frozen=True, slots=True, eq=False)
class Stability:
    """What a scorer says of n requests.

    Attributes
    ----------
    score : ndarray of shape (n,)
    sent : ndarray of bool of shape (n,)
        Whether the score alone sends the request to the frontier model.
    unfamiliar : ndarray of bool of shape (n,) or None
        Whether it is less familiar than the bound; None: there is no bound.
    """

    score: FloatArray
    sent: NDArray[np.bool_]
    unfamiliar: NDArray[np.bool_] | None = None

    def at(self, rows: NDArray[np.intp]) -> Stability:
        """Return the same of some requests."""
        flags = None if self.unfamiliar is None else self.unfamiliar[rows]
        return replace(self, score=self.score[rows], sent=self.sent[rows], unfamiliar=flags)


def measure_stability(
    plain: Stability,
    perturbed: Stability,
    *,
    gain: FloatArray,
    groups: NDArray[np.str_],
    weight: FloatArray | None = None,
    resampling: Resampling,
) -> dict[str, Estimate]:
    """Return how far the decisions of n requests hold under a perturbation.

    Parameters
    ----------
    plain, perturbed : Stability
        Of the same requests as they are and perturbed.
    gain : ndarray of shape (n,)
        Frontier minus cheap quality, NaN where unknown.
    groups : ndarray of shape (n,)
        Requests of one group are drawn together.
    weight : ndarray of shape (n,), optional
    resampling : Resampling

    Returns
    -------
    dict of str to Estimate
        ``unchanged``: share of the requests that the score sends where it sent them.
        ``told_apart``: of a request that was sent and one that was kept, the chance that the
        perturbed score still puts the first above the second; a score that has collapsed has 0.5,
        whatever is unchanged. ``apgr_change``: APGR of the perturbed score minus that of the plain
        one. ``frontier_share_change``: the share sent, minus what it was. ``unfamiliar``: share
        below the bound. ``unchanged_or_unfamiliar``: share whose decision holds or is left to the
        frontier model because the request looks new.
    """
    weight = np.ones(len(gain)) if weight is None else weight
    drawing = _Drawing(weight, group_codes(groups), resampling)
    same = (plain.sent == perturbed.sent).astype(np.float64)
    moved = perturbed.sent.astype(np.float64) - plain.sent
    flags = perturbed.unfamiliar
    return {
        "unchanged": drawing.share(same),
        "told_apart": _told_apart(plain, perturbed, drawing),
        "apgr_change": _apgr_change(plain, perturbed, gain, drawing),
        "frontier_share_change": drawing.mean(moved),
        "unfamiliar": _NO_BOUND if flags is None else drawing.share(flags.astype(np.float64)),
        "unchanged_or_unfamiliar": _NO_BOUND
        if flags is None
        else drawing.share(np.maximum(same, flags)),
    }


_NO_BOUND = Estimate(value=None, note="no bound on familiarity")


@dataclass(frozen=True, slots=True, eq=False)
class _Drawing:
    weight: FloatArray
    codes: NDArray[np.intp]
    resampling: Resampling

    def share(self, values: FloatArray) -> Estimate:
        """Return the share of what is 0 or 1, its interval exact at both ends."""
        value = float(np.average(values, weights=self.weight))
        support = self._support(values, value)
        if support is not None:
            support = replace(support, unit=1.0, whole=True)
        return self._estimate(value, np.zeros(0), support)

    def mean(self, values: FloatArray) -> Estimate:
        """Return the mean of a change of shares."""

        def statistic(weight: FloatArray) -> FloatArray:
            return np.asarray((weight @ values) / weight.sum(axis=-1))

        value = float(statistic(self.weight[None, :])[0])
        support = self._support(values, value)
        bounded = replace(support, bounds=(-1.0, 1.0)) if support else None
        return self._estimate(value, self.draw(statistic), bounded)

    def draw(self, statistic: _Statistic) -> FloatArray:
        """Return a statistic of weights in each draw."""
        draws = self.resampling.affordable(len(self.codes)).of(self.codes)
        return draws.values(statistic, self.weight)

    def ranked(
        self, statistic: _Statistic, n: int, *, bounds: tuple[float, float] | None = None
    ) -> Estimate:
        """Return a statistic of weights with the interval of its draws."""
        value = float(statistic(self.weight[None, :])[0])
        if np.isnan(value):
            return Estimate(value=None, n=n, note="all requests have the same outcome or route")
        # How many groups stand behind it widens the interval, as for every figure.
        support = self._support(np.zeros(len(self.codes)), 0.0)
        plain = replace(support.plain(), bounds=bounds) if support else None
        return replace(self._estimate(value, self.draw(statistic), plain), n=n)

    def _support(self, values: FloatArray, value: float) -> Support | None:
        return support_of(self.weight, self.weight * (values - value), self.codes)

    def _estimate(self, value: float, draws: FloatArray, support: Support | None) -> Estimate:
        low, high = interval_of(value, draws, support)
        ends = (None, None) if np.isnan(low) else (low, high)
        return Estimate(value=value, low=ends[0], high=ends[1], n=len(self.codes))


def _told_apart(plain: Stability, perturbed: Stability, drawing: _Drawing) -> Estimate:
    ranking, sent = Ranking.of(perturbed.score), plain.sent.astype(np.float64)
    label = sent[ranking.order]

    return drawing.ranked(
        lambda weight: auroc_of(ranking, label, weight), len(sent), bounds=(0.0, 1.0)
    )


def _apgr_change(
    plain: Stability, perturbed: Stability, gain: FloatArray, drawing: _Drawing
) -> Estimate:
    rows = np.flatnonzero(~np.isnan(gain))
    if not len(rows):
        return Estimate(value=None, note="no request has outcomes of both models")
    rankings = [Ranking.of(each.score[rows]).at(rows) for each in (perturbed, plain)]
    known = np.nan_to_num(gain)

    def statistic(weight: FloatArray) -> FloatArray:
        after, before = (
            area(*gap_curve(ranking, known[ranking.order], weight)) for ranking in rankings
        )
        return np.asarray(after - before)

    return drawing.ranked(statistic, len(rows))
