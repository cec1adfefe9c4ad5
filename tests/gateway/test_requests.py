"""What a gateway does around a decision, with calls that were made up."""

import json
from dataclasses import replace

import pytest

from difficulty.answers.answer import Answer, ToolCall, answer_column
from difficulty.errors import BundleError
from difficulty.events import DecisionEvent
from difficulty.gateway.log import DecisionLog
from difficulty.gateway.log_files import JsonLinesSink, read_log
from difficulty.gateway.requests import Gateway, Visits
from difficulty.gateway.visits import Usage
from difficulty.records import Prices
from difficulty.text import message_text
from difficulty.traffic.formats.decision_log import LogFormat
from difficulty.traffic.rows import parse_row
from tests.runtime.conftest import hand_made

PRICES = Prices(
    date="2026-11-01", cheap_input=1.0, cheap_output=2.0, frontier_input=10.0, frontier_output=20.0
)
CHECKED = {"fallback": {"validators": [{"check": "non_empty"}]}}


def body(text="w7", **changes):
    return {"model": "auto", "messages": [{"role": "user", "content": text}], **changes}


def gateway_of(policy=None, **options):
    return Gateway(hand_made(policy), **options)


def test_visit_takes_the_route_of_the_rule():
    """Word 7 scores 0.035 and stays cheap, word 199 scores 0.995 and does not; the threshold is
    0.6.
    """
    gateway = gateway_of()
    assert [gateway.open(body(text), id=text).route for text in ("w7", "w199")] == [
        "cheap",
        "frontier",
    ]
    assert (
        gateway.open(body("w199"), id="r", task="classify", tokens=3).decision.reason == "easy_task"
    )


def test_cheap_answer_that_fails_falls_back_and_both_calls_are_paid_for():
    """10 in and 5 out: cheap 20e-6 USD, frontier 200e-6 USD."""
    gateway = gateway_of(CHECKED, prices=PRICES)
    visit = gateway.open(body(), id="r1")
    first = gateway.note(visit, "answer", answer=Answer(""), usage=Usage(10, 5), latency_ms=3.0)
    assert gateway.falls_back(visit, first)
    gateway.note(visit, "fallback", answer=Answer("Yes"), usage=Usage(10, 5))
    event = gateway.close(visit)
    assert [(call.role, call.side, call.model, call.passed) for call in event.calls] == [
        ("answer", "cheap", "cheap-8b", False),
        ("fallback", "frontier", "frontier", True),
    ]
    assert event.fallback == "validation"
    assert event.cost_usd == pytest.approx(220e-6)


def test_cached_prompt_tokens_have_a_price_of_their_own_and_a_hit_costs_nothing():
    """239 at 5 USD a million, 15,872 at 0.5 and 2 at 15: 0.009161 USD, where 0.080585 was billed
    before; what the gateway's own cache answered calls no model.
    """
    prices = replace(PRICES, cheap_input=5.0, cheap_output=15.0, cheap_cached_input=0.5)
    gateway = gateway_of(prices=prices)
    visit = gateway.open(body(), id="r1")
    usage = Usage(16_111, 2, 15_872)
    calls = [gateway.note(visit, "answer", usage=usage._replace(hit=hit)) for hit in (False, True)]
    assert [call.cost_usd for call in calls] == [pytest.approx(0.009161), 0.0]
    assert [(call.cached_tokens, call.cache_hit) for call in calls] == [
        (15_872, False),
        (15_872, True),
    ]
    # More than the prompt had is no count of it.
    more = gateway.note(visit, "answer", usage=Usage(100, 0, 1_000))
    assert more.cost_usd == pytest.approx(50e-6)


@pytest.mark.parametrize(
    ("text", "policy", "answer"),
    [
        ("w7", CHECKED, Answer("Yes")),
        ("w7", None, Answer("")),
        ("w199", CHECKED, Answer("")),
        ("w7", {"fallback": {**CHECKED["fallback"], "on_validation_failure": False}}, Answer("")),
    ],
    ids=["passed", "no validators", "frontier route", "switched off"],
)
def test_nothing_falls_back_without_a_failed_cheap_answer(text, policy, answer):
    gateway = gateway_of(policy)
    visit = gateway.open(body(text), id="r1")
    assert not gateway.falls_back(visit, gateway.note(visit, "answer", answer=answer))
    assert gateway.close(visit).fallback is None


def test_explored_visit_takes_the_other_route_and_says_how_probable_that_was():
    gateway = gateway_of({"exploration": {"epsilon": 0.5}})
    events = [gateway.close(gateway.open(body(), id=f"r{number}")) for number in range(50)]
    assert {event.policy_route for event in events} == {"cheap"}
    assert {event.route for event in events} == {"cheap", "frontier"}
    assert {event.propensity for event in events} == {0.5}


def test_client_that_knows_ids_does_not_know_who_is_explored():
    """Without a salt each gateway draws for itself; with one all of them draw the same."""

    def routes(**options):
        gateway = gateway_of({"exploration": {"epsilon": 0.5}}, **options)
        return [gateway.open(body(), id=f"r{number}").route for number in range(64)]

    assert routes() != routes()
    assert routes(salt="a") == routes(salt="a") != routes(salt="b")


def test_id_that_a_client_chose_does_not_choose_its_luck():
    gateway = gateway_of({"exploration": {"epsilon": 0.5}}, salt="a")
    visits = [gateway.open(body(), id="mine", lot=f"lot-{number}") for number in range(64)]
    assert {visit.id for visit in visits} == {"mine"}
    assert {visit.route for visit in visits} == {"cheap", "frontier"}


def test_events_reach_the_log_complete(tmp_path):
    log = DecisionLog([JsonLinesSink(tmp_path)])
    gateway = gateway_of(log=log, texts=True, salt="secret")
    events = [
        gateway.close(gateway.open(body(f"w{n}"), id=f"r{n}", group="user-1"), "failed")
        for n in range(10)
    ]
    assert log.close()
    logged = list(read_log(tmp_path))
    assert [event.id for event in logged] == [event.id for event in events]
    assert logged[3].messages == ({"role": "user", "content": "w3"},)
    assert logged[3].outcome == "failed"
    assert isinstance(logged[3], DecisionEvent)


def test_texts_and_groups_are_not_kept_unless_asked_for():
    event = gateway_of().close(gateway_of().open(body(), id="r1", group="user-1"))
    assert (event.messages, event.group) == (None, None)


def test_answers_are_kept_where_the_log_is_told_to_and_read_back_as_they_were(tmp_path):
    """Shadow answers too, long ones whole, calls of tools as a message; lone surrogates are
    mended.
    """
    calling = Answer(tool_calls=(ToolCall("f", '{"x": 1}'),), finish_reason="tool_calls")
    log = DecisionLog([JsonLinesSink(tmp_path)])
    gateway = gateway_of(log=log, texts=True, answers=True)
    visit = gateway.open(body(), id="r")
    gateway.note(visit, "answer", answer=Answer("long " * 1_000 + "\ud83d", finish_reason="stop"))
    gateway.note(visit, "shadow", answer=calling)
    gateway.close(visit)
    assert log.close()
    (event,) = read_log(tmp_path)
    first, shadow = (call.answer for call in event.calls)
    assert first == "long " * 1_000 + "\ufffd"
    assert Answer.parse(shadow).tool_calls == calling.tool_calls
    # Not asked for, and of a call without an answer.
    visit = gateway_of(texts=True).open(body(), id="r")
    call = gateway_of(texts=True).note(visit, "answer", answer=Answer("x"))
    assert (call.answer, "answer" in call.as_dict()) == (None, False)
    assert gateway.note(gateway.open(body(), id="e"), "answer", error="timeout").answer is None


@pytest.mark.parametrize(
    "answer",
    [
        Answer("plain"),
        Answer(""),
        Answer("cut", finish_reason="length"),
        Answer("", refusal="I cannot"),
        Answer('{"role": "assistant", "content": "quoted"}'),
    ],
)
def test_answer_survives_the_column_that_keeps_it(answer):
    assert Answer.parse(answer_column(answer.as_message())) == answer


def test_answers_are_redacted_as_messages_are(caplog):
    def redact(messages):
        return [message | {"content": "[gone]"} for message in messages]

    def noted(**options):
        gateway = gateway_of(answers=True, **options)
        return gateway.note(gateway.open(body(), id="r"), "answer", answer=Answer("secret")).answer

    assert noted(redact=redact) == "[gone]"
    assert noted(redact=lambda messages: []) is None
    assert noted(redact=lambda messages: 1 / 0) is None
    assert noted(redact=lambda messages: [1]) is None
    assert "secret" not in caplog.text


def test_groups_are_hashed_with_the_salt():
    groups = {
        salt: gateway_of(salt=salt)
        .close(gateway_of(salt=salt).open(body(), id="r", group="user-1"))
        .group
        for salt in ("a", "b", "a ")
    }
    assert len(set(groups.values())) == 3
    assert all(group and "user" not in group for group in groups.values())


def test_redaction_changes_what_is_logged_and_its_failure_leaves_the_text_out(caplog):
    def redact(messages):
        return [
            message | {"content": message["content"].replace("w7", "[word]")}
            for message in messages
        ]

    assert gateway_of(texts=True, redact=redact).open(body(), id="r").messages == (
        {"role": "user", "content": "[word]"},
    )
    assert (
        gateway_of(texts=True, redact=lambda messages: 1 / 0).open(body(), id="r").messages is None
    )
    assert "redaction failed (ZeroDivisionError)" in caplog.text


@pytest.mark.parametrize(
    "messages",
    [None, [], "w7", [7], {"role": "user"}, [{"role": "user", "content": [{"type": "image_url"}]}]],
)
def test_request_with_strange_messages_is_routed(messages):
    """Without text to score it goes to the frontier model; nothing raises."""
    visit = gateway_of(texts=True).open({"messages": messages}, id="r")
    assert visit.route == ("cheap" if messages == "w7" else "frontier")


def test_gateway_refuses_a_policy_whose_validators_cannot_be_built():
    with pytest.raises(BundleError, match="validator 'mood'"):
        gateway_of({"fallback": {"validators": [{"check": "mood"}]}})


def test_policy_that_comes_later_brings_its_validators(caplog):
    """A router that exchanges its bundle: the new policy's validators are built; where they cannot
    be, requests go on unchecked.
    """
    gateway = gateway_of()
    gateway.router = hand_made(CHECKED)
    visit = gateway.open(body(), id="r")
    assert gateway.note(visit, "answer", answer=Answer("")).passed is False
    gateway.router = hand_made({"fallback": {"validators": [{"check": "mood"}]}})
    visit = gateway.open(body(), id="r")
    assert gateway.note(visit, "answer", answer=Answer("")).passed is None
    assert "cannot be built" in caplog.text


def test_decision_and_policy_are_of_one_bundle():
    """A bundle that is exchanged while a request is decided does not mix its policy into that
    request.
    """

    class Exchanging:
        """Another router each time it is asked."""

        def __init__(self):
            self.routers = iter([hand_made(), hand_made(), hand_made(CHECKED)])

        @property
        def current(self):
            return next(self.routers)

    gateway = Gateway(Exchanging())
    visit = gateway.open(body(), id="r")
    assert visit.policy.fallback.validators == ()
    assert gateway.open(body(), id="r").policy.fallback.validators != ()


class Log:
    """Keeps what it is given."""

    def __init__(self):
        self.events = []

    def write(self, event):
        """Keep an event."""
        self.events.append(event)
        return True


def opened(gateway, visits, name):
    visit = gateway.open({"messages": [{"role": "user", "content": "w7"}]}, id=name)
    return visit, visits.add(visit)


def test_visit_is_found_by_its_number_and_logged_once():
    gateway = Gateway(hand_made(), log=(log := Log()))
    visits = Visits(gateway)
    visit, number = opened(gateway, visits, "r1")
    assert visits.get(number) is visit
    assert visits.close(visit).outcome == "answered"
    assert visits.close(visit, "failed") is None
    assert (visits.get(number), len(visits), len(log.events)) == (None, 0, 1)


def test_visits_with_one_id_are_kept_apart():
    """Clients may choose ids, and choose one twice."""
    gateway = Gateway(hand_made())
    visits = Visits(gateway)
    (one, first), (two, second) = (opened(gateway, visits, "same") for _ in range(2))
    assert visits.get(first) is one
    assert visits.get(second) is two


def test_visits_that_nobody_closes_are_logged_as_abandoned_when_the_next_comes():
    gateway = Gateway(hand_made(), log=(log := Log()))
    visits = Visits(gateway, patience_s=0.0)
    opened(gateway, visits, "r1")
    _, number = opened(gateway, visits, "r2")
    assert [(event.id, event.outcome) for event in log.events] == [("r1", "abandoned")]
    assert visits.get(number) is not None


def test_no_visit_has_a_number_that_is_none():
    assert Visits(Gateway(hand_made())).get(None) is None


TOOL = {"name": "w7", "description": "w8", "input_schema": {"properties": {"a": {}}}}
FORMS = {
    "Anthropic": {
        "system": [{"type": "text", "text": "w3"}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "w199"}]},
            {"role": "assistant", "content": [{"type": "tool_use", "name": "w7", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "content": "w9"}]},
        ],
    },
    "Responses": {
        "instructions": "w3",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "w199"}]},
            {"type": "function_call", "name": "w7", "arguments": "{}"},
            {"type": "function_call_output", "output": "w9"},
        ],
    },
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_bodies_of_other_apis_are_decided_and_logged_as_a_chat(form, tmp_path):
    """What the log keeps teaches what the router read: the same text, the same tools."""
    chat = [
        {"role": "system", "content": "w3"},
        {"role": "user", "content": "w199"},
        {"role": "assistant", "tool_calls": [{"function": {"name": "w7", "arguments": "{}"}}]},
        {"role": "tool", "content": "w9"},
    ]
    gateway = gateway_of(texts=True)
    visits = [
        gateway.open({**asked, "tools": [TOOL]}, id="r") for asked in ({"messages": chat}, form)
    ]
    assert visits[0].decision == visits[1].decision
    assert visits[1].asked.text == "w199"
    first, second = (gateway.close(visit) for visit in visits)
    assert [*map(message_text, second.messages)] == [*map(message_text, first.messages)]
    assert second.tools == (TOOL,)
    (row,) = (read_log_row(second.as_dict(), tmp_path),)
    assert row.tools == (TOOL,)
    assert [message.content for message in row.messages] == ["w3", "w199", "w7({})", "w9"]


def read_log_row(event, folder):
    """Return an event as training reads it."""
    (folder / "log.jsonl").write_text(json.dumps(event) + "\n")
    (raw,) = LogFormat().rows(folder / "log.jsonl")
    return parse_row(raw.fields, default_id="1").sample


@pytest.mark.parametrize(
    ("options", "tools", "logged"),
    [
        ({"texts": True}, [TOOL], (TOOL,)),
        ({"texts": False}, [TOOL], None),
        ({"texts": True, "redact": tuple}, [TOOL], None),
        ({"texts": True}, "no list", None),
        ({"texts": True}, [7], None),
    ],
    ids=["texts", "no texts", "redacted", "no list", "no tool"],
)
def test_tools_are_logged_where_texts_are_and_nothing_is_redacted(options, tools, logged):
    gateway = gateway_of(**options)
    event = gateway.close(gateway.open(body(tools=tools), id="r"))
    assert event.tools == logged
    assert ("tools" in event.as_dict()) == (logged is not None)
    assert DecisionEvent.from_dict(event.as_dict()).tools == event.tools
