"""Feedback joined with traffic by request id."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from difficulty.errors import OutputExistsError, TrafficError, UnknownNameError
from difficulty.stages.ingest import ingest
from difficulty.stages.labelling.late_outcomes import join_outcomes
from difficulty.traffic.reading.dialect import ReadOptions
from difficulty.traffic.reading.named_pair import ModelPair
from difficulty.traffic.rows import Scale
from difficulty.traffic.table import Traffic
from tests.journey import write_rows

REQUESTS = [
    {"id": "a", "prompt": "one", "cheap_model": "small", "frontier_model": "big"},
    {"id": "b", "prompt": "two", "cheap_model": "small", "cheap_answer": "2"},
    {
        "id": "c",
        "prompt": "three",
        "cheap_quality": 1.0,
        "frontier_quality": 1.0,
        "measured_by": "judge:x",
    },
    {"id": "d", "prompt": "four", "cheap_passed": True, "measured_by": "validators:refusal"},
]


@pytest.fixture
def traffic(tmp_path):
    source = write_rows(tmp_path / "requests.jsonl", REQUESTS)
    ingest([source], out := tmp_path / "traffic.parquet")
    return out


@pytest.fixture
def join(traffic, tmp_path):
    """Return a function that joins rows of feedback and gives the report and the new columns."""

    def joined(*rows, of=traffic, name="new", **options):
        source = write_rows(tmp_path / f"{name}.feedback.jsonl", list(rows))
        report = join_outcomes(of, [source], out := tmp_path / f"{name}.parquet", **options)
        return report, Traffic.read(out), out

    return joined


def known(traffic, id):
    row = traffic.ids.index(id)
    names = ("cheap_quality", "frontier_quality", "cheap_passed", "preference", "measured_by")
    return tuple(traffic.column(name)[row] for name in names)


def test_feedback_goes_to_the_model_that_answered(join):
    """By side, by the name that the request has, and of the one answer that is known."""
    report, new, _ = join(
        {"id": "a", "model": "big", "quality": 1},
        {"id": "a", "side": "cheap", "quality": 0.25, "measured_by": "judge:y"},
        {"id": "b", "quality": False},
    )
    assert known(new, "a") == (0.25, 1.0, None, None, "feedback+judge:y")
    assert known(new, "b") == (0.0, None, None, None, "feedback")
    assert (report.rows, report.joined, report.labelled_before, report.labelled) == (3, 3, 2, 4)


@pytest.mark.parametrize(
    ("rule", "quality", "by"),
    [("last", 0.0, "thumbs"), ("mean", 0.5, "judge:x+tests+thumbs"), ("first", 1.0, "judge:x")],
)
def test_what_counts_of_different_outcomes_is_a_rule(join, rule, quality, by):
    """Before: 1 by a judge; then 0.5 by tests on the 2nd, which comes in after 0 on the 3rd."""
    report, new, _ = join(
        {
            "id": "c",
            "side": "cheap",
            "quality": 0,
            "timestamp": "2026-01-03",
            "measured_by": "thumbs",
        },
        {
            "id": "c",
            "side": "cheap",
            "quality": 0.5,
            "timestamp": "2026-01-02",
            "measured_by": "tests",
        },
        on_conflict=rule,
    )
    # The frontier quality stays the judge's.
    names = {"judge:x", *by.split("+")}
    assert known(new, "c")[:2] == (quality, 1.0)
    assert set(known(new, "c")[4].split("+")) == names
    assert report.contradictions == 1


@pytest.mark.parametrize("rule", ["last", "mean", "first"])
def test_the_same_feedback_again_changes_nothing(join, rule):
    """Also where events have no time, and where another file came between."""
    first = [
        {"id": "c", "side": "cheap", "quality": 0},
        {"id": "c", "side": "cheap", "quality": 0},
        {"id": "a", "preference": "frontier"},
        {"id": "a", "side": "cheap", "quality": 0.5, "timestamp": "2026-02-01"},
    ]
    second = [{"id": "a", "side": "cheap", "quality": 1, "timestamp": "2026-01-01"}]
    _, _, once = join(*first, name="once", on_conflict=rule)
    _, two, both = join(*second, of=once, name="both", on_conflict=rule)
    report, again, path = join(*first, of=both, name="again", on_conflict=rule)
    assert (report.joined, report.repeated) == (0, 4)
    assert again.data_hash == two.data_hash
    _, other, _ = join(*second, *first, of=path, name="other", on_conflict=rule)
    assert other.data_hash == two.data_hash
    wanted = {"last": 0.5, "mean": 0.75, "first": 1.0}[rule]
    assert known(two, "a")[0] == wanted
    assert known(two, "c")[0] == {"last": 0.0, "mean": pytest.approx(1 / 3), "first": 1.0}[rule]


def test_an_event_with_a_time_counts_once(join):
    """Queues deliver twice."""
    event = {"id": "a", "side": "cheap", "quality": 0, "timestamp": "2026-02-01T10:00:00+02:00"}
    report, new, _ = join(
        event,
        event | {"timestamp": "2026-02-01T08:00:00Z"},  # the same moment
        {"id": "a", "side": "cheap", "quality": 1, "timestamp": "2026-02-02"},
        on_conflict="mean",
    )
    assert known(new, "a")[0] == 0.5
    assert (report.joined, report.repeated) == (2, 1)


def test_another_rule_settles_what_came_before_anew(join):
    events = [{"id": "a", "side": "cheap", "quality": value} for value in (1, 0, 0)]
    _, _, path = join(*events, name="last")
    _, new, _ = join(*events, of=path, name="mean", on_conflict="mean")
    assert known(new, "a")[0] == pytest.approx(1 / 3)


def test_verdicts_and_votes_are_settled_as_those_of_annotators(join):
    report, new, _ = join(
        {"id": "b", "passed": True},
        {"id": "b", "passed": False},
        {"id": "a", "preference": "frontier"},
        {"id": "a", "preference": "cheap"},
        on_conflict="mean",
    )
    assert known(new, "b") == (0.5, None, None, None, "feedback")
    assert known(new, "a") == (None, None, None, "tie", "votes")
    assert report.contradictions == 2


def test_a_grade_counts_before_a_check_of_the_form(join):
    _, new, _ = join({"id": "d", "side": "cheap", "quality": 0, "measured_by": "thumbs"})
    assert known(new, "d") == (0.0, None, True, None, "thumbs")
    assert not new.outcomes.only_checked.any()


def test_check_of_the_form_of_a_frontier_answer_is_no_outcome(join):
    report, new, _ = join(
        {"id": "a", "side": "frontier", "passed": True}, {"id": "b", "quality": 1}
    )
    assert (report.left_out, report.joined) == (1, 1)
    assert known(new, "a") == (None,) * 5


def test_unknown_requests_and_bad_rows_go_to_the_rejects(join, tmp_path):
    rows = [{"id": "b", "quality": 1}] * 5
    report, _, out = join(
        *rows,
        {"id": "nobody", "quality": 1},
        {"id": "c", "quality": 1},
        {"id": "a", "model": "middle", "quality": 1},
        {"id": "b", "quality": 7},
        {"id": "b"},
        allow_rejects=True,
    )
    assert report.unknown_ids == 1
    assert report.rows == report.joined + report.repeated + sum(report.rejected.values())
    rejects = [
        json.loads(line) for line in (tmp_path / "new.rejects.jsonl").read_text().splitlines()
    ]
    assert [(row["line"], row["id"]) for row in rejects] == [
        *((6, "nobody"), (7, "c"), (8, "a"), (9, "b"), (10, "b"))
    ]
    assert "Add a column side" in rejects[1]["reason"]
    assert "It names 'small' and 'big'" in rejects[2]["reason"]
    assert json.loads((tmp_path / "new.summary.json").read_text()) == report.as_dict()


def test_feedback_of_other_traffic_and_a_wrong_column_are_refused(join, tmp_path):
    with pytest.raises(TrafficError, match="none of 1 row is.*'x9'; the traffic has 'a'"):
        join({"id": "x9", "quality": 1})
    with pytest.raises(TrafficError, match="id must name the request"):
        join({"request": "a", "quality": 1})
    with pytest.raises(TrafficError, match="at most 20 % of the feedback"):
        join({"id": "a", "side": "cheap", "quality": 1}, {"id": "a", "side": "cheap", "quality": 9})
    with pytest.raises(UnknownNameError, match="last, mean"):
        join({"id": "a", "side": "cheap", "quality": 1}, on_conflict="max")
    assert not (tmp_path / "new.parquet").exists()


def test_files_of_any_type_with_other_names_and_scales(traffic, tmp_path):
    """Stars in CSV, thumbs in Parquet; models by pattern."""
    with (tmp_path / "stars.csv").open("w", newline="") as file:
        csv.writer(file, delimiter=";").writerows(
            [["trace", "stars", "llm"], ["a", "4", "gpt-4-x"]]
        )
    pq.write_table(
        pa.table({"trace": ["b"], "stars": ["thumbs_down"], "llm": [None]}), tmp_path / "t.parquet"
    )
    report = join_outcomes(
        traffic,
        [tmp_path / "stars.csv", tmp_path / "t.parquet"],
        out := tmp_path / "new.parquet",
        scale=Scale(1, 5),
        columns={"id": "trace", "quality": "stars", "model": "llm"},
        measured_by="stars",
        options=ReadOptions(pair=ModelPair(cheap=("small",), frontier=("gpt-4*",))),
    )
    new = Traffic.read(out)
    assert report.joined == 2
    assert known(new, "a") == (None, 0.75, None, None, "stars")
    assert known(new, "b")[0] == 0.0


def test_requests_splits_and_other_columns_stay(join, traffic):
    old = Traffic.read(traffic)
    _, new, path = join({"id": "b", "quality": 1})
    for name in ("id", "messages", "split_group", "near_groups", "cheap_answer", "weight"):
        assert new.column(name) == old.column(name)
    assert list(new.splits()) == list(old.splits())
    # And through a second ingest.
    ingest([path], again := path.with_name("again.parquet"))
    assert known(Traffic.read(again), "b") == known(new, "b")
    report = join_outcomes(
        again, [path.with_name("new.feedback.jsonl")], path.with_name("x.parquet")
    )
    assert (report.joined, report.repeated) == (0, 1)


def test_after_a_fallback_feedback_is_of_the_frontier_answer(tmp_path):
    source = write_rows(
        tmp_path / "in.jsonl",
        [
            {"id": "a", "prompt": "x", "route": "cheap", "propensity": 0.9},
            {
                "id": "b",
                "prompt": "y",
                "route": "cheap",
                "propensity": 0.9,
                "answered_by": "frontier",
            },
        ],
    )
    ingest([source], tmp_path / "t.parquet")
    feedback = write_rows(tmp_path / "f.jsonl", [{"id": id, "quality": 1} for id in "ab"])
    join_outcomes(tmp_path / "t.parquet", [feedback], out := tmp_path / "new.parquet")
    outcomes = Traffic.read(out).outcomes
    np.testing.assert_array_equal(outcomes.cheap_quality, [1, np.nan])
    np.testing.assert_array_equal(outcomes.frontier_quality, [np.nan, 1])


def test_nothing_is_replaced_unasked(join, traffic, tmp_path):
    event = {"id": "b", "quality": 1}
    join(event)
    with pytest.raises(OutputExistsError):
        join(event)
    join(event, overwrite=True)
    feedback = write_rows(tmp_path / "f.jsonl", [event])
    with pytest.raises(TrafficError, match="must not be what is read"):
        join_outcomes(traffic, [feedback], traffic, overwrite=True)
