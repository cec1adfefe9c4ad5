"""What was asked and answered, read from whatever comes."""

import json
import random

import numpy as np
import pytest

from difficulty.answers.answer import Answer, Asked, ToolCall
from difficulty.answers.facts import FACTS, KINDS, read_facts
from difficulty.answers.scan import content_words, cut, lower, numbers, words

WEATHER = {"type": "function", "function": {"name": "weather"}}
CALL = {"function": {"name": "weather", "arguments": "{}"}}


@pytest.mark.parametrize(
    "response",
    [
        {},
        {"choices": []},
        {"choices": None},
        {"choices": "text"},
        {"choices": [None]},
        {"choices": [{"message": None}]},
        {"choices": [{"message": {"content": 7, "tool_calls": "no", "refusal": 3}}]},
        {"choices": [{"message": {}, "logprobs": {"content": [7, {"logprob": None}]}}]},
    ],
)
def test_answer_without_what_it_should_have_is_empty(response):
    assert Answer.of(response) == Answer()


def test_answer_is_read_from_a_completion():
    parts = [{"type": "text", "text": "It "}, {"type": "text", "text": "rains."}]
    response = {
        "choices": [
            {
                "message": {"content": parts, "tool_calls": [CALL, "junk"]},
                "finish_reason": "stop",
                "logprobs": {"content": [{"logprob": -0.5}, {"logprob": 10**400}, {"logprob": -1}]},
            },
            {"message": {"content": "It pours.", "tool_calls": [CALL]}},
            {"message": {"refusal": "No."}},
        ]
    }
    assert Answer.of(response) == Answer(
        "It rains.",
        (ToolCall("weather", "{}"), ToolCall("", "")),
        "stop",
        None,
        (-0.5, -1.0),
        ("It pours.\nweather({})", "No."),
    )


def test_arguments_that_are_no_text_become_json():
    """Some servers send an object in place of its JSON text."""
    call = {"function": {"name": "f", "arguments": {"city": "Gént", "days": 2}}}
    answer = Answer.of({"choices": [{"message": {"tool_calls": [call]}}]})
    assert answer.tool_calls == (ToolCall("f", '{"city":"Gént","days":2}'),)


def test_arguments_that_cannot_be_written_are_empty():
    circle = {}
    circle["self"] = circle
    for given in (circle, {(1, 2): 3}):
        call = {"function": {"name": "f", "arguments": given}}
        answer = Answer.of({"choices": [{"message": {"tool_calls": [call]}}]})
        assert answer.tool_calls == (ToolCall("f", ""),)
        message = {"role": "assistant", "content": "x", "tool_calls": [call]}
        assert Asked.of({"messages": [message]}).context == ""


def test_traffic_column_holds_plain_text_or_an_assistant_message():
    message = {"role": "assistant", "content": "Hm.", "tool_calls": [CALL], "finish_reason": "stop"}
    assert Answer.parse(json.dumps(message)) == Answer("Hm.", (ToolCall("weather", "{}"),), "stop")
    for plain in ("", "Yes.", '{"answer": 3}', '{"role": "user"}', '{"role": ', "[1]", "{" * 10**5):
        assert Answer.parse(plain) == Answer(plain)


def test_answer_as_text_has_its_calls_below_the_content():
    answer = Answer("Wait.", (ToolCall("f", "{}"), ToolCall("g", '{"x":1}')))
    assert answer.as_text() == 'Wait.\nf({})\ng({"x":1})'
    assert Answer(refusal="No.").as_text() == "No."
    assert Answer().as_text() == ""


def test_asked_is_read_from_a_request_whatever_it_holds():
    assert Asked.of({"tools": [WEATHER, 7], "response_format": 3}, task="t") == Asked(
        "t", (WEATHER,), None, {}
    )
    assert Asked.of({"tools": None, "messages": 3}) == Asked()
    assert Asked.of({"tools": "text", "messages": [7, None, {"role": "user"}]}) == Asked()
    assert Asked.of({"messages": "Rain?"}).text == "Rain?"


def test_asked_joins_what_the_user_and_what_the_system_says():
    messages = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": "Hi."}]},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": 7},
        {"role": "user", "content": "Rain?"},
        {"role": "developer", "content": "No jokes."},
        {"role": "tool", "content": "12 mm"},
    ]
    asked = Asked.of({"messages": messages})
    assert (asked.text, asked.system) == ("Hi.\nRain?", "Be short.\nNo jokes.")
    assert asked.context == "Hello.\n12 mm"
    assert len(Asked.of({"messages": "x" * 10**6}).text) == 8193


def test_numbers_and_words_of_a_text():
    assert numbers("$1,200.50 for 3 of them, -4 and .5, 12%") == [1200.5, 3, -4, 0.5, 12]
    assert numbers("9" * 5000) == []
    assert numbers("[1,2,3] 10-15 4,500,000 1,2345 -$7 (-2) x-3") == [
        *(1, 2, 3, 10, 15, 4_500_000, 1, 2345, -7, -2, 3)
    ]
    assert words("Größe: ΑΒΓ 12 naïve don't") == ["größe", "αβγ", "naïve", "don", "t"]
    assert content_words(words("The weather in Reykjavik")) == {"weathe", "reykja"}
    assert lower("ÀÞ×ЀЯİ") == "àþ×ѐяİ"
    assert cut("abcdefg", 4) == "ab\nfg"


def test_facts_have_one_number_a_name():
    assert len(set(FACTS)) == len(FACTS) == sum(len(names) for names, _ in KINDS)
    found = read_facts(Asked(), Answer())
    assert found.shape == (len(FACTS),)
    assert found.dtype == np.float32


WORDS = (
    *("role", "user", "assistant", "system", "tool", "content", "tool_calls", "function", "name"),
    *("arguments", "choices", "message", "logprobs", "logprob", "refusal", "parameters", "type"),
    *("properties", "required", "items", "enum", "anyOf", "$ref", "$defs", "default", "f", "text"),
    *('{"a": [1, "b"]}', "[f(x=1)]", "<tool_call>{", "#/$defs/f", "\ud800", "5%", ""),
)


def any_value(rng, depth):
    pick = rng.random()
    if depth and pick < 0.5:
        return {rng.choice(WORDS): any_value(rng, depth - 1) for _ in range(rng.randint(0, 5))}
    if depth and pick < 0.7:
        return [any_value(rng, depth - 1) for _ in range(rng.randint(0, 4))]
    return rng.choice([*WORDS, *WORDS, None, True, 0, -1.5, 10**400, float("nan"), b"x", (1,)])


def test_nothing_that_comes_raises():
    """2,000 requests, responses and tools of words that mean something somewhere, seed 0."""
    rng = random.Random(0)
    known = 0
    for _ in range(2000):
        function = {"name": "f", "parameters": any_value(rng, 4)}
        tools = rng.choice([[{"function": function}], [function, any_value(rng, 3)]])
        message = {"role": rng.choice(WORDS[1:5]), "content": any_value(rng, 2)}
        request = rng.choice(
            [any_value(rng, 4), {"messages": [message, any_value(rng, 3)], "tools": tools}]
        )
        call = {"function": {"name": "f", "arguments": any_value(rng, 3)}}
        answered = rng.choice([any_value(rng, 3), {"content": "f()", "tool_calls": [call]}])
        response = rng.choice([any_value(rng, 4), {"choices": [{"message": answered}]}])
        asked = Asked.of(request if isinstance(request, dict) else {})
        answer = Answer.of(response if isinstance(response, dict) else {})
        answer.as_text()
        facts = read_facts(asked, rng.choice([answer, Answer.parse(str(rng.choice(WORDS)))]))
        known += not np.isnan(facts[FACTS.index("tools.calls")])
    assert known > 500


class Loud(str):
    """A text whose methods raise, as a caller's own class may."""

    def _refuse(self, *arguments):
        raise ValueError("loud")

    __hash__ = __eq__ = __str__ = __format__ = strip = lower = encode = _refuse


class Raising:
    """An object of which nothing can be had."""

    def _refuse(self, *arguments):
        raise LookupError("raising")

    __str__ = __repr__ = __len__ = __iter__ = __getitem__ = __bool__ = __hash__ = __eq__ = _refuse


def test_classes_of_the_callers_own_raise_nothing():
    """Texts count as the text that they are, objects as not given."""
    calls = [
        {"function": {"name": Loud("f"), "arguments": Loud("{}")}},
        {"function": {"name": Raising(), "arguments": {"a": Raising()}}},
        {"function": {"name": "g", "arguments": Raising()}},
    ]
    message = {"content": Loud("hi"), "refusal": Loud("no"), "tool_calls": calls}
    for reason in (Loud("length"), Raising()):
        answer = Answer.of({"choices": [{"message": message, "finish_reason": reason}]})
        assert answer.as_text() == "hi\nno\nf({})\n()\ng()"
        json.dumps(answer.as_message())
        assert not {type(answer.text), type(answer.finish_reason)} - {str, type(None)}
    parts = [{"type": "text", "text": Loud("a")}, {"text": Raising()}, Raising()]
    assert Answer.of({"choices": [{"message": {"content": parts}}]}).text == "a"
