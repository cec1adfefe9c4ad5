"""Weighted ratios: what nearly every figure at a threshold is.

Routing precision, risk, quality, cost and the Brier score are each a weighted sum over another.
Written as a pair of columns, such a figure is recomputed for a thousand weight vectors by one
matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from difficulty.metrics.arrays import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Ratio:
    """sum(weight * numerator) / sum(weight * denominator).

    Attributes
    ----------
    numerator, denominator : ndarray of shape (n,)
        0 where the request takes no part.
    n : int
        Number of requests behind the figure.
    """

    numerator: FloatArray
    denominator: FloatArray
    n: int

    def value(self, weight: FloatArray) -> FloatArray:
        """Return the figure for weights of shape (..., n); NaN where the denominator is not above
        0.
        """
        return divide(weight @ self.numerator, weight @ self.denominator, total=weight.sum(axis=-1))


def ratio(
    numerator: FloatArray,
    denominator: FloatArray | float = 1.0,
    *,
    counted: FloatArray | None = None,
) -> Ratio:
    """Return the ratio over the requests where both parts are known (not NaN).

    ``n`` counts the requests with a denominator other than 0, or, where that is no count of
    requests, those with a known ``counted``.
    """
    denominator = np.broadcast_to(np.asarray(denominator, dtype=np.float64), numerator.shape)
    known = ~(np.isnan(numerator) | np.isnan(denominator))
    behind = known & (denominator != 0.0) if counted is None else known & ~np.isnan(counted)
    return Ratio(
        np.where(known, numerator, 0.0), np.where(known, denominator, 0.0), int(behind.sum())
    )


def divide(numerator: FloatArray, denominator: FloatArray, *, total: FloatArray) -> FloatArray:
    """Divide element by element; NaN where the denominator is not above 0, beyond the rounding of
    sums of the size of ``total``.
    """
    numerator, denominator = (
        np.asarray(numerator, dtype=np.float64),
        np.asarray(denominator, dtype=np.float64),
    )
    result = np.full(denominator.shape, np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 1e-12 * total)
    return result
