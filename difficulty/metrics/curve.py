"""The cost-quality curve of a score, and the two figures read from it: APGR and CPT.

The curve starts with every request on the cheap model and moves them to the frontier model one by
one, highest score first. It is not monotone: where the frontier model answers worse than the cheap
one, moving a request lowers quality.

References
----------
Ong et al. (2024), "RouteLLM: Learning to Route LLMs with Preference Data" (PGR, APGR, CPT).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from difficulty.errors import InvalidValueError, UndefinedMetricError
from difficulty.metrics.arrays import FloatArray, IntArray, column, weights

_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Requests in descending order of score, and where each group of tied scores ends.

    Attributes
    ----------
    order : ndarray of shape (n,)
        Index of the request at each place.
    ends : ndarray of shape (n_steps,)
        Place of the last request of each step, ascending.
    """

    order: IntArray
    ends: IntArray

    @classmethod
    def of(cls, score: FloatArray) -> Ranking:
        """Rank the requests of a finite score of shape (n,)."""
        order = np.argsort(-score, kind="stable")
        ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
        return cls(order, ends)

    def at(self, rows: IntArray) -> Ranking:
        """Return the same ranking, with places that point into the larger array from which ``rows``
        were taken.
        """
        return Ranking(rows[self.order], self.ends)

    def sums(self, ranked: FloatArray) -> FloatArray:
        """Return the sums up to each step: values of shape (..., n) in ranked order to shape (...,
        n_steps + 1), first 0.
        """
        n, n_steps = ranked.shape[-1], len(self.ends)
        total = np.zeros((*ranked.shape[:-1], n_steps + 1))
        if n_steps == n:
            np.cumsum(ranked, axis=-1, out=total[..., 1:])
        elif 2 * n_steps > n:
            total[..., 1:] = np.take(np.cumsum(ranked, axis=-1), self.ends, axis=-1)
        else:
            starts = np.append(0, self.ends[:-1] + 1)
            np.cumsum(np.add.reduceat(ranked, starts, axis=-1), axis=-1, out=total[..., 1:])
        return total


def gap_curve(
    ranking: Ranking, ranked_gain: FloatArray, weight: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return frontier share and recovered share of the quality gap at each step.

    Parameters
    ----------
    ranking : Ranking
        Which request is sent to the frontier model first.
    ranked_gain : ndarray of shape (n,)
        Frontier minus cheap quality, in ranked order.
    weight : ndarray of shape (..., n_all)
        Weights of all requests, in the order into which ``ranking.order`` points.

    Returns
    -------
    share, recovered : ndarray of shape (..., n_steps + 1)
        Both from 0 to 1; ``recovered`` is NaN where the frontier model is not better than the cheap
        one.
    """
    ranked_weight = np.take(weight, ranking.order, axis=-1)
    sent, gained = ranking.sums(ranked_weight), ranking.sums(ranked_weight * ranked_gain)
    least = _ROUNDING * sent[..., -1]
    return _from_0_to_1(sent, above=least), _from_0_to_1(gained, above=least)


def area(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return the area under ``y`` along ``x`` by trapezoids, over the last axis; one trapezoid a
    step.
    """
    width = x[..., 1:] - x[..., :-1]
    height = y[..., 1:] + y[..., :-1]
    return np.asarray(0.5 * np.einsum("...i,...i->...", width, height))


def first_crossing(x: FloatArray, y: FloatArray, level: float) -> FloatArray:
    """Return the smallest ``x`` at which the broken line ``y`` reaches ``level``, over the last
    axis; NaN where it never does.

    The line may go down again after it: only the first segment that reaches the level is
    interpolated.
    """
    reached = y >= level - _ROUNDING
    after = reached.argmax(axis=-1)[..., None]
    before = np.maximum(after - 1, 0)
    x_0, x_1 = (np.take_along_axis(x, place, axis=-1)[..., 0] for place in (before, after))
    y_0, y_1 = (np.take_along_axis(y, place, axis=-1)[..., 0] for place in (before, after))
    rise = y_1 - y_0
    part = np.divide(level - y_0, rise, out=np.ones_like(rise), where=rise > 0)
    crossing = x_0 + np.clip(part, 0.0, 1.0) * (x_1 - x_0)
    return np.where(reached.any(axis=-1), crossing, np.nan)


def ranked_area(step: FloatArray, part: FloatArray, upto: FloatArray) -> FloatArray:
    """Return the area under the share of ``part`` along the share of ``step``, both from 0 to 1;
    what :func:`area` gives, in fewer passes.

    Parameters
    ----------
    step, part : ndarray of shape (n_draws, n_steps)
        What each step adds to the two sums: weight, and weight times gain.
    upto : ndarray of shape (n_draws, n_steps)
        ``part`` cumulated.

    Returns
    -------
    ndarray of shape (n_draws,)
        NaN where the sum of ``part`` is not above the rounding of the weights.
    """
    height = np.einsum("...i,...i->...", step, upto) - 0.5 * np.einsum("...i,...i->...", step, part)
    total, last = step.sum(axis=-1), upto[..., -1]
    return np.asarray(
        np.divide(
            height, total * last, out=np.full(total.shape, np.nan), where=last > _ROUNDING * total
        )
    )


def ranked_crossing(sent: FloatArray, upto: FloatArray, level: float) -> FloatArray:
    """Return the smallest share of ``sent`` at which the share of ``upto`` reaches ``level``; what
    :func:`first_crossing` gives.

    Parameters
    ----------
    sent, upto : ndarray of shape (n_draws, n_steps)
        Sums up to each step, of the weights and of what they are worth.
    level : float
        In (0, 1].

    Returns
    -------
    ndarray of shape (n_draws,)
        NaN where the level is never reached, or the last of ``upto`` is not above the rounding of
        the weights.
    """
    total, last = sent[..., -1], upto[..., -1]
    target = level * last
    reached = upto >= (target - _ROUNDING * np.abs(last))[:, None]
    place = reached.argmax(axis=-1)
    rows = np.arange(len(sent))
    found = reached[rows, place] & (last > _ROUNDING * total)
    x_0, y_0 = (np.where(place > 0, sums[rows, place - 1], 0.0) for sums in (sent, upto))
    x_1, y_1 = sent[rows, place], upto[rows, place]
    rise = y_1 - y_0
    part = np.divide(target - y_0, rise, out=np.ones_like(rise), where=rise > 0.0)
    crossing = x_0 + np.clip(part, 0.0, 1.0) * (x_1 - x_0)
    return np.asarray(np.divide(crossing, total, out=np.full(len(sent), np.nan), where=found))


def auroc_of(ranking: Ranking, ranked_label: FloatArray, weight: FloatArray) -> FloatArray:
    """Return the AUROC for weights of shape (..., n_all), ties counting half; NaN where one of the
    labels 0 and 1 has no weight.
    """
    ranked_weight = np.take(weight, ranking.order, axis=-1)
    sums, hits = ranking.sums(ranked_weight), ranking.sums(ranked_weight * ranked_label)
    least = _ROUNDING * sums[..., -1]
    false_alarms = np.subtract(sums, hits, out=sums)
    return area(_from_0_to_1(false_alarms, above=least), _from_0_to_1(hits, above=least))


def _from_0_to_1(sums: FloatArray, *, above: FloatArray) -> FloatArray:
    """Divide by the last sum, in place; NaN where that is not ``above`` the rounding of the
    weights.
    """
    last = sums[..., -1].copy()
    sums /= np.where(last > above, last, np.nan)[..., None]
    return sums


def cost_quality_curve(
    score: ArrayLike,
    cheap_quality: ArrayLike,
    frontier_quality: ArrayLike,
    *,
    weight: ArrayLike | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Return frontier share and mean quality as the threshold falls from above every score to below
    every score.

    Parameters
    ----------
    score : array-like of shape (n,)
        Higher = sent to the frontier model earlier. Requests with equal scores are one step of the
        curve: the straight line over it is the expected quality when ties are broken at random.
    cheap_quality, frontier_quality : array-like of shape (n,)
        Quality of both models on each request, in the label source's unit.
    weight : array-like of shape (n,), optional
        Sample weights, 0 or more.

    Returns
    -------
    frontier_share, quality : ndarray of shape (n_steps + 1,)
        From share 0 (all cheap) to share 1 (all frontier), one point for each distinct score.

    Raises
    ------
    InvalidValueError
        If lengths differ or a value is NaN; leave requests with an unknown outcome out.
    """
    score = column("score", score)
    cheap = column("cheap_quality", cheap_quality, n=len(score))
    frontier = column("frontier_quality", frontier_quality, n=len(score))
    weight = weights(weight, n=len(score))
    ranking = Ranking.of(score)
    sent = ranking.sums(weight[ranking.order])
    gained = ranking.sums((weight * (frontier - cheap))[ranking.order])
    return sent / sent[-1], (weight @ cheap + gained) / sent[-1]


def gap_recovered(quality: float, *, cheap_quality: float, frontier_quality: float) -> float:
    """Return PGR: the share of the gap between the cheap and the frontier model's mean quality that
    ``quality`` recovers.

    Parameters
    ----------
    quality : float
        Mean quality of the routed answers.
    cheap_quality, frontier_quality : float
        Mean quality of all cheap and of all frontier.

    Returns
    -------
    float
        0 at the cheap model's quality and 1 at the frontier model's; below 0 or above 1 outside.

    Raises
    ------
    UndefinedMetricError
        If the frontier model is not better than the cheap one.
    """
    return (quality - cheap_quality) / _gap("PGR", cheap_quality, frontier_quality)


def average_gap_recovered(
    frontier_share: ArrayLike, quality: ArrayLike, *, cheap_quality: float, frontier_quality: float
) -> float:
    """Return APGR: the share of the quality gap recovered, averaged over all frontier shares.

    Parameters
    ----------
    frontier_share, quality : array-like of shape (n_points,)
        The cost-quality curve: fraction sent to the frontier in [0, 1], ascending; mean quality in
        the label source's unit.
    cheap_quality, frontier_quality : float
        Mean quality of all cheap and of all frontier.

    Returns
    -------
    float
        0.5 for routing at random; above 1 is possible where the frontier model answers some
        requests worse.

    Raises
    ------
    UndefinedMetricError
        If the frontier model is not better than the cheap one.

    References
    ----------
    Ong et al. (2024), "RouteLLM: Learning to Route LLMs with Preference Data".
    """
    gap = _gap("APGR", cheap_quality, frontier_quality)
    share, quality = _curve(frontier_share, quality)
    return float(area(share, (quality - cheap_quality) / gap))


def calls_for_gap(
    frontier_share: ArrayLike,
    quality: ArrayLike,
    *,
    target: float,
    cheap_quality: float,
    frontier_quality: float,
) -> float:
    """Return CPT: the smallest frontier share that recovers ``target`` of the quality gap.

    Parameters
    ----------
    frontier_share, quality : array-like of shape (n_points,)
        The cost-quality curve: fraction sent to the frontier in [0, 1], ascending; mean quality in
        the label source's unit.
    target : float
        Share of the gap to recover, in (0, 1]; 0.8 gives CPT(80%).
    cheap_quality, frontier_quality : float
        Mean quality of all cheap and of all frontier.

    Returns
    -------
    float
        Frontier share in [0, 1]; ``nan`` when the curve never reaches ``target``. Where the curve
        falls and rises again it is the first crossing that counts.

    Raises
    ------
    UndefinedMetricError
        If the frontier model is not better than the cheap one.
    InvalidValueError
        If ``target`` is outside (0, 1].

    References
    ----------
    Ong et al. (2024), "RouteLLM: Learning to Route LLMs with Preference Data".
    """
    if not 0.0 < target <= 1.0:
        raise InvalidValueError("target", target, rule="be a share of the gap in (0, 1]")
    gap = _gap("CPT", cheap_quality, frontier_quality)
    share, quality = _curve(frontier_share, quality)
    return float(first_crossing(share, (quality - cheap_quality) / gap, target))


def quality_at_share(frontier_share: ArrayLike, quality: ArrayLike, *, share: float) -> float:
    """Return the curve's quality where ``share`` of the requests, in [0, 1], goes to the frontier
    model.
    """
    shares, quality = _curve(frontier_share, quality)
    return float(np.interp(share, shares, quality))


def _curve(frontier_share: ArrayLike, quality: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return the curve as two arrays, refusing shares that do not ascend."""
    share = column("frontier_share", frontier_share)
    if (np.diff(share) < 0).any():
        raise InvalidValueError("frontier_share", "a share below the one before it", rule="ascend")
    return share, column("quality", quality, n=len(share))


def _gap(metric: str, cheap_quality: float, frontier_quality: float) -> float:
    """Return the quality gap, refusing one that is not above 0."""
    gap = frontier_quality - cheap_quality
    if not gap > 0:
        raise UndefinedMetricError(
            f"{metric} needs frontier quality above cheap quality: got a gap of {gap:g}."
        )
    return gap
