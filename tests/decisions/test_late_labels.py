"""Late outcomes beside a log."""

import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from difficulty.decisions import read_decisions
from difficulty.errors import TrafficError
from difficulty.gateway.log_files import event_line
from difficulty.stages.ingest import ingest
from tests.events import WHEN, answer, event_of


@pytest.fixture
def log(tmp_path):
    """Four requests: cheap, cheap that failed its check, sent, and fallen back."""
    events = [
        event_of(0, seq=0, writer="w"),
        event_of(1, seq=1, writer="w", calls=(answer(passed=False),)),
        event_of(2, seq=2, writer="w", route="frontier", calls=(answer("frontier"),)),
        event_of(
            3,
            seq=3,
            writer="w",
            fallback="validation",
            calls=(answer(passed=False), answer("frontier", role="fallback")),
        ),
    ]
    events = [
        replace(event, time=WHEN + timedelta(minutes=number)) for number, event in enumerate(events)
    ]
    folder = tmp_path / "log"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(b"".join(map(event_line, events)))
    return folder


def feedback(tmp_path, *rows):
    path = tmp_path / "feedback.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


LABELS = ["cheap_quality", "frontier_quality", "preference", "measured_by"]


def test_feedback_is_of_the_answer_that_the_user_saw(log, tmp_path):
    path = feedback(
        tmp_path,
        {"id": "r0", "quality": 1},
        {"id": "r1", "model": "cheap-model", "quality": "down", "measured_by": "thumbs"},
        {"id": "r2", "quality": 0.5},
        {"id": "r3", "quality": 0.25},
        {"id": "r3", "preference": "frontier"},
    )
    with read_decisions(log, outcomes=[path]) as table:
        columns, reading = table.arrays(LABELS), table.reading
    np.testing.assert_array_equal(columns["cheap_quality"], [1, 0, np.nan, np.nan])
    np.testing.assert_array_equal(columns["frontier_quality"], [np.nan, np.nan, 0.5, 0.25])
    assert columns["preference"].tolist() == [None, None, None, "frontier"]
    assert columns["measured_by"].tolist() == ["feedback", "thumbs", "feedback", "votes"]
    assert (reading.outcomes, reading.joined, reading.unknown_outcomes) == (5, 4, 0)


def test_last_word_counts_and_differences_are_counted(log, tmp_path):
    path = feedback(
        tmp_path,
        {"id": "r0", "quality": 0, "timestamp": "2026-11-27T00:00:00Z"},
        {"id": "r0", "quality": 1, "timestamp": "2026-11-26T00:00:00Z"},
        {"id": "r0", "quality": 1},
        {"id": "r1", "quality": 0.75},
        {"id": "r1", "quality": 0.75},
    )
    with read_decisions(log, outcomes=[path]) as table:
        columns, reading = table.arrays(LABELS), table.reading
    np.testing.assert_array_equal(columns["cheap_quality"][:2], [0, 0.75])
    assert reading.disagreeing == 1
    # r0 passed its check and was bad, r1 failed it and was good.
    assert reading.contradicted == 2


def test_what_cannot_be_joined_is_counted(log, tmp_path):
    path = feedback(
        tmp_path,
        {"id": "r0", "quality": 1},
        {"id": "elsewhere", "quality": 1},
        {"id": "r1", "model": "another-model", "quality": 1},
        {"id": "r2"},
        {"quality": 1},
        {"id": "r2", "quality": "great"},
    )
    with read_decisions(log, outcomes=[path]) as table:
        reading = table.reading
        columns = table.arrays(["cheap_quality"])
    assert (reading.outcomes, reading.joined, reading.unknown_outcomes) == (3, 1, 1)
    assert (reading.ambiguous_outcomes, reading.rejected_outcomes) == (1, 3)
    np.testing.assert_array_equal(columns["cheap_quality"], [1, np.nan, np.nan, np.nan])


def test_shared_ids_get_no_outcome(tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    events = [event_of(0, seq=0, writer="a"), event_of(0, seq=0, writer="b")]
    (folder / "a.jsonl").write_bytes(b"".join(map(event_line, events)))
    with read_decisions(folder, outcomes=[feedback(tmp_path, {"id": "r0", "quality": 1})]) as table:
        assert (table.reading.joined, table.reading.ambiguous_outcomes) == (0, 1)


def test_ingested_traffic_says_its_outcomes(log, tmp_path):
    source = tmp_path / "traffic.jsonl"
    rows = [
        {
            "id": "r0",
            "prompt": "a",
            "cheap_quality": 1,
            "frontier_quality": 0.5,
            "measured_by": "tests",
        },
        {"id": "r1", "prompt": "b", "preference": "tie"},
        {"id": "r9", "prompt": "c", "cheap_quality": 0},
        {"id": "r2", "prompt": "d"},
    ]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ingest([source], tmp_path / "traffic.parquet")
    with read_decisions(log, outcomes=[tmp_path / "traffic.parquet"]) as table:
        columns, reading = table.arrays(LABELS), table.reading
    np.testing.assert_array_equal(columns["cheap_quality"], [1, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(columns["frontier_quality"], [0.5, np.nan, np.nan, np.nan])
    assert columns["preference"].tolist() == [None, "tie", None, None]
    assert (reading.outcomes, reading.joined, reading.unknown_outcomes) == (3, 2, 1)


def test_late_word_on_the_form_counts_where_no_validator_looked(tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    events = [
        event_of(0, seq=0, writer="a", calls=(answer(checks=()),)),
        event_of(1, seq=1, writer="a"),
    ]
    (folder / "a.jsonl").write_bytes(b"".join(map(event_line, events)))
    path = feedback(tmp_path, {"id": "r0", "passed": False}, {"id": "r1", "passed": False})
    with read_decisions(folder, outcomes=[path]) as table:
        np.testing.assert_array_equal(table.arrays(["cheap_passed"])["cheap_passed"], [0, 1])
        assert table.reading.contradicted == 1


def test_outcomes_that_say_nothing_are_refused(log, tmp_path):
    with pytest.raises(TrafficError, match="late outcomes must say something"):
        read_decisions(log, outcomes=[feedback(tmp_path, {"id": "r0"})])


def labelled(tmp_path, kind, chances):
    """Return outcomes of the first requests, chosen with these chances."""
    rows = [
        {"id": f"r{n}", "cheap_quality": 1.0, "inclusion": chance}
        for n, chance in enumerate(chances)
    ]
    if kind == "feedback":
        return feedback(tmp_path, *rows)
    source, path = tmp_path / "rows.jsonl", tmp_path / "labelled.parquet"
    source.write_text(
        "".join(json.dumps({"prompt": f"p {n}"} | row) + "\n" for n, row in enumerate(rows))
    )
    ingest([source], path, near_duplicates=False)
    return path


@pytest.mark.parametrize("kind", ["feedback", "traffic"])
def test_outcomes_of_chosen_requests_beside_others_are_refused(log, tmp_path, kind):
    """Each would count the same, though it stands for 1 / inclusion requests."""
    path = labelled(tmp_path, kind, (0.1, None))
    with pytest.raises(
        TrafficError, match=r"must be of requests that were chosen alike.* evaluate"
    ):
        read_decisions(log, outcomes=[path])


@pytest.mark.parametrize("kind", ["feedback", "traffic"])
@pytest.mark.parametrize("chances", [(0.1, 0.105), (None, None)])
def test_outcomes_of_requests_chosen_alike_are_joined(log, tmp_path, kind, chances):
    with read_decisions(log, outcomes=[labelled(tmp_path, kind, chances)]) as table:
        assert table.reading.joined == 2


def test_chances_of_requests_that_the_log_does_not_have_do_not_matter(log, tmp_path):
    path = feedback(
        tmp_path,
        {"id": "r0", "quality": 1, "inclusion": 0.1},
        {"id": "elsewhere", "quality": 1, "inclusion": 1.0},
    )
    with read_decisions(log, outcomes=[path]) as table:
        assert table.reading.joined == 1


@pytest.mark.parametrize("kind", ["feedback", "traffic"])
def test_outcomes_of_chosen_requests_are_thinned_until_each_counts_alike(tmp_path, kind):
    """Hard requests were chosen four times as often: the mean quality is that of all the same."""
    rng, n = np.random.default_rng(0), 4000
    hard = rng.random(n) < 0.5
    chance = np.where(hard, 0.8, 0.2)
    chosen = np.flatnonzero(rng.random(n) < chance)
    (tmp_path / "log").mkdir()
    events = [event_of(number, seq=number, writer="w") for number in chosen]
    (tmp_path / "log" / "a.jsonl").write_bytes(b"".join(map(event_line, events)))
    rows = [
        {"id": f"r{number}", "cheap_quality": float(not hard[number]), "inclusion": chance[number]}
        for number in chosen
    ]
    path = feedback(tmp_path, *rows)
    if kind == "traffic":
        source, path = tmp_path / "rows.jsonl", tmp_path / "labelled.parquet"
        source.write_text(
            "".join(json.dumps({"prompt": f"p {row['id']}"} | row) + "\n" for row in rows)
        )
        ingest([source], path, near_duplicates=False)
    with read_decisions(tmp_path / "log", outcomes=[path]) as table:
        quality = table.arrays(["cheap_quality"])["cheap_quality"]
        reading = table.reading
    known = ~np.isnan(quality)
    assert np.nanmean(quality) == pytest.approx(
        1.0 - hard.mean(), abs=4.0 * 0.5 / known.sum() ** 0.5
    )
    assert reading.joined == known.sum()
    assert reading.thinned_outcomes == len(rows) - known.sum() > 900
    assert any("counts alike" in sentence for sentence in reading.sentences())
