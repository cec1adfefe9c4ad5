"""Pure maths on arrays: cost-quality curve, AUROC, calibration, bootstrap intervals.

Arrays in, numbers out; nothing here prints, plots or reads a file. Every metric takes sample
weights.
"""

from difficulty.metrics.bootstrap import Resampling, debiased_interval, percentile_interval
from difficulty.metrics.probability import brier, expected_calibration_error
from difficulty.metrics.ranking import auroc, rank_within
from difficulty.metrics.routing import Kept, kept_with_fallback, sent_at_share

__all__ = [
    "Kept",
    "Resampling",
    "auroc",
    "brier",
    "debiased_interval",
    "expected_calibration_error",
    "kept_with_fallback",
    "percentile_interval",
    "rank_within",
    "sent_at_share",
]
