"""The cost-quality curve of a score, and the two figures read from it: APGR and CPT.

The curve starts with every request on the cheap model and moves them to the frontier model one by
one, highest score first. It is not monotone: where the frontier model answers worse than the cheap
one, moving a request lowers quality.

References
----------
Ong et al. (2024), "RouteLLM: Learning to Route LLMs with Preference Data" (PGR, APGR, CPT).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from difficulty.errors import InvalidValueError, UndefinedMetricError
from difficulty.metrics.arrays import FloatArray, column, weights
from difficulty.metrics.steps import Ranking, area, first_crossing


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
