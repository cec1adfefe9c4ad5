"""A real LiteLLM proxy in front of two small models: one with the auto router, one with the hook,
exploration and held-back streams.
"""

import concurrent.futures
import importlib.util
import json
import time

import httpx
import numpy as np
import pytest

from difficulty.bundle import Exploration, read_bundle
from difficulty.gateway.log_files import read_log
from difficulty.gateway.visits import explore
from difficulty.recipe import PolicySettings
from difficulty.routes import Stick
from difficulty.stages.ingest import ingest
from difficulty.stages.labelling.late_outcomes import join_outcomes
from difficulty.stages.ship import ship
from difficulty.traffic.table import Traffic
from tests.integrations.gateways import (
    RULES,
    SALT,
    Running,
    client,
    decisions_of,
    known_rows,
    models,
    proxies,
    reports,
    started_together,
    write_config,
)
from tests.journey import DRAWS, write_rows

pytestmark = [
    pytest.mark.gateway,
    pytest.mark.skipif(
        importlib.util.find_spec("litellm") is None, reason="needs the extra gateway"
    ),
]


@pytest.fixture(scope="module")
def running(journey, tmp_path_factory):
    """Both proxies, started side by side."""
    folder = tmp_path_factory.mktemp("gateway")
    policies = {
        "auto_router": {**RULES, "stick": Stick(within="loop", margin=1.0)},
        "hook": {**RULES, "epsilon": 0.5, "shadow": 0.5, "streaming": "buffer"},
    }
    with proxies.upstreams(folder) as upstream:
        configs, logs = {}, {mode: folder / f"{mode}-decisions" for mode in policies}
        for mode, policy in policies.items():
            ship(journey.run, folder / f"{mode}-1", policy=PolicySettings(**policy), draws=DRAWS)
            own = ["--hook", "--log-answers"] if mode == "hook" else []
            words = ["--log", logs[mode], "--log-texts", *own]
            configs[mode] = write_config(
                folder / f"{mode}.yaml", folder / f"{mode}-1", upstream, *words
            )
        with started_together(configs) as started:
            yield {
                mode: Running(folder / f"{mode}-1", proxy, logs[mode])
                for mode, proxy in started.items()
            }


@pytest.fixture
def auto(running):
    return running["auto_router"]


@pytest.fixture
def hook(running):
    return running["hook"]


def bad_row():
    """Return a short request whose cheap answer is plainly bad, with an easy task, so that it is
    never explored.
    """
    found = (
        row
        for key, (row, known) in models.known_requests().items()
        if models.plainly_bad(key, known) and row["prompt_tokens"] < 60
    )
    return next(found)["messages"]


EASY = {"metadata": {"task": "classify"}}


@pytest.mark.parametrize(
    ("n", "at_once"), [(150, 25), pytest.param(2000, 50, marks=pytest.mark.slow)]
)
def test_many_requests_are_answered_decided_checked_and_logged(auto, tmp_path, n, at_once):
    """Decisions are those of ``difficulty route``, fallbacks exactly where validation fails, one
    event each.
    """
    rows = known_rows(n)
    before = auto.ids()
    replies = client.send(auto.proxy, rows, at_once=at_once)
    assert len(replies) == n
    auto.events([reply.decision["id"] for reply in replies])
    events = [event for event in read_log(auto.log) if event.id not in before]
    assert reports.check(rows, replies, decisions_of(auto.bundle, rows, tmp_path), events) == []
    assert sum(event.fallback is not None for event in events) > n / 75
    assert {event.route for event in events} == {"cheap", "frontier"}


def test_fallback_answer_is_the_frontier_models_and_both_are_paid_for(auto):
    reply, event = auto.ask(messages=bad_row(), **EASY)
    assert "An answer of the frontier model." in reply.text
    told = {
        "id": event.id,
        "bundle": event.bundle_version,
        "route": "cheap",
        "reason": "easy_task",
        "fallback": "validation",
    }
    assert reply.decision == told
    assert [(call.role, call.passed, call.cost_usd is not None) for call in event.calls] == [
        ("answer", False, True),
        ("fallback", True, True),
    ]
    assert event.cost_usd == pytest.approx(sum(call.cost_usd for call in event.calls))


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("429", "rate_limit"),
        ("500", "error"),
        ("malformed", "error"),
        ("cut", "error"),
        ("hang", "timeout"),
        ("choices", "validation"),
    ],
)
@pytest.mark.parametrize("mode", ["auto_router", "hook"])
def test_cheap_model_in_trouble_is_answered_for_by_the_frontier_model(running, mode, fault, cause):
    reply, event = running[mode].ask(f"[fault:{fault}] Hello", **EASY)
    assert reply.status == 200
    assert "frontier model" in reply.text
    assert (event.route, event.fallback, event.outcome) == ("cheap", cause, "answered")
    assert [(call.role, call.side) for call in event.calls if call.role != "shadow"] == [
        ("answer", "cheap"),
        ("fallback", "frontier"),
    ]


def test_stream_is_sent_on_unchecked_and_its_verdict_logged(auto):
    refusal = "[say:I'm sorry, but I can't help with that.]"
    reply, event = auto.ask(refusal, stream=True, **EASY)
    assert "frontier" not in reply.text
    assert reply.text.rstrip().endswith("data: [DONE]")
    assert (event.streamed, event.fallback, event.calls[0].passed) == (True, None, False)
    assert event.calls[0].completion_tokens is None


def test_stream_without_a_word_is_replaced(auto):
    """Nothing of it was sent on: that it failed is seen in time."""
    reply, event = auto.ask("[say:]", stream=True, **EASY)
    assert "frontier" in reply.text
    assert (event.fallback, [call.side for call in event.calls]) == (
        "validation",
        ["cheap", "frontier"],
    )


def test_stream_tells_its_tokens_where_the_client_asks_for_them(auto):
    _, event = auto.ask(stream=True, stream_options={"include_usage": True})
    assert (event.calls[0].prompt_tokens, event.calls[0].completion_tokens) == (10, 5)


def test_stream_that_is_held_back_falls_back(hook):
    reply, event = hook.ask(messages=bad_row(), stream=True, **EASY)
    words = [
        json.loads(line[6:])["choices"]
        for line in reply.text.splitlines()
        if line.startswith("data: {")
    ]
    assert (
        "".join(choice["delta"].get("content") or "" for choices in words for choice in choices)
        == "An answer of the frontier model."
    )
    assert (event.fallback, [call.role for call in event.calls]) == (
        "validation",
        ["answer", "fallback"],
    )


def test_stream_that_is_held_back_and_passes_is_the_cheap_models(hook):
    reply, event = hook.ask(stream=True, **EASY)
    assert "cheap" in reply.text
    assert event.fallback is None


def test_stream_that_breaks_is_logged(auto):
    """LiteLLM goes on with the frontier model where nothing useful was sent yet; whatever it does,
    there is an event that says so.
    """
    _, event = auto.ask("[fault:cut] Hello", stream=True, **EASY)
    assert event.fallback == "error" or event.outcome == "failed"
    assert event.calls[0].error is not None


def test_request_for_a_model_by_name_is_left_alone(auto):
    reply = client.ask(
        auto.proxy, {"model": "cheap", "messages": [{"role": "user", "content": "Hello"}]}
    )
    assert (reply.status, reply.decision) == (200, {})


OTHER_FORMS = {
    "/v1/messages": {
        "max_tokens": 50,
        "messages": [{"role": "user", "content": "Hello"}],
        "litellm_metadata": {"task": "classify"},
    },
    "/v1/responses": {"input": "Hello", "litellm_metadata": {"task": "classify"}},
}


@pytest.mark.parametrize("path", OTHER_FORMS)
@pytest.mark.parametrize("mode", ["auto_router", "hook"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_other_forms_are_decided_checked_and_logged_as_a_chat(running, mode, path, stream):
    """The hook is handed the body as the client sent it: the route is that of its text."""
    proxy, before = running[mode].proxy, running[mode].ids()
    reply = httpx.post(
        f"{proxy.url}{path}",
        json={"model": "auto", "stream": stream, **OTHER_FORMS[path]},
        headers={"authorization": f"Bearer {proxy.key}"},
        timeout=60,
        trust_env=False,
    )
    assert reply.status_code == 200
    (name,) = {reply.headers["x-difficulty-id"]}
    (event,) = running[mode].events([name])
    assert running[mode].ids() - before == {name}
    assert (event.policy_route, event.reason, event.outcome) == ("cheap", "easy_task", "answered")
    assert [message["content"] for message in event.messages] == ["Hello"]
    (call,) = (call for call in event.calls if call.role == "answer")
    assert (call.error, call.passed) == (None, True)


@pytest.mark.parametrize("path", OTHER_FORMS)
def test_answer_that_fails_falls_back_in_the_form_of_its_api(auto, path):
    asked = OTHER_FORMS[path]
    said = {"input": "Please refuse."} if "input" in asked else {}
    said = said or {"messages": [{"role": "user", "content": "Please refuse."}]}
    reply = httpx.post(
        f"{auto.proxy.url}{path}",
        json={"model": "auto", **asked, **said},
        headers={"authorization": f"Bearer {auto.proxy.key}"},
        timeout=60,
        trust_env=False,
    )
    (event,) = auto.events([reply.headers["x-difficulty-id"]])
    assert (reply.status_code, event.fallback) == (200, "validation")
    assert [(call.role, call.passed) for call in event.calls] == [
        ("answer", False),
        ("fallback", True),
    ]
    assert "An answer of the frontier model." in reply.text
    assert ("content" if path == "/v1/messages" else "output") in reply.json()


IMAGE = [
    {
        "role": "user",
        "content": [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
        ],
    }
]
LONG = [
    {"role": "assistant" if number % 2 else "user", "content": f"Message {number}"}
    for number in range(301)
]
TOOLS = [{"type": "function", "function": {"name": "unknown", "parameters": {"type": "object"}}}]


@pytest.mark.parametrize("mode", ["auto_router", "hook"])
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"messages": IMAGE}, "ineligible"),
        ({"messages": []}, "scorer_error"),
        ({"messages": LONG}, None),
        ({"tools": TOOLS}, None),
    ],
    ids=["image", "no messages", "300 messages", "tools"],
)
def test_strange_request_is_answered(running, mode, body, reason):
    reply, event = running[mode].ask(**body)
    assert reply.status == 200
    assert event.reason == reason or reason is None
    assert event.outcome == "answered"


def test_request_without_messages_is_refused_and_logged(auto):
    reply = client.ask(auto.proxy, {"model": "auto"})
    assert reply.status == 400
    (event,) = auto.events([reply.decision["id"]])
    assert (event.route, event.reason, event.outcome) == ("frontier", "scorer_error", "failed")


def test_route_that_litellm_takes_by_a_rule_of_its_own_is_logged_as_taken(auto):
    """Its auto router does not ask the classifier where no user message is, and takes the default
    model.
    """
    reply, event = auto.ask(messages=[{"role": "system", "content": "Be brief."}], **EASY)
    assert "frontier model" in reply.text
    assert (event.route, event.reason, event.propensity) == ("frontier", "gateway", 1.0)


def test_tool_loop_keeps_the_model_of_its_session(auto, tmp_path):
    """What the score alone would send to the frontier model stays cheap inside the loop of a
    session that began there: of this client's, found by its id or by how it began.
    """
    rows = [
        {"id": key, "messages": row["messages"]}
        for key, (row, known) in models.known_requests().items()
        if len(row["messages"]) == 1 and not models.plainly_bad(key, known)
    ]
    alone = decisions_of(auto.bundle, rows, tmp_path)
    easy, hard = (
        next(row["messages"] for row in rows if alone[row["id"]]["reason"] == reason)
        for reason in ("within_threshold", "above_threshold")
    )

    def loop(begun, asked):
        function = {"name": "look_up", "arguments": "{}"}
        call = {"id": "c1", "type": "function", "function": function}
        result = {"role": "tool", "tool_call_id": "c1", "content": asked[0]["content"]}
        return [*begun, {"role": "assistant", "content": None, "tool_calls": [call]}, result]

    def told(messages, **body):
        _, event = auto.ask(messages=messages, **body)
        return event.route, event.reason, event.held_on

    known = {"metadata": {"session_id": "s1"}, "user": "u1"}
    assert told(easy, **known) == ("cheap", "within_threshold", None)
    assert told(loop(hard, hard), **known) == ("cheap", "stick", "cheap")
    assert told(loop(hard, hard), **(known | {"user": "u2"}))[1:] == ("above_threshold", None)
    assert told(hard, **known)[1:] == ("above_threshold", None)
    # Without an id: the answer that the client sends back finds it.
    reply, _ = auto.ask(messages=easy)
    begun = [*easy, json.loads(reply.text)["choices"][0]["message"]]
    assert told(loop([*begun, *hard], hard))[2] == "cheap"
    assert told(loop([*begun, *hard], hard), user="u3")[2] is None


def test_hook_explores_and_asks_the_other_model_beside_it(hook):
    """What each request does is what its id says; its shadow call is in its event and not in its
    time or cost.
    """
    rows = known_rows(40)
    replies = client.send(hook.proxy, rows, at_once=10)
    events = hook.events([reply.decision["id"] for reply in replies])
    settings = read_bundle(hook.bundle).policy.exploration
    assert settings == Exploration(epsilon=0.5, shadow=0.5)
    for event in events:
        routed = explore(event.policy_route, event.reason, settings, id=event.id, secret=SALT)
        assert (event.route, event.propensity) == (routed.route, routed.propensity)
        shadow = [call.side for call in event.calls if call.role == "shadow"]
        assert shadow == (
            ["frontier" if event.route == "cheap" else "cheap"]
            if routed.shadow and event.fallback is None
            else []
        )
    assert any(event.route != event.policy_route for event in events)
    assert any(call.role == "shadow" for event in events for call in event.calls)


def test_answers_are_logged_where_that_is_asked_for_and_judged_later(auto, hook, tmp_path):
    """Of 40 requests the answers of both calls of a shadowed one are kept; a judge's scores,
    joined by id and side, make it a request with both outcomes.
    """
    assert all(call.answer is None for call in auto.ask("What is a lien?")[1].calls)
    replies = client.send(hook.proxy, known_rows(40), at_once=10)
    events = hook.events([reply.decision["id"] for reply in replies])
    calls = [(event, call) for event in events for call in event.calls]
    assert [call.answer is None for _, call in calls] == [
        call.error is not None for _, call in calls
    ]
    answered = {event.id: [c for c in event.calls if c.answer is not None] for event in events}
    shadowed = {
        name: own
        for name, own in answered.items()
        if {"cheap", "frontier"} == {call.side for call in own}
        and any(call.role == "shadow" for call in own)
    }
    assert shadowed
    ingest([hook.log], log := tmp_path / "log.parquet")
    rows = [
        {"id": name, "side": call.side, "quality": call.side == "frontier"}
        for name, own in shadowed.items()
        for call in own
    ]
    scores = write_rows(tmp_path / "scores.jsonl", rows)
    joined = join_outcomes(log, [scores], tmp_path / "judged.parquet", measured_by="judge:x")
    assert joined.joined == len(rows)
    traffic = Traffic.read(tmp_path / "judged.parquet")
    judged = traffic.select(np.isin(traffic.column("id"), list(shadowed)))
    assert judged.outcomes.gain.tolist() == [1.0] * len(shadowed)
    # Word for word what the log keeps; a small model may well answer with nothing.
    for side in ("cheap", "frontier"):
        kept = {
            name: next(call.answer for call in own if call.side == side)
            for name, own in shadowed.items()
        }
        assert dict(zip(judged.column("id"), judged.column(f"{side}_answer"), strict=True)) == kept


def test_requests_are_answered_while_the_log_cannot_be_written(auto):
    """As on a full disk: every write of the process fails, no request does, and the log goes on
    later, with a gap in its numbers.
    """
    resource = pytest.importorskip("resource")
    auto.ask()
    before, pid = list(read_log(auto.log)), auto.proxy.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    replies = client.send(auto.proxy, known_rows(20), at_once=5)
    time.sleep(2)  # until the log's thread has tried
    resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
    auto.ask()
    reader = read_log(auto.log)
    logged = {event.id for event in reader} - {event.id for event in before}
    assert [reply.status for reply in replies] == [200] * 20
    assert reader.missing == 20 - len(logged & {reply.decision["id"] for reply in replies}) > 0
    assert (reader.torn, reader.damaged) == (0, 0)


def test_log_of_a_killed_proxy_is_readable(hook):
    """The last test of this proxy: it is killed under load."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        sending = pool.submit(client.send, hook.proxy, known_rows(60), at_once=10)
        time.sleep(0.4)
        hook.proxy.process.kill()
        sending.exception()
    reader = read_log(hook.log)
    events = list(reader)
    assert len({event.id for event in events}) == len(events) > 0
    assert (reader.damaged, reader.missing) == (0, 0)
    assert reader.torn <= 1
