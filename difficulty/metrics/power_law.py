"""Extrapolation of a learning curve by an inverse power law, ``value = limit - factor * size **
-exponent``.

Three numbers from a handful of noisy points: the exponent is hardly ever pinned down, so it is not
estimated but averaged over, each exponent weighing as well as its curve fits. The spread over draws
of the points then holds both what is not known of the points and what is not known of the exponent.

References
----------
Cortes et al. (1993), "Learning curves: asymptotic values and rate of convergence"; Viering and Loog
(2022), "The shape of learning curves: a review"; Hestness et al. (2017), "Deep learning scaling is
predictable, empirically" (exponents from 0.07 to 0.35; simple estimators have 0.5).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from difficulty.errors import InvalidValueError
from difficulty.metrics.arrays import FloatArray

EXPONENTS = np.linspace(0.1, 0.6, 6)
LEAST_POINTS = 3
"""Two points have no curvature: every exponent would fit."""


def expected_gains(
    sizes: ArrayLike, values: ArrayLike, *, noise: ArrayLike, size: float, rng: np.random.Generator
) -> FloatArray:
    """Return how much higher the curve is at a size than at the largest of its points, for each
    draw of the points.

    Parameters
    ----------
    sizes : array-like of shape (n_points,)
        Training sizes, all different and above 0.
    values : array-like of shape (n_draws, n_points)
        The metric at each size in each draw.
    noise : array-like of shape (n_points,)
        Standard deviation with which each point of a draw lies off the curve, above 0: points count
        by it, and it says how much better an exponent has to fit to be preferred.
    size : float
        Where the curve is wanted, above 0.
    rng : numpy.random.Generator
        Picks an exponent for each draw.

    Returns
    -------
    ndarray of shape (n_draws,)
        In the metric's unit; may be negative.

    Raises
    ------
    InvalidValueError
        If there are fewer than 3 sizes, two are equal, or a size or the noise is not above 0.
    """
    x, y, spread = (np.asarray(one, dtype=np.float64) for one in (sizes, values, noise))
    if len(np.unique(x)) != len(x) or len(x) < LEAST_POINTS or min(x.min(), size) <= 0:
        raise InvalidValueError(
            "sizes",
            [*x.tolist(), size],
            rule=f"be at least {LEAST_POINTS} different numbers above 0",
        )
    if not (spread > 0).all():
        raise InvalidValueError("noise", spread.tolist(), rule="be above 0")
    fits = [_gain_and_misfit(x, y, spread**-2, size, exponent) for exponent in EXPONENTS]
    gains, misfits = (np.stack(column, axis=1) for column in zip(*fits, strict=True))
    likelihood = np.exp(-0.5 * (misfits - misfits.min(axis=1, keepdims=True)))
    cumulative = np.cumsum(likelihood, axis=1) / likelihood.sum(axis=1, keepdims=True)
    picked = (rng.random((len(y), 1)) > cumulative[:, :-1]).sum(axis=1)
    return np.asarray(gains[np.arange(len(y)), picked], dtype=np.float64)


def _gain_and_misfit(
    sizes: FloatArray, values: FloatArray, weight: FloatArray, size: float, exponent: float
) -> tuple[FloatArray, FloatArray]:
    """Return the gain and the weighted squared residuals of the line in ``size ** -exponent``, each
    of shape (n_draws,).
    """
    x = sizes**-exponent
    centred = x - np.average(x, weights=weight)
    offset = values - np.average(values, weights=weight, axis=1)[:, None]
    slope = offset @ (weight * centred) / ((weight * centred) @ centred)
    misfit = ((offset - slope[:, None] * centred) ** 2) @ weight
    return slope * (size**-exponent - sizes.max() ** -exponent), misfit
