"""The page of the scale benchmark says how each stage grows, and every stage can be started."""

import json

import pytest

from benchmarks import scale
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


def test_page_names_no_folder_of_ours():
    typed = "python -m benchmarks.scale --rows 10 -o OUT"
    assert scale._as_typed(["--rows", "10", "--work", "here", "-o", "OUT"]) == typed


def test_stages_are_commands_on_one_folder(tmp_path):
    for stage in STAGES[:-1]:
        command, *arguments = _arguments(stage, tmp_path, "fast")
        assert command in COMMANDS
        assert any(str(tmp_path) in each for each in arguments)
    write_rows(tmp_path / "rows.jsonl", 3)
    rows = [json.loads(line) for line in (tmp_path / "rows-00.jsonl").read_text().splitlines()]
    assert len(rows) == 3
    assert all(row["messages"] for row in rows)


def test_rows_come_in_parts_and_a_part_that_is_there_is_kept(tmp_path, monkeypatch):
    """What is made by a part does not hang on the others, and no id is there twice."""
    monkeypatch.setattr(scale, "_PART", 2)
    (tmp_path / "rows-01.jsonl").write_text("kept\n")
    write_rows(tmp_path / "rows.jsonl", 5, "asks")
    first, second, third = (tmp_path / f"rows-0{part}.jsonl" for part in range(3))
    assert second.read_text() == "kept\n"
    lines = first.read_text().splitlines() + third.read_text().splitlines()
    assert len({json.loads(line)["id"] for line in lines}) == 3
    (theirs,), (ours,) = json.loads(lines[0])["messages"], json.loads(lines[2])["messages"]
    assert len(theirs["content"].split()) == len(ours["content"].split())
    assert theirs["content"] != ours["content"]
    assert scale._arguments("ingest", tmp_path, "fast")[1:4] == [*map(str, (first, second, third))]


def test_asks_are_short_and_have_no_answers(tmp_path):
    write_rows(tmp_path / "asks.jsonl", 40, "asks")
    rows = [json.loads(line) for line in (tmp_path / "asks-00.jsonl").read_text().splitlines()]
    assert len(rows) == 40
    for row in rows:
        (message,) = row["messages"]
        assert message["role"] == "user"
        assert len(message["content"].split()) <= 48
        assert "cheap_answer" not in row
        assert "cheap_quality" in row
