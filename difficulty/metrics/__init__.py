"""Pure maths on arrays: cost-quality curve, AUROC, calibration, routing precision, bootstrap
intervals.

Arrays in, numbers out; nothing here prints, plots or reads a file. Every metric takes sample
weights.
"""

from difficulty.metrics.bootstrap import Resampling, debiased_interval, percentile_interval
from difficulty.metrics.curve import (
    average_gap_recovered,
    calls_for_gap,
    cost_quality_curve,
    gap_recovered,
    quality_at_share,
)
from difficulty.metrics.probability import (
    Reliability,
    brier,
    expected_calibration_error,
    reliability,
)
from difficulty.metrics.ranking import auroc, rank_within
from difficulty.metrics.routing import Kept, kept_with_fallback, sent_at_share

__all__ = [
    "Kept",
    "Reliability",
    "Resampling",
    "auroc",
    "average_gap_recovered",
    "brier",
    "calls_for_gap",
    "cost_quality_curve",
    "debiased_interval",
    "expected_calibration_error",
    "gap_recovered",
    "kept_with_fallback",
    "percentile_interval",
    "quality_at_share",
    "rank_within",
    "reliability",
    "sent_at_share",
]
