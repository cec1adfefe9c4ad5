"""Requests with responses of OpenAI's API, and batches, as traffic."""

from difficulty.traffic.rows import parse_row
from tests.traffic.formats.examples import read_example, told

JOINED = "it stands in the row of its request: an answer, or a request to another model"


def test_lines_hold_a_request_beside_its_response():
    found, rows = read_example("openai-lines.jsonl")
    assert found == "openai"
    up, down, responses = (parse_row(row.fields, default_id="n").sample for row in rows[:3])
    assert (up.frontier_model, up.frontier_answer, up.frontier_quality) == ("big-1", "42", 1.0)
    assert (up.prompt_tokens, up.cached_tokens, up.frontier_tokens) == (30, 16, 1)
    assert (up.task, up.measured_by, up.timestamp.year) == ("tutor", "feedback", 2026)
    assert (down.cheap_quality, down.frontier_quality) == (0.0, None)
    # Every response has the id "x" but one: that is no id.
    assert up.id == "n"
    assert [message.role for message in responses.messages] == ["system", "user"]
    assert (responses.prompt_tokens, responses.cached_tokens, responses.cheap_tokens) == (12, 0, 9)
    assert '"name": "paint"' in responses.cheap_answer
    assert responses.tools == ({"type": "function", "name": "paint"},)


def test_unknown_responses_are_refused_by_name():
    _, rows = read_example("openai-lines.jsonl")
    assert rows[3].problem.startswith("a response must be one of chat.completion")
    assert "chat.completion.v9" in rows[3].problem


def test_batches_of_both_models_are_joined_by_custom_id():
    """Five requests under three ids are three rows; the fourth answer belongs to no request."""
    found, rows = read_example("openai-batch")
    assert found == "openai"
    samples = {row.fields["id"]: row.fields for row in rows if row.fields and not row.problem}
    assert sorted(samples) == ["q-1", "q-2", "q-3"]
    assert (samples["q-1"]["cheap_answer"], samples["q-1"]["frontier_answer"]) == (
        "Yes.", "Rain is wet.",
    )  # fmt: skip
    assert (samples["q-2"]["cheap_answer"], samples["q-2"]["frontier_answer"]) == (
        "No.", "Sand is dry.",
    )  # fmt: skip
    assert (samples["q-3"]["cheap_model"], samples["q-3"]["cheap_answer"]) == ("small-1", None)
    others = [said for said in told(rows) if isinstance(said, str)]
    assert others.count(JOINED) == 2 + 5
    (orphan,) = [said for said in others if said != JOINED]
    assert "custom_id 'q-9' without one" in orphan
    assert len(rows) == 11
