"""Objective ``quality``: as little frontier as a share of the quality gap needs."""

from __future__ import annotations

import numpy as np

from difficulty.errors import InvalidValueError, NotAttainableError, UndefinedMetricError
from difficulty.thresholds.curve import PolicyCurve


def threshold_for_quality(curve: PolicyCurve, target: float) -> float:
    """Return the highest threshold whose routing recovers at least ``target`` of the gap between
    cheap and frontier quality.

    Raises
    ------
    InvalidValueError
        If ``target`` is not in (0, 1].
    UndefinedMetricError
        If no gain is known, or the frontier model is not better than the cheap one.
    NotAttainableError
        If no threshold reaches it.
    """
    if not 0.0 < target <= 1.0:
        raise InvalidValueError(
            "quality",
            target,
            rule="be in (0, 1]",
            hint="It is the share of the quality gap to recover.",
        )
    if np.isnan(curve.gap_recovered).any():
        raise UndefinedMetricError(
            "objective quality needs samples with both outcomes known and a frontier model that is"
            " better: got no such gap. Use the objective share, or add frontier_quality to the"
            " traffic."
        )
    enough = np.flatnonzero(curve.gap_recovered >= target - 1e-12)
    if not len(enough):
        most = float(
            np.floor(1000.0 * curve.gap_recovered.max()) / 1000.0
        )  # rounded down, so that it can be reached
        nearest = (
            f"Nearest: quality={most:.3f}. Ask for that, or take tasks out of easy_tasks."
            if most > 0
            else "Take tasks out of easy_tasks."
        )
        raise NotAttainableError(
            f"recovering {target:g} of the quality gap cannot be reached: the most is {most:.3f},"
            f" as tasks that always go to the cheap model lose the rest. {nearest}"
        )
    return float(curve.thresholds[enough[0]])
