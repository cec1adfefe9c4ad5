"""Logs that keep bodies of requests and responses under whatever names, as traffic."""

import json

import pytest

from difficulty.traffic.formats import find_format
from difficulty.traffic.rows import parse_row
from tests.traffic.formats.examples import PAIR

OPENAI = {
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Red."}}],
    "usage": {"prompt_tokens": 12, "completion_tokens": 3},
}
ANTHROPIC = {
    "type": "message",
    "role": "assistant",
    "model": "small-2024",
    "content": [{"type": "text", "text": "Red."}],
    "usage": {"input_tokens": 2, "cache_read_input_tokens": 10, "output_tokens": 3},
}
GOOGLE = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "Red."}]}}],
    "usageMetadata": {"promptTokenCount": 12, "candidatesTokenCount": 3},
}


def chat(number, **more):
    return {"model": "small-1", "messages": [{"role": "user", "content": f"Rust {number}?"}]} | more


def in_columns(number):
    return {
        "request_id": f"r-{number}",
        "request_created_at": "2026-05-01T10:00:00Z",
        "request_body": chat(number),
        "response_body": OPENAI,
        "costUSD": 0.25,
        "response_status": 200,
        "feedback_rating": True,
    }


def as_text(number):
    """As diagnostics of a cloud keep them: two texts below one column."""
    texts = {"requestBody": json.dumps(chat(number)), "responseBody": json.dumps(OPENAI)}
    return {"time": "2026-05-01T10:00:00Z", "properties": {"apiName": "x", **texts}}


def of_anthropic(number):
    return {"request": chat(number, system="Be brief."), "response": ANTHROPIC}


def of_google(number):
    contents = [{"role": "user", "parts": [{"text": f"Rust {number}?"}]}]
    return {"model_name": "small-1", "req": {"contents": contents}, "res": GOOGLE}


def request_is_the_record(number):
    return chat(number, id=f"r-{number}", response=OPENAI)


def rows_of(tmp_path, records, name="calls.jsonl"):
    file = tmp_path / name
    text = "".join(json.dumps(record) + "\n" for record in records)
    file.write_text(json.dumps(records) if name.endswith(".json") else text)
    found, layout, (path,) = find_format(file, options=PAIR)
    return found, list(layout.rows(path))


@pytest.mark.parametrize("name", ["calls.jsonl", "calls.json"])
@pytest.mark.parametrize(
    "write", [in_columns, as_text, of_anthropic, of_google, request_is_the_record]
)
def test_bodies_are_known_by_their_form(tmp_path, write, name):
    """The same call of a small model, of three APIs, under five layouts."""
    found, rows = rows_of(tmp_path, [write(number) for number in range(3)], name)
    assert found == "wire"
    samples = [parse_row(row.fields, default_id=f"n-{n}").sample for n, row in enumerate(rows)]
    assert [sample.messages[-1].content for sample in samples] == ["Rust 0?", "Rust 1?", "Rust 2?"]
    for sample in samples:
        assert (sample.cheap_answer, sample.frontier_answer) == ("Red.", None)
        assert (sample.prompt_tokens, sample.cheap_tokens) == (12, 3)
        assert sample.cheap_model == "small-1"


def test_what_stands_beside_the_bodies_is_read(tmp_path):
    _, (row, failed) = rows_of(tmp_path, [in_columns(0), in_columns(1) | {"response_status": 429}])
    sample = parse_row(row.fields, default_id="n").sample
    assert (sample.id, sample.timestamp.hour, sample.cheap_cost_usd) == ("r-0", 10, 0.25)
    assert (sample.cheap_quality, sample.measured_by) == (1.0, "feedback")
    assert failed.left_out == "its status is 429: the model gave no answer"


def test_instructions_of_anthropic_are_a_message(tmp_path):
    _, (row,) = rows_of(tmp_path, [of_anthropic(0)])
    sample = parse_row(row.fields, default_id="n").sample
    assert [(m.role, m.content) for m in sample.messages][0] == ("system", "Be brief.")
    assert (sample.prompt_tokens, sample.cached_tokens) == (12, 10)


def test_tools_that_were_called_are_an_answer(tmp_path):
    block = {"type": "tool_use", "id": "t", "name": "paint", "input": {"colour": "red"}}
    response = ANTHROPIC | {"content": [block]}
    _, (row,) = rows_of(tmp_path, [{"request": chat(0), "response": response}])
    answer = parse_row(row.fields, default_id="n").sample.cheap_answer
    assert json.loads(json.loads(answer)["tool_calls"][0]["function"]["arguments"]) == {
        "colour": "red"
    }


def test_a_row_without_a_request_is_rejected_and_a_duration_is_no_time(tmp_path):
    first = in_columns(0) | {"time": 0.35, "request_created_at": None}
    _, (timed, lost) = rows_of(tmp_path, [first, in_columns(1) | {"request_body": None}])
    assert timed.fields["timestamp"] is None
    assert lost.problem.startswith("a call must hold the body of its request")


def test_traffic_with_outcomes_stays_native(tmp_path):
    """A body that is kept beside qualities does not make a table a log."""
    record = request_is_the_record(0) | {"cheap_quality": 1, "frontier_quality": 0}
    assert rows_of(tmp_path, [record])[0] == "native"


def test_batches_of_anthropic_are_joined_by_custom_id(tmp_path):
    asked = [{"custom_id": f"q-{n}", "params": chat(n)} for n in range(2)]
    answered = [{"custom_id": "q-0", "result": {"type": "succeeded", "message": ANTHROPIC}}]
    answered += [{"custom_id": "q-1", "result": {"type": "errored", "error": {"type": "x"}}}]
    for name, records in (("in", asked), ("out", answered)):
        text = "".join(json.dumps(record) + "\n" for record in records)
        (tmp_path / f"{name}.jsonl").write_text(text)
    found, layout, files = find_format(tmp_path, options=PAIR)
    rows = [row for file in files for row in layout.rows(file)]
    assert found == "openai"
    answers = {row.fields["id"]: row.fields["cheap_answer"] for row in rows if row.fields}
    assert answers == {"q-0": "Red.", "q-1": None}
    assert sum(bool(row.left_out) for row in rows) == 2
