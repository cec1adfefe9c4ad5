"""Arena votes as traffic."""

import pytest

from difficulty.errors import TrafficError
from difficulty.traffic.reading.dialect import AS_FOUND
from difficulty.traffic.rows import parse_row
from tests.traffic.formats.examples import read_example, told


def test_votes_become_preferences_whichever_side_a_model_stood_on():
    found, rows = read_example("arena-33k.jsonl")
    assert found == "arena"
    samples = [parse_row(row.fields, default_id="n").sample for row in rows[:3]]
    assert [sample.preference for sample in samples] == ["frontier", "cheap", "tie"]
    assert [sample.cheap_answer for sample in samples] == ["first", "second", "first"]
    assert samples[0].messages[0].content == "Why is grass green?"
    assert (samples[0].id, samples[0].measured_by, samples[0].timestamp.year) == (
        "v0", "votes", 2023,
    )  # fmt: skip
    other, unknown = told(rows[3:])
    assert other == "its model 'other-1' is neither --cheap nor --frontier"
    assert unknown.startswith("winner must be model_a, model_b or a tie: got 'model_c'")


def test_several_turns_keep_the_first_models_earlier_answers():
    found, (row,) = read_example("arena-55k.csv")
    assert found == "arena"
    sample = parse_row(row.fields, default_id="n").sample
    assert [message.content for message in sample.messages] == [
        "Name a bird.",
        "Owl",
        "And a fish?",
    ]
    assert (sample.preference, sample.cheap_answer, sample.frontier_answer) == (
        "cheap", "Cod", "Eel",
    )  # fmt: skip


def test_models_must_be_named():
    with pytest.raises(TrafficError, match=r"models 'big-1' \(5\), 'small-1' \(4\), 'other-1'"):
        read_example("arena-33k.jsonl", AS_FOUND)
