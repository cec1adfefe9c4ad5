"""The facts about tool calls, worked by hand, and what they do with hostile requests."""

import json
import math
import sys

import pytest

from difficulty.answers.answer import Answer, Asked, ToolCall
from difficulty.answers.facts import FACTS, read_facts
from difficulty.answers.pair import Pair
from difficulty.answers.tools import NAMES, read_tools

ROOMS = {
    "name": "free_rooms",
    "description": "Find free rooms of an office.",
    "parameters": {
        "type": "object",
        "properties": {
            "day": {"type": "string"},
            "seats": {"type": "integer", "default": 4},
            "floor": {"enum": ["ground", "first"]},
            "prices": {"type": "array", "items": {"type": "number"}},
            "owner": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "window": {"$ref": "#/$defs/Window"},
        },
        "required": ["day"],
        "$defs": {
            "Window": {
                "type": "object",
                "properties": {"south": {"type": "boolean"}},
                "required": ["south"],
            }
        },
    },
}
BOOK = {"name": "bookTaxi", "description": "Order a taxi to an address.", "parameters": {}}
QUESTION = "Which rooms are free on Monday, for 12 people and at most 7.5 euros?"


def facts(*calls, text="", question=QUESTION, tools=(ROOMS, BOOK), **asked):
    """Return the facts, those that are 0 left out."""
    answer = Answer(text, tuple(ToolCall(name, json.dumps(given)) for name, given in calls))
    read = read_tools(Pair(Asked(text=question, tools=tuple(tools), **asked), answer))
    return {name[6:]: value for name, value in zip(NAMES, read, strict=True) if value}


def log(count):
    return pytest.approx(math.log1p(count))


def test_facts_of_a_good_call():
    """Content words of the question: rooms, free, monday, people, most, euros. One call, one "and"
    and one comma: calls and cues are even.
    """
    found = facts(("free_rooms", {"day": "Monday", "seats": 12, "prices": [7.5]}))
    assert found == {
        "functions": log(2),
        "calls": log(1),
        "distinct": log(1),
        "optional": log(2),
        "optional_share": pytest.approx(2 / 5),
        "lists": log(1),
        "required": 1,
        "arguments": log(3),
        "text_length": log(6),
        "single": 1,
        "one_of_many": 1,
        "uncalled": log(1),
        "fit_best": pytest.approx(2 / math.sqrt(6)),
        "fit_called": pytest.approx(2 / math.sqrt(6)),
        "fit_gap": pytest.approx(-2 / math.sqrt(6)),
        "fit_name": 1,
        "question_length": log(len(QUESTION)),
        "question_numbers": log(2),
        "question_marks": log(1),
        "and_words": log(1),
        "commas": log(1),
        "hand_score": pytest.approx(1 / (1 + math.exp(2 * 0.5 * 2 / math.sqrt(6)))),
    }


@pytest.mark.parametrize(
    ("given", "fact", "value"),
    [
        ({}, "missing", math.log(2)),
        ({"day": "Monday", "month": 5}, "extra", math.log(2)),
        ({"day": 5}, "wrong_type", math.log(2)),
        ({"day": "Monday", "seats": True}, "wrong_type", math.log(2)),
        ({"day": "Monday", "seats": 4.5}, "wrong_type", math.log(2)),
        ({"day": "Monday", "prices": [1, "2"]}, "wrong_type", math.log(2)),
        ({"day": "Monday", "owner": 3}, "wrong_type", math.log(2)),
        ({"day": "Monday", "window": {}}, "wrong_type", math.log(2)),
        ({"day": "Monday", "window": {"south": "yes"}}, "wrong_type", math.log(2)),
        ({"day": "Monday", "floor": "second"}, "not_in_enum", math.log(2)),
        ({"day": "Monday", "seats": 4}, "default", math.log(2)),
        ({"day": ""}, "empty", math.log(2)),
        ({"day": "true"}, "text_boolean", math.log(2)),
        ({"day": "Tuesday", "owner": "people"}, "strings_new", 1 / 2),
        ({"day": "Monday", "seats": 13, "prices": [12]}, "numbers_new", 1 / 2),
        ({"day": "Monday", "seats": 12}, "numbers_unused", 1 / 2),
    ],
)
def test_each_fault_has_its_fact(given, fact, value):
    assert facts(("free_rooms", given))[fact] == pytest.approx(value)
    assert fact not in facts(("free_rooms", {"day": "Monday", "seats": 12, "prices": [7.5]}))


@pytest.mark.parametrize(
    "given",
    [
        {"day": "Monday", "seats": 5.0},
        {"day": "MONDAY", "owner": None},
        {"day": "Monday", "floor": "first"},
        {"day": "Monday", "window": {"south": True}},
    ],
)
def test_right_types_are_no_fault(given):
    found = facts(("free_rooms", given))
    assert not {"wrong_type", "not_in_enum", "missing", "extra", "strings_new"} & {*found}


def test_argument_may_come_from_the_system_or_from_what_a_tool_returned():
    call = ("free_rooms", {"day": "Tuesday", "owner": "Ines"})
    assert facts(call)["strings_new"] == 1
    found = facts(call, system="Today is Tuesday.", context='{"owner": "Ines"}')
    assert "strings_new" not in found


def test_number_that_an_earlier_call_used_is_not_left_out():
    call = ("free_rooms", {"day": "Monday"})
    assert facts(call)["numbers_unused"] == 1
    earlier = 'find_prices({"most": 7.5})\n12 rooms'
    assert "numbers_unused" not in facts(call, context=earlier)


def test_numbers_may_be_words_or_stand_inside_of_texts():
    found = facts(
        ("free_rooms", {"day": "on 12 May", "seats": 3}), question="Rooms for three on May 12?"
    )
    assert not {"numbers_new", "numbers_unused"} & {*found}


def test_percent_is_known_as_a_share_and_as_it_is():
    question = "Which rooms are at most 15% full?"
    assert facts(("free_rooms", {"seats": 0.15}), question=question)["percent_as_share"] > 0
    assert facts(("free_rooms", {"seats": 15}), question=question)["percent_raw"] > 0


def test_calls_of_what_was_not_offered_and_twice_the_same():
    found = facts(("free_cars", {}), ("free_rooms", {"day": "Monday"}))
    assert (found["unknown"], found["calls"]) == (0.5, log(2))
    again = ("free_rooms", {"day": "Monday", "seats": 12})
    assert facts(again, again)["duplicate"] == 1
    assert facts(("free.rooms", {"day": "Monday"})).get("unknown") is None


def test_answer_without_a_call_is_worse_the_better_a_function_fits():
    fitting = facts(text="Which day do you mean?")
    other = facts(text="I cannot sing.", question="Sing a song!")
    assert fitting["no_call"] == other["no_call"] == 1
    assert fitting["hand_score"] > other["hand_score"]
    assert fitting["prose"] == log(22)


def test_every_fault_raises_the_score_of_the_rules():
    good = facts(("free_rooms", {"day": "Monday", "seats": 12, "prices": [7.5]}))["hand_score"]
    for given in ({}, {"day": 3}, {"day": "Tuesday"}, {"day": "Monday", "x": 1}, [1]):
        assert good < facts(("free_rooms", given))["hand_score"] < 1
    assert (
        good < facts(("free_cars", {"day": "Monday", "seats": 12, "prices": [7.5]}))["hand_score"]
    )


def test_without_a_function_nothing_is_known():
    for tools in ((), ({"type": "web_search"},)):
        read = read_tools(Pair(Asked(text="x", tools=tools), Answer("f()")))
        assert all(map(math.isnan, read))


def test_of_calls_too_long_to_be_read_nothing_is_known():
    read = read_tools(
        Pair(Asked(text="x", tools=(ROOMS,)), Answer("", (ToolCall("free_rooms", " " * 10**5),)))
    )
    assert all(map(math.isnan, read))


def test_functions_of_the_system_message_count_as_tools():
    system = f"You may call:\n{json.dumps(ROOMS)}"
    asked = Asked.of(
        {"messages": [{"role": "system", "content": system}, {"role": "user", "content": QUESTION}]}
    )
    answer = Answer("[free_rooms(day='Monday', seats=12, prices=[7.5])]")
    same = Answer("", (ToolCall("free_rooms", '{"day": "Monday", "seats": 12, "prices": [7.5]}'),))
    read = read_tools(Pair(asked, answer))
    assert read == read_tools(Pair(asked, same))
    assert read[0] == log(1)


def circle():
    schema = {"type": "object", "properties": {}, "required": ["self"]}
    schema["properties"]["self"] = schema
    schema["anyOf"] = [schema] * 8
    return {"name": "free_rooms", "parameters": {**schema, "anyOf": None}}


def deep(levels):
    value = 1
    for _ in range(levels):
        value = {"self": value}
    return value


MOST_CALLS = 400_000
"""The most that one of these takes is 293,000."""
HOSTILE = {
    "circle": (circle(), deep(30)),
    "wide": (ROOMS, {"day": ["x"] * 5_000, "prices": [0.1] * 2_000}),
    "keys": (ROOMS, {f"k{number}": number for number in range(1_500)}),
    "enum": (
        {"name": "free_rooms", "parameters": {"properties": {"day": {"enum": ["x"] * 10**5}}}},
        {"day": "y"},
    ),
    "enums": (
        {
            "name": "free_rooms",
            "parameters": {
                "properties": {f"k{n}": {"items": {"enum": [*range(1000)]}} for n in range(99)}
            },
        },
        {f"k{n}": [1001] * 30 for n in range(99)},
    ),
    "odd": (
        {
            "name": "free_rooms",
            "parameters": {
                "properties": {"day": 3, "x": {"type": [None, 7], "enum": 3, "items": []}},
                "required": {"day": 1},
            },
        },
        {"day": 1, "x": [None]},
    ),
    "numbers": (ROOMS, {"day": "9" * 5_000, "seats": 10**300, "prices": [1e308, -1e-308, 0.0]}),
    "scripts": (ROOMS, {"day": "Понедельник 月曜日 الاثنين 😀\ud800"}),
}


def count_work(read):
    """Return what a function returns, and how many functions it calls on the way, C's included: the
    same on every machine, however busy.
    """
    calls = 0

    def note(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        value = read()
    finally:
        sys.setprofile(None)
    return value, calls


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_request_takes_bounded_work_and_raises_nothing(name):
    tool, given = HOSTILE[name]
    arguments = json.dumps(given)
    for question in (QUESTION, "1, " * 4_000, "%" * 9_000, "and each 5% " * 900, "ÄÖ" * 4_100):
        asked = Asked.of({"messages": question, "tools": [tool] * 3})
        answer = Answer(question, (ToolCall("free_rooms", arguments),) * 40)
        read, calls = count_work(lambda asked=asked, answer=answer: read_facts(asked, answer))
        assert calls < MOST_CALLS
        assert read.shape == (len(FACTS),)
        assert all(math.isfinite(read[FACTS.index(fact)]) for fact in NAMES)


def test_time_grows_with_the_number_of_tools_only_up_to_a_bound():
    tools = [{"name": f"find_{n}", "description": "Find free rooms. " * 60} for n in range(10_000)]
    asked = Asked(text=QUESTION, tools=tuple(tools))
    pair = Pair(asked, Answer("", (ToolCall("find_9", "{}"),)))
    read, calls = count_work(lambda: read_tools(pair))
    assert calls < MOST_CALLS
    assert read[NAMES.index("tools.functions")] == log(128)
