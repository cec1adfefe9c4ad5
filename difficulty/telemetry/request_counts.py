"""What is counted of decisions and of requests: names, labels, buckets.

Only what a bundle, a policy or a deployment names is a label: no task, no id, nothing that a client
sends.
"""

from __future__ import annotations

from typing import Final

from difficulty.events import DecisionEvent
from difficulty.telemetry.decision_counts import (
    DECISION_SECONDS,
    SECONDS,
    count_decision,
    count_verdict,
)
from difficulty.telemetry.meter import Family, Recorder

EXPLORED: Final = Family(
    "difficulty_explored_total",
    "counter",
    "Requests that took another route than the rule's.",
    ("bundle_version",),
)
OUTCOMES: Final = Family(
    "difficulty_outcomes_total",
    "counter",
    "Requests by how they ended: answered, failed or abandoned.",
    ("route", "outcome", "bundle_version"),
)
FALLBACKS: Final = Family(
    "difficulty_fallbacks_total",
    "counter",
    "Requests on the cheap route for which the frontier model was asked too, by cause.",
    ("cause", "bundle_version"),
)
VALIDATIONS: Final = Family(
    "difficulty_validator_verdicts_total",
    "counter",
    "Verdicts of validators on answers: passed, failed, or unknown.",
    ("validator", "verdict", "bundle_version"),
)
CALLS: Final = Family(
    "difficulty_calls_total",
    "counter",
    "Calls of models, by what they were for (answer, fallback, shadow) and whether they failed.",
    ("side", "role", "model", "result"),
)
COST: Final = Family(
    "difficulty_cost_usd_total",
    "counter",
    "US dollars that calls of known cost were billed.",
    ("side", "role", "bundle_version"),
)
UNPRICED: Final = Family(
    "difficulty_unpriced_calls_total",
    "counter",
    "Calls without an error whose cost is not known; it is not in difficulty_cost_usd_total.",
    ("side", "role"),
)
TOKENS: Final = Family(
    "difficulty_tokens_total",
    "counter",
    "Tokens that models read and wrote, where the provider said so.",
    ("side", "kind"),
)
REQUEST_SECONDS: Final = Family(
    "difficulty_request_seconds",
    "histogram",
    "From a request to the end of its answer.",
    ("route",),
    SECONDS,
)
CALL_SECONDS: Final = Family(
    "difficulty_call_seconds", "histogram", "Calls of a model.", ("side", "role"), SECONDS
)
FAMILIES: Final = (
    EXPLORED,
    OUTCOMES,
    FALLBACKS,
    VALIDATIONS,
    CALLS,
    COST,
    UNPRICED,
    TOKENS,
    REQUEST_SECONDS,
    CALL_SECONDS,
)
"""What a gateway counts beside :data:`difficulty.telemetry.decision_counts.FAMILIES`."""
_S_PER_MS = 1e-3


def count_event(recorder: Recorder, event: DecisionEvent) -> None:
    """Count a request of which all is known.

    Parameters
    ----------
    recorder : Recorder
    event : DecisionEvent
    """
    version = event.bundle_version
    count_decision(
        recorder,
        event.route,
        event.reason,
        version,
        score=event.difficulty_score,
        ineligible=event.ineligible,
    )
    if event.route != event.policy_route:
        recorder.add(EXPLORED, version)
    recorder.add(OUTCOMES, event.route, event.outcome, version)
    if event.fallback is not None:
        recorder.add(FALLBACKS, event.fallback, version)
    if event.escalation is not None:
        count_verdict(recorder, event.escalation.escalated, event.escalation.reason, version)
    if event.decision_ms is not None:
        recorder.observe(DECISION_SECONDS, event.decision_ms * _S_PER_MS)
    if event.latency_ms is not None:
        recorder.observe(REQUEST_SECONDS, event.latency_ms * _S_PER_MS, event.route)
    _count_calls(recorder, event)


def _count_calls(recorder: Recorder, event: DecisionEvent) -> None:
    for call in event.calls:
        result = "error" if call.error else "ok"
        recorder.add(CALLS, call.side, call.role, call.model, result)
        if call.cost_usd is not None:
            recorder.add(COST, call.side, call.role, event.bundle_version, amount=call.cost_usd)
        elif not call.error:
            recorder.add(UNPRICED, call.side, call.role)
        if call.latency_ms is not None:
            recorder.observe(CALL_SECONDS, call.latency_ms * _S_PER_MS, call.side, call.role)
        for kind, count in (("prompt", call.prompt_tokens), ("completion", call.completion_tokens)):
            if count is not None:
                recorder.add(TOKENS, call.side, kind, amount=count)
        for check in call.checks:
            verdict = "unknown" if check.passed is None else "passed" if check.passed else "failed"
            recorder.add(VALIDATIONS, check.name, verdict, event.bundle_version)
