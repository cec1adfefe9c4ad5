"""Requests whose outcomes come late or never, on the command line."""

import json

from difficulty.stages.ingest import ingest
from tests.journey import sample_rows, write_rows

OUTCOMES = ("cheap_quality", "frontier_quality", "cheap_passed", "preference")


def unlabelled(folder, n=300):
    rows = [
        {name: row[name] for name in row if name not in OUTCOMES}
        for row in sample_rows(800 + n)[800:]
    ]
    source = write_rows(folder / "requests.jsonl", rows)
    ingest([source], folder / "requests.parquet")
    return rows


def test_score_and_route_read_parquet_as_json_lines(run, journey, tmp_path):
    unlabelled(tmp_path, 20)
    for command in ("score", "route"):
        lines = [
            run(command, journey.bundle, "--input", f"requests.{kind}", code=0).out
            for kind in ("parquet", "jsonl")
        ]
        assert lines[0] == lines[1]
        assert lines[0].count("\n") == 20
    assert "no request file at" in run("score", journey.bundle, "--input", "x.parquet", code=2).err


def test_evaluate_unlabelled(run, journey, tmp_path):
    unlabelled(tmp_path)
    arguments = ("evaluate", journey.bundle, "requests.jsonl", "-o", "out", "--draws", 40)
    told = run(*arguments, "--unlabelled", "--against", journey.traffic, code=0).out
    assert "300 requests without outcomes, by small-1" in told
    assert "frontier share" in told
    assert "difficulty_score: distance" in told
    assert "it needs --unlabelled" in run(*arguments, "--against", journey.traffic, code=2).err
    assert "exists already" in run(*arguments, "--unlabelled", code=2).err


def test_outcomes_of_feedback(run, tmp_path):
    rows = unlabelled(tmp_path, 20)
    events = [{"trace": row["id"], "stars": 5, "side": "cheap"} for row in rows[:10]]
    write_rows(tmp_path / "stars.jsonl", [*events, {"trace": "none", "stars": 1, "side": "cheap"}])
    arguments = ("outcomes", "requests.parquet", "stars.jsonl", "-o", "labelled.parquet")
    mapped = ("--map", "id=trace", "--map", "quality=stars", "--scale", "1,5")
    told = run(*arguments, *mapped, "--measured-by", "stars", code=0).out
    assert "11 rows of feedback: 10 joined, 0 known already, 1 rejected" in told
    assert "requests with an outcome: 0 before, 10 now" in told
    assert "measured by stars: 10" in told
    complaint = run(*arguments, "--overwrite", code=2).err
    assert "Name the column of the request" in complaint
    assert "unknown rule" in run(*arguments, *mapped, "--on-conflict", "x", code=2).err
    result = run(*arguments, *mapped, "--overwrite", "--json", code=0).out
    assert json.loads(result)["labelled"] == 10
