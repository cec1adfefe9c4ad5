"""Scores and outcomes to figures with intervals, beside baselines and by slice."""

from difficulty.evaluation.baselines import TaskMeans
from difficulty.evaluation.decision.finding import Finding
from difficulty.evaluation.figures import FIGURES, Columns
from difficulty.evaluation.findings import Provenance
from difficulty.evaluation.measure import REPORTED, evaluate
from difficulty.evaluation.result import Evaluation, metrics_text, read_metrics, write_metrics
from difficulty.evaluation.scored import ScoredTraffic, Target

__all__ = [
    "FIGURES",
    "Columns",
    "Evaluation",
    "Finding",
    "Provenance",
    "REPORTED",
    "ScoredTraffic",
    "Target",
    "TaskMeans",
    "evaluate",
    "metrics_text",
    "read_metrics",
    "write_metrics",
]
