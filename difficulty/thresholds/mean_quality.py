"""Objective ``mean_quality``: as little frontier as a mean quality needs."""

from __future__ import annotations

import numpy as np

from difficulty.errors import InvalidValueError, NotAttainableError, UndefinedMetricError
from difficulty.thresholds.curve import PolicyCurve


def threshold_for_mean_quality(curve: PolicyCurve, target: float) -> float:
    """Return the highest threshold whose routing has a mean quality of at least ``target``, in the
    label source's unit.

    Raises
    ------
    InvalidValueError
        If ``target`` is not in [0, 1].
    UndefinedMetricError
        If of no request both qualities are known.
    NotAttainableError
        If no threshold reaches it.
    """
    if not 0.0 <= target <= 1.0:
        raise InvalidValueError(
            "mean_quality",
            target,
            rule="be in [0, 1]",
            hint="It is the mean quality of all answers.",
        )
    if np.isnan(curve.quality).any():
        raise UndefinedMetricError(
            "objective mean_quality needs samples with both qualities known: got none. Use the"
            " objective share, or add frontier_quality to the traffic."
        )
    enough = np.flatnonzero(curve.quality >= target - 1e-12)
    if not len(enough):
        most = float(
            np.floor(1000.0 * curve.quality.max()) / 1000.0
        )  # rounded down, so that it can be reached
        raise NotAttainableError(
            f"a mean quality of {target:g} cannot be reached: the most along the curve is"
            f" {curve.quality.max():.4f}. Nearest: mean_quality={most:.3f}."
        )
    return float(curve.thresholds[enough[0]])
