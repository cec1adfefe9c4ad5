"""A real LiteLLM proxy and what clients, models and caches do to it."""

import concurrent.futures
import importlib.util
import json
import statistics
import threading
import time

import httpx
import pytest

from difficulty.recipe import PolicySettings
from difficulty.stages.ship import ship
from tests.gateway.test_checking import doubling
from tests.integrations.gateways import RULES, Running, proxies, started_together, write_config
from tests.journey import DRAWS

pytestmark = [
    pytest.mark.gateway,
    pytest.mark.skipif(
        importlib.util.find_spec("litellm") is None, reason="needs the extra gateway"
    ),
]

EASY = {"metadata": {"task": "classify"}}
CACHE = "  cache: true\n  cache_params:\n    type: local\n"


@pytest.fixture(scope="module")
def running(journey, tmp_path_factory):
    """A proxy with the hook, held-back streams, a check of schemas, and LiteLLM's cache."""
    folder = tmp_path_factory.mktemp("hostile")
    rules = RULES | {"validators": (*RULES["validators"], {"check": "json_schema"})}
    ship(
        journey.run,
        folder / "hostile-1",
        policy=PolicySettings(**rules, streaming="buffer"),
        draws=DRAWS,
    )
    with proxies.upstreams(folder) as upstream:
        config = write_config(
            folder / "proxy.yaml",
            folder / "hostile-1",
            upstream,
            *("--hook", "--log", folder / "decisions"),
        )
        written = config.read_text()
        config.write_text(written.replace("litellm_settings:\n", f"litellm_settings:\n{CACHE}"))
        with started_together({"hook": config}) as started:
            proxy = Running(folder / "hostile-1", started["hook"], folder / "decisions")
            proxy.output = config.with_suffix(".log")
            yield proxy


def test_cached_tokens_are_logged_and_a_hit_of_litellms_cache_costs_nothing(running):
    """The same question twice: 4 of its 10 tokens came from the provider's cache, then all of it
    from the proxy's.
    """
    events = [running.ask("[cached:4] Hello", **EASY)[1] for _ in range(2)]
    (first,), (second,) = (event.calls for event in events)
    assert (first.cached_tokens, first.cache_hit, second.cache_hit) == (4, False, True)
    assert first.cost_usd > 0
    assert (second.cost_usd, events[1].cost_usd) == (0.0, 0.0)


@pytest.mark.parametrize("fault", ["cut", "early"])
def test_held_back_stream_that_breaks_is_the_frontier_models(running, fault):
    """Whether LiteLLM goes on by itself, as it does before the first word, or not: the cheap model
    failed, the frontier one answered, and the client sees one answer.
    """
    reply, event = running.ask(f"[fault:{fault}] Hello", stream=True, **EASY)
    assert "Half" not in reply.text
    assert "frontier" in reply.text
    assert (event.route, event.fallback, event.outcome) == ("cheap", "error", "answered")
    assert [(call.role, call.side, call.passed) for call in event.calls] == [
        ("answer", "cheap", False),
        ("fallback", "frontier", True),
    ]


def post(running, content, **headers):
    """Send bytes as they are and return the response."""
    return httpx.post(
        f"{running.proxy.url}/v1/chat/completions",
        content=content,
        headers={"authorization": f"Bearer {running.proxy.key}", **headers},
        timeout=60,
        trust_env=False,
    )


def body_of(text, *, model="auto", **metadata):
    """Return a request as JSON, with strings among the metadata as they are written."""
    form = {"model": model, "messages": [{"role": "user", "content": text}], "metadata": metadata}
    return json.dumps(form)


NUMBERS = {
    "beyond 64 bits": "9223372036854775808",
    "in quotes": '"9223372036854775808"',
    "5,000 digits in quotes": f'"{"9" * 5_000}"',
    "no number": '"many"',
}


@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS)
def test_number_that_no_log_holds_is_answered_and_costs_no_event(running, number):
    """The gateway counts itself, and says in the event what it left out."""
    content = body_of(f"Hello {number[:9]}", prompt_tokens="NUMBER").replace('"NUMBER"', number)
    replies = [post(running, content), post(running, body_of("Hello")), post(running, content)]
    assert [reply.status_code for reply in replies] == [200] * 3
    events = running.events([reply.headers["x-difficulty-id"] for reply in replies])
    notes = ("tokens: no count that 64 bits hold",)
    assert [event.notes for event in events] == [notes, (), notes]
    assert {event.tokens_source for event in events} == {"tokenizer"}


def test_number_that_python_does_not_read_is_no_fault_of_the_proxy(running):
    """5,000 digits bare: LiteLLM refuses such JSON or reads it; either way no hook fails."""
    content = body_of("Hello", prompt_tokens="NUMBER").replace('"NUMBER"', "9" * 5_000)
    assert post(running, content).status_code in (200, 400)
    assert post(running, body_of("Hello")).status_code == 200


def test_lone_surrogate_in_the_task_is_answered_and_costs_no_event(running):
    reply = post(running, body_of("Hello", task="caf\ud83d"))
    assert reply.status_code in (200, 400)  # LiteLLM may refuse what no provider can encode
    if reply.status_code == 200:
        (event,) = running.events([reply.headers["x-difficulty-id"]])
        assert (event.task, event.notes) == (None, ("task: not valid text",))


def test_client_may_not_choose_the_id_unless_told_so(running):
    """The proxy's own ids stay; the one that a client sends is not used."""
    sent = post(running, body_of("Hello"), **{"x-litellm-call-id": "mine"})
    own = post(running, body_of("Hello"))
    assert sent.headers["x-difficulty-id"] != "mine"
    assert own.headers["x-difficulty-id"] == own.headers["x-litellm-call-id"]


@pytest.mark.parametrize("model", ["cheap", "frontier"])
def test_headers_stand_only_where_something_was_decided(running, model):
    """What a client writes among its metadata is not sent back as a decision."""
    mark = {"id": "x", "route": "cheap", "reason": "because", "bundle": "none", "visit": "1"}
    reply = post(running, body_of("Hello", model=model, difficulty=mark))
    assert reply.status_code == 200
    assert [name for name in reply.headers if name.startswith("x-difficulty")] == []


def test_text_of_a_request_stands_neither_in_the_log_nor_in_the_proxys_own(running):
    """A part where a list belongs; the log keeps no texts here."""
    form = json.loads(body_of("Hello"))
    form["messages"][0]["content"] = {"type": "text", "text": "SECRETPATIENT"}
    reply = post(running, json.dumps(form))
    (event,) = running.events([reply.headers["x-difficulty-id"]])
    said = "message content must be a string, a list of content parts or null: got an object."
    assert (event.reason, event.decision_error) == ("scorer_error", said)
    lines = b"".join(file.read_bytes() for file in running.log.iterdir())
    assert b"SECRETPATIENT" not in lines
    ours = [line for line in running.output.read_text().splitlines() if "not scored" in line]
    assert ours
    assert not any("SECRETPATIENT" in line for line in ours)


def took(running, n):
    """Return what ``n`` requests took one after the other, in seconds."""
    times = []
    for number in range(n):
        since = time.perf_counter()
        assert post(running, body_of(f"Hello {number} {since}")).status_code == 200
        times.append(time.perf_counter() - since)
    return times


def test_schema_of_one_client_delays_no_other(running, record_property):
    """Three clients whose schemas take years ask again and again; another one asks beside them.
    Theirs end as "could not tell" after the deadline of a second.
    """
    took(running, 5)
    alone = took(running, 30)
    form = json.loads(body_of("Hello in JSON", task="classify"))
    schema = {"name": "x", "schema": doubling(40)}
    form["response_format"] = {"type": "json_schema", "json_schema": schema}
    hostile, stop = json.dumps(form), threading.Event()

    def attack():
        replies = []
        while not stop.is_set():
            replies.append(post(running, hostile))
        return replies

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        attacks = [pool.submit(attack) for _ in range(3)]
        time.sleep(0.5)
        beside = took(running, 30)
        stop.set()
        replies = [reply for attack in attacks for reply in attack.result()]
    delay = statistics.median(beside) - statistics.median(alone)
    record_property(
        "figures",
        f"{len(replies)} hostile requests delayed others by {delay * 1000:.0f} ms at the median"
        f" ({statistics.median(alone) * 1000:.0f} ms alone), the worst took {max(beside):.2f} s",
    )
    # Where the machine is busy with other things, the proxy alone is late too.
    assert delay < max(0.05, statistics.median(alone))
    assert max(beside) < 1.0 + 5 * statistics.median(alone)
    assert {reply.status_code for reply in replies} == {200}
    for event in running.events([reply.headers["x-difficulty-id"] for reply in replies]):
        checks = {check.name: check.passed for check in event.calls[0].checks}
        assert (checks["json_schema"], checks["non_empty"], event.fallback) == (None, True, None)
