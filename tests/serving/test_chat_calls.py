"""OpenAI's client in front of the service, LiteLLM's SDK behind it, and two models on loopback that
do as they are told.
"""

import http.client
import importlib
import json
import threading
import time
from contextlib import ExitStack, contextmanager

import pytest
from starlette.responses import JSONResponse

from difficulty.gateway.log_files import read_log
from difficulty.gateway.settings import parse_settings
from difficulty.integrations.litellm_config import Upstream
from difficulty.serving.api_keys import ApiKeys
from difficulty.serving.asgi_server import Service
from difficulty.serving.served import build_service
from tests.answer_checks import write_with_check
from tests.bundle.conftest import SAVED
from tests.serving.conftest import ask, connected, wait_for_event
from tests.telemetry.conftest import read_text

pytest.importorskip("litellm", exc_type=ImportError)
openai = pytest.importorskip("openai")
models = importlib.import_module("examples.litellm.upstream")

# LiteLLM's own, of its types; as errors they end its streams.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
SECRET = "a-key-of-the-tests"
EASY, HARD = ({"metadata": {"task": task}} for task in ("classify", "multi-step planning"))
GOOD, POOR = "[say:w20 is good] ", "[say:w150 is poor] "
"""What the cheap model is told to say: the first word is what the check of answers reads."""


@contextmanager
def running(service):
    thread = threading.Thread(target=service.run_until_stopped)
    thread.start()
    try:
        yield service
    finally:
        service.stop()
        thread.join()


class Counted:
    """The models' application, with what it was asked."""

    def __init__(self):
        self.app, self.asked, self.is_broken = models.app({}), [], False

    def count_refusal(self, status):
        """Count nothing."""

    async def __call__(self, scope, receive, send):
        """Answer one call, after noting whose it is."""
        if scope["type"] == "http":
            self.asked.append(scope["path"].split("/")[1])
        if self.is_broken:
            refusal = {"error": {"message": "Incorrect API key: sk-1", "code": "invalid_api_key"}}
            await JSONResponse(refusal, status_code=401)(scope, receive, send)
            return
        await self.app(scope, receive, send)


class Stack:
    """A service before two models, and its clients."""

    def __init__(self, service, upstream, log):
        self.service, self.upstream, self.log = service, upstream, log
        address = f"http://127.0.0.1:{service.port}/v1"
        self.client = openai.OpenAI(base_url=address, api_key=SECRET, max_retries=0, timeout=30)

    def ask(self, text, **options):
        """Return a completion, the headers and the models that were asked."""
        del self.upstream.asked[:]
        reply = self.client.chat.completions.with_raw_response.create(
            model="auto", messages=[{"role": "user", "content": text}], **options
        )
        return reply, list(self.upstream.asked)

    def event(self, name):
        """Wait for the event of a request."""
        return wait_for_event(self.log, name)


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serving")
    rule = {"kind": "both", "threshold": 0.5, "request_threshold": 0.6}
    policy = {"fallback": {"streaming": "buffer"}, "max_cheap_tokens": 100}
    write_with_check(SAVED, folder / "words-1", rule=rule, policy=policy)
    with ExitStack() as held:
        held.enter_context(pytest.MonkeyPatch.context()).setenv("UPSTREAM_KEY", "not-needed")
        upstream = Counted()
        far = held.enter_context(running(Service(upstream, port=0, stop_s=0.2)))
        upstreams = {
            side: Upstream(
                model=f"openai/{side}",
                api_base=f"http://127.0.0.1:{far.port}/{side}/v1",
                api_key="os.environ/UPSTREAM_KEY",
                timeout_s=0.5 if side == "cheap" else 20.0,
            )
            for side in ("cheap", "frontier")
        }
        log = {"kind": "json_lines", "path": str(folder / "log")}
        settings = parse_settings(
            {"bundle": str(folder / "words-1"), "log": [log], "log_texts": True, "salt": "pepper"}
        )
        service = build_service(
            settings, upstreams=upstreams, keys=ApiKeys(stated=f"tests={SECRET}"), port=0
        )
        yield Stack(held.enter_context(running(service)), upstream, folder / "log")


def test_cheap_answers_what_is_easy_and_frontier_what_is_hard(stack):
    """Through OpenAI's client; headers and the log say what was decided."""
    reply, asked = stack.ask(GOOD, extra_body=EASY)
    completion = reply.parse()
    assert completion.choices[0].message.content == "w20 is good"
    assert (completion.usage.total_tokens, asked) == (15, ["cheap"])
    told = {name: reply.headers[f"x-difficulty-{name}"] for name in ("route", "reason", "check")}
    assert told == {"route": "cheap", "reason": "easy_task", "check": "within_threshold"}
    event = stack.event(reply.headers["x-difficulty-id"])
    assert (event.route, event.outcome, event.task) == ("cheap", "answered", "classify")
    assert [(call.role, call.side, call.prompt_tokens) for call in event.calls] == [
        ("answer", "cheap", 10)
    ]
    reply, asked = stack.ask("w3", extra_body=HARD)
    assert reply.parse().choices[0].message.content == "An answer of the frontier model."
    assert (asked, reply.headers["x-difficulty-reason"]) == (["frontier"], "hard_task")


def test_answer_that_will_not_do_is_replaced(stack):
    reply, asked = stack.ask(POOR, extra_body=EASY)
    assert reply.parse().choices[0].message.content == "An answer of the frontier model."
    assert asked == ["cheap", "frontier"]
    assert reply.headers["x-difficulty-fallback"] == "validation"
    event = stack.event(reply.headers["x-difficulty-id"])
    assert (event.fallback, event.escalation.escalated) == ("validation", True)
    assert [call.role for call in event.calls] == ["answer", "fallback"]


@pytest.mark.parametrize(
    ("fault", "cause"),
    [("500", "error"), ("429", "rate_limit"), ("hang", "timeout"), ("malformed", "error")],
)
def test_frontier_answers_where_the_cheap_model_fails(stack, fault, cause):
    reply, asked = stack.ask(f"[fault:{fault}] w3", extra_body=EASY)
    assert reply.parse().choices[0].message.content == "An answer of the frontier model."
    assert asked == ["cheap", "frontier"]
    assert reply.headers["x-difficulty-fallback"] == cause
    event = stack.event(reply.headers["x-difficulty-id"])
    assert [bool(call.error) for call in event.calls] == [True, False]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD, "w20 is good"),
        (POOR, "An answer of the frontier model."),
        ("[fault:early] w3", "An answer of the frontier model."),
        ("[fault:cut] w3", "An answer of the frontier model."),
    ],
)
def test_streams_are_held_back_and_replaced_alike(stack, text, said):
    """Nothing of an answer that will not do, or that breaks off, is seen."""
    with stack.client.chat.completions.with_streaming_response.create(
        model="auto", messages=[{"role": "user", "content": text}], stream=True, extra_body=EASY
    ) as reply:
        chunks = list(reply.parse())
        name = reply.headers["x-difficulty-id"]
        assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == said
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert [chunk.usage for chunk in chunks] == [None] * len(chunks)
    event = stack.event(name)
    assert (event.streamed, event.outcome) == (True, "answered")
    assert event.calls[-1].completion_tokens == 5


def test_stream_gives_usage_to_who_asks(stack):
    stream = stack.client.chat.completions.create(
        model="auto",
        messages=[{"role": "user", "content": "w3"}],
        stream=True,
        stream_options={"include_usage": True},
        extra_body=HARD,
    )
    chunks = list(stream)
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == [15]


def test_who_hangs_up_is_logged_as_gone(stack):
    """The call of the model is given up with it."""
    body = {
        "model": "auto",
        "messages": [{"role": "user", "content": "[fault:hang] w3"}],
        "metadata": {"task": "classify"},
    }
    before = {event.id for event in read_log(stack.log)}
    connection = http.client.HTTPConnection("127.0.0.1", stack.service.port, timeout=30)
    head = {"Authorization": f"Bearer {SECRET}"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), head)
    time.sleep(0.3)
    connection.close()
    until = time.monotonic() + 10
    while time.monotonic() < until:
        new = [event for event in read_log(stack.log) if event.id not in before]
        if any(event.outcome == "abandoned" for event in new):
            return
        time.sleep(0.05)
    raise AssertionError("no event says that the client was gone")


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"model": "gpt-5"}, openai.NotFoundError, "model must be auto"),
        ({"messages": []}, openai.BadRequestError, "messages must be a list of objects"),
        ({"extra_body": {"api_base": "http://evil"}}, openai.BadRequestError, "goes to no model"),
        ({"extra_body": {"temprature": 1}}, openai.BadRequestError, "Did you mean temperature?"),
    ],
)
def test_what_is_no_chat_request_is_refused(stack, change, kind, said):
    body = {"model": "auto", "messages": [{"role": "user", "content": "w3"}], **change}
    with pytest.raises(kind, match=said.replace("?", r"\?")):
        stack.client.chat.completions.create(**body)


def test_error_of_both_models_is_told_and_logged(stack):
    """A key that is refused is the operator's matter: no word of it reaches a client."""
    stack.upstream.is_broken = True
    try:
        with pytest.raises(openai.InternalServerError) as failed:
            stack.ask(GOOD, extra_body=EASY)
        with pytest.raises(openai.InternalServerError):
            stack.ask(GOOD, extra_body=EASY, stream=True)
    finally:
        stack.upstream.is_broken = False
    assert (failed.value.status_code, "sk-1" in str(failed.value)) == (502, False)
    event = stack.event(failed.value.response.headers["x-difficulty-id"])
    assert (event.outcome, [call.side for call in event.calls]) == ("failed", ["cheap", "frontier"])


def test_keys_are_asked_for(stack):
    """All but the probe of the platform needs one."""
    with connected(stack.service) as connection:
        for path in ("/v1/models", "/health", "/metrics", "/openapi.json"):
            assert ask(connection, "GET", path)[0] == 401
        status, refused = ask(
            connection, "GET", "/v1/models", None, {"Authorization": "Bearer nobody's"}
        )
        assert (status, refused["error"]["code"]) == (401, "invalid_api_key")
        assert ask(connection, "GET", "/healthz") == (200, {"status": "ok"})
        assert ask(connection, "GET", "/v1/models", None, {"x-api-key": SECRET})[0] == 200
    assert [model.id for model in stack.client.models.list()] == ["auto"]


def test_request_ids_come_back(stack):
    reply, _ = stack.ask(GOOD, extra_headers={"x-request-id": "mine-7"}, extra_body=EASY)
    assert reply.headers["x-request-id"] == "mine-7"
    assert reply.headers["x-difficulty-id"] != "mine-7"  # clients may not set it here
    reply, _ = stack.ask(GOOD, extra_headers={"x-request-id": "two words"}, extra_body=EASY)
    assert len(reply.headers["x-request-id"]) == 32


def test_prometheus_counts_chat_requests(stack):
    stack.ask(GOOD, extra_body=EASY)
    with connected(stack.service) as connection:
        connection.request("GET", "/metrics", headers={"x-api-key": SECRET})
        samples = read_text(connection.getresponse().read().decode())
    calls = {key: value for key, value in samples.items() if key[0] == "difficulty_calls_total"}
    assert sum(calls.values()) >= 1
    path = ("path", "/v1/chat/completions"), ("status", "200")
    assert samples["difficulty_service_answers_total", *path] >= 1


def test_description_is_openapi(stack):
    from fastapi.openapi.models import OpenAPI

    with connected(stack.service) as connection:
        status, told = ask(connection, "GET", "/openapi.json", None, {"x-api-key": SECRET})
    assert status == 200
    described = OpenAPI.model_validate(told)
    assert {*described.paths} == {*stack.service.app._answering}
    references = json.dumps(told).split('"#/components/schemas/')[1:]
    assert {text.partition('"')[0] for text in references} <= {*told["components"]["schemas"]}
