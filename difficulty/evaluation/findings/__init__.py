"""Honesty checks: what a reader has to know before trusting the figures, each a named finding.

A check is a function of :class:`Evidence` that returns a finding, several, or none; ``CHECKS``
names them in the order in which they are reported. To add one, write the function and add its line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from difficulty.evaluation.findings.outcomes import (
    few_samples,
    frontier_not_better,
    selection_bias,
    suspicious_labels,
)
from difficulty.evaluation.findings.overlap import (
    overlap_unknown,
    same_ids,
    threshold_on_judged_data,
    training_overlap,
)
from difficulty.evaluation.findings.record import (
    SEVERITIES,
    Evidence,
    Finding,
    Provenance,
    Severity,
    failing,
)
from difficulty.evaluation.findings.score import calibration_off, equal_scores, no_signal

__all__ = [
    "CHECKS",
    "SEVERITIES",
    "Evidence",
    "Finding",
    "Provenance",
    "Severity",
    "failing",
    "findings_of",
]

Check = Callable[[Evidence], Finding | Iterable[Finding] | None]

CHECKS: Final[dict[str, Check]] = {
    "training_overlap": training_overlap,
    "same_ids": same_ids,
    "threshold_on_judged_data": threshold_on_judged_data,
    "selection_bias": selection_bias,
    "equal_scores": equal_scores,
    "no_signal": no_signal,
    "frontier_not_better": frontier_not_better,
    "suspicious_labels": suspicious_labels,
    "calibration_off": calibration_off,
    "few_samples": few_samples,
    "overlap_unknown": overlap_unknown,
}


def findings_of(evidence: Evidence) -> tuple[Finding, ...]:
    """Return what all checks found, the gravest first."""
    found: list[Finding] = []
    for check in CHECKS.values():
        result = check(evidence)
        found += [] if result is None else [result] if isinstance(result, Finding) else result
    return tuple(sorted(found, key=lambda finding: SEVERITIES.index(finding.severity)))
