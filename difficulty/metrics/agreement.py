"""How far several people, or several checks, agree on the same things."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from difficulty.metrics.arrays import FloatArray, IntArray, column

# Values nearer than this are equal: means of votes come with the rounding of floats.
_SAME = 1e-9


def krippendorff_alpha(units: ArrayLike, values: ArrayLike) -> float:
    """Return Krippendorff's alpha for numbers: agreement beyond what chance would give.

    Any number of raters and any gaps: what counts is which values belong to one unit. Values stand
    apart by their squared difference, so of two grades the nearer ones disagree less; for verdicts
    of 0 and 1 this is the nominal alpha.

    Parameters
    ----------
    units : array-like of shape (n_values,)
        What each value was said of. Units with one value take no part.
    values : array-like of shape (n_values,)
        Any unit of measure.

    Returns
    -------
    float
        1 where all agree, 0 where they agree no more than by chance, below 0 where they agree less;
        NaN where no unit has two values, or all values that take part are equal.

    References
    ----------
    Krippendorff (2011), "Computing Krippendorff's alpha-reliability".
    """
    paired, sizes, codes = _paired(units, values)
    n = len(paired)
    if not n:
        return float("nan")
    expected = 2.0 * float(np.sum((paired - paired.mean()) ** 2)) / (n - 1)
    if expected <= _SAME**2:
        return float("nan")
    # Squared differences of all pairs in a unit are its squared deviations, size times over.
    means = np.bincount(codes, weights=paired) / sizes
    within = 2.0 * sizes * np.bincount(codes, weights=(paired - means[codes]) ** 2)
    observed = float(np.sum(within / (sizes - 1))) / n
    return 1.0 - observed / expected


def pair_agreement(units: ArrayLike, values: ArrayLike) -> float:
    """Return the share of pairs of values of one unit that are equal, in [0, 1]; NaN where no unit
    has two values.
    """
    paired, sizes, codes = _paired(units, values)
    pairs = float(np.sum(sizes * (sizes - 1)))
    if not pairs:
        return float("nan")
    rounded = np.column_stack([codes, np.round(paired / _SAME)])
    _, equal = np.unique(rounded, axis=0, return_counts=True)
    return float(np.sum(equal * (equal - 1))) / pairs


def _paired(units: ArrayLike, values: ArrayLike) -> tuple[FloatArray, FloatArray, IntArray]:
    """Return the values of units with two or more, the size of each such unit, and the unit of each
    value, from 0.
    """
    names = np.asarray(units)
    numbers = column("values", values, n=len(names)) if len(names) else np.zeros(0)
    _, codes, counts = np.unique(names, return_inverse=True, return_counts=True)
    chosen = counts[codes] > 1
    several, renumbered = np.unique(codes[chosen], return_inverse=True)
    return numbers[chosen], counts[several].astype(np.float64), renumbered
