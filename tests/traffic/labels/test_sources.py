"""What every label source has to do, and how sources are named."""

import json

import pytest

from difficulty.errors import InvalidValueError, UnknownNameError
from difficulty.stages.ingest import ingest
from difficulty.traffic.labels import LABELS, find_labels
from difficulty.traffic.readers import RawRow
from difficulty.traffic.table import Traffic

WRITTEN = {"gap": "gap:margin=0.1", "judge": "judge:scale=1,10"}
"""How the sources that need an option are written."""
PLAIN = {"id": "a", "prompt": "Hello", "cheap_quality": 0.2, "frontier_quality": 0.9}


def source_of(name):
    return find_labels(WRITTEN.get(name, name))


@pytest.mark.parametrize("name", sorted(LABELS))
def test_source_passes_on_rows_of_the_contract(name):
    """Nothing to do: outcomes stay, and the report can be written as JSON."""
    source = source_of(name)
    rows = list(source.rows([RawRow("in.jsonl", 1, PLAIN)]))
    assert [(row.problem, row.fields) for row in rows] == [("", PLAIN)]
    assert source.report().source == name
    assert json.dumps(source.report().counts, allow_nan=False)


@pytest.mark.parametrize("name", sorted(LABELS))
def test_source_passes_on_rows_that_could_not_be_read(name):
    bad = RawRow("in.jsonl", 1, None, "a line must be one JSON object: got 'x'.", "x")
    refused = RawRow("in.jsonl", 2, PLAIN, "refused before")
    assert list(source_of(name).rows([bad, refused])) == [bad, refused]


@pytest.mark.parametrize("name", sorted(LABELS))
def test_source_takes_no_rows_at_all(name):
    source = source_of(name)
    assert list(source.rows([])) == []
    assert json.dumps(source.report().counts, allow_nan=False)
    assert source.report().warnings


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (
            "jury",
            UnknownNameError,
            "unknown label source 'jury'. Known: annotators, gap, halves, judge, preference,"
            " validation",
        ),
        (
            "judge:skale=1,10",
            UnknownNameError,
            "unknown judge option 'skale', perhaps 'scale' is meant. Known: scale",
        ),
        (
            "judge:1,10",
            InvalidValueError,
            "option of label source 'judge' must be written as option=value: got '1,10'",
        ),
        (
            "judge",
            InvalidValueError,
            "scale must be two different numbers, the worst score and the best: got None",
        ),
        ("judge:scale=7,7", InvalidValueError, "scale must be two different numbers"),
        ("judge:scale=1,inf", InvalidValueError, "scale must be two different numbers"),
        (
            "judge:scale=one,ten",
            InvalidValueError,
            "scale must be two different numbers, .*: got 'one'",
        ),
        ("gap", InvalidValueError, r"margin must be in \(0, 1\]: got None"),
        ("gap:margin=0", InvalidValueError, r"margin must be in \(0, 1\]: got 0.0"),
        ("gap:margin=10", InvalidValueError, r"margin must be in \(0, 1\]: got 10.0"),
        (
            "validation:strict=1",
            UnknownNameError,
            "unknown validation option 'strict'. Known: none",
        ),
    ],
)
def test_what_cannot_be_is_refused(text, error, message):
    with pytest.raises(error, match=message):
        find_labels(text)


def test_options_may_hold_commas_and_colons():
    source = find_labels("preference:cheap=llama3:8b,frontier=gpt-4,turbo")
    row = {"prompt": "x", "winner": "gpt-4,turbo"}
    assert [row.fields["preference"] for row in source.rows([RawRow("f", 1, row)])] == ["frontier"]


def test_sources_are_chained_in_the_order_given(tmp_path):
    """A judge's scores first, then a margin on the qualities they become."""
    path = tmp_path / "in.jsonl"
    path.write_text('{"id": "a", "prompt": "Hi", "cheap_score": 8, "frontier_score": 8.5}\n')
    summary = ingest(
        [path], tmp_path / "out.parquet", labels=["judge:scale=1,10", "gap:margin=0.1"]
    )
    outcomes = Traffic.read(tmp_path / "out.parquet").outcomes
    assert (outcomes.cheap_quality[0], outcomes.gain[0]) == (pytest.approx(7 / 9), 0.0)
    assert [found["source"] for found in summary.labels] == ["judge", "gap"]


@pytest.mark.parametrize(
    ("labels", "fields", "measure"),
    [
        (["judge:scale=1,10"], {"judge": "b", "cheap_score": 8}, "judge:b"),
        (["judge:scale=1,10"], {"cheap_score": 8}, "judge"),
        (["preference"], {"winner": "cheap"}, "votes"),
        (["validation"], {"validation": "ok"}, "validators"),
        ([], {"preference": "tie"}, "votes"),
        ([], {"cheap_passed": True}, "validators"),
        ([], {"cheap_passed": True, "cheap_quality": 1.0}, None),
        ([], {"cheap_quality": 1.0, "measured_by": "tests"}, "tests"),
        (["judge:scale=1,10"], {"cheap_score": 8, "measured_by": "judge:ours"}, "judge:ours"),
    ],
)
def test_what_outcomes_were_measured_by_travels_with_them(tmp_path, labels, fields, measure):
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps({"id": "a", "prompt": "Hi", **fields}) + "\n")
    ingest([path], tmp_path / "out.parquet", labels=labels)
    assert Traffic.read(tmp_path / "out.parquet").outcomes.measures == {measure: 1}
