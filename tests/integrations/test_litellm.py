"""A real LiteLLM proxy in front of two small models: one with the auto router, one with the hook, exploration and held-back streams."""

import concurrent.futures
import contextlib
import importlib.util
import json
import time

import pytest

from difficulty.bundle import Exploration, read_bundle
from difficulty.recipe import PolicySettings
from difficulty.runtime import Router
from difficulty.runtime.exploration import explore
from difficulty.runtime.log import read_log
from difficulty.runtime.requests import read_requests, route_rows
from difficulty.stages.ship import ship
from tests.journey import DRAWS, write_rows

pytestmark = [
    pytest.mark.gateway,
    pytest.mark.skipif(importlib.util.find_spec("litellm") is None, reason="needs the extra gateway"),
]

client, proxies, reports, models = (
    pytest.importorskip(f"examples.litellm.{name}", exc_type=ImportError) for name in ("client", "proxy", "report", "upstream")
)
CHECKS = ({"check": "non_empty", "options": {"whole": True}}, {"check": "refusal"})
RULES = {"easy_tasks": ("classify",), "hard_tasks": ("multi-step planning",), "validators": CHECKS}


class Running:
    """A proxy with its bundle and its log."""

    def __init__(self, bundle, proxy, log):
        self.bundle, self.proxy, self.log = bundle, proxy, log

    def events(self, ids):
        """Wait until the events of some requests are logged, and return them in that order."""
        until = time.monotonic() + 20
        while True:
            found = {event.id: event for event in read_log(self.log)} if self.log.is_dir() else {}
            if {*ids} <= {*found} or time.monotonic() > until:
                return [found[name] for name in ids]
            time.sleep(0.1)

    def ask(self, text="Hello", **body):
        """Send one request and return its reply and its event."""
        body = {"model": "auto", "messages": [{"role": "user", "content": text}], **body}
        reply = client.ask(self.proxy, body)
        return reply, self.events([reply.decision["id"]])[0]


@pytest.fixture(scope="module")
def running(journey, tmp_path_factory):
    """Both proxies, started side by side."""
    folder = tmp_path_factory.mktemp("gateway")
    policies = {"auto_router": RULES, "hook": {**RULES, "epsilon": 0.5, "shadow": 0.5, "streaming": "buffer"}}
    with contextlib.ExitStack() as stack, concurrent.futures.ThreadPoolExecutor() as pool:
        upstream = stack.enter_context(proxies.upstreams(folder))
        waiting = {}
        for mode, policy in policies.items():
            ship(journey.run, folder / f"{mode}-1", policy=PolicySettings(**policy), n_draws=DRAWS)
            config = write_config(folder, mode, upstream)
            waiting[mode] = (context := proxies.proxy(config, folder / f"{mode}.log"), pool.submit(context.__enter__))
        for context, starting in waiting.values():
            stack.push(context.__exit__)
            starting.exception()
        yield {
            mode: Running(folder / f"{mode}-1", starting.result(), folder / f"{mode}-decisions") for mode, (_, starting) in waiting.items()
        }


def write_config(folder, mode, upstream):
    """Write the configuration as the command prints it."""
    from typer.testing import CliRunner

    from difficulty.cli.app import build_app

    words = ["litellm-config", str(folder / f"{mode}-1"), "--log", str(folder / f"{mode}-decisions"), "--log-texts", "--cheap-timeout", "2"]
    for side in ("cheap", "frontier"):
        words += [
            f"--{side}",
            f"openai/{side}",
            f"--{side}-api-base",
            f"{upstream}/{side}/v1",
            f"--{side}-api-key",
            "os.environ/EXAMPLE_KEY",
        ]
    words += ["--prices", str(proxies.ROOT / "data" / "prices.example.toml"), *(["--hook"] if mode == "hook" else [])]
    printed = CliRunner().invoke(build_app(), words)
    assert printed.exit_code == 0
    path = folder / f"{mode}.yaml"
    path.write_text(printed.stdout)
    return path


@pytest.fixture
def auto(running):
    return running["auto_router"]


@pytest.fixture
def hook(running):
    return running["hook"]


def known_rows(n):
    return [row for row, _ in list(models.known_requests().values())[:n]]


def bad_row():
    """Return a short request whose cheap answer is plainly bad, with an easy task, so that it is never explored."""
    found = (row for key, (row, known) in models.known_requests().items() if models.plainly_bad(key, known) and row["prompt_tokens"] < 60)
    return next(found)["messages"]


EASY = {"metadata": {"task": "classify"}}


def test_many_requests_are_answered_decided_checked_and_logged(auto, tmp_path):
    """150 requests, 25 at a time: decisions are those of ``difficulty route``, fallbacks exactly where validation fails, one event each."""
    rows = known_rows(150)
    replies = client.send(auto.proxy, rows, at_once=25)
    path = write_rows(tmp_path / "rows.jsonl", rows)
    decided = {row["id"]: row for row in route_rows(Router.load(auto.bundle), read_requests(path))}
    events = auto.events([reply.decision["id"] for reply in replies])
    assert reports.check(rows, replies, decided, events) == []
    assert sum(event.fallback is not None for event in events) > 3
    assert {event.route for event in events} == {"cheap", "frontier"}


def test_fallback_answer_is_the_frontier_models_and_both_are_paid_for(auto):
    reply, event = auto.ask(messages=bad_row(), **EASY)
    assert "An answer of the frontier model." in reply.text
    assert reply.decision | {"id": ""} == {"id": "", "route": "cheap", "reason": "easy_task", "fallback": "validation"}
    assert [(call.role, call.passed, call.cost_usd is not None) for call in event.calls] == [
        ("answer", False, True),
        ("fallback", True, True),
    ]
    assert event.cost_usd == pytest.approx(sum(call.cost_usd for call in event.calls))


@pytest.mark.parametrize(
    ("fault", "cause"), [("429", "rate_limit"), ("500", "error"), ("malformed", "error"), ("hang", "timeout"), ("choices", "validation")]
)
@pytest.mark.parametrize("mode", ["auto_router", "hook"])
def test_cheap_model_in_trouble_is_answered_for_by_the_frontier_model(running, mode, fault, cause):
    reply, event = running[mode].ask(f"[fault:{fault}] Hello", **EASY)
    assert reply.status == 200
    assert "frontier model" in reply.text
    assert (event.route, event.fallback, event.outcome) == ("cheap", cause, "answered")
    assert [(call.role, call.side) for call in event.calls if call.role != "shadow"] == [("answer", "cheap"), ("fallback", "frontier")]


def test_stream_is_sent_on_unchecked_and_its_verdict_logged(auto):
    reply, event = auto.ask(messages=bad_row(), stream=True, **EASY)
    assert "frontier" not in reply.text
    assert reply.text.rstrip().endswith("data: [DONE]")
    assert (event.streamed, event.fallback, event.calls[0].passed) == (True, None, False)
    assert event.calls[0].completion_tokens is None


def test_stream_tells_its_tokens_where_the_client_asks_for_them(auto):
    _, event = auto.ask(stream=True, stream_options={"include_usage": True})
    assert (event.calls[0].prompt_tokens, event.calls[0].completion_tokens) == (10, 5)


def test_stream_that_is_held_back_falls_back(hook):
    reply, event = hook.ask(messages=bad_row(), stream=True, **EASY)
    words = [json.loads(line[6:])["choices"] for line in reply.text.splitlines() if line.startswith("data: {")]
    assert "".join(choice["delta"].get("content") or "" for choices in words for choice in choices) == "An answer of the frontier model."
    assert (event.fallback, [call.role for call in event.calls]) == ("validation", ["answer", "fallback"])


def test_stream_that_is_held_back_and_passes_is_the_cheap_models(hook):
    reply, event = hook.ask(stream=True, **EASY)
    assert "cheap" in reply.text
    assert event.fallback is None


def test_stream_that_breaks_is_logged(auto):
    """LiteLLM goes on with the frontier model where nothing useful was sent yet; whatever it does, there is an event that says so."""
    _, event = auto.ask("[fault:cut] Hello", stream=True, **EASY)
    assert event.fallback == "error" or event.outcome == "failed"
    assert event.calls[0].error is not None


def test_request_for_a_model_by_name_is_left_alone(auto):
    reply = client.ask(auto.proxy, {"model": "cheap", "messages": [{"role": "user", "content": "Hello"}]})
    assert (reply.status, reply.decision) == (200, {})


IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]}]
LONG = [{"role": "assistant" if number % 2 else "user", "content": f"Message {number}"} for number in range(301)]
TOOLS = [{"type": "function", "function": {"name": "unknown", "parameters": {"type": "object"}}}]


@pytest.mark.parametrize("mode", ["auto_router", "hook"])
@pytest.mark.parametrize(
    ("body", "reason"),
    [({"messages": IMAGE}, "scorer_error"), ({"messages": []}, "scorer_error"), ({"messages": LONG}, None), ({"tools": TOOLS}, None)],
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
    """Its auto router does not ask the classifier where no user message is, and takes the default model."""
    reply, event = auto.ask(messages=[{"role": "system", "content": "Be brief."}])
    assert "frontier model" in reply.text
    assert (event.route, event.reason, event.propensity) == ("frontier", "gateway", 1.0)


def test_hook_explores_and_asks_the_other_model_beside_it(hook):
    """What each request does is what its id says; its shadow call is in its event and not in its time or cost."""
    rows = known_rows(40)
    replies = client.send(hook.proxy, rows, at_once=10)
    events = hook.events([reply.decision["id"] for reply in replies])
    settings = read_bundle(hook.bundle).policy.exploration
    assert settings == Exploration(epsilon=0.5, shadow=0.5)
    for event in events:
        routed = explore(event.policy_route, event.reason, settings, id=event.id)
        assert (event.route, event.propensity) == (routed.route, routed.propensity)
        shadow = [call.side for call in event.calls if call.role == "shadow"]
        assert shadow == (["frontier" if event.route == "cheap" else "cheap"] if routed.shadow and event.fallback is None else [])
    assert any(event.route != event.policy_route for event in events)
    assert any(call.role == "shadow" for event in events for call in event.calls)


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
