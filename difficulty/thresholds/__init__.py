"""From scores and outcomes to an operating point: a threshold, with what to expect of it.

``OBJECTIVES`` names the ways to choose one. An objective is a file here and a line in this dict; another package adds one through
the entry point group ``difficulty.objectives``. It is a function of :class:`~difficulty.thresholds.curve.PolicyCurve` and a number.
"""

from typing import Final

__all__ = ["OBJECTIVES"]

OBJECTIVES: Final = {
    "quality": "difficulty.thresholds.quality:threshold_for_quality",
    "share": "difficulty.thresholds.share:threshold_for_share",
}
