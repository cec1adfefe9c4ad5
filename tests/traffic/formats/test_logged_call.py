import json
from contextlib import suppress
from random import Random

import pytest

from difficulty.errors import DifficultyError, InvalidValueError
from difficulty.traffic.formats import find_format
from difficulty.traffic.formats.json_records import parsed, read_records
from difficulty.traffic.formats.logged_call import (
    LoggedCall,
    TokenUsage,
    answer_of,
    read_feedback,
    sided,
    split_answer,
)
from difficulty.traffic.readers import RawRow
from difficulty.traffic.reading.named_pair import ModelPair
from tests.traffic.formats.examples import EXAMPLES, PAIR, sample_of


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 2}, (10, 2, None)),
        ({"input_tokens": 10, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 4}},
         (10, 2, 4)),
        # Anthropic counts apart what its cache read and wrote.
        ({"input_tokens": 10, "output_tokens": 2, "cache_read_input_tokens": 90,
          "cache_creation_input_tokens": 5}, (105, 2, 90)),
        # LiteLLM has counted it in already.
        ({"prompt_tokens": 105, "completion_tokens": 2, "cache_read_input_tokens": 90},
         (105, 2, 90)),
        (None, (None, None, None)),
        ('{"prompt_tokens": 3}', (3, None, None)),
    ],
)  # fmt: skip
def test_usage_is_read_as_providers_write_it(usage, counts):
    assert TokenUsage.of(usage) == counts


@pytest.mark.parametrize(
    ("usage", "answer", "counts"),
    [
        (TokenUsage(0, 0, 0), "Yes", (None, None, None)),
        (TokenUsage(10, 0, None), "Yes", (10, None, None)),
        (TokenUsage(10, 0, None), "", (10, 0, None)),
        (TokenUsage("0", "7", None), "Yes", (None, "7", None)),
    ],
)
def test_zeros_that_stand_for_nothing_counted_are_unknown(usage, answer, counts):
    """A request has tokens, and so has an answer with text; an empty answer has none."""
    assert usage.checked(answer) == counts


@pytest.mark.parametrize(
    ("place", "verdict"),
    [
        ({"user_feedback": {"rating": "up"}}, True),
        ({"feedback": "Thumbs down"}, False),
        ({"rating": 4}, 4),
        ({"score": "0.5"}, "0.5"),
        ({"user_feedback": None, "score": False}, False),
        ({"feedback": {"comment": "fine"}}, None),
        ('{"rating": "👍"}', True),
        ({}, None),
    ],
)
def test_feedback_is_a_verdict_or_a_number(place, verdict):
    found = read_feedback(place)
    assert found == verdict
    assert type(found) is type(verdict)


def test_feedback_in_prose_is_refused_not_guessed():
    with pytest.raises(InvalidValueError, match="rating must be a number, true, false or a word"):
        read_feedback({"rating": "I liked the second half"})


def test_answers_are_text_unless_they_call_tools():
    calls = [{"type": "function", "function": {"name": "add", "arguments": "{}"}}]
    assert answer_of({"role": "assistant", "content": "4", "tool_calls": None}) == "4"
    assert answer_of({"content": None, "tool_calls": calls}) == {
        "role": "assistant", "content": None, "tool_calls": calls,
    }  # fmt: skip
    messages = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]
    assert split_answer(messages) == (messages[:1], "4")
    assert split_answer(messages[:1]) == (messages[:1], None)


def rows_of(calls):
    logged = [(RawRow("a.jsonl", number, {}), call) for number, call in enumerate(calls, start=1)]
    pair = ModelPair(cheap=("small",), frontier=("big",))
    return [row.fields for row in sided(logged, pair, source="a.jsonl")]


def call(**fields):
    return LoggedCall(**{"model": "small", "messages": "Hi", **fields})


def test_a_session_that_every_call_has_is_no_conversation():
    """Of what may group calls the first counts that tells them apart."""
    calls = [call(groups={"session": "s0", "user": f"u{n % 10}"}) for n in range(40)]
    assert [row["group"] for row in rows_of(calls)][:2] == ["u0", "u1"]
    assert "group" not in rows_of([call(groups={"session": "s0"}) for _ in range(5)])[0]


def test_ids_that_repeat_are_no_ids():
    assert [row["id"] for row in rows_of([call(unsure_id="x"), call(unsure_id="x")])] == [None] * 2
    assert [row["id"] for row in rows_of([call(unsure_id="x"), call(unsure_id="y")])] == ["x", "y"]


def test_calls_that_a_log_ties_together_are_one_row():
    (row,) = rows_of(
        [
            call(
                answer="4", quality=1, measured_by="feedback", usage=TokenUsage(9, 1), cost_usd=0.1,
                others=(call(model="big", answer="Four", usage=TokenUsage(8, 2), cost_usd=0.5),),
            )
        ]
    )  # fmt: skip
    assert (row["cheap_answer"], row["frontier_answer"]) == ("4", "Four")
    assert (row["cheap_cost_usd"], row["frontier_cost_usd"]) == (0.1, 0.5)
    assert (row["prompt_tokens"], row["cheap_tokens"], row["frontier_tokens"]) == (9, 1, 2)


@pytest.mark.parametrize(
    "name",
    ["litellm-1.106.jsonl", "openai-lines.jsonl", "spans-otlp.jsonl", "langfuse-traces-v1.json",
     "mlflow-traces-3.jsonl", "arena-33k.jsonl", "routerbench.csv"],
)  # fmt: skip
def test_rows_that_hold_anything_anywhere_stop_no_other(name, tmp_path):
    """Values of an example, however deep, become others; 400 of these rows, drawn by chance."""
    found, layout, (file,) = find_format(EXAMPLES / name, options=PAIR)
    records = [row.fields for row in read_records(file)]
    broken = [changed for record in records for changed in mutated(record)]
    broken = Random(0).sample(broken, min(len(broken), 400))
    path = tmp_path / "broken.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in [*records, *broken]))
    rows = list(layout.rows(path))
    assert len(rows) >= len(records) + len(broken)
    for row in rows:
        if row.fields is not None and not row.problem:
            with suppress(DifficultyError):
                sample_of(row)


ODD = (None, "", "x", "{", "[1]", 0, -1, 1e400, True, [], {"a": [None]})


def mutated(value):
    """Yield copies of a value with one place changed."""
    places = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in list(places):
        nested = parsed(item) if isinstance(item, str) else item
        changes = [*ODD]
        if isinstance(nested, dict | list):
            changes += mutated(nested)
        for change in changes:
            copy = dict(value) if isinstance(value, dict) else list(value)
            copy[key] = change
            yield copy


@pytest.mark.parametrize(
    ("costs", "proposed", "basis"),
    [
        ((0.9, 0.1), "--cheap 'b' --frontier 'a'", "by what a token of their answers cost here"),
        (
            (0.10, 0.11),
            "--cheap 'a' --frontier 'b'",
            "a token of their answers cost about the same",
        ),
        (
            (None, 0.1),
            "--cheap 'a' --frontier 'b'",
            "by their calls alone, as the log does not say",
        ),
    ],
)
def test_which_model_is_the_cheap_one_is_told_as_a_guess(costs, proposed, basis):
    """With what it stands on, and which options decide."""
    calls = [
        LoggedCall(
            model=name,
            messages=[{"role": "user", "content": "2 + 2?"}],
            answer="4",
            cost_usd=cost,
            usage=TokenUsage(10, 2, None),
        )
        for name, cost in zip("aab", (costs[0], *costs), strict=True)
    ]
    with pytest.raises(DifficultyError) as refused:
        list(sided(enumerate(calls), ModelPair(), source="log"))
    said = str(refused.value)
    assert proposed in said
    assert f"which is which is a guess, {basis}" in said.replace(" as a token", " a token")
    assert "these two options decide" in said
