"""The functions that a request offers, from tools and from system messages."""

import json
import time

import pytest

from difficulty.answers.schemas import MOST_FUNCTIONS, Function, Offer, read_offer, resolve

ROOMS = {
    "name": "free_rooms",
    "description": "Find free rooms.",
    "parameters": {
        "type": "object",
        "properties": {"day": {"type": "string"}, "seats": {"type": "integer"}},
        "required": ["day", 7, "day"],
    },
}
READ = Function("free_rooms", "Find free rooms.", ROOMS["parameters"]["properties"], ("day",), {})


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "function", "function": ROOMS},
        ROOMS,
        {**ROOMS, "parameters": None, "input_schema": ROOMS["parameters"]},
    ],
)
def test_function_is_read_from_tools(tool):
    assert read_offer([tool], "Be short.") == Offer((READ,), "Be short.")


@pytest.mark.parametrize(
    "lines",
    [
        json.dumps(ROOMS),
        f"  {json.dumps({'type': 'function', 'function': ROOMS})}\r",
        json.dumps([ROOMS, 3, {"no": "name"}]),
        f"<tools> {json.dumps(ROOMS)} </tools>",
        f"<tools>\n{json.dumps(ROOMS)}\n</tools>",
    ],
)
def test_function_is_read_from_lines_of_the_system_message(lines):
    offer = read_offer([], f"You may call:\n{lines}\nThe user lives in Ghent.")
    assert offer.functions == (READ,)
    assert offer.prose.replace("<tools>\n</tools>\n", "") == (
        "You may call:\nThe user lives in Ghent."
    )


def test_tools_go_before_the_system_message():
    other = {"name": "other"}
    offer = read_offer([other], json.dumps(ROOMS))
    assert offer == Offer((Function("other"),), "")


@pytest.mark.parametrize(
    "tool",
    [
        {},
        {"function": None},
        {"function": {"name": 7}},
        {"name": ""},
        {"function": []},
        {"type": "web_search"},
    ],
)
def test_what_has_no_name_is_no_function(tool):
    assert read_offer([tool, "text", None], json.dumps(tool)).functions == ()


@pytest.mark.parametrize(
    ("parameters", "required"),
    [
        (None, ()),
        ("text", ()),
        ({"properties": [], "required": "day"}, ()),
        ({"required": [["day"], None, "day"]}, ("day",)),
    ],
)
def test_malformed_schema_counts_as_not_given(parameters, required):
    offer = read_offer([{"name": "f", "parameters": parameters}], "")
    assert offer.functions == (Function("f", required=required),)


@pytest.mark.parametrize(
    "line",
    ["{", '{"name": NaN}', "[" * 10_000, "{" + '"a":{' * 5_000, '{"name": "f"} more', "[1, 2]"],
)
def test_line_that_is_no_json_is_prose(line):
    assert read_offer([], line) == Offer((), line)


def test_line_may_hold_numbers_of_any_length():
    line = json.dumps(ROOMS)[:-1] + ', "x": ' + "9" * 5000 + "}"
    assert read_offer([], line).functions == (READ,)


def test_reference_is_followed_once_and_a_circle_is_no_trouble():
    circle = {"name": "f", "parameters": {"properties": {}, "$defs": {"Day": {"type": "string"}}}}
    circle["parameters"]["properties"]["self"] = circle["parameters"]
    [function] = read_offer([circle], "").functions
    assert resolve({"$ref": "#/$defs/Day"}, function) == {"type": "string"}
    assert resolve({"$ref": "#/$defs/No"}, function) == {}
    assert resolve({"type": "integer"}, function) == {"type": "integer"}
    assert resolve(7, function) == {}


def test_many_functions_are_read_up_to_a_bound_and_fast():
    many = [{"function": {"name": f"f{number % 9_000}"}} for number in range(10_000)]
    lines = "\n".join(map(json.dumps, many))
    started = time.process_time()
    for offer in (read_offer(many, ""), read_offer([], lines[:262_000])):
        assert [function.name for function in offer.functions] == [
            f"f{number}" for number in range(MOST_FUNCTIONS)
        ]
    assert read_offer([], lines).functions == ()
    assert time.process_time() - started < 1
