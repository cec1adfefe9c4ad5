"""Answers as no model should send them: each gets a verdict, nothing of it is said, none takes
long.
"""

import json
import logging
import random
import time
import traceback
from pathlib import Path

import pytest

from difficulty.answers.answer import Answer, ToolCall
from difficulty.gateway.requests import Gateway
from difficulty.runtime import Router
from tests.answer_checks import write_with_check
from tests.attack.conftest import sized
from tests.attack.grammar import (
    SECRET,
    TASKS,
    message,
    messages,
    structure,
    task,
    text,
    tool_calls,
    value,
)
from tests.attack.test_requests import LONGEST_ERROR, LONGEST_WARNING, Heard
from tests.attack.workers import attack
from tests.bundle.conftest import SAVED

BATCH = 50
SLOW_S = 2.0
"""Processor time of one check, on a machine that does other things too."""


def fuzz(findings, folder, *, seed, count):
    """Check ``count`` answers, by a router and by a gateway in turns."""
    logger, heard = logging.getLogger("difficulty.runtime"), Heard()
    logger.addHandler(heard)
    logger.propagate = False
    write_with_check(SAVED, Path(folder) / "words-1", rule={"on_unknown": "escalate"})
    router, counts = Router.load(Path(folder) / "words-1"), findings.counts
    gateway = Gateway(router, validation_timeout_s=5.0)
    for start in range(0, count, BATCH):
        rng = random.Random(f"{seed} {start}")
        with findings.case(f"batch {start} of seed {seed}", cpu_s=60.0):
            for _ in range(min(BATCH, count - start)):
                counts["cases"] += 1
                one = (router, through_router) if rng.random() < 0.7 else (gateway, through_gateway)
                began = time.process_time()
                try:
                    judge(one[1](one[0], rng), findings)
                except BaseException:
                    findings.fault("raised", traceback.format_exc()[-450:])
                took = time.process_time() - began
                counts["slowest ms"] = max(counts["slowest ms"], round(1000 * took))
                if took > SLOW_S:
                    findings.fault("slow", f"{took:.1f} s, batch {start}")
        for said in heard.messages:
            counts["warnings"] += 1
            if SECRET in said or len(said) > LONGEST_WARNING:
                findings.fault("leaking or long warnings", said)
        heard.messages.clear()


def through_router(router, rng):
    """Return the verdict on an answer of the grammar."""
    return router.check(asking(rng), answer(rng), task=task(rng))


def through_gateway(gateway, rng):
    """Return what a gateway notes of a chat completion of the grammar."""
    body = {"messages": messages(rng), "tools": tools(rng), "tool_choice": value(rng)}
    visit = gateway.open(body, id="r", task=rng.choice(TASKS), tokens=3)
    visit.routed = visit.routed._replace(route="cheap")
    given = rng.choice((completion, completion, lambda rng: None))(rng)
    read = Answer.of(given) if isinstance(given, dict) else Answer()
    gateway.falls_back(visit, gateway.note(visit, "answer", answer=read))
    event = gateway.close(visit)
    json.dumps(event.as_dict(), allow_nan=False)
    return event.escalation


def judge(verdict, findings):
    """Find what must not stand in a verdict."""
    findings.counts[verdict.reason] += 1
    if verdict.error is not None and (
        SECRET in verdict.error or len(verdict.error) > LONGEST_ERROR
    ):
        findings.fault("leaking or long errors", verdict.error)
    if SECRET in json.dumps(verdict.as_dict(), allow_nan=False):
        findings.fault("leaking verdicts", verdict.reason)
    if verdict.reason not in ("above_threshold", "within_threshold", "unknown"):
        findings.fault("odd reasons", verdict.reason)


def asking(rng):
    """Return what stands for a request."""
    kind = rng.random()
    if kind < 0.5:
        return {"messages": messages(rng), "tools": tools(rng)}
    return messages(rng) if kind < 0.9 else value(rng)


def answer(rng):
    """Return what stands for an answer."""
    made = (text, odd_text, message, completion, spoken, read_answer, value)
    return rng.choice(made)(rng)


def spoken(rng):
    """Return a message of the assistant."""
    made = {"role": "assistant", "content": rng.choice((text, odd_text, value))(rng)}
    if rng.random() < 0.5:
        made["tool_calls"] = calls(rng)
    if rng.random() < 0.2:
        made["refusal"] = rng.choice((text, value))(rng)
    return made


def completion(rng):
    """Return a chat completion, some choices with odd log probabilities."""
    choices = [
        value(rng)
        if rng.random() < 0.1
        else {
            "message": spoken(rng) if rng.random() < 0.9 else value(rng),
            "finish_reason": rng.choice(("stop", "length", None, 7, value(rng))),
            "logprobs": logprobs(rng),
        }
        for _ in range(rng.choice((0, 1, 1, 2, 5)))
    ]
    return {"choices": choices if rng.random() < 0.9 else value(rng)}


def logprobs(rng):
    """Return what stands for log probabilities."""
    if rng.random() < 0.3:
        return value(rng)
    odd = (-0.1, 0.0, 5.0, -1e308, float("nan"), float("-inf"), None, "x", 10**400, True)
    tokens_ = [
        {"token": text(rng)[:5], "logprob": rng.choice(odd)} for _ in range(rng.randint(0, 9))
    ]
    return {"content": rng.choice((tokens_, value(rng)))}


def calls(rng):
    """Return tool calls, some of them with text that is no JSON."""
    if rng.random() < 0.5:
        return tool_calls(rng)
    arguments = ('{"a": ', "[" * 10_000, '{"a": ' * 3_000, "9" * 5_000, "{}", "", "null", SECRET)
    return [
        {"type": "function", "function": {"name": "f", "arguments": rng.choice(arguments)}}
        for _ in range(rng.choice((1, 2, 300)))
    ]


def tools(rng):
    """Return what stands for the offered tools."""
    if rng.random() < 0.3:
        return value(rng)
    return [
        value(rng)
        if rng.random() < 0.1
        else {
            "type": "function",
            "function": {"name": "f", "parameters": rng.choice((schema, structure, value))(rng)},
        }
        for _ in range(rng.choice((0, 1, 3, 200)))
    ]


def schema(rng):
    """Return a schema, at times one that names itself."""
    made = {
        "type": rng.choice(("object", ["object", 7], value(rng))),
        "required": rng.choice((["a"], ["a", 7], "a", value(rng))),
        "properties": {
            "a": {"type": "string", "enum": ["x", None, [1]]},
            "b": {"$ref": rng.choice(("#", "#/$defs/b", "http://127.0.0.1/x"))},
            text(rng)[:30]: value(rng),
        },
        "$defs": {"b": {"$ref": "#/$defs/b"}},
    }
    if rng.random() < 0.1:
        made["properties"]["c"] = made
    return made


def odd_text(rng):
    """Return text that an unwary reader takes for ever over, or cannot read."""
    made = (
        lambda: "",
        lambda: " \n\t" * 1_000,
        lambda: "a = " * 10_000 + "1",
        lambda: "1 + " * 10_000 + "= 3",
        lambda: "(" * 20_000,
        lambda: f"{'9' * 5_000} * {'9' * 5_000} = 1",
        lambda: "\\frac{" * 3_000,
        lambda: "\\boxed{" * 3_000 + "}" * 3_000,
        lambda: "<tool_call>" * 2_000,
        lambda: "#### " * 2_000,
        lambda: '{"role": "assistant", "content": ' * 500,
        lambda: "A) x " * 2_000 + "Answer: B",
        lambda: "f(" * 3_000 + ")" * 3_000,
        lambda: f"[{'f(x=1), ' * 2_000}]",
        lambda: "\u0660\u0661 + ١ = ²" * 500,
        lambda: "𝟙 + ½ = 三" * 500,
        lambda: "x" * rng.choice((4_095, 4_096, 4_097, 8_193)),
        lambda: "\ud800" * 5_000,
        lambda: ("Who? " * 100 + "\n") * 100,
    )
    return rng.choice(made)() + (SECRET if rng.random() < 0.5 else "")


def read_answer(rng):
    """Return an answer that was read, with parts of any size."""
    asked = (ToolCall("f", rng.choice(("{}", "[" * 1_000, SECRET))),) * rng.choice((0, 1, 1_000))
    return Answer(
        odd_text(rng),
        asked,
        rng.choice(("stop", "length", None)),
        rng.choice((None, text(rng))),
        rng.choice((None, (-0.5, -2.0), (0.0,) * 10_000)),
        rng.choice(((), (text(rng),), (odd_text(rng),) * 50)),
    )


def test_three_hundred_fuzzed_answers(tmp_path, tally):
    """The short form of the attack below."""
    options = {"seed": 1, "count": 300, "cpu_s": 300}
    tally("answers, short", attack(tmp_path, f"{__name__}:fuzz", **options))


@pytest.mark.slow
def test_fuzzed_answers(tmp_path, tally):
    """60,000 of them."""
    tally("answers", attack(tmp_path, f"{__name__}:fuzz", seed=0, count=sized(60_000)))


@pytest.mark.parametrize("kind", ["text", "words", "digits", "calls", "arguments", "choices"])
def test_ten_megabytes_are_no_more_work_than_a_page(tmp_path, kind):
    """Head and tail are read; what is joined and cut takes some tens of milliseconds."""
    write_with_check(SAVED, tmp_path / "words-1")
    router = Router.load(tmp_path / "words-1")
    size = 10_000_000
    call = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    huge = {"type": "function", "function": {"name": "f", "arguments": '{"a": "' + "x" * size}}
    made = {
        "text": lambda: "x" * size,
        "words": lambda: "w7 w8 " * (size // 6),
        "digits": lambda: "9" * size,
        "calls": lambda: {"role": "assistant", "tool_calls": [call] * 100_000},
        "arguments": lambda: {"role": "assistant", "tool_calls": [huge]},
        "choices": lambda: {"choices": [{"message": {"content": "x" * (size // 100)}}] * 100},
    }[kind]()
    body = {"messages": [{"role": "user", "content": "w1"}], "tools": [call | {"name": "f"}]}
    began = time.process_time()
    verdict = router.check(body, made)
    assert time.process_time() - began < SLOW_S
    assert verdict.error is None
