"""``--engine`` and what goes with it."""

import pytest

from difficulty.evaluation.result import read_metrics
from difficulty.training.run import Run


def test_score_on_processes_writes_what_one_process_writes(run, journey):
    score = ("score", journey.bundle, "--input", journey.source)
    run(*score, "-o", "plain.jsonl", code=0)
    ran = run(*score, "-o", "spread.jsonl", "--engine", "local", "--workers", 2, "--json", code=0)
    assert '"rows": 800' in ran.out
    with open("plain.jsonl") as plain, open("spread.jsonl") as spread:
        assert spread.read() == plain.read()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--workers", 2], "--workers"),
        (["--address", "127.0.0.1:6379"], "--address"),
        (["--engine", "local", "--address", "auto"], "address must be given with the engine ray"),
        (["--engine", "spark"], "unknown engine 'spark'"),
        (["--engine", "local", "--workers", 0], "--workers"),
    ],
)
def test_options_that_do_not_go_together_are_refused(run, journey, options, said):
    ran = run("score", journey.bundle, "hello", *options, code=2)
    assert said in ran.err


@pytest.mark.parametrize(
    "options", [["--spread-heads"], ["--spread-tuning"], ["--spread-tuning", "--engine", "local"]]
)
def test_training_is_spread_over_an_engine_that_can(run, options):
    ran = run("train", "traffic.parquet", "-o", "run", *options, code=2)
    assert options[0] in ran.err
    assert "is for --engine" in ran.err


def test_spread_heads_that_did_nothing_are_said(run, journey, monkeypatch):
    """Below 32,768 fit samples nothing is spread; nobody has to find that out by a clock."""
    done = Run.read(journey.run), read_metrics(journey.run / "metrics.json")
    monkeypatch.setattr("difficulty.stages.train.train", lambda *_, **__: done)
    words = ["train", journey.traffic, "-o", "x", "--recipe", journey.recipe_file, "--no-tracking"]
    spread = run(*words, "--engine", "local", "--spread-heads", code=0)
    assert "warning: --spread-heads did nothing: heads are spread from 32,768 fit" in spread.err
    assert "--spread-heads" not in run(*words, "--engine", "local", code=0).err
