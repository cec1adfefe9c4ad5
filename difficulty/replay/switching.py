"""Estimators that give up large weights: a little bias for less noise.

*Switch* leaves requests whose weight is above a cut to the model. *Shrinkage* lowers each weight to
``c / (w^2 + c) * w``, the large ones most. The cut, or c, is the one of a grid with the least
estimated squared error: variance, and a bound of the bias.

References
----------
Wang, Agarwal and Dudík (2017), "Optimal and adaptive off-policy evaluation in contextual bandits"
(SWITCH, section 3.2 for the choice); Su, Dimakopoulou, Krishnamurthy and Dudík (2020), "Doubly
robust off-policy evaluation with shrinkage" (optimistic shrinkage, section 4.2).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from difficulty.metrics.arrays import FloatArray, Ratio
from difficulty.replay.doubly_robust import correct_model
from difficulty.replay.weighed import Weighed

_GRID = 12


def switch_to_model(weighed: Weighed, *, spread: float = 1.0) -> tuple[Ratio, float]:
    """Return the mean of SWITCH-DR, and its cut.

    Parameters
    ----------
    weighed : Weighed
    spread : float
        How far an outcome may be from what the model expects; 1 for qualities in [0, 1].
    """
    ratio = weighed.ratio

    def shorten(cut: float) -> FloatArray:
        return np.where(ratio <= cut, weighed.weight, 0.0)

    def worst_bias(cut: float) -> float:
        left = np.where(ratio > cut, weighed.taken, 0.0).sum()
        return spread * float(left) / weighed.total

    return _choose(weighed, shorten, worst_bias, _grid(ratio))


def shrink_weights(weighed: Weighed) -> tuple[Ratio, float]:
    """Return the mean with optimistically shrunk weights, and c."""
    ratio = weighed.ratio

    def shorten(c: float) -> FloatArray:
        factor = np.ones_like(ratio) if np.isinf(c) else c / (ratio**2 + c)
        return factor * weighed.weight

    def worst_bias(c: float) -> float:
        # Estimated from the outcomes that were seen, with what that estimate may be off itself.
        lost = weighed.over_sides((weighed.weight - shorten(c)) * weighed.residual)
        total = weighed.total
        return float(abs(lost.sum()) + np.sqrt(((lost - lost.mean()) ** 2).sum())) / total

    return _choose(weighed, shorten, worst_bias, _grid(ratio) ** 2)


def _choose(
    weighed: Weighed,
    shorten: Callable[[float], FloatArray],
    worst_bias: Callable[[float], float],
    grid: FloatArray,
) -> tuple[Ratio, float]:
    """Return the estimate whose variance plus squared bias is least; of equals the largest cut."""
    best, best_error, best_cut = correct_model(weighed), np.inf, np.inf
    for cut in (np.inf, *grid[::-1].tolist()):
        estimate = correct_model(weighed, shorten(cut))
        error = _variance(estimate) + worst_bias(cut) ** 2
        if error < best_error:
            best, best_error, best_cut = estimate, error, cut
    return best, best_cut


def _variance(estimate: Ratio) -> float:
    """Return the variance of a mean as if requests were independent: it only orders the cuts."""
    total = estimate.denominator.sum()
    value = estimate.numerator.sum() / total
    return float(((estimate.numerator - value * estimate.denominator) ** 2).sum() / total**2)


def _grid(ratio: FloatArray) -> FloatArray:
    """Return cuts spread evenly in scale over the weights that there are."""
    positive = ratio[ratio > 0.0]
    if not len(positive):
        return np.ones(1)
    low, high = np.quantile(positive, 0.05), positive.max()
    return np.geomspace(low, high, _GRID)
