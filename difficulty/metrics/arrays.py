"""What the metrics ask of their input, checked in one place."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from difficulty.errors import InvalidValueError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]


def column(name: str, values: ArrayLike, *, n: int | None = None) -> FloatArray:
    """Return ``values`` as a float array of shape (n,), refusing another shape, NaN and infinities.

    Raises
    ------
    InvalidValueError
        If the values are not one finite number a request; unknown ones are for the caller to leave
        out.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) == 0 or (n is not None and len(array) != n):
        raise InvalidValueError(
            name,
            array.shape,
            rule=f"have the shape ({'n' if n is None else n},), with n of 1 or more",
        )
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
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
