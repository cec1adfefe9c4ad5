"""Scores and outcomes to figures with intervals, beside baselines and by slice."""

from difficulty.evaluation.baselines import TaskMeans
from difficulty.evaluation.findings import Finding, Provenance
from difficulty.evaluation.measure import FIGURES, evaluate
from difficulty.evaluation.result import Evaluation, metrics_text, read_metrics, write_metrics
from difficulty.evaluation.scored import Judged, Target

__all__ = [
    "FIGURES",
    "Evaluation",
    "Finding",
    "Judged",
    "Provenance",
    "Target",
    "TaskMeans",
    "evaluate",
    "metrics_text",
    "read_metrics",
    "write_metrics",
]
