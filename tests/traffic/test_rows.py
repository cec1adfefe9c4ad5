import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from difficulty.errors import InvalidValueError
from difficulty.records import Message
from difficulty.traffic.rows import FIELDS, broken_rule, parse_row

USER = [{"role": "user", "content": "Hi"}]


def parsed(**fields):
    return parse_row({"messages": USER, "cheap_quality": 1, **fields}, default_id="file-1")


def test_a_row_becomes_a_sample_with_every_field():
    row = {
        "id": "a", "messages": USER, "task": "classify", "group": 7,
        "timestamp": "2026-01-31T12:00:00Z", "cheap_model": "c",
        "frontier_model": "f", "cheap_quality": "0.5", "frontier_quality": 1,
        "cheap_passed": "false", "preference": "Tie",
        "prompt_tokens": "12", "cheap_tokens": 3.0, "frontier_tokens": None, "route": "cheap",
        "propensity": 0.9, "measured_by": "exact", "weight": 2, "inclusion": "0.25",
        "cheap_answer": "4", "frontier_answer": {"content": "5"}, "tools": [{"name": "add"}],
        "cached_tokens": "5", "cheap_cost_usd": "1e-05", "frontier_cost_usd": 0,
        "team": "billing",
    }  # fmt: skip
    sample = parse_row(row, default_id="x").sample
    assert (
        sample.id,
        sample.group,
        sample.cheap_quality,
        sample.cheap_passed,
        sample.preference,
    ) == ("a", "7", 0.5, False, "tie")
    assert (sample.prompt_tokens, sample.cheap_tokens, sample.frontier_tokens, sample.weight) == (
        12,
        3,
        None,
        2.0,
    )
    assert (sample.cached_tokens, sample.cheap_cost_usd, sample.frontier_cost_usd) == (5, 1e-5, 0.0)
    assert (sample.cheap_answer, sample.frontier_answer, sample.tools) == (
        "4",
        '{"content": "5"}',
        ({"name": "add"},),
    )
    assert (sample.inclusion, sample.extra) == (0.25, {"team": "billing"})
    assert set(row) - {"team"} == FIELDS


def test_an_empty_answer_was_given_and_a_missing_one_is_unknown():
    assert parsed(cheap_answer="").sample.cheap_answer == ""
    assert parsed(cheap_answer=None).sample.cheap_answer is None
    assert parsed(cheap_answer="half \ud83d").sample.cheap_answer == "half \ufffd"


@pytest.mark.parametrize("tools", [None, "", [], "[]"])
def test_no_tools_are_unknown_tools(tools):
    assert parsed(tools=tools).sample.tools is None


def test_tools_may_be_json_text():
    tools = [{"type": "function", "function": {"name": "find \ud83d"}}]
    expected = ({"type": "function", "function": {"name": "find \ufffd"}},)
    assert parsed(tools=tools).sample.tools == expected
    assert parsed(tools=json.dumps(tools)).sample.tools == expected


def nested(depth):
    value = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("cheap_answer", 4),
        ("cheap_answer", ["secret"]),
        ("frontier_answer", {"content": float("nan")}),
        ("frontier_answer", nested(100_000)),
        ("tools", "secret"),
        ("tools", {"name": "secret"}),
        ("tools", ["secret"]),
        ("tools", [{"default": float("inf")}]),
        ("tools", [nested(100_000)]),
        ("tools", "[" * 100_000),
        ("tools", '[{"name": "secret"}, 4]'),
    ],
)
def test_an_answer_or_tools_of_another_kind_are_refused(column, value):
    with pytest.raises(InvalidValueError, match=f"{column} must be") as refused:
        parsed(**{column: value})
    assert len(str(refused.value)) < 400
    assert "secret" not in str(refused.value) or value == "secret"


def test_a_prompt_is_one_user_message():
    row = parse_row({"prompt": "Hi", "cheap_passed": True}, default_id="file-1")
    assert row.sample.messages == (Message("user", "Hi"),)
    assert row.generated_id
    assert row.sample.id == "file-1"
    assert not row.sample.extra


def test_messages_win_over_a_prompt_which_stays_aside():
    assert parsed(prompt="other").sample.extra == {"prompt": "other"}


def test_messages_may_be_json_text():
    assert parsed(messages=json.dumps(USER)).sample.messages == (Message("user", "Hi"),)


def test_parts_null_content_and_tool_calls_become_text_in_order():
    messages = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look"},
                {"type": "image_url", "image_url": {}},
                {"type": "text", "text": "here"},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"function": {"name": "find", "arguments": '{"a": 1}'}}],
        },
        {"role": "tool", "content": ""},
    ]
    assert parsed(messages=messages).sample.messages == (
        Message("user", "Look\nhere", marks="image"),
        Message("assistant", 'find({"a": 1})'),
        Message("tool", ""),
    )


def test_lone_surrogates_are_repaired_and_counted():
    row = parsed(
        messages=[{"role": "user", "content": "a\ud83db"}, {"role": "user", "content": "fine"}]
    )
    assert row.repaired == 1
    assert row.sample.messages[0].content == "a\ufffdb"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"messages": [{"role": "user", "content": None}]}, "messages must hold some text"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages must hold some text",
        ),
        ({"messages": []}, "messages must hold some text"),
        ({"messages": [{"role": "user", "content": 5}]}, "message content must be"),
        ({"messages": [{"content": "Hi"}]}, "the role of a message must be a string"),
        (
            {"messages": [{"role": "user", "content": "Hi", "tool_calls": 5}]},
            "tool_calls must be a list",
        ),
        ({"messages": ["Hi"]}, "a message must be an object"),
        ({"messages": "Hi"}, "Plain text belongs in 'prompt'"),
        ({"messages": "5"}, "messages must be a list"),
        ({"messages": None}, "messages or prompt must be given"),
        ({"messages": None, "prompt": USER}, "A list of messages belongs in 'messages'"),
        ({"cheap_quality": 1.5}, "cheap_quality must be in"),
        ({"frontier_quality": float("nan")}, "Write null where it is unknown"),
        ({"preference": "both"}, "preference must be"),
        ({"route": "local"}, "route must be"),
        ({"propensity": 0}, "propensity must be in"),
        ({"inclusion": 0}, "inclusion must be in"),
        ({"inclusion": 1.5}, "inclusion must be in"),
        ({"inclusion": "often"}, "inclusion must be in"),
        ({"weight": 0}, "weight must be a finite number above 0"),
        ({"task": ["a"]}, "task must be a string"),
        ({"timestamp": "soon"}, "timestamp must be ISO 8601"),
    ],
)
def test_a_bad_row_says_which_rule_it_breaks(fields, reason):
    with pytest.raises(InvalidValueError, match=reason):
        parsed(**fields)


def test_broken_rule_is_the_reason_without_the_value():
    assert broken_rule("weight must be above 0: got 0.") == "weight must be above 0"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "text", "tool_calls"]), inner, max_size=4
        )
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(sorted(FIELDS | {"prompt", "other"})), json_values))
def test_any_row_is_a_sample_or_is_refused(row):
    try:
        sample = parse_row(row, default_id="x").sample
    except InvalidValueError:
        return
    assert sample.has_outcome


def test_calls_and_results_of_any_api_are_read():
    """As a router reads them; a result that failed keeps its mark."""
    call = {"type": "tool_use", "id": "1", "name": "r", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "1", "is_error": True, "content": "gone"}
    said = [("user", "Read it"), ("assistant", [call]), ("user", [result])]
    row = {"messages": [{"role": role, "content": content} for role, content in said]}
    messages = parsed(**row).sample.messages
    assert messages[-1] == Message("tool", "gone", marks="error")
    assert messages[1].content == "r({})"
