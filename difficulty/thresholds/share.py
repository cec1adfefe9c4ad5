"""Objective ``share``: as much frontier as a budget allows."""

from __future__ import annotations

import numpy as np

from difficulty.errors import InvalidValueError, NotAttainableError
from difficulty.thresholds.curve import PolicyCurve


def threshold_for_share(curve: PolicyCurve, share: float) -> float:
    """Return the lowest threshold that sends at most ``share`` of the requests to the frontier
    model.

    Requests tied at the cut all stay cheap, so the share reached can be below ``share``.

    Raises
    ------
    InvalidValueError
        If ``share`` is not in [0, 1].
    NotAttainableError
        If the requests that the task rules send to the frontier model are more than that.
    """
    if not 0.0 <= share <= 1.0:
        raise InvalidValueError(
            "share", share, rule="be in [0, 1]", hint="Shares are fractions, not percentages."
        )
    allowed = np.flatnonzero(curve.frontier_share <= share + 1e-12)
    if not len(allowed):
        least = (
            np.ceil(1000.0 * curve.frontier_share[0]) / 1000.0
        )  # rounded up, so that it can be reached
        raise NotAttainableError(
            f"a frontier share of at most {share:g} cannot be reached: tasks that always go to the"
            f" frontier model are {least:.3f} of the requests. Nearest: share={least:.3f}. Ask for"
            " that, or take tasks out of hard_tasks."
        )
    return float(curve.thresholds[allowed[-1]])
