"""Decision events for tests."""

from datetime import UTC, datetime

from difficulty.events import Call, Check, DecisionEvent

WHEN = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def event_of(number=0, **changes):
    """Return an event of a request that stayed on the cheap model."""
    form = {
        "id": f"r{number}",
        "time": WHEN,
        "bundle_version": "small-1",
        "route": "cheap",
        "policy_route": "cheap",
        "reason": "within_threshold",
        "difficulty_score": 0.25,
        "threshold": 0.5,
        "propensity": 0.95,
        "latency_ms": 12.5,
        "calls": (answer(),),
    }
    return DecisionEvent(**{**form, **changes})


def answer(side="cheap", *, role="answer", passed=True, **changes):
    """Return a call whose one validator passed or failed its answer."""
    form = {
        "role": role,
        "side": side,
        "model": f"{side}-model",
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "cost_usd": 0.001,
    }
    return Call(**{**form, "checks": (Check(name="non_empty", passed=passed),), **changes})
