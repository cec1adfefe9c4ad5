"""What the metrics ask of their input, checked in one place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from difficulty.errors import InvalidValueError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]


def column(name: str, values: ArrayLike, *, n: int | None = None) -> FloatArray:
    """Return ``values`` as a float array of shape (n,), refusing another shape, NaN and infinities:
    unknown values are for the caller to leave out.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) == 0 or (n is not None and len(array) != n):
        raise InvalidValueError(
            name,
            array.shape,
            rule=f"have the shape ({'n' if n is None else n},), with n of 1 or more",
        )
    if not np.isfinite(array).all():
        bad = int(np.sum(~np.isfinite(array)))
        raise InvalidValueError(
            name,
            f"{bad:,} of {len(array):,}",
            rule="hold no NaN and no infinity",
            hint="Leave unknown requests out.",
        )
    return array


def probabilities(name: str, values: ArrayLike, *, n: int | None = None) -> FloatArray:
    """Return ``values`` as a float array of shape (n,) with every value in [0, 1]."""
    array = column(name, values, n=n)
    low, high = float(array.min()), float(array.max())
    if low < 0.0 or high > 1.0:
        raise InvalidValueError(name, low if low < 0.0 else high, rule="be in [0, 1]")
    return array


def weights(weight: ArrayLike | None, *, n: int) -> FloatArray:
    """Return the weights of n requests, all 1 when none are given; they are 0 or more and not all
    0.
    """
    if weight is None:
        return np.ones(n)
    array = column("weight", weight, n=n)
    if array.min() < 0.0 or array.sum() <= 0.0:
        raise InvalidValueError(
            "weight", float(array.min()), rule="be 0 or more, with a sum above 0"
        )
    return array


def spread_rows(n: int, most: int) -> IntArray:
    """Return ``most`` of n rows, ascending, or all where there are no more: one of each of as many
    stretches of one length. Which one is left to chance, always the same: every so many of rows
    that alternate, such as two calls a request, or of which every so many has an outcome, would be
    of one kind.
    """
    if n <= most:
        return np.arange(n)
    edges = np.arange(most + 1, dtype=np.int64) * n // most
    places = np.random.default_rng(0).random(most) * np.diff(edges)
    rows: IntArray = edges[:-1] + places.astype(np.intp)
    return rows


def effective_samples(weight: ArrayLike) -> float:
    """Return the number of equally weighted samples whose mean is as sure as that of these.

    Parameters
    ----------
    weight : array-like of shape (n,)
        0 or more, in any unit.

    Returns
    -------
    float
        ``sum(weight)^2 / sum(weight^2)``: n for equal weights, 1 where one sample has all the
        weight, 0 for none.

    References
    ----------
    Kish (1965), "Survey Sampling", section 11.7.
    """
    values = np.asarray(weight, dtype=np.float64)
    largest = values.max(initial=0.0)
    if largest <= 0.0:
        return 0.0
    values = values / largest  # so that squares of large weights do not overflow
    return float(values.sum() ** 2 / np.sum(values**2))


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
    usable = ~(np.isnan(numerator) | np.isnan(denominator))
    behind = usable & (denominator != 0.0 if counted is None else ~np.isnan(counted))
    numerator, denominator = (np.where(usable, part, 0.0) for part in (numerator, denominator))
    return Ratio(numerator, denominator, int(behind.sum()))


def divide(numerator: FloatArray, denominator: FloatArray, *, total: FloatArray) -> FloatArray:
    """Divide element by element; NaN where the denominator is not above 0, beyond the rounding of
    sums of the size of ``total``.
    """
    denominator = np.asarray(denominator, dtype=np.float64)
    quotient = np.full(denominator.shape, np.nan)
    # Relative to their sum, since weights may be of any size.
    np.divide(numerator, denominator, out=quotient, where=denominator > 1e-12 * total)
    return quotient
