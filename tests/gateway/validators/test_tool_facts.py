"""The validator of tool calls: good, bad, and nothing to say."""

import json
from dataclasses import replace

import pytest

from difficulty.answers.answer import Answer, Asked, ToolCall
from difficulty.bundle import Fallback, read_bundle, write_bundle
from difficulty.errors import BundleError
from difficulty.gateway.settings import build_gateway, parse_settings
from difficulty.gateway.validators import Checker
from difficulty.routes import ValidatorRule
from difficulty.runtime import Router
from difficulty.stages.choosing import policy_files
from tests.versions import SAVED, fields_of

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather_forecast",
        "description": "Get the weather forecast of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}
TAXI = {
    "type": "function",
    "function": {"name": "order_taxi", "description": "Order a taxi to an address."},
}
ASKED = Asked(text="What will the weather forecast for Ghent be in 3 days?", tools=(WEATHER, TAXI))


def check(answer, asked=ASKED, **options):
    """Return what the validator says of an answer."""
    return Checker([ValidatorRule(check="tool_facts", options=options)])(answer, asked)


def called(name="weather_forecast", **given):
    return Answer(tool_calls=(ToolCall(name, json.dumps(given)),))


def test_good_call_passes():
    assert [found.passed for found in check(called(city="Ghent", days=3))] == [True]
    text = Answer("[weather_forecast(city='Ghent', days=3)]")
    assert [found.passed for found in check(text)] == [True]


@pytest.mark.parametrize(
    ("answer", "finding"),
    [
        (called(days=3), "missing"),
        (called(city="Ghent", days="3", hours=2), "wrong_type"),
        (called(city="Paris"), "strings_new, numbers_unused"),
        (called("order_taxi", to="Ghent"), "extra"),
        (called("order_bus", to="Ghent"), "unknown"),
        (Answer("<tool_call>{"), "failed"),
        (Answer(tool_calls=(ToolCall("weather_forecast", "{city"),)), "unreadable"),
    ],
)
def test_bad_call_fails_and_says_why(answer, finding):
    (found,) = check(answer)
    assert found.passed is False
    assert finding in found.detail
    assert not {"Ghent", "Paris", "city"} & {*found.detail.replace(",", "").split()}


def test_answer_without_a_call_fails_where_a_function_fits_well():
    """Four of five words against two of four."""
    question = "Get the weather forecast of the city of Ghent!"
    (found,) = check(Answer("It will rain."), Asked(text=question, tools=ASKED.tools))
    assert (found.passed, found.detail[-31:]) == (False, "no call, though a function fits")
    assert [found.passed for found in check(Answer("It will rain."))] == [True]


def test_threshold_moves_the_verdict():
    """A number is not used, but no schema is broken."""
    answer = called(city="Ghent")
    assert [found.passed for found in check(answer)] == [False]
    assert [found.passed for found in check(answer, threshold=0.8)] == [True]
    assert [found.passed for found in check(called(city="Ghent", days=3), threshold=0)] == [False]


@pytest.mark.parametrize(
    ("answer", "asked"),
    [
        (called(city="Ghent"), Asked(text="Rain?")),
        (Answer("It will rain."), Asked(text=ASKED.text, tools=ASKED.tools, context="12 mm")),
        (Answer("It will rain."), Asked(text=ASKED.text, tools=ASKED.tools, tool_choice="none")),
    ],
)
def test_nothing_is_said_without_functions_or_of_a_final_answer(answer, asked):
    assert check(answer, asked) == ()


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan"), "0.5", True, None])
def test_threshold_is_a_number_in_zero_to_one(threshold):
    with pytest.raises(BundleError, match="threshold"):
        check(called(), threshold=threshold)


def test_long_arguments_are_not_read_on_the_event_loop():
    checker = Checker([ValidatorRule(check="tool_facts")])
    assert checker.is_quick(0, called(city="Ghent"), ASKED)
    assert not checker.is_quick(0, called(city="x" * 30_000), ASKED)
    assert not checker.is_quick(0, Answer(), Asked(system="x" * 40_000))


@pytest.mark.parametrize(("city", "fallback"), [("Ghent", False), ("Paris", True)])
def test_policy_that_names_it_falls_back_without_anything_learned(tmp_path, city, fallback):
    """An old bundle with a new policy: the request's text and tools go along to the check."""
    old = read_bundle(SAVED)
    rule = ValidatorRule(check="tool_facts")
    policy = replace(old.policy, threshold=1.0, fallback=Fallback(validators=(rule,)))
    files = policy_files(Router.from_bundle(old).scorer, policy, version="words-2")
    manifest = fields_of(old, name="words", version="2")
    bundle = write_bundle(tmp_path / "words-2", {**old.files, **files}, manifest).path
    gateway = build_gateway(parse_settings({"bundle": str(bundle)}))
    messages = [{"role": "user", "content": ASKED.text}]
    visit = gateway.open({"messages": messages, "tools": [WEATHER, TAXI]}, id="r1")
    call = {"function": {"name": "weather_forecast", "arguments": f'{{"city":"{city}","days":3}}'}}
    answer = Answer.of({"choices": [{"message": {"tool_calls": [call]}}]})
    noted = gateway.note(visit, "answer", answer=answer)
    assert gateway.falls_back(visit, noted) == fallback
    assert [check.passed for check in noted.checks] == [not fallback]
