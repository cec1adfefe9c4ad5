"""The numbers of a request, by hand and for whatever comes in place of one."""

import json
import math
import time

import numpy as np
import pytest

from difficulty.conversation.request_numbers import (
    NUMBERS,
    NumberedIds,
    numbered,
    numbers_of,
    read_numbers,
    with_first,
)
from difficulty.text import TextView

WEATHER = {
    "name": "get_weather",
    "description": "Weather of a city",
    "parameters": {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "Its name"},
            "days": {"type": "array"},
            "unit": {"enum": ["C", "F"]},
        },
        "required": ["city", "nowhere"],
    },
}
BOOK = {"name": "bookRoom", "description": "", "parameters": {}}
QUESTION = "Weather in the city of Oslo, and then Lima? Then book 1 room at 14.30."


def tools(*functions):
    return [{"type": "function", "function": each} for each in functions]


def named(messages, offered=None):
    return dict(zip(NUMBERS, read_numbers(messages, offered).tolist(), strict=True))


def test_numbers_by_hand():
    found = named(QUESTION, tools(BOOK, WEATHER))
    content = 7  # weather, city, oslo, lima, book, room and "and then" without "then"
    assert found["content_words"] == content - 1
    root = np.float32(1 / math.sqrt(content - 1))
    assert found == pytest.approx(
        {
            "functions": 2,
            "parameters": 1.5,
            "required": 0.5,
            "optional_share": 2 / 3,
            "schema_characters": 8 + 11 + 17 + 4 + 4 + 4 + 8,
            "enums": 1,
            "nested": 1,
            "fit_best": 2 * root,
            "fit_second": 2 * root,
            "name_fit": 1.0,
            "best_parameters": 0,  # of two that fit alike the first
            "best_required": 0,
            "best_parameter_fit": 0,
            "likeness": 0,
            "characters": len(QUESTION),
            "content_words": 6,
            "question_marks": 1,
            "commas": 1,
            "ands": 3,
            "lists": 0,
            "ors": 0,
            "numbers": 2,
            "quotes": 0,
            "sentences": 2,
            "capitals": 4,
        }
    )


def test_best_function_is_the_one_that_fits():
    found = named("The weather of a city", tools(BOOK, WEATHER))
    assert [found[name] for name in ("best_parameters", "best_required", "name_fit")] == [3, 1, 0.5]
    assert found["best_parameter_fit"] == pytest.approx(1 / 3)
    assert found["fit_second"] == 0


def test_system_messages_offer_functions_too():
    lines = "\n".join(["You may call:", json.dumps(BOOK), json.dumps(WEATHER)])
    asked = [{"role": "system", "content": lines}, {"role": "user", "content": QUESTION}]
    assert named(asked) == named(QUESTION, tools(BOOK, WEATHER))
    # what the body names goes before
    assert named(asked, tools(BOOK)) == named(QUESTION, tools(BOOK))


@pytest.mark.parametrize(
    "offered",
    [None, [], (), {}, "tools", 3, [None], ["a"], [{}], [{"function": None}], [{"name": ""}]],
    ids=repr,
)
@pytest.mark.parametrize("messages", ["hi", [], None, 3, [3], [{"role": "user"}]], ids=repr)
def test_who_offers_nothing_has_no_numbers(messages, offered):
    assert read_numbers(messages, offered) is None


def cyclic():
    schema = {"type": "object"}
    schema["properties"] = {"inside": schema}
    return schema


@pytest.mark.parametrize(
    ("messages", "offered"),
    [
        ("hi", tools({"name": "a", "parameters": cyclic()})),
        ("hi", tools(*({"name": f"a{n}"} for n in range(10_000)))),
        ("hi", [{"name": "a", "description": 7, "parameters": [1], "input_schema": "x"}]),
        ("hi", [{"name": "a", "parameters": {"properties": {"b": None, "c": [{}]}}}]),
        ("hi", [{"name": "a", "parameters": {"properties": {}, "required": {"b": 1}}}]),
        (None, [{"name": "a"}]),
        ([3, None, {"role": "user", "content": {"no": "text"}}], [{"name": "a"}]),
        ("\ud800 1" * 9_000, [{"name": "\udfff" * 3_000, "description": "\ud83d" * 3_000}]),
    ],
    ids="cyclic ten-thousand kinds parameters required no-messages odd surrogates".split(),
)
def test_whatever_offers_something_has_finite_numbers(messages, offered):
    found = read_numbers(messages, offered)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert (found >= 0).all()


def test_huge_requests_are_read_in_bounded_time():
    many = {str(number): {} for number in range(500_000)}
    deep = '{"name": "a", "x": ' + "[" * 100_000
    started = time.perf_counter()
    assert read_numbers("hi", tools({"name": "a", "parameters": {"properties": many}})) is None
    assert read_numbers([{"role": "system", "content": deep}]) is None
    assert read_numbers("Aa, 1.1 " * 1_000_000, tools(WEATHER)) is not None
    assert time.perf_counter() - started < 5.0


def test_numbers_stand_beside_ids():
    numbers = read_numbers("hi", tools(WEATHER))
    row = numbered([5, 6], numbers)
    assert row == [5, 6]
    assert with_first(9, row) == [9, 5, 6]
    assert with_first(9, row).numbers is numbers
    assert numbered([5], None) == [5]
    assert not isinstance(with_first(9, [5]), NumberedIds)
    found = numbers_of([row, [5]])
    assert found[0].tolist() == numbers.tolist()
    assert np.isnan(found[1]).all()


def test_numbers_of_a_wrapped_question_are_those_of_the_plain_one():
    """With text view 2 they are about the ask, and not about what was retrieved for it."""
    ask = "What is the weather in Oslo, and do I need a coat?"
    passage = "The boats of the harbour lay on their sides, and 12 men waited for the tide. " * 30
    found = []
    for text in (ask, f"Hello!\n\n{passage}\n\n{ask}\n\nThanks a lot."):
        messages = [{"role": "user", "content": text}]
        found.append(read_numbers(messages, tools(WEATHER), TextView(2)(messages).question))
    assert found[0].tolist() == found[1].tolist()
    assert found[1].tolist() != read_numbers(messages, tools(WEATHER)).tolist()
