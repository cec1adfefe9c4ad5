"""What every router counts, a service as well as a gateway."""

from __future__ import annotations

from collections.abc import Sequence
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
INELIGIBLE: Final = Family(
    "difficulty_ineligible_total",
    "counter",
    "Requests that one of the models cannot take, by the rule; one request may break several.",
    ("rule", "bundle_version"),
)
UNTAKEN: Final = Family(
    "difficulty_untaken_total",
    "counter",
    "Requests that neither model can take.",
    ("bundle_version",),
)
DECISION_SECONDS: Final = Family(
    "difficulty_decision_seconds",
    "histogram",
    "Time to decide; of several requests decided together, their share of it.",
    (),
    (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5),
)
FAMILIES: Final = (DECISIONS, SCORES, VERDICTS, INELIGIBLE, UNTAKEN, DECISION_SECONDS)


def count_decision(
    recorder: Recorder,
    route: str,
    reason: str,
    bundle_version: str,
    *,
    score: float | None,
    ineligible: Sequence[str] = (),
) -> None:
    """Count a decision and, where there are some, its score and the rules by which a model could
    not take the request.
    """
    recorder.add(DECISIONS, route, reason, bundle_version)
    if score is not None:
        recorder.observe(SCORES, score, bundle_version)
    for rule in ineligible:
        recorder.add(INELIGIBLE, rule, bundle_version)
    if len({rule.partition(".")[0] for rule in ineligible}) > 1:
        recorder.add(UNTAKEN, bundle_version)


def count_verdict(recorder: Recorder, escalated: bool, reason: str, bundle_version: str) -> None:
    """Count a verdict of the check of answers."""
    recorder.add(VERDICTS, "yes" if escalated else "no", reason, bundle_version)
