"""Decision logs as labelled traffic."""

import numpy as np
import pytest

from difficulty.events import Check
from difficulty.gateway.log import DecisionLog
from difficulty.gateway.log_files import JsonLinesSink
from difficulty.recipe import LabelSettings
from difficulty.stages.ingest import ingest
from difficulty.traffic.formats import find_format
from difficulty.traffic.formats.decision_log import LogFormat
from difficulty.traffic.logged import weigh_logged
from difficulty.traffic.rows import parse_row
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


def test_bill_and_cached_tokens_are_those_of_the_call(tmp_path):
    """An answer from the gateway's own cache costs nothing, whichever model is asked."""
    row = row_of(tmp_path, calls=(answer(cost_usd=0.009161, cached_tokens=8),))
    assert (row.fields["cheap_cost_usd"], row.fields["cached_tokens"]) == (0.009161, 8)
    assert row.fields.get("frontier_cost_usd") is None
    hit = row_of(tmp_path / "hit", calls=(answer(cost_usd=0.0, cache_hit=True),))
    assert (hit.fields["cheap_cost_usd"], hit.fields["frontier_cost_usd"]) == (0.0, 0.0)


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


def test_shadow_call_teaches_the_cheap_outcome(tmp_path):
    """A check of the frontier answer is no quality of it, so it stands beside the outcomes."""
    calls = (answer("frontier", passed=False), answer(role="shadow"))
    row = row_of(tmp_path, route="frontier", calls=calls)
    assert outcomes(row) == {
        "route": "frontier",
        "propensity": 0.95,
        "cheap_passed": True,
        "frontier_quality": None,
    }
    assert row.fields["frontier_passed"] is False


def test_what_looked_at_answers_is_named_and_travels_with_the_outcomes(tmp_path):
    """Two validators passed nearly everything: into the summary's warning, the file, the
    outcomes.
    """
    checks = tuple(Check(name=name, passed=True) for name in ("refusal", "non_empty"))
    silent = Check(name="json", passed=None)
    events = [
        event_of(
            number,
            messages=({"role": "user", "content": f"Text {number}"},),
            route=route,
            calls=(answer(route, checks=(*checks, silent)),),
        )
        for number, route in enumerate(("cheap", "frontier", "cheap"))
    ]
    summary = ingest([write_log(tmp_path / "log", *events)], out := tmp_path / "traffic.parquet")
    name = "validators:non_empty,refusal"
    assert summary.measured_by == {name: 2}
    assert any(f"2 rows come from verdicts of {name}" in warning for warning in summary.warnings)
    outcomes = Traffic.read(out).outcomes
    assert outcomes.measures == {name: 2}
    assert outcomes[outcomes.cheap_quality == 1.0].measures == {name: 2}
    assert outcomes.joined(outcomes).measures == {name: 4}
    # And through a second ingest.
    ingest([out], again := tmp_path / "again.parquet")
    assert Traffic.read(again).column("measured_by") == [name] * 3
    assert Traffic.read(again).data_hash == Traffic.read(out).data_hash


def test_frontier_route_is_kept_so_that_the_weights_know_how_often_it_was_looked_at(tmp_path):
    """Of eight frontier requests a shadow call looked at two: those stand for 1 / (0.2 + 0.8 /
    4).
    """
    events = [
        event_of(
            number,
            messages=({"role": "user", "content": f"Text {number}"},),
            route="frontier",
            propensity=0.8,
            calls=(answer("frontier"), *([answer(role="shadow")] if number < 2 else [])),
        )
        for number in range(8)
    ]
    events += [
        event_of(number, messages=({"role": "user", "content": f"Text {number}"},), propensity=0.2)
        for number in range(8, 10)
    ]
    ingest([write_log(tmp_path / "log", *events)], out := tmp_path / "traffic.parquet")
    traffic, report = weigh_logged(Traffic.read(out), LabelSettings())
    assert (len(traffic), report.known["cheap"]) == (10, 4)
    # All four alike: each was seen with probability 0.2 x 1 + 0.8 x 1/4.
    seen = ~np.isnan(traffic.outcomes.cheap_quality)
    assert traffic.outcomes.weight[seen] == pytest.approx(np.full(4, traffic.outcomes.weight[0]))


def test_call_that_ended_in_an_error_teaches_nothing(tmp_path):
    """The provider was down: that says nothing of the request."""
    calls = (answer(error="timeout", checks=()), answer("frontier", role="fallback"))
    fields = row_of(tmp_path, fallback="timeout", calls=calls).fields
    assert not parse_row(fields, default_id="x").sample.has_outcome


def test_event_without_a_verdict_is_an_unlabelled_request(tmp_path):
    """It can be judged later, and says how often its route was taken."""
    fields = row_of(tmp_path, calls=(answer(checks=()),)).fields
    sample = parse_row(fields, default_id="x").sample
    assert (sample.has_outcome, sample.route, sample.measured_by) == (False, "cheap", None)


def test_event_without_its_messages_says_why(tmp_path):
    row = row_of(tmp_path, messages=None)
    assert row.fields is None
    assert "its messages" in row.problem


def test_log_is_recognised_and_ingested_with_its_torn_line_among_the_rejects(tmp_path):
    events = [
        event_of(number, messages=({"role": "user", "content": f"Text {number}"},), task="classify")
        for number in range(4)
    ]
    folder = write_log(tmp_path / "log", *events)
    (file,) = folder.iterdir()
    file.write_bytes(file.read_bytes()[:-40])
    (folder / "begun.jsonl").write_bytes(b"")
    summary = ingest([folder], out := tmp_path / "traffic.parquet", allow_rejects=True)
    assert (summary.kept, summary.formats) == (3, {"log": 1})
    assert sum(summary.rejected.values()) == 1
    assert Traffic.read(out).column("propensity") == [0.95] * 3


def test_folder_with_other_json_lines_is_no_log(tmp_path):
    folder = write_log(tmp_path / "log", event_of(messages=TEXT))
    (folder / "other.jsonl").write_text('{"prompt": "Hi"}\n')
    assert find_format(folder)[0] == "native"


def test_answers_that_the_log_keeps_are_those_of_the_traffic(tmp_path):
    """Of a fallback too, and who was answered by it is told."""
    message = '{"role": "assistant", "content": "", "tool_calls": []}'
    calls = (
        answer(answer="short", passed=False),
        answer("frontier", role="fallback", answer=message),
    )
    fields = row_of(tmp_path, fallback="validation", calls=calls).fields
    sample = parse_row(fields, default_id="x").sample
    assert (sample.cheap_answer, sample.frontier_answer) == ("short", message)
    assert sample.extra["answered_by"] == "frontier"
    assert (sample.cheap_passed, sample.frontier_quality) == (False, None)
