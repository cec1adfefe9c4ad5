"""Checks that take long end at a deadline, in processes that are ended; nobody else waits."""

import asyncio
import json
import os
import time

import pytest

from difficulty.answers.answer import Answer, Asked, ToolCall
from difficulty.events import Check
from difficulty.gateway.checking import LARGEST_SCHEMA, Checking
from difficulty.gateway.validators import Checker
from difficulty.routes import ValidatorRule

ANSWER, ASKED = Answer('"x"'), Asked()


def doubling(levels):
    """Return a schema of which each level asks twice for the one below: 1.1 kB for 17 levels."""
    parts = {"a0": {"type": "string"}}
    for level in range(1, levels + 1):
        below = {"$ref": f"#/$defs/a{level - 1}"}
        parts[f"a{level}"] = {"allOf": [below, below]}
    return {"$defs": parts, "$ref": f"#/$defs/a{levels}"}


def asked_with(schema):
    return Asked(response_format={"type": "json_schema", "json_schema": {"schema": schema}})


def hang(answer, asked):
    """Never come back from ``stop``; else do."""
    while answer.text == "stop":
        pass
    return True


def process_of(answer, asked):
    """Fail where the gateway itself asks."""
    return os.getpid() != int(answer.text)


def rules(*checks, **options):
    return [ValidatorRule(check=check, options=options.get(check, {})) for check in checks]


def python(name):
    return {"python": {"function": f"{__name__}:{name}"}}


@pytest.fixture
def begun():
    """Return what checks answers, its processes begun."""

    def begin(checks, *, timeout_s=0.5):
        checker = Checker(checks, allowed=["tests"])
        checking = Checking(timeout_s=timeout_s)
        checking.warm_up(checker, wait=True)
        return lambda answer, asked=ASKED: checking.begin(checker, answer, asked)

    return begin


def test_schema_that_doubles_with_each_level_ends_as_unknown(begun):
    """What the quick checks say is kept, and the next schema is checked as ever."""
    begin = begun(rules("non_empty", "json_schema"))
    pending = begin(ANSWER, asked_with(doubling(40)))
    assert pending.wait() == (
        Check(name="non_empty", passed=True),
        Check(name="json_schema", passed=None, detail="took longer than 0.5 s"),
    )
    end = time.monotonic() + 30.0
    # Another process takes its time to begin, more of it on a busy machine.
    while None in [check.passed for check in begin(ANSWER, asked_with({})).wait()]:
        assert time.monotonic() < end
        time.sleep(0.1)
    for schema, passed in (({"type": "string"}, True), ({"type": "number"}, False)):
        assert [check.passed for check in begin(ANSWER, asked_with(schema)).wait()] == [
            True,
            passed,
        ]


def test_event_loop_and_other_answers_do_not_wait_for_a_schema(begun):
    """Four hostile answers at once keep a client's lane busy; a policy's own pattern is matched
    beside them, and the loop is on time.
    """
    begin = begun(rules("json_schema", "regex", regex={"pattern": "x"}), timeout_s=1.0)
    late = []

    async def tick():
        while True:
            since = time.perf_counter()
            await asyncio.sleep(0.005)
            late.append(time.perf_counter() - since - 0.005)

    async def check():
        ticking = asyncio.create_task(tick())
        hostile = [begin(ANSWER, asked_with(doubling(40))) for _ in range(4)]
        own = await asyncio.wrap_future(begin(ANSWER).future)
        busy = [not pending.future.done() for pending in hostile]
        for pending in hostile:
            with pytest.raises((TimeoutError, asyncio.TimeoutError)):
                await asyncio.wait_for(asyncio.wrap_future(pending.future), pending.left_s)
        ticking.cancel()
        return own, busy

    own, busy = asyncio.run(check())
    assert [check.passed for check in own] == [True]
    assert busy == [True] * 4
    assert sorted(late)[len(late) // 2] < 0.05


@pytest.mark.parametrize(
    ("schema", "passed"),
    [
        ({"description": "x" * (LARGEST_SCHEMA - 200), "type": "string"}, True),
        ({"description": "x" * LARGEST_SCHEMA, "type": "string"}, None),
        ({"enum": list(range(LARGEST_SCHEMA))}, None),
        ({"enum": [10**200_000]}, None),
    ],
    ids=["as large as may be", "text", "list", "number"],
)
def test_clients_schema_that_is_too_large_is_not_read(begun, schema, passed):
    (check,) = begun(rules("json_schema"), timeout_s=120.0)(ANSWER, asked_with(schema)).wait()
    assert check.passed is passed
    assert passed or check.detail == "a client's schema of more than 32,768 characters"


def test_long_tool_calls_are_judged_in_a_process_as_they_would_be_here(begun):
    """What a check may read of request and answer goes along: here the tool's result."""
    tool = {"name": "tell", "parameters": {"properties": {"whom": {}}, "required": ["whom"]}}
    asked = Asked(text="Tell my boss.", tools=(tool,), context="Your boss is Ines.")
    checks = rules("tool_facts")
    for given in ({"whom": "Ines"}, {"whom": "Marek"}, {}):
        call = ToolCall("tell", json.dumps(given) + " " * 30_000)  # long, so that it takes its time
        answer = Answer("", (call,), "tool_calls", None, (-0.5,), ("tell",))
        pending = begun(checks, timeout_s=120.0)(answer, asked)
        assert pending.future is not None
        (there,), (here,) = pending.wait(), Checker(checks)(answer, asked)
        assert there == here
        assert there.passed is (given == {"whom": "Ines"})


def test_schema_nested_beyond_all_measure_is_unknown(begun):
    schema = {}
    for _ in range(3_000):
        schema = {"not": schema}
    (check,) = begun(rules("json_schema"))(ANSWER, asked_with(schema)).wait()
    assert check.passed is None


def test_function_that_hangs_is_ended_with_its_process(begun):
    """The next answer is checked again."""
    begin = begun(rules("python", **python("hang")))
    assert [check.passed for check in begin(Answer("stop")).wait()] == [None]
    until = time.monotonic() + 60
    while (passed := begin(Answer("go")).wait()[0].passed) is None and time.monotonic() < until:
        time.sleep(0.2)
    assert passed


def test_functions_run_beside_the_gateway_and_after_a_fork_too(begun):
    begin = begun(rules("python", **python("process_of")), timeout_s=60.0)
    assert [check.passed for check in begin(Answer(str(os.getpid()))).wait()] == [True]
    child = os.fork()
    if child == 0:
        passed = [check.passed for check in begin(Answer(str(os.getpid()))).wait()]
        os._exit(0 if passed == [True] else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_quick_checks_need_no_process(begun):
    pending = begun(rules("non_empty", "refusal", "json", "tool_call", "json_schema"))(ANSWER)
    assert pending.future is None
    assert [check.name for check in pending.wait()] == ["non_empty", "refusal", "json"]


def test_process_that_is_killed_is_replaced(begun):
    begin = begun(rules("python", **python("process_of")), timeout_s=60.0)
    begin(Answer("1")).wait()
    for child in _children():
        os.kill(child, 9)
    time.sleep(0.2)
    assert [check.passed for check in begin(Answer("1")).wait()] == [True]


def _children():
    """Return the checking processes of this one."""
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        below = list(map(int, file.read().split()))
    found = []
    for number in below:
        with open(f"/proc/{number}/cmdline", "rb") as file:
            if b"difficulty.gateway.checking" in file.read():
                found.append(number)
    return found
