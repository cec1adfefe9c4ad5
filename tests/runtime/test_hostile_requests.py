"""Requests that mean harm, or come from clumsy hands: each is decided, nothing is said of it."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping

import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from difficulty.errors import RequestError
from difficulty.request import request_row
from difficulty.runtime import Request
from difficulty.tokens import RequestTokenizer
from tests.conftest import REPOSITORY
from tests.runtime.conftest import hand_made

SECRET = "SECRETPATIENT"


class Odd:
    """An object of a caller's own, which cannot even be written down."""

    def __str__(self):
        raise LookupError(SECRET)

    __repr__ = __str__


class OddMapping(Mapping):
    """A message that fails when it is read."""

    def __getitem__(self, name):
        raise KeyError(SECRET)

    def __iter__(self):
        raise TypeError(SECRET)

    def __len__(self):
        return 1


def called(arguments):
    return [{"role": "assistant", "tool_calls": [{"function": {"arguments": arguments}}]}]


PART = {"type": "text", "text": SECRET}
HOSTILE = {
    "part for a list": [{"role": "user", "content": PART}],
    "bytes": [{"role": "user", "content": SECRET.encode()}],
    "range": [{"role": "user", "content": range(10**12)}],
    "tool calls by name": [{"role": "user", "tool_calls": {SECRET: 1}}],
    "message of text": [SECRET],
    "message of bytes": [SECRET.encode()],
    "ten megabytes": [[SECRET * 800_000]],
    "own object": called({"x": Odd()}),
    "own mapping": [OddMapping()],
    "key of bytes": called({SECRET.encode(): 1}),
    "number": called({"x": 10**5_000}),
    "no messages": {SECRET: SECRET},
}


@pytest.mark.parametrize("messages", HOSTILE.values(), ids=HOSTILE)
def test_nothing_of_a_request_is_said_of_it(messages, caplog):
    """Not in the error, nor in the warning; and the error is short whatever came."""
    router = hand_made()
    decision = router.decide(messages)
    assert (decision.reason, decision.route) == ("scorer_error", "frontier")
    assert SECRET not in decision.error + caplog.text
    assert len(decision.error) <= 200
    assert len(caplog.text) < 500


@pytest.mark.parametrize("task", [[SECRET], {SECRET: 1}, SECRET.encode()])
def test_nothing_of_a_task_that_is_none_is_said(task, caplog):
    decision = hand_made().decide("w7", task)
    assert decision.error.startswith("task must be a string or None: got ")
    assert SECRET not in decision.error + caplog.text


@pytest.mark.parametrize("messages", HOSTILE.values(), ids=HOSTILE)
def test_hostile_request_takes_no_other_of_its_batch_along(messages):
    """The batch gives what each request gives alone."""
    router = hand_made()
    asked = [Request("w7"), Request(messages), Request("w199")]
    assert [decision.reason for decision in router.decide_many(asked)] == [
        "within_threshold",
        "scorer_error",
        "above_threshold",
    ]


def test_task_of_a_class_of_its_own_is_a_plain_string_in_the_decision():
    class Task(str):
        """Cannot be looked up."""

        def __hash__(self):
            raise TypeError(SECRET)

    decision = hand_made({"task_thresholds": {"classify": 0.5}}).decide("w7", Task("classify"))
    assert (decision.task, type(decision.task)) == ("classify", str)


def backtracking():
    """Return a tokenizer whose own pattern needs more steps than its matcher allows: it panics."""
    raw = Tokenizer(models.WordLevel({"[UNK]": 0, "w": 1}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Split(Regex("(a+)+$"), "isolated")
    return RequestTokenizer(raw, max_tokens=64)


def test_panic_of_the_tokenizer_is_a_scorer_error(caplog):
    """It is no Exception to Python; the requests beside it are decided."""
    router = hand_made()
    router.scorer.tokenizer = backtracking()
    asked = [Request("w"), Request("a" * 40 + "b")]
    decisions = [router.decide(asked[1].messages), *router.decide_many(asked)]
    assert [decision.reason for decision in decisions] == [
        "scorer_error",
        "within_threshold",
        "scorer_error",
    ]
    assert (decisions[0].error, "aaaa" in caplog.text) == ("PanicException", False)


@pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit])
def test_end_of_the_program_is_no_scorer_error(ending):
    class Ending(Mapping):
        """A message that ends the program."""

        __iter__ = __len__ = None

        def __getitem__(self, name):
            raise ending

    with pytest.raises(ending):
        hand_made().decide([Ending()])


def test_shared_parts_cost_what_is_held_not_what_they_stand_for():
    """Sixty levels, each twice the one below: 2^60 parts written out."""
    value = "w7"
    for _ in range(60):
        value = [value, value]
    started = time.process_time()
    decision = hand_made().decide(called({"x": value}))
    assert (decision.reason, decision.ineligible) == ("ineligible", ("cheap.context_window",))
    with pytest.raises(RequestError, match="must not repeat one part"):
        hand_made().scorer.encode(called({"x": value}))
    assert time.process_time() - started < 2.0


def test_part_that_holds_itself_is_longer_than_any_window(caplog):
    """Nothing of it is said."""
    circle = [SECRET]
    circle.append(circle)
    decision = hand_made().decide(called(circle))
    assert (decision.route, decision.ineligible) == ("frontier", ("cheap.context_window",))
    assert SECRET not in f"{decision}{caplog.text}"


def test_shared_parts_that_do_no_harm_are_read_as_before():
    """One object in two places, and a list longer than any bound without any shared one."""
    part = {"w7": ["w8"]}
    shared = hand_made().decide(called({"a": part, "b": part}))
    assert shared == hand_made().decide(called(json.loads(json.dumps({"a": part, "b": part}))))
    long = hand_made().decide(called([[number] for number in range(150_000)]))
    assert long.error is None


NO_FILE_LEFT = """
import asyncio, os, resource, sys
from tests.runtime.conftest import hand_made
router = hand_made()
async def ask():
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    try:
        while True:
            os.dup(0)
    except OSError:
        pass
    assert "difficulty.runtime.waiting" not in sys.modules
    return await asyncio.wait_for(router.adecide("w7"), 30)
print(asyncio.run(ask()).reason)
"""


def test_first_adecide_without_a_free_file_descriptor_answers():
    done = subprocess.run(
        [sys.executable, "-c", NO_FILE_LEFT],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=REPOSITORY,
    )
    assert done.stdout.strip() == "within_threshold", done.stderr


def test_adecide_without_a_thread_answers(monkeypatch):
    """All that wait, too."""
    router = hand_made()

    async def ask():
        return await asyncio.gather(*(router.adecide(text) for text in ("w7", "w199", "w7")))

    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert [decision.route for decision in asyncio.run(ask())] == ["cheap", "frontier", "cheap"]


@pytest.mark.parametrize(
    "form", [{SECRET: 1}, {"messages": {SECRET: 1}}, {"messages": 7, "id": {"x": SECRET}}, [SECRET]]
)
def test_problem_of_a_row_says_nothing_of_it(form):
    row = request_row(form, 3)
    assert SECRET not in row.problem
    assert row.id == "3"
