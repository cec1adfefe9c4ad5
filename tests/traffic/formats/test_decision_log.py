"""Decision logs as labelled traffic."""

import pytest

from difficulty.gateway.log import DecisionLog
from difficulty.gateway.log_files import JsonLinesSink
from difficulty.stages.ingest import ingest
from difficulty.traffic.formats import find_format
from difficulty.traffic.formats.decision_log import LogFormat
from difficulty.traffic.table import Traffic
from tests.events import answer, event_of

TEXT = ({"role": "user", "content": "Which label fits?"},)


def write_log(folder, *events):
    log = DecisionLog([JsonLinesSink(folder)])
    for event in events:
        log.write(event)
    assert log.close()
    return folder


def row_of(tmp_path, **changes):
    """Return the row that one event becomes."""
    folder = write_log(tmp_path / "log", event_of(**{"messages": TEXT, **changes}))
    (row,) = [row for file in LogFormat().files(folder) for row in LogFormat().rows(file)]
    return row


def outcomes(row):
    return {
        name: row.fields.get(name)
        for name in ("route", "propensity", "cheap_passed", "frontier_quality")
    }


def test_cheap_answer_that_passed_teaches_with_its_propensity(tmp_path):
    row = row_of(tmp_path, propensity=0.9)
    assert outcomes(row) == {
        "route": "cheap",
        "propensity": 0.9,
        "cheap_passed": True,
        "frontier_quality": None,
    }
    assert (row.fields["cheap_model"], row.fields["prompt_tokens"], row.fields["cheap_tokens"]) == (
        "cheap-model",
        10,
        5,
    )


def test_fallback_teaches_that_the_cheap_answer_failed_and_nothing_of_the_frontier_model(tmp_path):
    row = row_of(
        tmp_path,
        fallback="validation",
        calls=(answer(passed=False), answer("frontier", role="fallback")),
    )
    assert outcomes(row) == {
        "route": "cheap",
        "propensity": 0.95,
        "cheap_passed": False,
        "frontier_quality": None,
    }


def test_shadow_call_teaches_the_other_outcome(tmp_path):
    calls = (answer("frontier", passed=False), answer(role="shadow"))
    row = row_of(tmp_path, route="frontier", calls=calls)
    assert outcomes(row) == {
        "route": "frontier",
        "propensity": 0.95,
        "cheap_passed": True,
        "frontier_quality": 0.0,
    }


def test_call_that_ended_in_an_error_teaches_nothing(tmp_path):
    """The provider was down: that says nothing of the request."""
    calls = (answer(error="timeout", checks=()), answer("frontier", role="fallback"))
    assert "validator's verdict" in row_of(tmp_path, fallback="timeout", calls=calls).problem


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"messages": None}, "its messages"), ({"calls": (answer(checks=()),)}, "verdict")],
)
def test_event_that_teaches_nothing_says_why(tmp_path, change, reason):
    row = row_of(tmp_path, **change)
    assert row.fields is None
    assert reason in row.problem


def test_log_is_recognised_and_ingested_with_its_torn_line_among_the_rejects(tmp_path):
    events = [
        event_of(number, messages=({"role": "user", "content": f"Text {number}"},), task="classify")
        for number in range(4)
    ]
    folder = write_log(tmp_path / "log", *events)
    (file,) = folder.iterdir()
    file.write_bytes(file.read_bytes()[:-40])
    (folder / "begun.jsonl").write_bytes(b"")
    summary = ingest([folder], out := tmp_path / "traffic.parquet")
    assert (summary.kept, summary.formats) == (3, {"log": 1})
    assert sum(summary.rejected.values()) == 1
    assert Traffic.read(out).column("propensity") == [0.95] * 3


def test_folder_with_other_json_lines_is_no_log(tmp_path):
    folder = write_log(tmp_path / "log", event_of(messages=TEXT))
    (folder / "other.jsonl").write_text('{"prompt": "Hi"}\n')
    assert find_format(folder)[0] == "native"
