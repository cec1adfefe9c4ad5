"""Pure maths on arrays: rankings, calibration, agreement, bootstrap intervals.

Arrays in, numbers out; nothing here prints, plots or reads a file. Every metric takes sample
weights.
"""

from difficulty.metrics.bootstrap import (
    affordable_draws,
    debiased_interval,
    group_weights,
    percentile_interval,
    resample,
)
from difficulty.metrics.probability import brier, expected_calibration_error
from difficulty.metrics.ranking import auroc, rank_within
from difficulty.metrics.routing import Kept, kept_with_fallback, sent_at_share

__all__ = [
    "Kept",
    "affordable_draws",
    "auroc",
    "brier",
    "debiased_interval",
    "expected_calibration_error",
    "group_weights",
    "kept_with_fallback",
    "percentile_interval",
    "rank_within",
    "resample",
    "sent_at_share",
]
