"""Labels that may be wrong: whole tasks, regions of the traffic, single samples."""

from difficulty.labels.losing import losing_region
from difficulty.labels.rows import unlikely_labels
from difficulty.labels.suspicion import LabelReport, Model, SuspiciousGroup, SuspiciousLabel
from difficulty.labels.tasks import outlying_tasks

__all__ = [
    "LabelReport",
    "Model",
    "SuspiciousGroup",
    "SuspiciousLabel",
    "losing_region",
    "outlying_tasks",
    "unlikely_labels",
]
