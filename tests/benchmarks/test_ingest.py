"""The generated log is one that ingest reads, and every stage can be measured."""

import json

import pytest

from benchmarks.ingest import STAGES, as_markdown, spend_logs


def test_the_log_is_the_same_each_time_and_has_repeats_and_copies():
    rows, again = (list(spend_logs(400, seed=3)) for _ in range(2))
    assert rows == again
    texts = [row["messages"][1]["content"] for row in rows]
    assert len({row["request_id"] for row in rows}) == 400
    assert 0 < 400 - len(set(texts)) < 40


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_runs(tmp_path, stage):
    file = tmp_path / "log.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in spend_logs(60)))
    counted = STAGES[stage](file)
    assert counted == {"read": 60, "check": 60, "whole": 60}.get(stage, counted)


def test_the_page_has_a_row_for_every_stage():
    figures = dict.fromkeys(STAGES, {"seconds": 1.0, "cpu_seconds": 0.5, "peak_mb": 90.0})
    sizes = {"1000": {"file_mb": {"size": 2.0}, **figures}}
    page = as_markdown({"date": "x", "machine": "y", "command": "z", "figures": sizes})
    assert "| whole | 1.0 | 0.5 | 500 | 90 |" in page
