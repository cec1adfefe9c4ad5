"""Requests of all kinds, and models that answer in all ways, through the service on real sockets:
what is the client's fault is told, what is a model's is answered by the other one, and nothing of
either's inner words comes out.
"""

import http.client
import importlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import NamedTuple

import pytest

from difficulty.bundle import read_bundle, write_bundle
from difficulty.gateway.settings import parse_settings
from difficulty.integrations.litellm_config import Upstream
from difficulty.serving.chat_fields import OURS, RULES
from difficulty.serving.served import build_service
from tests.bundle.conftest import SAVED
from tests.serving.conftest import wait_for_event
from tests.serving.odd_models import FAULTS, FINE, RAW, SECRET_WORD, STREAMS, WHOLE, odd_models

pytest.importorskip("litellm", exc_type=ImportError)
sdk = importlib.import_module("difficulty.integrations.litellm_sdk")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")

LOOKED_UP = {"name": "look_up", "parameters": {"type": "object"}}
GOOD_CALL = {"id": "t-1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
ASK = {"role": "user", "content": "Hello"}
RESULT = {"role": "tool", "tool_call_id": "t-1", "content": "12"}
BAD = {
    "audio": (5, []),
    "frequency_penalty": ("0", True, []),
    "function_call": (5, {}, {"name": 5}),
    "functions": ({}, [5], [{}], [{"name": 5}], [{"name": "f", "parameters": []}]),
    "logit_bias": (5, [], {"50256": "no"}),
    "logprobs": (1, "true"),
    "max_completion_tokens": ("5", 1.5, True),
    "max_tokens": ("5", 1.5, True, [5]),
    "metadata": (5, "task", ["task"]),
    "modalities": ("text", [5]),
    "n": (0, -1, 129, 10**30, "2", 1.5, True),
    "parallel_tool_calls": (1, "no"),
    "prediction": ("text",),
    "presence_penalty": ("0",),
    "prompt_cache_key": (5,),
    "reasoning_effort": (5,),
    "response_format": (5, "json", [], {}, {"type": 5}, {"type": "json_schema"}),
    "safety_identifier": (5,),
    "seed": ("x", 1.5),
    "service_tier": (5,),
    "stop": (5, [5], {}),
    "store": ("yes",),
    "stream": ("true", 1, 0, []),
    "stream_options": (5, "usage", []),
    "temperature": ("hot", True, [], {}),
    "thinking": (5, "yes"),
    "tool_choice": (5, [], {}, {"type": 5}),
    "tools": (5, "text", {}, [5], [{}], [{"type": "function"}], [{"type": "function",
              "function": {"name": 5}}], [{"type": "function", "function": {"name": "f",
              "parameters": 5}}]),
    "top_logprobs": ("x", 1.5),
    "top_p": ("x", []),
    "user": (5, {}, []),
    "verbosity": (5,),
    "web_search_options": (5,),
    "messages": (
        None, 5, "Hello", {}, [], [5], [None], [[]],
        *([{"role": role, "content": "Hello"}] for role in ("bogus", "", None, 5, [], "x" * 5_000)),
        [{"content": "Hello"}],
        *([{"role": "user", "content": content}] for content in (
            None, 5, True, {}, [], [5], [None], [[]], [{}], [{"type": 5}], [{"type": "text"}],
            [{"type": "text", "text": 5}], [{"type": "tool_result"}], [{"type": "image_url"}],
            [{"type": "image_url", "image_url": 5}], [{"type": "image_url", "image_url": {}}],
        )),
        [{"role": "user"}],
        *([ASK, {"role": "assistant", "content": None, "tool_calls": calls}] for calls in (
            5, {}, "text", [5], [{}], [{"id": "t-1", "function": 5}],
            [{"id": "t-1", "function": {"name": 5}}], [{**GOOD_CALL, "id": 5}],
            [{**GOOD_CALL, "function": {"name": "f", "arguments": 5}}],
        )),
        [ASK, {"role": "tool", "content": "12"}],
        [ASK, {**RESULT, "tool_call_id": 5}],
    ),
}  # fmt: skip
"""Values that no model can take, by field."""
GOOD = {
    "logit_bias": ({"50256": -100},),
    "max_tokens": (5, None),
    "metadata": ({}, {"task": 5}, {"prompt_tokens": "many"}, None),
    "n": (1,),
    "response_format": ({"type": "json_object"}, {"type": "json_schema", "json_schema": {}}),
    "stop": ("end", ["end"], []),
    "stream_options": ({}, {"include_usage": False}),
    "temperature": (0, 1.5, None),
    "tool_choice": ("auto", "none"),
    "tools": ([{"type": "function", "function": LOOKED_UP}],),
    "user": ("u" * 100_000,),
    "messages": (
        [{"role": "system", "content": "Be brief."}, ASK],
        [{"role": "developer", "content": [{"type": "text", "text": "Be brief."}]}, ASK],
        [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
        [{"role": "user", "content": "NUL \0 and \U0001f600"}],
        [ASK, {"role": "assistant", "content": None, "tool_calls": [GOOD_CALL]}, RESULT],
        [ASK, {"role": "assistant", "content": "Hm."}, {**ASK, "name": "ann"}],
    ),
}
RAW_BODIES = {
    b"": "a request must be JSON: it is empty",
    b"{": "a request must be JSON: it ends too soon",
    b"[" * 100_000: "a request must be nested at most 200 deep",
    b'{"model": "auto", "messages": [{"role": "user", "content": "\\ud800"}]}': "half of a char",
    b'{"model": "auto", "temperature": NaN}': "a number is too large, or none",
    b"5": "a chat request must be a JSON object: got a number",
    b"null": "a chat request must be a JSON object: got null",
}
ANSWERED = {False: {"call", "old_call", "refusal"}, True: {"call", "no_end"}}
"""Answers of the cheap model that count as one, by whether they are streamed."""
HALF = {"error_later", "short", "pause"}
"""Streams that break off after a word was sent."""
LATE = {"hang", "drip", "pause"}
SAID_NOTHING = {"empty", "blank", "null", "cut_to_nothing", "filtered", "no_calls", "thought",
                "only_role", "number", "refusal", "null_delta"}  # fmt: skip
"""What says nothing and why: passed on of the frontier model, which nobody comes after."""


class Told(NamedTuple):
    """What a client was told."""

    status: int
    headers: dict
    body: str
    asked: list

    @property
    def said(self):
        """The answer's text; of a stream, of all that came."""
        if self.headers["content-type"].startswith("text/event-stream"):
            lines = [line[6:] for line in self.body.split("\n") if line.startswith("data: {")]
            choices = [choice for line in lines for choice in json.loads(line).get("choices", ())]
            return "".join(choice["delta"].get("content") or "" for choice in choices)
        choices = json.loads(self.body).get("choices")
        return choices and choices[0]["message"]["content"]

    @property
    def error(self):
        """What stands under ``error``."""
        return json.loads(self.body)["error"]


def _last_text(body):
    with suppress(AttributeError, IndexError, KeyError, TypeError):
        return str(body["messages"][-1]["content"])


class Asking:
    """The service between a client and odd models."""

    def __init__(self, service, models, log):
        self.service, self.models, self.log = service, models, log

    def ask(self, body):
        """Return what a client is told; a body of bytes is sent as it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.service.port, timeout=60)
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            connection.request("POST", "/v1/chat/completions", content)
            reply = connection.getresponse()
            text = reply.read().decode()
        finally:
            connection.close()
        headers = {name.lower(): value for name, value in reply.headers.items()}
        return Told(reply.status, headers, text, self.models.asked.get(_last_text(body), []))

    def event(self, name):
        """Wait for the event of a request."""
        return wait_for_event(self.log, name)

    def ask_models(self, case):
        """Ask for an answer of each model; the number keeps streams apart."""
        cheap, frontier, is_streamed = case
        text = f"cheap={cheap} frontier={frontier} streamed={is_streamed}"
        body = {"model": "auto", "stream": is_streamed, "metadata": {"task": "classify"}}
        return self.ask({**body, "messages": [{"role": "user", "content": text}]})


BOTH = (
    {
        "no_choices",
        "empty",
        "filtered",
        "error_body",
        "html",
        "broken",
        "400",
        "401",
        "429",
        "reset",
    },
    {"no_events", "only_role", "error_first", "no_json", "html", "429", "hang", "drip"},
)
"""What the frontier model is told to do too."""
CASES = [
    (name, frontier, is_streamed)
    for is_streamed, known in ((False, (*WHOLE, *RAW)), (True, (*STREAMS, "html", "429", "500")))
    for name in (*known, *FAULTS)
    for frontier in ("fine", name)
    if frontier == "fine" or name in BOTH[is_streamed]
]


@pytest.fixture(scope="module")
def asking(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    saved = read_bundle(SAVED)
    policy = {**saved.policy.as_dict(), "max_cheap_tokens": 100}
    files = {**saved.files, "policy.json": json.dumps(policy).encode()}
    write_bundle(folder / "words-1", files, saved.manifest.as_dict(without={"files", "sha256"}))
    with ExitStack() as held:
        patch = held.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("UPSTREAM_KEY", "not-needed")
        # What providers have us wait before a second call is not what is looked at here.
        patch.setattr(sdk, "_RETRIES", {"cheap": 0, "frontier": 0})
        patch.setattr(sdk, "_WAIT_S", {"cheap": 0.1, "frontier": 0.1})
        models, address = held.enter_context(odd_models())
        upstreams = {
            side: Upstream(
                model=f"openai/{side}",
                api_base=f"{address}/{side}/v1",
                api_key="os.environ/UPSTREAM_KEY",
                timeout_s=1.0,
            )
            for side in ("cheap", "frontier")
        }
        log = {"kind": "json_lines", "path": str(folder / "log")}
        settings = parse_settings({"bundle": str(folder / "words-1"), "log": [log]})
        service = build_service(settings, upstreams=upstreams, port=0)
        thread = threading.Thread(target=service.run_until_stopped)
        thread.start()
        try:
            asking = Asking(service, models, folder / "log")
            for is_streamed in (False, True):  # what it loads is no answer's time
                asking.ask_models(("fine", "fine", is_streamed))
                asking.ask_models(("fine", "html", is_streamed))
            first = {"role": "user", "content": "warm up"}
            asking.ask({"model": "auto", "messages": [first], "tools": GOOD["tools"][0]})
            yield asking
        finally:
            service.stop()
            thread.join()


@pytest.fixture(scope="module")
def told(asking):
    """What clients were told by each case, all of them asked at once."""
    with ThreadPoolExecutor(12) as pool:
        return dict(zip(CASES, pool.map(asking.ask_models, CASES), strict=True))


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_whatever_models_answer_the_client_gets_an_answer_or_a_plain_error(told, case):
    (name, frontier, is_streamed), reply = case, told[case]
    for word in (SECRET_WORD, "litellm", "Traceback", "Exception"):
        assert word not in reply.body
    if is_streamed and name in HALF:
        assert (reply.status, reply.said, reply.asked) == (200, "Half ", ["cheap"])
        assert '"code": ' in reply.body
        return
    if name in ANSWERED[is_streamed]:
        assert (reply.status, reply.asked) == (200, ["cheap"])
        return
    assert reply.asked == ["cheap", "frontier"]
    cause = "timeout" if name in LATE else "rate_limit" if name == "429" else "error"
    assert reply.headers["x-difficulty-fallback"] == cause
    if frontier == "fine":
        assert (reply.status, reply.said) == (200, FINE["frontier"])
    elif name in SAID_NOTHING and not (name == "number" and not is_streamed):
        assert (reply.status, (reply.said or "").strip()) == (200, "")
    else:
        status = {"400": 400, "429": 429}.get(name, 504 if name in LATE else 502)
        assert reply.status == status
        assert {*reply.error} == {"message", "type", "param", "code"}


def test_refusals_stand_where_openai_has_them(told):
    message = json.loads(told["refusal", "fine", False].body)["choices"][0]["message"]
    assert message == {"role": "assistant", "content": None, "refusal": "I will not.",
                       "provider_specific_fields": {"refusal": "I will not."}}  # fmt: skip


def test_answers_that_say_nothing_are_noted_as_errors(asking, told):
    """With what they took: they are paid for."""
    name = told["empty", "fine", False].headers["x-difficulty-id"]
    event = asking.event(name)
    calls = [(call.side, call.error, call.completion_tokens) for call in event.calls]
    assert calls == [("cheap", "empty", 5), ("frontier", None, 5)]
    assert (event.fallback, event.outcome) == ("error", "answered")
    for cheap in ("only_role", "429"):
        name = asking.ask_models((cheap, "only_role", True)).headers["x-difficulty-id"]
        event = asking.event(name)
        assert [call.role for call in event.calls] == ["answer", "fallback"]
    name = told["no_choices", "no_choices", False].headers["x-difficulty-id"]
    event = asking.event(name)
    calls = [(call.role, call.error) for call in event.calls]
    assert calls == [("answer", "empty"), ("fallback", "empty")]
    assert event.outcome == "failed"


def test_every_field_that_goes_to_the_models_has_a_rule():
    assert {*RULES} == (sdk.PASSED_ON | OURS) - {"messages", "model"}
    assert {*BAD} == {*RULES, "messages"}


@pytest.mark.parametrize("field", BAD)
def test_values_of_another_kind_are_refused_by_name(asking, field):
    """Before anything is asked, and without a word of what came."""
    for value in BAD[field]:
        reply = asking.ask({"model": "auto", "messages": [ASK], field: value})
        assert (reply.status, reply.asked) == (400, []), value
        assert (reply.error["param"], reply.error["code"]) == (field, "invalid_request_error")
        said = reply.error["message"]
        assert said.startswith(field)
        assert len(said) < 300
        for word in ("dict", "NoneType", "bogus", "Hello"):
            assert word not in said.split("got")[-1]


@pytest.mark.parametrize("field", GOOD)
def test_values_that_models_take_go_on(asking, field):
    for value in GOOD[field]:
        reply = asking.ask({"model": "auto", "messages": [ASK], field: value})
        assert reply.status == 200, (value, reply.body)


@pytest.mark.parametrize("body", RAW_BODIES, ids=range(len(RAW_BODIES)))
def test_bodies_that_are_no_chat_requests_are_refused(asking, body):
    reply = asking.ask(body)
    assert reply.status == 400
    assert RAW_BODIES[body] in reply.error["message"]


@pytest.mark.parametrize("model", [None, 5, [], {}, "gpt-5", "x" * 5_000])
def test_other_models_are_not_known(asking, model):
    reply = asking.ask({"model": model, "messages": [ASK]})
    assert (reply.status, reply.error["code"]) == (404, "model_not_found")
    assert len(reply.error["message"]) < 100
