"""Whether probabilities mean what they say: Brier score, expected calibration error, reliability
bins.

Outcomes may be soft: 1 - quality in [0, 1] stands for a probability of failure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from difficulty.errors import InvalidValueError
from difficulty.metrics.arrays import FloatArray, IntArray, Ratio, probabilities, ratio, weights
from difficulty.metrics.curve import Ranking


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """The bins of a reliability plot, in ascending order of probability; empty bins are left out.

    Attributes
    ----------
    probability, outcome : ndarray of shape (n_bins,)
        Weighted mean predicted probability and mean outcome of each bin.
    share : ndarray of shape (n_bins,)
        Share of the weight in each bin; sums to 1.
    n : ndarray of shape (n_bins,)
        Number of requests in each bin.
    """

    probability: FloatArray
    outcome: FloatArray
    share: FloatArray
    n: IntArray


def brier(probability: ArrayLike, outcome: ArrayLike, *, weight: ArrayLike | None = None) -> float:
    """Return the mean squared difference between probability and outcome.

    Parameters
    ----------
    probability, outcome : array-like of shape (n,)
        Predicted probability and what happened, both in [0, 1]; the outcome may be soft.
    weight : array-like of shape (n,), optional
        Sample weights, 0 or more.

    Returns
    -------
    float
        In [0, 1], lower is better.

    References
    ----------
    Brier (1950), "Verification of forecasts expressed in terms of probability".
    """
    probability, outcome, weight = _checked(probability, outcome, weight)
    return float(brier_ratio(probability, outcome).value(weight))


def expected_calibration_error(
    probability: ArrayLike, outcome: ArrayLike, *, n_bins: int = 15, weight: ArrayLike | None = None
) -> float:
    """Return ECE: the mean distance between predicted probability and frequency, over bins of equal
    mass.

    Bins hold equal shares of the requests rather than equal widths of probability: a router's
    probabilities crowd in a narrow band, where equal widths would leave a few bins to carry
    everything. Equal probabilities always fall in one bin. ECE of a perfectly calibrated score is
    not 0 but about sqrt(2 p (1-p) n_bins / (pi n)): 0.012 at n = 14,042 and p = 0.3 (n_bins = 15).

    Parameters
    ----------
    probability, outcome : array-like of shape (n,)
        Predicted probability and what happened, both in [0, 1]; the outcome may be soft.
    n_bins : int
        Number of bins, 1 or more.
    weight : array-like of shape (n,), optional
        Sample weights, 0 or more.

    Returns
    -------
    float
        In [0, 1], lower is better.

    References
    ----------
    Naeini, Cooper and Hauskrecht (2015), "Obtaining well calibrated probabilities using Bayesian
    binning"; Nixon et al. (2019), "Measuring calibration in deep learning" (bins of equal mass).
    """
    probability, outcome, weight = _checked(probability, outcome, weight)
    bins = equal_mass_bins(probability, n_bins=n_bins, weight=weight)
    return float(np.abs(bin_gaps(bins, probability - outcome, weight, n_bins=n_bins)).sum())


def reliability(
    probability: ArrayLike, outcome: ArrayLike, *, n_bins: int = 15, weight: ArrayLike | None = None
) -> Reliability:
    """Return the bins over which :func:`expected_calibration_error` averages, for a reliability
    plot.

    Parameters and errors are those of :func:`expected_calibration_error`.
    """
    probability, outcome, weight = _checked(probability, outcome, weight)
    bins = equal_mass_bins(probability, n_bins=n_bins, weight=weight)
    mass = np.bincount(bins, weights=weight, minlength=n_bins)
    used = mass > 0
    return Reliability(
        probability=(
            np.bincount(bins, weights=weight * probability, minlength=n_bins)[used] / mass[used]
        ),
        outcome=np.bincount(bins, weights=weight * outcome, minlength=n_bins)[used] / mass[used],
        share=mass[used] / mass.sum(),
        n=np.bincount(bins, weights=weight > 0, minlength=n_bins)[used].astype(np.intp),
    )


def brier_ratio(probability: FloatArray, outcome: FloatArray) -> Ratio:
    """Return the Brier score as a ratio over the requests with a known outcome (not NaN)."""
    return ratio((probability - outcome) ** 2)


def equal_mass_bins(probability: FloatArray, *, n_bins: int, weight: FloatArray) -> IntArray:
    """Return the bin of each request, 0 for the lowest probabilities; a group of ties goes where
    its middle falls.
    """
    if n_bins < 1:
        raise InvalidValueError("n_bins", n_bins, rule="be 1 or more")
    ranking = Ranking.of(-probability)
    ends = ranking.sums(weight[ranking.order])
    middle = 0.5 * (ends[1:] + ends[:-1]) / ends[-1]
    bin_of_step = np.minimum((middle * n_bins).astype(np.intp), n_bins - 1)
    bins = np.empty(len(probability), dtype=np.intp)
    bins[ranking.order] = np.repeat(bin_of_step, np.diff(np.append(-1, ranking.ends)))
    return bins


def bin_gaps(bins: IntArray, gap: FloatArray, weight: FloatArray, *, n_bins: int) -> FloatArray:
    """Return each bin's part of the signed calibration error: weights of shape (..., n) to shape
    (..., n_bins).

    ``gap`` of shape (n,) is probability minus outcome. ECE is the sum of the absolute values.
    """
    flat = weight.reshape(-1, len(bins))
    sums = [np.bincount(bins, weights=row * gap, minlength=n_bins) for row in flat]
    parts = np.array(sums) / flat.sum(axis=-1, keepdims=True)
    return np.asarray(parts.reshape(*weight.shape[:-1], n_bins), dtype=np.float64)


def _checked(
    probability: ArrayLike, outcome: ArrayLike, weight: ArrayLike | None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the three columns, checked."""
    probability = probabilities("probability", probability)
    outcome = probabilities("outcome", outcome, n=len(probability))
    return probability, outcome, weights(weight, n=len(probability))
