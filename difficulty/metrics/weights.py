"""How much a weighted sample is worth."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


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
    values = values / largest  # squares of large weights do not overflow
    return float(values.sum() ** 2 / np.sum(values**2))
