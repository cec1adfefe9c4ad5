"""Objective ``utility``: where one more request on the frontier model is no longer worth its
price.
"""

from __future__ import annotations

import math

import numpy as np

from difficulty.errors import InvalidValueError, UndefinedMetricError
from difficulty.thresholds.cost import need_costs
from difficulty.thresholds.curve import PolicyCurve


def threshold_for_utility(curve: PolicyCurve, value: float) -> float:
    """Return the threshold with the largest ``value * quality - cost`` of a request; of several,
    the highest.

    Parameters
    ----------
    curve : PolicyCurve
    value : float
        What an answer of quality 1 is worth above one of quality 0, in USD; 0 or more.

    Raises
    ------
    InvalidValueError
        If ``value`` is no amount of money.
    UndefinedMetricError
        If quality or cost of no request is known.
    """
    if not 0.0 <= value < math.inf:
        raise InvalidValueError(
            "utility",
            value,
            rule="be 0 or more USD",
            hint="It is what a right answer is worth above a wrong one.",
        )
    need_costs(curve, "utility")
    if np.isnan(curve.quality).any():
        raise UndefinedMetricError(
            "objective utility needs samples with both qualities known: got none. Add"
            " frontier_quality to the traffic."
        )
    utility = value * curve.quality - curve.cost / 1000.0
    return float(curve.thresholds[np.argmax(utility >= utility.max() - 1e-15)])
