"""Whether probabilities mean what they say: Brier score and expected calibration error.

Outcomes may be soft: 1 - quality in [0, 1] stands for a probability of failure.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from difficulty.errors import InvalidValueError
from difficulty.metrics.arrays import FloatArray, IntArray, probabilities, weights
from difficulty.metrics.ranking import Ranking


def brier(probability: ArrayLike, outcome: ArrayLike, *, weight: ArrayLike | None = None) -> float:
    """Return the mean squared difference between probability and outcome; 0 is perfect.

    Parameters
    ----------
    probability, outcome : array-like of shape (n,)
        Predicted probability and what happened, both in [0, 1].
    weight : array-like of shape (n,), optional
        Sample weights, 0 or more.

    References
    ----------
    Brier (1950), "Verification of forecasts expressed in terms of probability".
    """
    probability, outcome, weight = _checked(probability, outcome, weight)
    return float(np.average((probability - outcome) ** 2, weights=weight))


def expected_calibration_error(
    probability: ArrayLike, outcome: ArrayLike, *, n_bins: int = 15, weight: ArrayLike | None = None
) -> float:
    """Return ECE: the mean distance between predicted probability and frequency, over bins of equal
    mass; 0 is perfect.

    Bins hold equal shares of the requests rather than equal widths of probability: a router's
    probabilities crowd in a narrow band, where equal widths would leave a few bins to carry
    everything. Equal probabilities always fall in one bin. ECE of a perfectly calibrated score is
    not 0 but about sqrt(2 p (1-p) n_bins / (pi n)): 0.012 at n = 14,042 and p = 0.3 (n_bins = 15).

    Parameters
    ----------
    probability, outcome, weight
        As for :func:`brier`.
    n_bins : int
        1 or more.

    References
    ----------
    Naeini, Cooper and Hauskrecht (2015), "Obtaining well calibrated probabilities using Bayesian
    binning"; Nixon et al. (2019), "Measuring calibration in deep learning" (bins of equal mass).
    """
    probability, outcome, weight = _checked(probability, outcome, weight)
    bins = equal_mass_bins(probability, n_bins=n_bins, weight=weight)
    gaps = np.bincount(bins, weights=weight * (probability - outcome), minlength=n_bins)
    return float(np.abs(gaps).sum() / weight.sum())


def equal_mass_bins(probability: FloatArray, *, n_bins: int, weight: FloatArray) -> IntArray:
    """Return the bin of each request, 0 for the lowest probabilities; a group of ties goes where
    its middle falls.
    """
    if n_bins < 1:
        raise InvalidValueError("n_bins", n_bins, rule="be 1 or more")
    # A ranking is descending; bins count from the lowest.
    ranking = Ranking.of(-probability)
    ends = ranking.sums(weight[ranking.order])
    middle = 0.5 * (ends[1:] + ends[:-1]) / ends[-1]
    bin_of_step = np.minimum((middle * n_bins).astype(np.intp), n_bins - 1)
    return ranking.spread(bin_of_step)


def _checked(
    probability: ArrayLike, outcome: ArrayLike, weight: ArrayLike | None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    probability = probabilities("probability", probability)
    outcome = probabilities("outcome", outcome, n=len(probability))
    return probability, outcome, weights(weight, n=len(probability))
