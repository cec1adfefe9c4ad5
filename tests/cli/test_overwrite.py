"""No command overwrites what it did not write, and no error advises to."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from tests.cli.test_bad_input import refused
from tests.conftest import REPOSITORY
from tests.journey import sample_rows, write_rows

PRICES = (
    'date = "2026-11-01"\n[cheap]\ninput = 0.1\noutput = 0.3\n[frontier]\ninput = 3\noutput = 12\n'
)
SETTINGS = ["--keep-cheap", "0.3", "--requests-per-month", "9000"]
SENTENCE = "exists already. Nothing was written: choose another name, or pass --overwrite"


@pytest.mark.parametrize(
    ("taken", "command"),
    [
        ("t.parquet", ["ingest", "{source}", "-o", "t.parquet"]),
        ("t.rejects.jsonl", ["ingest", "{source}", "-o", "t.parquet"]),
        ("t.summary.json", ["ingest", "{source}", "-o", "t.parquet"]),
        ("out.jsonl", ["score", "{bundle}", "--input", "{source}", "-o", "out.jsonl"]),
        ("out.jsonl", ["route", "{bundle}", "--input", "{source}", "-o", "out.jsonl"]),
        ("report/metrics.json", ["evaluate", "{bundle}", "{traffic}", "-o", "report"]),
        ("report/report.md", ["evaluate", "{bundle}", "{traffic}", "-o", "report"]),
        (
            "money/economics.json",
            [
                "economics",
                "--traffic",
                "{traffic}",
                "--prices",
                "prices.toml",
                *SETTINGS,
                "-o",
                "money",
            ],
        ),
    ],
)
def test_a_file_that_is_there_is_replaced_only_when_told_to(run, journey, tmp_path, taken, command):
    (tmp_path / taken).parent.mkdir(exist_ok=True)
    (tmp_path / taken).write_text("mine")
    (tmp_path / "prices.toml").write_text(PRICES)
    words = [part.format(**journey._asdict()) for part in command]
    assert f"{taken!r} {SENTENCE}" in refused(run, tmp_path, *words)
    assert run(*words, "--overwrite").code in (0, 1)  # 1: routing does not pay
    path = tmp_path / taken
    assert not path.exists() or path.read_bytes() != b"mine"


@pytest.mark.parametrize("place", ["run", "bundle"])
def test_no_report_is_written_into_a_run_or_a_bundle(run, journey, tmp_path, place):
    copy = shutil.copytree(getattr(journey, place), tmp_path / place)
    words = ["evaluate", journey.bundle, journey.traffic, "-o", copy, "--overwrite"]
    assert "stays as it was written" in refused(run, tmp_path, *words)


def test_scores_are_not_written_over_the_requests(run, journey, tmp_path):
    shutil.copy(journey.source, tmp_path / "in.jsonl")
    words = ["score", journey.bundle, "--input", "in.jsonl", "-o", "in.jsonl", "--overwrite"]
    assert "must not be what is read" in refused(run, tmp_path, *words)


@pytest.mark.parametrize(
    ("command", "found", "step"),
    [
        (["train", "{run}", "-o", "x", "--no-tracking"], "a run folder", "Name the|Name a file"),
        (["train", "{source}", "-o", "x", "--no-tracking"], "not ingested", "Run: .* ingest"),
        (["evaluate", "{bundle}", "{bundle}", "-o", "x"], "a bundle", "Name a file written by"),
        (["ship", "{traffic}", "-o", "x-1"], "ingested traffic", "Run: difficulty train"),
        (["ship", "{bundle}", "-o", "x-1"], "a bundle", "Name the run folder"),
        (["verify", "{run}"], "a run folder", "Run: difficulty ship"),
        (["verify", "{traffic}"], "ingested traffic", "Name a folder written by"),
        (["ingest", "{run}", "-o", "x.parquet"], "a run folder", "Name the traffic"),
        (["ingest", "{bundle}", "-o", "x.parquet"], "a bundle", "Name the files"),
        (["ingest", "{recipe_file}", "-o", "x.parquet"], "a recipe", "Name the files"),
        (["ingest", "prices.toml", "-o", "x.parquet"], "a price list", "Name the files"),
        (["score", "{bundle}", "--input", "{run}"], "a run folder", ""),
    ],
)
def test_what_stands_in_the_wrong_place_is_named(run, journey, tmp_path, command, found, step):
    (tmp_path / "prices.toml").write_text(PRICES)
    words = [part.format(**journey._asdict()) for part in command]
    complaint = refused(run, tmp_path, *words)
    assert f"{found}." in complaint.lower()
    assert re.search(step, complaint)


def test_advice_followed_to_the_letter_loses_nothing(run, journey, tmp_path):
    """What was given as traffic.parquet is not named as the output."""
    table = pq.read_table(journey.traffic).replace_schema_metadata({})
    pq.write_table(table.drop_columns(["split_group", "near_groups"]), "traffic.parquet")
    before = (tmp_path / "traffic.parquet").read_bytes()
    complaint = refused(run, tmp_path, "train", "traffic.parquet", "-o", "x", "--no-tracking")
    run(*shlex.split(complaint.partition("Run: difficulty ")[2]), code=0)
    assert (tmp_path / "traffic.parquet").read_bytes() == before
    assert (tmp_path / "traffic-2.parquet").exists()


def test_ingest_twice_is_refused_and_overwrites_when_told_to(run, tmp_path):
    write_rows(tmp_path / "in.jsonl", sample_rows(9))
    words = ["ingest", "in.jsonl", "-o", "t.parquet"]
    run(*words, code=0)
    refused(run, tmp_path, *words)
    assert json.loads(run(*words, "--overwrite", "--json", code=0).out)["kept"] == 9


def test_a_full_disk_is_named_with_what_to_do(run, journey, tmp_path):
    """Files may be of 4 KiB: the limit of a process stands for a disk that is full."""
    program = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096));"
        "from difficulty.cli import main; main()"
    )
    for words in (
        ["ingest", journey.source, "-o", tmp_path / "t.parquet"],
        ["score", journey.bundle, "--input", journey.source, "-o", tmp_path / "out.jsonl"],
    ):
        child = subprocess.run(
            [sys.executable, "-c", program, *map(str, words)],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
            check=False,
        )
        assert child.returncode == 2, child.stderr
        assert str(words[-1]) in child.stderr
        assert "Free some space" in child.stderr
        assert "Traceback" not in child.stderr
    assert list(tmp_path.iterdir()) == []
