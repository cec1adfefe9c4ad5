"""Decision events: what they refuse, what they add up to, and the way to JSON and back."""

import json
from datetime import datetime

import pytest

from difficulty.errors import InvalidValueError, LogError
from difficulty.events import EVENT_FORMAT, Check, DecisionEvent
from tests.events import answer, event_of


def test_cost_counts_the_failed_first_answer_and_no_shadow_call():
    """Cheap 0.001 failed validation, frontier 0.02 answered, a shadow call of 0.5 was not for this
    request: 0.021.
    """
    calls = (
        answer(passed=False),
        answer("frontier", role="fallback", cost_usd=0.02),
        answer("frontier", role="shadow", cost_usd=0.5),
    )
    assert event_of(calls=calls).cost_usd == pytest.approx(0.021)


def test_cost_is_unknown_where_a_call_has_none():
    assert (
        event_of(calls=(answer(), answer("frontier", role="fallback", cost_usd=None))).cost_usd
        is None
    )
    assert event_of(calls=()).cost_usd is None


def test_cost_of_a_call_that_failed_without_an_answer_is_not_asked_for():
    """A time-out has no usage; what is paid is the fallback."""
    calls = (
        answer(error="timeout", cost_usd=None, checks=()),
        answer("frontier", role="fallback", cost_usd=0.02),
    )
    assert event_of(calls=calls).cost_usd == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("verdicts", "passed"),
    [
        ((), None),
        ((True,), True),
        ((True, False), False),
        ((None,), None),
        ((None, True), True),
        ((None, False), False),
    ],
)
def test_call_passed_is_unknown_where_no_validator_could_tell(verdicts, passed):
    assert (
        answer(checks=tuple(Check(name="x", passed=verdict) for verdict in verdicts)).passed
        is passed
    )


def test_call_is_found_by_side_and_role():
    shadow = answer("frontier", role="shadow")
    event = event_of(calls=(answer(), shadow))
    assert event.call("frontier") is shadow
    assert event.call("frontier", roles=("answer", "fallback")) is None


def test_event_comes_back_from_json_as_it_was():
    event = event_of(
        messages=({"role": "user", "content": "h\udcffi\u2028"},),
        calls=(answer(passed=None), answer("frontier", role="fallback")),
    )
    assert DecisionEvent.from_dict(json.loads(json.dumps(event.as_dict()))) == event


def test_event_reader_passes_over_fields_it_does_not_know():
    form = event_of().as_dict() | {"mood": "fine"}
    form["calls"][0]["weather"] = "rain"
    assert DecisionEvent.from_dict(form) == event_of()


@pytest.mark.parametrize("found", [EVENT_FORMAT + 1, 0, None, "1"])
def test_event_of_another_format_is_refused(found):
    with pytest.raises(LogError, match="must be of format 1 to"):
        DecisionEvent.from_dict(event_of().as_dict() | {"format": found})


@pytest.mark.parametrize(
    "change",
    [
        {"time": "yesterday"},
        {"calls": [1]},
        {"propensity": None},
        {"calls": [{"role": "answer"}]},
        {"writer": ["w"]},
        {"seq": "0"},
        {"task": {}},
        {"truncated": 1},
        {"tokens": True},
    ],
)
def test_event_with_a_broken_field_is_refused(change):
    with pytest.raises(LogError, match="must have the fields"):
        DecisionEvent.from_dict(event_of().as_dict() | change)


@pytest.mark.parametrize(
    "change",
    [
        {"propensity": 0.0},
        {"propensity": 1.1},
        {"route": "middle"},
        {"outcome": "lost"},
        {"fallback": "mood"},
        {"time": datetime(2026, 1, 1)},
    ],
)
def test_event_refuses_what_breaks_a_rule(change):
    with pytest.raises(InvalidValueError):
        event_of(**change)


@pytest.mark.parametrize(
    "change",
    [{"role": "encore"}, {"side": "middle"}, {"cost_usd": -1.0}, {"latency_ms": float("nan")}],
)
def test_call_refuses_what_breaks_a_rule(change):
    with pytest.raises(InvalidValueError):
        answer(**change)
