"""What every router counts, a service as well as a gateway."""

from __future__ import annotations

from typing import Final

from difficulty.telemetry.meter import Family, Recorder

SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Buckets of what a model takes."""
DECISIONS: Final = Family(
    "difficulty_decisions_total",
    "counter",
    "Decisions, by route, reason and bundle.",
    ("route", "reason", "bundle_version"),
)
SCORES: Final = Family(
    "difficulty_score",
    "histogram",
    "difficulty_score of requests that were scored.",
    ("bundle_version",),
    tuple(round(0.1 * place, 1) for place in range(1, 10)),
)
VERDICTS: Final = Family(
    "difficulty_answer_checks_total",
    "counter",
    "Verdicts of the learned check of answers, by whether the frontier model is asked too.",
    ("escalated", "reason", "bundle_version"),
)
DECISION_SECONDS: Final = Family(
    "difficulty_decision_seconds",
    "histogram",
    "Time to decide; of several requests decided together, their share of it.",
    (),
    (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5),
)
FAMILIES: Final = (DECISIONS, SCORES, VERDICTS, DECISION_SECONDS)


def count_decision(
    recorder: Recorder, route: str, reason: str, bundle_version: str, *, score: float | None
) -> None:
    """Count a decision and, where there is one, its score."""
    recorder.add(DECISIONS, route, reason, bundle_version)
    if score is not None:
        recorder.observe(SCORES, score, bundle_version)


def count_verdict(recorder: Recorder, escalated: bool, reason: str, bundle_version: str) -> None:
    """Count a verdict of the check of answers."""
    recorder.add(VERDICTS, "yes" if escalated else "no", reason, bundle_version)
