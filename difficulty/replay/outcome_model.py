"""What is to be expected of a request on a side, learned from the log itself without the request's
own group.

A bundle's probabilities were calibrated on other traffic. They are calibrated anew on the log: a
logistic curve through ``logit(p)``, drawn towards ``p`` itself by a few requests' worth of
evidence, so that a log with few outcomes leaves them as they are. Groups are dealt into folds, and
each fold is told by a curve of the others.

References
----------
Cox (1958), "Two further applications of a model for binary regression" (recalibration by slope and
intercept); Papke and Wooldridge (1996), "Econometric methods for fractional response variables"
(outcomes in [0, 1] that are not all or nothing); Chernozhukov et al. (2018), "Double/debiased
machine learning" (cross-fitting).
"""

from __future__ import annotations

from collections.abc import Callable
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from difficulty.metrics.arrays import FloatArray, IntArray

FOLDS = 5
_SLOPE_SD, _SHIFT_SD = 0.5, 1.0
"""How far slope and shift may lie from 1 and 0 before anything of the log is seen."""
_STEPS = 50
_LEAST_P = 1e-6
_LARGEST_WEIGHT = 50.0
"""A few outcomes of large weight would bend the curve to themselves; bias costs a model nothing."""


def deal_folds(groups: NDArray[np.object_], *, folds: int = FOLDS) -> IntArray:
    """Return the fold of each request, by a hash of its group: rows that come later move none."""
    numbers = {
        name: crc32(f"replay:{name}".encode("utf-8", "surrogatepass")) % folds
        for name in set(groups.tolist())
    }
    return np.array([numbers[name] for name in groups.tolist()], dtype=np.intp)


def expect_quality(
    p_fails: FloatArray, quality: FloatArray, weight: FloatArray, folds: IntArray
) -> FloatArray:
    """Return the expected quality of each request, shape (n,), cross-fitted.

    Parameters
    ----------
    p_fails : ndarray of shape (n,)
        The bundle's probability that the side's answer fails; NaN where it gives none.
    quality : ndarray of shape (n,)
        In [0, 1]; NaN where not known.
    weight : ndarray of shape (n,)
        How many requests an outcome stands for: 1 / its chance of being known.
    folds : ndarray of shape (n,)
        All requests of a group have the same.
    """
    p = np.where(np.isnan(p_fails), _mean_failure(p_fails), p_fails)
    logit = _logit(1.0 - np.clip(p, _LEAST_P, 1.0 - _LEAST_P))

    def fit(rows: NDArray[np.bool_]) -> Callable[[FloatArray], FloatArray]:
        shift, slope = _fit_curve(logit[rows], quality[rows], weight[rows])
        return lambda at: _expit(shift + slope * at)

    return _crossed(fit, logit, quality, folds)


def expect_amount(
    size: FloatArray, amount: FloatArray, weight: FloatArray, folds: IntArray
) -> FloatArray:
    """Return the expected amount (a cost) of each request, shape (n,), cross-fitted: a line along
    ``size``, such as tokens, not below 0; parameters as in :func:`expect_quality`.
    """
    known = ~np.isnan(size)
    size = np.where(known, size, size[known].mean() if known.any() else 0.0)

    def fit(rows: NDArray[np.bool_]) -> Callable[[FloatArray], FloatArray]:
        shift, slope = _fit_line(size[rows], amount[rows], weight[rows])
        return lambda at: np.maximum(shift + slope * at, 0.0)

    return _crossed(fit, size, amount, folds)


def _crossed(
    fit: Callable[[NDArray[np.bool_]], Callable[[FloatArray], FloatArray]],
    at: FloatArray,
    outcome: FloatArray,
    folds: IntArray,
) -> FloatArray:
    known, expected = ~np.isnan(outcome), np.zeros(len(at))
    for fold in np.unique(folds):
        inside = folds == fold
        expected[inside] = fit(known & ~inside)(at[inside])
    return expected


def _fit_curve(logit: FloatArray, outcome: FloatArray, weight: FloatArray) -> tuple[float, float]:
    """Return shift and slope of the curve with the greatest penalised likelihood."""
    weight = np.minimum(weight, _LARGEST_WEIGHT)
    weight = weight * (len(weight) / weight.sum()) if len(weight) else weight
    at = np.array([0.0, 1.0])
    prior, precision = at.copy(), np.array([_SHIFT_SD**-2, _SLOPE_SD**-2])
    for _ in range(_STEPS):
        expected = _expit(at[0] + at[1] * logit)
        miss, spread = weight * (outcome - expected), weight * expected * (1.0 - expected)
        gradient = np.array([miss.sum(), miss @ logit]) - precision * (at - prior)
        cross = float(spread @ logit)
        information = np.array(
            [[spread.sum() + precision[0], cross], [cross, spread @ logit**2 + precision[1]]]
        )
        step = np.linalg.solve(information, gradient)
        at = at + np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < 1e-8:
            break
    return float(at[0]), float(at[1])


def _fit_line(size: FloatArray, amount: FloatArray, weight: FloatArray) -> tuple[float, float]:
    """Return shift and slope by weighted least squares; a flat line where sizes are all the same,
    0 where nothing is known.
    """
    if not len(size):
        return 0.0, 0.0
    weight = np.minimum(weight, _LARGEST_WEIGHT)
    mean_size, mean_amount = (float(np.average(part, weights=weight)) for part in (size, amount))
    spread = float((weight * (size - mean_size) ** 2).sum())
    if spread <= 1e-12:
        return mean_amount, 0.0
    slope = float((weight * (size - mean_size) * (amount - mean_amount)).sum()) / spread
    return mean_amount - slope * mean_size, slope


def _mean_failure(p_fails: FloatArray) -> float:
    known = p_fails[~np.isnan(p_fails)]
    return float(known.mean()) if len(known) else 0.5


def _logit(p: FloatArray) -> FloatArray:
    return np.asarray(np.log(p) - np.log1p(-p))


def _expit(value: FloatArray) -> FloatArray:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(value, -700.0, 700.0))))
