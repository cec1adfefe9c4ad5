"""The learned check through a real LiteLLM proxy: with the auto router, streams sent on; and with
the hook, streams held back. A bundle's check is made by hand: the first word of an answer says its
score.
"""

import importlib.util
import json

import pytest

from difficulty.recipe import PolicySettings
from difficulty.stages.ship import ship
from tests.answer_checks import write_with_check
from tests.integrations.gateways import (
    RULES,
    Running,
    client,
    known_rows,
    proxies,
    started_together,
    write_config,
)
from tests.journey import DRAWS

pytestmark = [
    pytest.mark.gateway,
    pytest.mark.skipif(
        importlib.util.find_spec("litellm") is None, reason="needs the extra gateway"
    ),
]
SCORES = {"the": 0.9, "of": 0.1}
GOOD, POOR = "of course", "the wrong one"
EASY = {"metadata": {"task": "classify"}}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "look_up",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]
LONG = f"{POOR} " * 400
LIMIT = 2_000


@pytest.fixture(scope="module")
def running(journey, tmp_path_factory):
    """Both proxies, started side by side."""
    folder = tmp_path_factory.mktemp("gateway")
    policies = {"auto_router": {}, "hook": {"streaming": "buffer"}}
    with proxies.upstreams(folder) as upstream:
        configs, logs = {}, {mode: folder / f"{mode}-decisions" for mode in policies}
        for mode, policy in policies.items():
            plain, checked = folder / f"plain-{mode}-1", folder / f"{mode}-1"
            ship(journey.run, plain, policy=PolicySettings(**RULES, **policy), draws=DRAWS)
            rule = {"threshold": 0.5, "request_threshold": 0.6, "kind": "both"}
            write_with_check(plain, checked, rule=rule, words=SCORES)
            words = ["--log", logs[mode], *(["--hook"] if mode == "hook" else [])]
            configs[mode] = write_config(
                folder / f"{mode}.yaml",
                checked,
                upstream,
                *words,
                settings=f"    most_buffered: {LIMIT}\n",
            )
        with started_together(configs) as started:
            yield {
                mode: Running(folder / f"{mode}-1", proxy, logs[mode])
                for mode, proxy in started.items()
            }


@pytest.fixture(params=["auto_router", "hook"])
def either(running, request):
    return running[request.param]


def content_of(reply):
    """Return the text that the client got."""
    if not reply.text.startswith("data:"):
        return json.loads(reply.text)["choices"][0]["message"]["content"]
    lines = [line[6:] for line in reply.text.splitlines() if line.startswith("data: {")]
    deltas = [choice["delta"] for line in lines for choice in json.loads(line)["choices"]]
    return "".join(delta.get("content") or "" for delta in deltas)


FRONTIER = "An answer of the frontier model."


def test_poor_answer_is_escalated_and_the_client_is_told(either):
    reply, event = either.ask(f"[say:{POOR}] What now?", **EASY)
    assert content_of(reply) == FRONTIER
    assert (reply.decision["check"], reply.decision["fallback"]) == (
        "above_threshold",
        "validation",
    )
    assert [(call.role, call.side, call.passed) for call in event.calls] == [
        ("answer", "cheap", True),
        ("fallback", "frontier", True),
    ]
    assert (event.escalation.escalated, event.escalation.reason) == (True, "above_threshold")
    assert event.escalation.answer_score == pytest.approx(0.9)
    assert event.cost_usd == pytest.approx(sum(call.cost_usd for call in event.calls))


def test_good_answer_is_sent(either):
    reply, event = either.ask(f"[say:{GOOD}] What now?", **EASY)
    assert content_of(reply) == GOOD
    assert (reply.decision["check"], event.fallback) == ("within_threshold", None)
    assert event.escalation.answer_score == pytest.approx(0.1)


def test_stream_that_is_sent_on_is_scored_for_the_log_alone(running):
    reply, event = running["auto_router"].ask(f"[say:{POOR}] What now?", stream=True, **EASY)
    assert content_of(reply) == POOR
    assert (event.escalation.reason, event.escalation.escalated) == ("advisory", False)
    assert event.escalation.answer_score == pytest.approx(0.9)


@pytest.mark.parametrize(("text", "content"), [(POOR, FRONTIER), (GOOD, GOOD)])
def test_stream_that_is_held_back_is_checked(running, text, content):
    reply, event = running["hook"].ask(f"[say:{text}] What now?", stream=True, **EASY)
    assert content_of(reply) == content
    assert event.escalation.escalated == (text == POOR)


def test_stream_that_is_too_long_to_be_held_is_sent_on(running):
    reply, event = running["hook"].ask(f"[say:{LONG}] What now?", stream=True, **EASY)
    assert content_of(reply).split() == LONG.split()
    assert (event.escalation.reason, event.fallback) == ("advisory", None)


@pytest.mark.parametrize("arguments", ['{"city": "Lyon"}', '{"city": ', "the", "[" * 100])
def test_tool_calls_are_checked_whatever_their_arguments(either, arguments):
    reply, event = either.ask(f"[call:{arguments}] Look it up", tools=TOOLS, **EASY)
    assert reply.status == 200
    assert event.escalation.error is None
    assert event.escalation.answer_score is not None


def test_several_choices_are_checked_by_the_first(either):
    reply, event = either.ask(f"[say:{POOR}] What now?", n=3, **EASY)
    assert reply.status == 200
    assert event.escalation.escalated


@pytest.mark.parametrize("logprobs", [True, False])
def test_log_probabilities_that_no_model_sends_are_unknown(either, logprobs):
    _, event = either.ask(f"[say:{GOOD}] What now?", logprobs=logprobs, **EASY)
    assert event.escalation.error is None


def test_answer_to_an_image_goes_by_the_rule_and_nothing_fails(either):
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    reply, event = either.ask(messages=[{"role": "user", "content": [image]}], **EASY)
    assert reply.status == 200
    assert event.outcome == "answered"


def test_many_requests_at_once_are_all_checked(either):
    """Every cheap answer has a verdict, and what it says is done."""
    rows, before = known_rows(100), either.ids()
    replies = client.send(either.proxy, rows, at_once=20)
    events = either.events([reply.decision["id"] for reply in replies])
    assert {reply.status for reply in replies} == {200}
    assert not before & {event.id for event in events}
    for event in events:
        assert (event.escalation is None) == (event.route == "frontier")
