"""Pure maths on arrays: cost-quality curve, AUROC, calibration, routing precision, bootstrap
intervals.

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
from difficulty.metrics.routing import (
    Kept,
    cheap_route_precision,
    kept_with_fallback,
    risk,
    routing_precision,
    routing_recall,
    sent_at_share,
    sent_to_frontier,
)

__all__ = [
    "Kept",
    "Reliability",
    "affordable_draws",
    "auroc",
    "average_gap_recovered",
    "brier",
    "calls_for_gap",
    "cheap_route_precision",
    "cost_quality_curve",
    "debiased_interval",
    "expected_calibration_error",
    "gap_recovered",
    "group_weights",
    "kept_with_fallback",
    "percentile_interval",
    "quality_at_share",
    "rank_within",
    "reliability",
    "resample",
    "risk",
    "routing_precision",
    "routing_recall",
    "sent_at_share",
    "sent_to_frontier",
]
