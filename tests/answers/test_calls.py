"""Calls in every form that models write them in, and what begins like one and is none."""

import json
import time

import pytest

from difficulty.answers.answer import Answer, Asked, ToolCall
from difficulty.answers.calls import (
    MOST_ARGUMENTS,
    MOST_CALLS,
    WrittenCall,
    WrittenCalls,
    read_calls,
)
from difficulty.answers.literals import Expression, Invocation, Reader, UnreadableError
from difficulty.answers.pair import Pair

ROOM = {"day": "Monday", "seats": 4.0}
JSON = '{"name": "free_rooms", "arguments": {"day": "Monday", "seats": 4}}'
PYTHON = "free_rooms(day='Monday', seats=4)"
CALL = WrittenCall("free_rooms", ROOM)


def calls(text, offered=("free_rooms",)):
    return read_calls(Pair(Asked(), Answer(text)), offered)


def written(*pairs):
    """Return what is read from tool calls of the API's own form."""
    listed = tuple(ToolCall(name, arguments) for name, arguments in pairs)
    return read_calls(Pair(Asked(), Answer("", listed)), ())


@pytest.mark.parametrize(
    ("text", "prose"),
    [
        (f"<tool_call>\n{JSON}\n</tool_call>", 0),
        (f"Sure!\n<tool_call>{JSON}", 5),
        (JSON, 0),
        (f"I will ask.\n```json\n{JSON}\n```\n", 11),
        ('{"type": "function", "function": ' + JSON.replace("arguments", "parameters") + "}", 0),
        (json.dumps({"name": "free_rooms", "arguments": json.dumps(ROOM)}), 0),
        (PYTHON, 0),
        (f"\n\n[{PYTHON}]", 0),
        (f"[{PYTHON}", 0),
        (f"```python\n{PYTHON}\n```", 0),
        (f"Let me look: [{PYTHON}] Done.", 17),
        (f"You can use it like this:\n`{PYTHON}`.", 29),
    ],
)
def test_call_is_read_from_a_text(text, prose):
    assert calls(text) == WrittenCalls((CALL,), 0, prose)


@pytest.mark.parametrize(
    "text",
    [
        f"[{PYTHON}, {PYTHON}]",
        f"{PYTHON}, {PYTHON}",
        f"{PYTHON}\n{PYTHON}",
        f"[{JSON}, {JSON}]",
        f"<tool_call>{JSON}</tool_call><tool_call>{JSON}</tool_call>",
        f"<tool_call>[{JSON}, {JSON}]</tool_call>",
        f"<tool_call>[{PYTHON}, {PYTHON}]</tool_call>",
        f'{{"tool_calls": [{{"function": {JSON}}}, {JSON}]}}',
    ],
)
def test_several_calls_are_read_in_order(text):
    assert [call[:2] for call in calls(text).read] == [CALL[:2]] * 2
    assert calls(text).failed == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "It rains on Monday (a little).",
        'The answer is {"name": "Ghent", "people": 260000}.',
        "note(s) follow",
        "- Monday\n- print(x) shows it",
        "See [Table(2) of the annex].",
        "`free_rooms` is the function to use.",
        "{}",
    ],
)
def test_text_without_calls_has_none(text):
    assert calls(text)[:2] == ((), 0)


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>",
        "<tool_call>soon</tool_call>",
        "<tool_call>{}</tool_call>",
        f"<tool_call>{JSON[:-3]}</tool_call>",
        JSON[:-3],
        "free_rooms(day=",
        "[free_rooms(day='Monday'",
        "[free_rooms(day='Monday)]",
        "free_rooms(day='Monday' seats=4",
    ],
)
def test_call_that_cannot_be_read_has_failed(text):
    found = calls(text)
    assert (found.read, found.failed) == ((), 1)


def test_calls_of_the_api_go_before_those_of_the_text():
    pair = Pair(Asked(), Answer(JSON, (ToolCall("f", ""),)))
    assert read_calls(pair, ()) == WrittenCalls((WrittenCall("f", {}),), 0, len(JSON))


@pytest.mark.parametrize(
    ("arguments", "value", "is_strict"),
    [
        ("", {}, True),
        (" \n", {}, True),
        (
            '{"a": [1, -2.5e1, true, null, "x\\n\\u00e9"]}',
            {"a": [1, -25, True, None, "x\né"]},
            True,
        ),
        ('{"a": "\\ud83d\\ude00\\ud800"}', {"a": "😀\ufffd"}, True),
        ("{'a': (1, 2), b: True,}", {"a": [1, 2], "b": True}, False),
        ('{"a": 01}', {"a": 1}, False),
        ('{"a": .5}', {"a": 0.5}, False),
        ('{"a": "\\d"}', {"a": "\\d"}, False),
        ('{"a": "x\ny"}', {"a": "x\ny"}, False),
        ('{"a": 1, "a": 2}', {"a": 2}, True),
        ('{"a": 5 / 100}', {"a": "5 / 100"}, False),
        ('{"a": NaN}', {"a": "NaN"}, False),
        ("[1]", None, False),
        ('"text"', None, False),
        ("{city: Ghent", None, False),
        ('{"a": 1} and more', None, False),
        ('{"a" 1}', None, False),
        ('{"a": }', None, False),
        ("{" * 10_000, None, False),
        ('{"a":' * 40 + "1" + "}" * 40, None, False),
    ],
)
def test_arguments_are_read_as_they_are_written(arguments, value, is_strict):
    [call] = written(("f", arguments)).read
    assert (call.arguments, call.is_strict) == (value, is_strict)


def test_number_of_5000_digits_is_infinite_and_nothing_worse():
    assert written(("f", '{"a": ' + "9" * 5000 + "}")).read[0].arguments == {"a": float("inf")}


def test_what_is_no_literal_is_kept_as_text():
    [call] = calls("[free_rooms(3, seats=2 * (4 + len(x)), to=today, from_=later(1)[0])]").read
    assert call.arguments == {
        "0": 3,
        "seats": "2 * (4 + len(x))",
        "to": "today",
        "from_": "later(1)[0]",
    }
    assert isinstance(call.arguments["to"], Expression)
    assert (call.expressions, call.nested_calls) == (3, 2)


def test_reader_reads_one_thing_after_the_other():
    reader = Reader("[1, 'a' \"b\"] f(x=(2)) }")
    assert reader.container() == [1, "ab"]
    assert reader.invocation() == Invocation("f", {"x": 2})
    with pytest.raises(UnreadableError):
        reader.value()


def test_long_arguments_are_read_up_to_a_bound():
    long = '{"a": "' + "x" * (MOST_ARGUMENTS - 100) + '"}'
    assert len(written(("f", long), ("g", '{"b": 1}'), ("h", long), ("i", "{}")).read) == 2
    assert written(("f", long + " " * 100)).read == ()


def test_many_calls_are_read_up_to_a_bound():
    assert len(written(*[("f", "{}")] * 1000).read) == MOST_CALLS
    assert len(calls(f"<tool_call>{JSON.replace('free_rooms', 'f')}" * 60).read) <= MOST_CALLS


HARD = {
    "quotes": '"\\"' * 8000,
    "open": '{"name":' * 2000,
    "brackets": "[" * 8000,
    "lists": "[f(" * 3000,
    "lines": "free_rooms(\n" * 1500,
    "spaces": "[" + " " * 8000,
    "marks": "<tool_call>" * 1500,
    "digits": "9" * 16_000,
    "names": "a" * 16_000,
    "equals": "f(" + "a=" * 8000,
    "nested": "f(" * 8000,
}


@pytest.mark.parametrize("hard", HARD)
def test_hard_text_takes_milliseconds(hard):
    started = time.process_time()
    calls(HARD[hard])
    written(("f", HARD[hard]), ("f", "{" + HARD[hard][:16_000]))
    assert time.process_time() - started < 0.25
