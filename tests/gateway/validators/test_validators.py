"""Each validator, on answers that pass, fail, and do not concern it."""

import json
import time

import pytest

from difficulty.answers.answer import Answer, Asked, ToolCall
from difficulty.errors import BundleError, MissingExtraError
from difficulty.gateway.validators import VALIDATORS, Checker
from difficulty.gateway.validators.structured import _build_validator_class
from difficulty.routes import ValidatorRule
from tests.journey import forget

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer"},
                "unit": {"enum": ["C", "F"]},
            },
            "required": ["city"],
        },
    },
}
SCHEMA = {
    "type": "object",
    "properties": {"label": {"enum": ["invoice", "complaint"]}},
    "required": ["label"],
}


def verdict(check, answer, asked=None, **options):
    """Return what one validator says: true, false, or ``None`` where it says nothing."""
    found = Checker([ValidatorRule(check=check, options=options)], allowed=["tests"])(
        answer, asked or Asked()
    )
    return found[0].passed if found else None


def text(content):
    return Answer(text=content)


def called(name="weather", **arguments):
    return Answer(tool_calls=(ToolCall(name, json.dumps(arguments)),))


@pytest.mark.parametrize(
    ("answer", "passed"),
    [
        (text("Yes."), True),
        (text(" \n"), False),
        (text(""), False),
        (called(), True),
        (Answer("Y", (), "length"), True),
    ],
)
def test_non_empty(answer, passed):
    assert verdict("non_empty", answer) is passed


def test_non_empty_may_refuse_an_answer_that_was_cut_off():
    assert verdict("non_empty", Answer("Once upon", (), "length"), whole=True) is False
    assert verdict("non_empty", Answer("The end.", (), "stop"), whole=True) is True


@pytest.mark.parametrize(
    ("content", "passed"),
    [
        ('{"a": 1}', True),
        (" [1, 2]\n", True),
        ('"x"', True),
        ("{'a': 1}", False),
        ('{"a": 1', False),
        ("", False),
        ("Sure! {}", False),
    ]
    + [('{"a": NaN}', False), ("[" * 100_000, False), ('```json\n{"a": 1}\n```', False)],
)
def test_json(content, passed):
    assert verdict("json", text(content)) is passed


def test_json_options():
    assert verdict("json", text("```json\n[1]\n```"), fenced=True) is True
    assert verdict("json", text("plain"), only_when_asked=True) is None
    assert (
        verdict(
            "json",
            text("plain"),
            Asked(response_format={"type": "json_object"}),
            only_when_asked=True,
        )
        is False
    )
    assert verdict("json", called()) is None


@pytest.mark.parametrize(
    ("content", "passed"),
    [
        ('{"label": "invoice"}', True),
        ('{"label": "praise"}', False),
        ("{}", False),
        ("[]", False),
        ("label", False),
    ],
)
def test_json_schema(content, passed):
    assert verdict("json_schema", text(content), schema=SCHEMA) is passed


def test_json_schema_is_the_requests_where_the_policy_has_none():
    asked = Asked(
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    )
    assert verdict("json_schema", text('{"label": "invoice"}'), asked) is True
    assert verdict("json_schema", text('{"label": 1}'), asked) is False
    assert verdict("json_schema", text("anything")) is None


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"type": "string", "pattern": "^(a|aa)+$"},
        {"type": 7},
    ],
)
def test_json_schema_of_a_request_is_not_trusted(schema):
    """A reference is not fetched and a pattern that would take for ever is stopped: then nothing is
    known of the answer.
    """
    asked = Asked(response_format={"json_schema": {"schema": schema}})
    began = time.monotonic()
    assert verdict("json_schema", text(json.dumps("a" * 40 + "!")), asked) is None
    assert time.monotonic() - began < 60  # unstopped it would take hours


@pytest.mark.parametrize(
    ("answer", "passed"),
    [
        (called(city="Ghent"), True),
        (called(city="Ghent", days=3, unit="C"), True),
        (called(city="Ghent", days=3.0), True),
        (called(), False),
        (called(city=7), False),
        (called(city="Ghent", days=True), False),
        (called(city="Ghent", unit="K"), False),
        (called("stocks", city="Ghent"), False),
        (Answer(tool_calls=(ToolCall("weather", "{city: Ghent}"),)), False),
        (Answer(tool_calls=(ToolCall("weather", "[1]"),)), False),
        (text("It rains."), None),
    ],
)
def test_tool_call(answer, passed):
    assert verdict("tool_call", answer, Asked(tools=(WEATHER,))) is passed


def test_tool_call_that_was_required_must_be_there_and_offered():
    for choice in ("required", {"type": "function", "function": {"name": "weather"}}):
        assert (
            verdict("tool_call", text("It rains."), Asked(tools=(WEATHER,), tool_choice=choice))
            is False
        )
    assert verdict("tool_call", called(city="Ghent"), Asked()) is False


@pytest.mark.parametrize(
    ("content", "options", "passed"),
    [
        ("Total: 12 EUR", {"pattern": r"\d+ EUR"}, True),
        ("Total: none", {"pattern": r"\d+ EUR"}, False),
        ("TODO", {"pattern": "TODO", "absent": True}, False),
        ("done", {"pattern": "TODO", "absent": True}, True),
        ("x" * 30, {"pattern": "x", "max_chars": 29}, False),
        ("a" * 40 + "!", {"pattern": "^(a|aa)+$"}, None),
    ],
)
def test_regex(content, options, passed):
    assert verdict("regex", text(content), **options) is passed


@pytest.mark.parametrize(
    ("content", "passed"),
    [
        ("I'm sorry, but I can't do that.", False),
        ("I\u2019m unable to help with this request.", False),
        ("Es tut mir leid, aber ich kann dazu nichts sagen.", False),
        ("Je suis désolé, mais je ne peux pas répondre.", False),
        ("很抱歉\uff0c我无法回答。", False),
        ("The customer writes: I am not happy. Label: complaint.", True),
        ("Here is the plan. I can't help with the legal part, ask counsel. " * 10, True),
        ("", None),
    ],
)
def test_refusal(content, passed):
    assert verdict("refusal", text(content)) is passed


def test_refusal_options():
    assert verdict("refusal", text("Lo siento, pero no puedo."), languages=["en"]) is True
    assert verdict("refusal", text("No comment from us."), phrases=["No Comment"]) is False


def short(answer, asked):
    """Pass short answers; say nothing of tasks called essay."""
    return None if asked.task == "essay" else len(answer.text) < 10


def broken(answer, asked):
    """Fail."""
    raise RuntimeError("no")


def test_python_function_is_asked():
    function = f"{__name__}:short"
    assert verdict("python", text("brief"), function=function) is True
    assert verdict("python", text("far from brief"), function=function) is False
    assert verdict("python", text("long, long"), Asked(task="essay"), function=function) is None


def test_validator_that_fails_knows_nothing_of_the_answer(caplog):
    rules = [
        ValidatorRule(check="python", options={"function": f"{__name__}:broken"}),
        ValidatorRule(check="non_empty"),
    ]
    checker = Checker(rules, allowed=["tests"])
    assert [(check.name, check.passed) for check in checker(text("Yes"), Asked())] == [
        ("python", None),
        ("non_empty", True),
    ]
    assert "validator python failed (RuntimeError)" in caplog.text


@pytest.mark.parametrize(
    ("function", "allowed"),
    [
        ("os:system", ["tests"]),
        (f"{__name__}:short", []),
        ("testsuite:short", ["tests"]),
        ("short", ["tests"]),
    ]
    + [("tests.missing:f", ["tests"]), ("tests.events:WHEN", ["tests"])],
)
def test_python_function_must_be_allowed_and_there(function, allowed):
    """A bundle alone cannot make a router run code."""
    with pytest.raises(BundleError, match="validator 'python' cannot be built"):
        Checker([ValidatorRule(check="python", options={"function": function})], allowed=allowed)


def test_rules_are_for_their_tasks():
    checker = Checker(
        [ValidatorRule(check="json", tasks=("extract",)), ValidatorRule(check="non_empty")]
    )
    assert [check.name for check in checker(text("x"), Asked(task="extract"))] == [
        "json",
        "non_empty",
    ]
    assert [check.name for check in checker(text("x"), Asked(task="classify"))] == ["non_empty"]
    assert [check.name for check in checker(text("x"), Asked())] == ["non_empty"]


@pytest.mark.parametrize(
    ("check", "options"),
    [
        ("mood", {}),
        ("json", {"strict": True}),
        ("regex", {}),
        ("regex", {"pattern": "("}),
        ("json_schema", {"schema": {"type": 7}}),
    ]
    + [("refusal", {"languages": ["tlh"]})],
)
def test_rules_that_cannot_be_built_are_refused(check, options):
    with pytest.raises(BundleError, match=f"validator '{check}' cannot be built"):
        Checker([ValidatorRule(check=check, options=options)])


@pytest.mark.parametrize(
    ("check", "package", "options"),
    [("json_schema", "jsonschema", {}), ("regex", "regex", {"pattern": "x"})],
)
def test_validator_names_the_extra_it_needs(check, package, options, monkeypatch):
    _build_validator_class.cache_clear()
    forget(monkeypatch, package)
    with pytest.raises(MissingExtraError, match="pip install"):
        Checker([ValidatorRule(check=check, options=options)])


@pytest.mark.parametrize("check", sorted(VALIDATORS))
def test_every_validator_takes_an_empty_answer(check):
    options = {"regex": {"pattern": "x"}, "python": {"function": f"{__name__}:short"}}
    found = Checker(
        [ValidatorRule(check=check, options=options.get(check, {}))], allowed=["tests"]
    )(Answer(), Asked())
    assert [item.detail for item in found if item.passed is None] == []
