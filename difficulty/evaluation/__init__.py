"""Scores and outcomes to figures with intervals, beside baselines and by slice."""

from difficulty.evaluation.baselines import TaskMeans
from difficulty.evaluation.evaluate import FIGURES, evaluate
from difficulty.evaluation.findings import Finding, Provenance
from difficulty.evaluation.numbers import as_text
from difficulty.evaluation.result import Evaluation, metrics_text, read_metrics, write_metrics
from difficulty.evaluation.scored import Judged, Target
from difficulty.evaluation.table import evaluation_table

__all__ = [
    "FIGURES",
    "Evaluation",
    "Finding",
    "Judged",
    "Provenance",
    "Target",
    "TaskMeans",
    "as_text",
    "evaluate",
    "evaluation_table",
    "metrics_text",
    "read_metrics",
    "write_metrics",
]
