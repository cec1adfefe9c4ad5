"""``--engine`` and what goes with it."""

import pytest


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
