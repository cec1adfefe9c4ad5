"""The page of the scale benchmark says how each stage grows, and every stage can be started."""

import json

import pytest

from benchmarks.scale import STAGES, _arguments, as_markdown, slope, write_rows
from difficulty.cli.app import COMMANDS

FIGURES = {
    str(size): {
        stage: {"seconds": size / 10, "processor": size / 5, "peak_mb": 100.0, "others_mb": 0.0}
        for stage in STAGES
    }
    for size in (10, 100, 1000)
}


def test_exponents_are_slopes_of_logarithms():
    """Twice the rows take twice the time, and as much memory."""
    assert slope(FIGURES, "train", "processor") == pytest.approx(1.0)
    assert slope(FIGURES, "train", "peak_mb") == pytest.approx(0.0)
    page = as_markdown(
        {"recipe": "r", "date": "x", "machine": "y", "command": "z", "shape": "asks"}
        | {"figures": FIGURES}
    )
    assert "| ship | 100 | 200 | 200,000 | 100 | 0 |" in page
    assert "| verify | 1.00 | 0.00 |" in page


def test_stages_are_commands_on_one_folder(tmp_path):
    for stage in STAGES[:-1]:
        command, *arguments = _arguments(stage, tmp_path, "fast")
        assert command in COMMANDS
        assert any(str(tmp_path) in each for each in arguments)
    write_rows(tmp_path / "rows.jsonl", 3)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert len(rows) == 3
    assert all(row["messages"] for row in rows)


def test_asks_are_short_and_have_no_answers(tmp_path):
    write_rows(tmp_path / "asks.jsonl", 40, "asks")
    rows = [json.loads(line) for line in (tmp_path / "asks.jsonl").read_text().splitlines()]
    assert len(rows) == 40
    for row in rows:
        (message,) = row["messages"]
        assert message["role"] == "user"
        assert len(message["content"].split()) <= 48
        assert "cheap_answer" not in row
        assert "cheap_quality" in row
