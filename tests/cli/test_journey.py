"""The way through: what each command prints and writes when all is well."""

import gzip
import json
import re
import shutil
from pathlib import Path

import pytest

from difficulty.bundle import read_bundle
from difficulty.traffic.table import Traffic
from tests.conftest import REPOSITORY
from tests.journey import sample_rows, write_rows

pytestmark = pytest.mark.long

PRICES = REPOSITORY / "data" / "prices.example.toml"


@pytest.fixture
def requests(tmp_path):
    """A file of twelve requests, three of which cannot be scored."""
    rows = [
        {"id": row["id"], "messages": row["messages"], "task": row["task"]}
        for row in sample_rows(9)
    ]
    lines = [json.dumps(row) for row in rows]
    lines[3:3] = [
        "{oops",
        json.dumps({"id": "tenant:b:1", "prompt": ""}),
        json.dumps({"id": "no text", "messages": None}),
    ]
    path = tmp_path / "requests.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


NAMES = [
    *(f"sample-{number:06}" for number in range(3)),
    "4",
    "tenant:b:1",
    "no text",
    *(f"sample-{number:06}" for number in range(3, 9)),
]


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


def test_whole_journey(run, journey, tmp_path):
    """From a raw file to a routed request, command by command."""
    run("ingest", journey.source, "-o", "traffic.parquet", code=0)
    assert len(Traffic.read(tmp_path / "traffic.parquet")) == 800
    train = run(
        "train",
        "traffic.parquet",
        "-o",
        "run",
        "--recipe",
        journey.recipe_file,
        "--no-tracking",
        code=0,
    )
    assert "target benefit; 464 fit, 141 calibration, 194 test samples" in train.out
    assert not (tmp_path / "mlflow.db").exists()
    evaluate = run(
        "evaluate",
        "run",
        "traffic.parquet",
        "-o",
        "report",
        "--draws",
        40,
        "--prices",
        PRICES,
        code=0,
    )
    assert (
        "194 samples judged. 606 samples whose text or group training saw are left out."
        in evaluate.out
    )
    ship = run(
        "ship",
        "run",
        "-o",
        "small-1",
        "--objective",
        "quality=0.4",
        "--hard-task",
        "code",
        "--prices",
        PRICES,
        code=0,
    )
    assert re.match("(Switch on|Keep testing|Do not switch on): ", ship.out)
    for printed in (train, evaluate, ship):
        lines = printed.out.splitlines()
        assert len(lines) <= 25
        assert [line for line in lines if line.startswith("next: ")] == lines[-1:]
        assert "--details" in printed.out
    assert "same route on all" in ship.out
    assert "chosen by quality=0.4" in ship.out
    assert read_bundle(tmp_path / "small-1").policy.hard_tasks == ("code",)
    assert "10 files match their hashes" in run("verify", "small-1", code=0).out
    assert (
        "chosen"
        not in run(
            "thresholds",
            "small-1",
            "traffic.parquet",
            "--objective",
            "share=0.5",
            "-o",
            "small-2",
            code=0,
        ).err
    )
    decision = run(
        "route",
        "small-2",
        "Write a function that merges two sorted lists.",
        "--task",
        "code",
        code=0,
    )
    assert decision.out == "frontier -> example/frontier  (hard_task: no score needed)\n"
    assert {path.name for path in tmp_path.iterdir()} == {
        "traffic.parquet", "traffic.summary.json", "run", "report", "small-1", "small-2"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        (["ingest", "{source}", "-o", "t.parquet"], {"rows", "kept"}),
        (
            ["train", "{traffic}", "-o", "run", "--recipe", "{recipe_file}", "--no-tracking"],
            {"run", "target", "samples", "metrics", "learning_curve"},
        ),
        (
            ["evaluate", "{bundle}", "{traffic}", "-o", "report", "--draws", "40"],
            {"judged", "left_out", "note", "overall", "slices", "verdict"},
        ),
        (["ship", "{run}", "-o", "b-1"], {"bundle", "verdict", "point", "parity", "test"}),
        (
            ["thresholds", "{bundle}", "{traffic}", "--objective", "share=0.5", "-o", "b-2"],
            {"bundle", "old", "new"},
        ),
        (["policy", "{bundle}"], {"threshold", "exploration", "chosen"}),
        (["policy", "{bundle}", "--set", "shadow=0.1", "-o", "b-3"], {"bundle", "diff", "notes"}),
        (
            ["verify", "{bundle}"],
            {"bundle", "files", "golden", "passed", "differences", "warnings"},
        ),
        (
            ["score", "{bundle}", "Hello"],
            {"id", "difficulty_score", "p_cheap_fails", "bundle_version"},
        ),
        (
            ["route", "{bundle}", "Hello"],
            {"id", "difficulty_score", "route", "model", "reason", "threshold", "bundle_version"},
        ),
        (
            ["route", "{bundle}", "--input", "{source}", "-o", "routed.jsonl"],
            {"out", "rows", "cheap", "frontier"},
        ),
        (
            ["score", "{bundle}", "--input", "{source}", "-o", "scored.jsonl"],
            {"out", "rows", "errors"},
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_json_output_is_one_object(run, journey, command, keys):
    result = run(*(part.format(**journey._asdict()) for part in command), "--json", code=0)
    (form,) = lines_of(result.out)
    assert keys <= set(form)
    assert result.out.isascii()


def test_scored_file_keeps_order_and_rows(run, journey, requests, tmp_path):
    result = run("score", journey.bundle, "--input", requests, "-o", "scored.jsonl", code=0)
    assert result.out.startswith("12 requests, 3 could not be scored; wrote ")
    rows = lines_of((tmp_path / "scored.jsonl").read_text())
    assert [row["id"] for row in rows] == NAMES
    assert [row["difficulty_score"] is None for row in rows] == [
        name in ("4", "tenant:b:1", "no text") for name in NAMES
    ]
    assert all(
        {"id", "difficulty_score", "p_cheap_fails", "p_frontier_fails", "bundle_version"}
        <= set(row)
        for row in rows
    )
    assert [("error" in row) for row in rows] == [row["difficulty_score"] is None for row in rows]


def test_routed_file_keeps_order_and_rows(run, journey, requests, tmp_path):
    result = run("route", journey.bundle, "--input", requests, "-o", "routed.jsonl", code=0)
    assert result.out.startswith("12 requests: ")
    assert "  scorer_error 3\n" in result.out
    rows = lines_of((tmp_path / "routed.jsonl").read_text())
    assert [row["id"] for row in rows] == NAMES
    assert [row["task"] for row in rows if row["reason"] != "scorer_error"] == [
        row["task"] for row in sample_rows(9)
    ]
    contract = {
        "id",
        "difficulty_score",
        "p_cheap_fails",
        "route",
        "model",
        "reason",
        "threshold",
        "bundle_version",
    }
    assert all(contract <= set(row) for row in rows)


@pytest.mark.parametrize("command", ["score", "route"])
def test_standard_output_gets_what_a_file_gets(run, journey, requests, tmp_path, command):
    printed = run(command, journey.bundle, "--input", requests, code=0)
    run(command, journey.bundle, "--input", requests, "-o", "out.jsonl", code=0)
    assert printed.out == (tmp_path / "out.jsonl").read_text()


def test_zipped_requests_are_read(run, journey, tmp_path):
    (tmp_path / "in.jsonl.gz").write_bytes(gzip.compress(b'{"prompt": "Hello"}\n'))
    assert len(lines_of(run("score", journey.bundle, "--input", "in.jsonl.gz", code=0).out)) == 1


def test_rejected_rows_stand_aside_with_their_reasons(run, journey, tmp_path):
    rows = [*sample_rows(5), {"id": "bad", "prompt": "x", "cheap_quality": 7}]
    result = run("ingest", write_rows(tmp_path / "in.jsonl", rows), "-o", "t.parquet", code=0)
    assert "5 of 6 rows kept" in result.out
    (reject,) = lines_of((tmp_path / "t.rejects.jsonl").read_text())
    assert (reject["line"], reject["id"]) == (6, "bad")
    assert "rejected 1: cheap_quality must be in [0, 1] or null" in result.out


def test_model_names_and_limits_can_be_given(run, journey, tmp_path):
    options = [
        "--cheap-model",
        "tiny",
        "--frontier-model",
        "huge",
        "--easy-task",
        "extract",
        "--easy-task",
        "code",
        "--max-cheap-tokens",
        9,
    ]
    run("ship", journey.run, "-o", "b-1", *options, code=0)
    policy = read_bundle(tmp_path / "b-1").policy
    assert (
        policy.cheap_model,
        policy.frontier_model,
        policy.easy_tasks,
        policy.max_cheap_tokens,
    ) == ("tiny", "huge", ("extract", "code"), 9)
    assert policy.hard_tasks == ("multi-step planning",)


def test_target_can_be_given(run, journey):
    result = run(
        "train",
        journey.traffic,
        "-o",
        "run",
        "--recipe",
        journey.recipe_file,
        "--no-tracking",
        "--target",
        "failure",
        code=0,
    )
    assert "target failure;" in result.out


@pytest.mark.slow
def test_demo_walks_the_whole_way(run, tmp_path):
    result = run("demo", "-o", "demo", code=0)
    assert "golden vectors reproduced" in result.out
    assert read_bundle(tmp_path / "demo" / "sample-1").manifest.recipe["name"] == "fast"
    assert f"report for people: {Path('demo') / 'report' / 'report.html'}" in result.out
    assert "What it saves" in (tmp_path / "demo" / "report" / "report.md").read_text()
    assert "exists already" in run("demo", "-o", "demo", code=2).complaint


def test_train_says_what_more_labels_would_bring(run, journey):
    trained = run(
        "train",
        journey.traffic,
        "-o",
        "run",
        "--recipe",
        journey.recipe_file,
        "--no-tracking",
        "--json",
        code=0,
    )
    curve = json.loads(trained.out)["learning_curve"]
    assert curve["verdict"] in ("rises", "flat", "cannot tell")
    said = run(
        "train",
        journey.traffic,
        "-o",
        "again",
        "--recipe",
        journey.recipe_file,
        "--no-tracking",
        code=0,
    )
    assert curve["sentence"] in said.out
    bare = run(
        "train",
        journey.traffic,
        "-o",
        "bare",
        "--recipe",
        journey.recipe_file,
        "--no-tracking",
        "--no-more-labels",
        code=0,
    )
    assert "More labels" not in bare.out


def test_train_starts_from_an_earlier_run_with_its_recipe(run, journey, tmp_path):
    """A hundred rows that the run knows, and four hundred that it does not."""
    run(
        "ingest",
        write_rows(tmp_path / "new.jsonl", sample_rows(1_200)[700:]),
        "-o",
        "new.parquet",
        code=0,
    )
    trained = run(
        "train", "new.parquet", "-o", "warm", "--start-from", journey.run, "--no-tracking", code=0
    )
    assert f"or seen by {journey.run}" in trained.out
    lineage = json.loads((tmp_path / "warm" / "run.json").read_text())
    assert lineage["start"]["run"] == str(journey.run)
    assert lineage["recipe"] == json.loads((journey.run / "run.json").read_text())["recipe"]


def test_recommended_familiarity_is_shipped_when_asked_for(run, journey, tmp_path):
    """The run's recommendation goes into the policy: all of it where it is asked for, else at most
    0.1, unless the user switches it off; where there is none, the edge can be asked for.
    """
    shutil.copytree(journey.run, tmp_path / "advised")
    lineage = json.loads((journey.run / "run.json").read_text())
    assert lineage["familiarity"]["recommended"] == 0.0
    lineage["familiarity"] |= {"recommended": 0.2, "sentence": "Five of a hundred."}
    (tmp_path / "advised" / "run.json").write_text(json.dumps(lineage))
    shipped = run("ship", "advised", "-o", "b-1", "--min-familiarity", "recommended", code=0)
    assert "Five of a hundred." in shipped.out
    assert read_bundle(tmp_path / "b-1").policy.min_familiarity == 0.2
    assert "Five of a hundred." in (tmp_path / "b-1" / "card.md").read_text()
    told = run("ship", "advised", "-o", "b-2", code=0)
    assert "min_familiarity 0.1 is set" in " ".join(told.out.split())
    assert "Five of a hundred." not in told.out  # one sentence on it is enough
    assert read_bundle(tmp_path / "b-2").policy.min_familiarity == 0.1
    run("ship", "advised", "-o", "b-3", "--min-familiarity", "0", code=0)
    assert read_bundle(tmp_path / "b-3").policy.min_familiarity == 0.0
    run("ship", journey.run, "-o", "b-4", "--min-familiarity", "recommended", code=0)
    assert read_bundle(tmp_path / "b-4").policy.min_familiarity == 0.02


def test_least_familiarity_may_be_a_number(run, journey, tmp_path):
    run("ship", journey.run, "-o", "b-1", "--min-familiarity", "0.02", code=0)
    assert read_bundle(tmp_path / "b-1").policy.min_familiarity == 0.02
    refused = run("ship", journey.run, "-o", "b-2", "--min-familiarity", "much", code=2)
    assert "policy.min_familiarity must be a number: got 'much'" in refused.err


def test_cut_requests_are_counted(run, journey, tmp_path):
    """One of two is longer than the view reads."""
    write_rows(tmp_path / "long.jsonl", [{"prompt": "plan " * 3000}, {"prompt": "plan"}])
    scored = run("score", journey.bundle, "--input", "long.jsonl", "-o", "s.jsonl", code=0)
    assert scored.out.startswith(
        "2 requests, 0 could not be scored, 1 cut to head and tail; wrote "
    )
    assert [row.get("truncated") for row in lines_of((tmp_path / "s.jsonl").read_text())] == [
        True,
        None,
    ]
    assert (
        "  of 1 only head and tail were read"
        in run("route", journey.bundle, "--input", "long.jsonl", "-o", "r.jsonl", code=0).out
    )
    for command in ("score", "route"):
        assert (
            "only head and tail were read"
            in run(command, journey.bundle, "plan " * 3000, code=0).out
        )
        assert (
            "only head and tail were read" not in run(command, journey.bundle, "plan", code=0).out
        )
    write_rows(
        tmp_path / "labelled.jsonl",
        [
            {"prompt": "plan " * 3000, "cheap_passed": True},
            {"prompt": "plan", "cheap_passed": False},
        ],
    )
    assert (
        "longer than 8,192 characters, read by head and tail: 1"
        in run("ingest", "labelled.jsonl", "-o", "t.parquet", code=0).out
    )
