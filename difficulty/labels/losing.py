"""The region where the score itself has learned that the frontier model loses.

A better model that loses on a whole kind of request is rare; broken labels of it are not. Where no
task names the kind, the text still may: a model trained on the broken labels predicts them. So the
samples for which a model that did not see them expects a loss are put to the test: do they really
lose, beyond chance? Nothing but the prediction decides who belongs to the region, so a sample's own
label plays no part.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from difficulty.labels.suspicion import SuspiciousGroup
from difficulty.traffic.outcomes import Outcomes

FloatArray = NDArray[np.float64]

EVEN = 0.5
"""``difficulty_score`` of an expected gain of 0."""
LEAST_LOSING = 20
NAME = "samples on which the frontier model is expected to lose"
_TWICE = 2.0
"""Out-of-fold predictions count each pair of samples twice, once in either direction: the variance
of their sum is up to double.
"""


def losing_region(
    score: FloatArray, outcomes: Outcomes, groups: NDArray[np.str_], *, level: float = 0.01
) -> SuspiciousGroup | None:
    """Return the samples with an expected loss as a suspicious group, or ``None`` where they do not
    really lose.

    Parameters
    ----------
    score : ndarray of shape (n,)
        ``difficulty_score`` for target ``benefit``, predicted without the sample itself.
    outcomes : Outcomes
    groups : ndarray of shape (n,)
        Samples of one group are not independent.
    level : float, default 0.01
        Chance of a finding when the frontier model draws level there.
    """
    rows = np.flatnonzero(
        (score < EVEN) & ~np.isnan(outcomes.frontier_quality - outcomes.cheap_quality)
    )
    if len(rows) < LEAST_LOSING:
        return None
    picked = outcomes[rows]
    failed, plausible = (
        float(np.average(rate, weights=picked.weight))
        for rate in (picked.frontier_failure, picked.cheap_failure)
    )
    _, codes = np.unique(groups[rows], return_inverse=True)
    sums = np.bincount(codes, weights=picked.weight * picked.gain)
    deviation, df = float(np.sqrt(_TWICE * np.sum(sums**2))), len(sums) - 1
    p_value = float(student.cdf(sums.sum() / deviation, df)) if deviation and df else 1.0
    if p_value > level:
        return None
    reach = float(student.isf(0.025, df)) * deviation / float(picked.weight.sum())
    return SuspiciousGroup(
        scope="region",
        name=NAME,
        model="frontier",
        n=len(rows),
        rate=failed,
        expected=plausible,
        low=max(0.0, plausible - reach),
        high=min(1.0, plausible + reach),
        p_value=p_value,
    )
