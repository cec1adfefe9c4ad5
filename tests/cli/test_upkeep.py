"""``split``, ``recalibrate`` and ``retrain`` as a user runs them."""

import json

import pytest

from tests.journey import sample_rows, write_rows


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--parts", "a=0.5,a=0.5"], "each name once"),
        (["--parts", "half"], "NAME=SHARE"),
        (["--parts", "a=0.5,b=0.6"], "sum to 1"),
        (["--by", "size"], "'hash' or 'time'"),
        (["--by", "time", "--parts", "a=0.5,b=0.5", "--cut", "yesterday"], "ISO 8601"),
        (["--by", "time", "--parts", "a=0.5,b=0.5", "--straddling", "both"], "straddling"),
    ],
)
def test_split_refuses_what_is_no_split(run, journey, tmp_path, words, complaint):
    refused = run("split", journey.traffic, *words, "-o", "parts", code=2)
    assert complaint in " ".join(refused.err.split())
    assert list(tmp_path.iterdir()) == []


def test_split_prints_its_parts(run, journey, tmp_path):
    said = run("split", journey.traffic, "--by", "time", "-o", "parts", code=0).out
    assert "train" in said
    assert "wrote parts" in said
    again = run("split", journey.traffic, "--json", "-o", "others", code=0).out
    assert {*json.loads(again)["parts"]} == {"train", "choose", "judge"}
    assert "exists" in run("split", journey.traffic, "-o", "parts", code=2).err


def test_nothing_to_move_is_the_answer_no(run, journey, tmp_path):
    """On the test samples of its own training a bundle is as it was expected to be."""
    command = ["recalibrate", journey.traffic, "--bundle", journey.bundle, "-o", "small-2"]
    said = run(*command, code=1)
    assert "nothing should move" in said.out
    assert list(tmp_path.iterdir()) == []
    form = json.loads(run(*command, "--json", code=1).out)
    assert form["bundle"] is None
    assert form["parent"]["bundle"] == "small-1"


@pytest.mark.parametrize(
    ("source", "words", "complaint"),
    [
        ("nothing.parquet", [], "nothing.parquet"),
        ("torn.jsonl", [], "at least one usable row"),
        (None, ["--objective", "shares=0.3"], "objective"),
        (None, ["--objective", "share=30"], "not percentages"),
    ],
)
def test_recalibrate_refuses_bad_input(run, journey, tmp_path, source, words, complaint):
    (tmp_path / "torn.jsonl").write_text('{"format": 1, "id": "r')
    refused = run(
        *("recalibrate", source or journey.traffic, "--bundle", journey.bundle),
        *(*words, "-o", "small-2"),
        code=2,
    )
    assert complaint in refused.err.replace("\n", "")
    assert not (tmp_path / "small-2").exists()


def test_retrain_refuses_bad_input(run, journey, tmp_path):
    rows = [dict(row, timestamp=None) for row in sample_rows(60)]
    run("ingest", write_rows(tmp_path / "new.jsonl", rows), "-o", "new.parquet", code=0)
    command = ["retrain", journey.traffic, "new.parquet", "--bundle", journey.bundle]
    assert "'none'" in run(*command, "--half-lives", "x", "-o", "run", code=2).err
    assert "the old traffic does not have" in run(*command, "-o", "run", code=2).err
    assert not (tmp_path / "run").exists()
