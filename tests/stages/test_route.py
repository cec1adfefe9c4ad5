import json

import numpy as np
import pytest

from difficulty.request import Request, RequestRow
from difficulty.runtime import service as requests_module
from difficulty.runtime.service import route_rows
from difficulty.stages import route as route_module
from difficulty.stages.route import score_rows, write_rows
from tests.runtime.conftest import hand_made


def requests_of(*texts):
    return [RequestRow(str(number), Request(text)) for number, text in enumerate(texts)]


def test_scores_by_hand():
    """Word w7 scores 7/200."""
    rows = list(score_rows(hand_made().scorer, requests_of("w7", "w100 w1"), version="by-hand-1"))
    assert rows == [
        {
            "id": "0",
            "difficulty_score": 0.035,
            "p_cheap_fails": 0.035,
            "bundle_version": "by-hand-1",
        },
        {"id": "1", "difficulty_score": 0.5, "p_cheap_fails": 0.5, "bundle_version": "by-hand-1"},
    ]


def test_row_that_cannot_be_scored_keeps_its_place():
    """A line that was no request, a request without text, messages of the wrong kind: nulls and an
    error, the others untouched.
    """
    rows = requests_of("w7", "", "w8", 5)
    rows.insert(1, RequestRow("bad", Request([]), "line 2 must be a JSON object: got list"))
    scored = list(score_rows(hand_made().scorer, rows, version="v"))
    assert [(row["id"], row["difficulty_score"]) for row in scored] == [
        ("0", 0.035),
        ("bad", None),
        ("1", None),
        ("2", 0.04),
        ("3", None),
    ]
    assert [row.get("error", "")[:32] for row in scored][1:3] == [
        "line 2 must be a JSON object: go",
        "a request must hold some text to",
    ]
    assert scored[4]["error"]


def test_score_that_is_no_number_is_null_and_an_error():
    """NaN is not JSON."""
    router = hand_made(table=np.array([0.1, np.nan, 0.3]))
    rows = list(score_rows(router.scorer, requests_of("w2", "w1"), version="v"))
    assert rows[1] == {
        "id": "1",
        "difficulty_score": None,
        "p_cheap_fails": None,
        "bundle_version": "v",
        "error": "difficulty_score must be a number: got nan. Verify the bundle.",
    }
    assert rows[0]["difficulty_score"] == pytest.approx(0.3)


def test_routes_by_hand():
    rows = [
        *requests_of("w150", "w7", ""),
        RequestRow("3", Request("w7", "multi-step planning")),
        RequestRow("4", Request([]), "line 5 is bad"),
    ]
    routed = list(route_rows(hand_made(), rows))
    assert [(row["id"], row["route"], row["reason"]) for row in routed] == [
        ("0", "frontier", "above_threshold"),
        ("1", "cheap", "within_threshold"),
        ("2", "frontier", "scorer_error"),
        ("3", "frontier", "hard_task"),
        ("4", "frontier", "scorer_error"),
    ]
    assert routed[4]["error"] == "line 5 is bad"
    assert "error" not in routed[0]
    assert {
        "id",
        "difficulty_score",
        "p_cheap_fails",
        "route",
        "model",
        "reason",
        "threshold",
        "bundle_version",
    } <= set(routed[0])


def test_order_and_number_of_rows_stay_across_chunks(monkeypatch):
    monkeypatch.setattr(requests_module, "CHUNK", 7)
    texts = [f"w{number % 200} " * (1 + number % 5) for number in range(50)]
    expected = pytest.approx([(number % 200) / 200 for number in range(50)])
    for rows in (
        score_rows(hand_made().scorer, requests_of(*texts), version="v"),
        route_rows(hand_made(), requests_of(*texts)),
    ):
        rows = list(rows)
        assert [row["id"] for row in rows] == [str(number) for number in range(50)]
        assert [row["difficulty_score"] for row in rows] == expected


def test_rows_are_read_as_they_are_needed(monkeypatch):
    """A file larger than memory is scored chunk by chunk."""
    monkeypatch.setattr(requests_module, "CHUNK", 5)
    taken = []
    rows = (taken.append(row) or row for row in requests_of(*["w1"] * 50))
    next(score_rows(hand_made().scorer, rows, version="v"))
    assert len(taken) == 5


def test_written_rows_are_json_lines_and_counted(tmp_path):
    rows = route_rows(hand_made(), requests_of("w150", "w7", "w8", ""))
    counts = write_rows(rows, tmp_path / "deep" / "out.jsonl")
    lines = (tmp_path / "deep" / "out.jsonl").read_text(encoding="ascii").splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["0", "1", "2", "3"]
    wanted = {
        "rows": 4,
        "errors": 1,
        "cheap": 2,
        "frontier": 2,
        "above_threshold": 1,
        "within_threshold": 2,
        "scorer_error": 1,
    }
    assert dict(counts) == wanted


def test_ids_survive_whatever_they_hold(tmp_path):
    names = ["tenant:b:42", "\ud800", "é \u2028 ü", "a\nb"]
    write_rows(
        score_rows(
            hand_made().scorer, [RequestRow(name, Request("w1")) for name in names], version="v"
        ),
        tmp_path / "out.jsonl",
    )
    assert [
        json.loads(line)["id"] for line in (tmp_path / "out.jsonl").read_text().split("\n") if line
    ] == names


def test_crash_keeps_the_old_file_and_leaves_no_other(tmp_path):
    (tmp_path / "out.jsonl").write_text("old")

    def rows():
        yield {"id": "1"}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rows(rows(), tmp_path / "out.jsonl")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("out.jsonl", "old")]


def test_progress_is_told_now_and_then(tmp_path, monkeypatch):
    monkeypatch.setattr(route_module, "CHUNK", 2)
    told = []
    write_rows(
        ({"id": str(number)} for number in range(5)), tmp_path / "out.jsonl", progress=told.append
    )
    assert told == [2, 4]
