"""The learned check inside a gateway, with a graph made by hand: an answer's first word is its
score.
"""

import json
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from difficulty.answers.answer import Answer, ToolCall
from difficulty.bundle import Policy
from difficulty.events import DecisionEvent, Escalation
from difficulty.gateway.log import DecisionLog
from difficulty.gateway.log_files import JsonLinesSink, read_log
from difficulty.gateway.requests import Gateway
from difficulty.gateway.visits import Usage
from difficulty.runtime import Router
from tests.answer_checks import hand_made_checker
from tests.data.make_bundle import POLICY
from tests.events import event_of
from tests.gateway.test_requests import PRICES, body
from tests.runtime.conftest import UNLIMITED, hand_made


def gateway_of(rule=None, *, policy=None, **options):
    """Return a gateway whose policy has a check with threshold 0.5."""
    plain = hand_made()
    form = Policy.parse(POLICY | (policy or {}) | {"answer": {"threshold": 0.5, **(rule or {})}})
    checker = hand_made_checker(plain.scorer, form.answer)
    router = Router(plain.scorer, form, version="by-hand-1", answers=checker)
    return Gateway(router, **options)


def asked(gateway, answer, *, number=0, **request):
    """Ask, answer, fall back where that is due, and return the event."""
    visit = gateway.open(body(**request), id=f"r{number}")
    first = gateway.note(visit, "answer", answer=answer, usage=Usage(10, 5))
    if gateway.falls_back(visit, first):
        gateway.note(visit, "fallback", answer=Answer("w1"), usage=Usage(10, 5))
    return gateway.close(visit)


def test_answer_above_the_threshold_is_escalated_and_paid_for_twice():
    """10 in and 5 out: cheap 20e-6 USD, frontier 200e-6 USD."""
    event = asked(gateway_of(prices=PRICES), Answer("w150"))
    assert event.fallback == "validation"
    assert [(call.role, call.side) for call in event.calls] == [
        ("answer", "cheap"),
        ("fallback", "frontier"),
    ]
    assert event.cost_usd == pytest.approx(220e-6)
    assert event.escalation == Escalation(
        answer_score=0.75,
        p_answer_fails=pytest.approx(0.035),
        threshold=0.5,
        reason="above_threshold",
        policy_escalates=True,
        escalated=True,
        propensity=1.0,
        moved=event.escalation.moved,
    )


def test_answer_within_the_threshold_is_sent():
    event = asked(gateway_of(), Answer("w50"))
    assert (event.fallback, event.escalation.reason) == (None, "within_threshold")
    assert (event.escalation.escalated, event.escalation.propensity) == (False, 1.0)


def test_frontier_answers_are_not_checked():
    event = asked(gateway_of(), Answer("w150"), text="w199")
    assert (event.route, event.escalation) == ("frontier", None)


def test_policy_without_a_check_has_none():
    gateway = Gateway(hand_made())
    assert asked(gateway, Answer("w150")).escalation is None


def test_verdict_is_no_label():
    """A log that teaches must not teach what the last check thought: ``checks`` are labels."""
    event = asked(gateway_of(texts=True), Answer("w150"))
    assert [call.checks for call in event.calls] == [(), ()]
    assert event.calls[0].passed is None


def test_answer_that_validators_refuse_needs_no_check():
    """The event says that the check had nothing to say."""
    policy = {"fallback": {"validators": [{"check": "refusal", "options": {"phrases": ["w"]}}]}}
    event = asked(gateway_of(policy=policy), Answer("w150"))
    assert (event.fallback, event.calls[0].passed) == ("validation", False)
    assert (event.escalation.policy_escalates, event.escalation.escalated) == (True, False)


def test_check_escalates_where_validation_may_not():
    policy = {"fallback": {"on_validation_failure": False}}
    assert asked(gateway_of(policy=policy), Answer("w150")).fallback == "validation"


@pytest.mark.parametrize(("on_unknown", "fallback"), [("pass", None), ("escalate", "validation")])
def test_what_cannot_be_checked_does_as_the_policy_says(on_unknown, fallback):
    gateway = gateway_of({"on_unknown": on_unknown})
    visit = gateway.open(body(), id="r")
    visit.asked_messages = []
    call = gateway.note(visit, "answer", answer=Answer("w1"))
    assert gateway.falls_back(visit, call) == (fallback is not None)
    event = gateway.close(visit)
    assert (event.fallback, event.escalation.reason) == (fallback, "unknown")
    assert "must hold some text" in event.escalation.error


def test_stream_that_is_sent_on_is_decided_by_the_request_and_its_answer_scored():
    """With the check alone, ``w100`` (0.5) is above the request's own threshold of 0.4."""
    rule = {"kind": "check", "request_threshold": 0.4}
    gateway = gateway_of(rule, policy={"threshold": 1.0})
    assert asked(gateway, Answer("w1"), text="w100").route == "cheap"
    assert asked(gateway, Answer("w1"), text="w100", stream=True).route == "frontier"
    event = asked(gateway, Answer("w150"), text="w7", stream=True)
    assert (event.route, event.threshold, event.fallback) == ("cheap", 0.4, None)
    assert (event.escalation.reason, event.escalation.answer_score) == ("advisory", 0.75)
    held = gateway_of(rule, policy={"threshold": 1.0, "fallback": {"streaming": "buffer"}})
    assert asked(held, Answer("w150"), text="w100", stream=True).fallback == "validation"


def test_shadow_answer_of_the_cheap_model_is_scored_and_moves_nothing():
    gateway = gateway_of()
    visit = gateway.open(body("w199"), id="r")
    gateway.note(visit, "answer", answer=Answer("w1"))
    gateway.note(visit, "shadow", answer=Answer("w150"))
    event = gateway.close(visit)
    assert (event.escalation.reason, event.escalation.escalated) == ("advisory", False)
    assert event.escalation.answer_score == 0.75


def test_explored_escalations_give_back_what_the_other_choice_would_have_brought():
    """Of 2,000 answers a fifth is treated the other way, and weights of 1 / propensity give both
    means again: 4 standard errors are 0.036 and 0.11.
    """
    gateway = gateway_of(policy={"exploration": {"epsilon": 0.2}}, salt="x")
    rng = np.random.default_rng(0)
    words = rng.integers(1, 200, size=2_000)
    events = [
        asked(gateway, Answer(f"w{word}"), number=number) for number, word in enumerate(words)
    ]
    kept = [event for event in events if event.route == "cheap"]
    told = [event.escalation for event in kept]
    turned = [one for one in told if one.escalated != one.policy_escalates]
    assert len(turned) / len(told) == pytest.approx(0.2, abs=0.04)
    assert {one.propensity for one in turned} == {0.2}
    assert {one.propensity for one in told if one not in turned} == {0.8}
    assert all((event.fallback is not None) == event.escalation.escalated for event in kept)
    # Horvitz-Thompson: the mean score of all, from those that were escalated.
    mean = np.mean([one.answer_score for one in told])
    weighted = sum(
        one.answer_score / one.propensity for one in told if one.escalated == (one.policy_escalates)
    ) / len(told)
    assert weighted == pytest.approx(mean, abs=0.04)


def test_easy_tasks_are_not_explored():
    gateway = gateway_of(policy={"exploration": {"epsilon": 0.5}}, salt="x")
    for number in range(40):
        visit = gateway.open(body(), id=f"r{number}", task="classify", tokens=3)
        gateway.note(visit, "answer", answer=Answer("w150"))
        assert (visit.escalation.escalated, visit.escalation.propensity) == (True, 1.0)


def test_long_answer_is_checked_in_a_thread_and_a_short_one_at_once():
    gateway = gateway_of()
    visit = gateway.open(body(), id="r")
    threads = []
    check = visit.answers.check

    def noting(*given, **named):
        threads.append(threading.current_thread().name)
        return check(*given, **named)

    visit.answers.check = noting
    for text in ("w1", "w1 " * 20_000):
        gateway.note(visit, "answer", answer=Answer(text))
    assert threads[0] == threading.current_thread().name
    assert threads[1].startswith("difficulty-answers")


def test_check_that_takes_too_long_is_unknown():
    gateway = gateway_of({"on_unknown": "escalate"}, validation_timeout_s=0.1)
    visit = gateway.open(body(), id="r")
    go_on = threading.Event()
    visit.answers.check = lambda *given, **named: go_on.wait(10)
    began = time.monotonic()
    call = gateway.note(visit, "answer", answer=Answer("w1 " * 20_000))
    assert time.monotonic() - began < 5
    assert gateway.falls_back(visit, call)
    assert visit.escalation.error == "took longer than 0.1 s"
    go_on.set()


def test_huge_tools_are_not_read():
    gateway = gateway_of(policy={"eligibility": UNLIMITED})
    tool = {"type": "function", "function": {"name": "f", "description": "x" * 1_100_000}}
    visit = gateway.open(body(tools=[tool]), id="r")
    gateway.note(visit, "answer", answer=Answer("w1", (ToolCall("f", "{}"),)))
    assert (visit.escalation.reason, visit.escalation.error) == (
        "unknown",
        "tools too large to be checked",
    )


def test_answer_is_checked_by_the_bundle_that_decided():
    gateway = gateway_of()
    visit = gateway.open(body(), id="r")
    gateway.router = gateway_of({"threshold": 0.9}).router
    gateway.note(visit, "answer", answer=Answer("w150"))
    assert visit.escalation.threshold == 0.5


def test_escalation_survives_the_log(tmp_path):
    log = DecisionLog([JsonLinesSink(tmp_path)])
    events = [asked(gateway_of(log=log), Answer(f"w{word}")) for word in (50, 150)]
    assert log.close()
    assert [event.escalation for event in read_log(tmp_path)] == [
        replace(event.escalation) for event in events
    ]


def test_events_of_before_have_no_escalation():
    form = json.loads(json.dumps(event_of().as_dict()))
    del form["escalation"]
    assert DecisionEvent.from_dict(form).escalation is None
