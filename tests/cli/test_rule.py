"""Easy and hard tasks on the command line: measured, refused where they lose, and misspelt ones."""

import numpy as np
import pytest

from difficulty.bundle import read_bundle
from difficulty.stages.ingest import ingest
from tests.journey import sample_rows, train_on, write_rows

ROWS = 1_500


@pytest.fixture(scope="module")
def failing(journey, tmp_path_factory):
    """A run on traffic of which the cheap model gets 20 % of ``classify`` right, the frontier model
    nearly all.
    """
    folder, rng = tmp_path_factory.mktemp("failing"), np.random.default_rng(0)
    rows = sample_rows(ROWS)
    for row in rows:
        if row["task"] == "classify":
            row |= {"cheap_quality": float(rng.random() < 0.2), "cheap_passed": None}
    traffic = folder / "traffic.parquet"
    ingest([write_rows(folder / "rows.jsonl", rows)], traffic)
    train_on(traffic, folder / "run", journey.encoder)
    return folder


@pytest.mark.long
def test_rule_that_loses_is_refused_and_named(run, failing, tmp_path):
    """Nothing is written; --keep-rule insists, and then an evaluation with --strict says no."""
    refused = run("ship", failing / "run", "-o", "b-1", code=1)
    assert "that of 'classify' clearly loses on the calibration samples" in refused.complaint
    assert "the rule loses" in refused.complaint
    assert "--keep-rule" in refused.complaint
    assert "--no-rule" in refused.complaint
    assert list(tmp_path.iterdir()) == []

    kept = run("ship", failing / "run", "-o", "b-1", "--keep-rule", code=0)
    assert "rule, classify: " in kept.out
    assert "the rule loses" in kept.out
    assert "the rule loses" in (tmp_path / "b-1" / "card.md").read_text(encoding="utf-8")
    judged = run("evaluate", "b-1", failing / "traffic.parquet", "-o", "report", "--strict", code=1)
    assert "Take 'classify' out of easy_tasks, or ship with --no-rule." in judged.out
    assert "next: difficulty ship RUN --no-rule -o " in judged.out

    chosen = ["thresholds", "b-1", failing / "traffic.parquet", "--objective", "share=0.4"]
    assert "the rule loses" in run(*chosen, "-o", "b-2", code=0).out

    run("ship", failing / "run", "-o", "b-3", "--no-rule", code=0)
    policy = read_bundle(tmp_path / "b-3").policy
    assert (policy.easy_tasks, policy.hard_tasks) == ((), ())


@pytest.mark.parametrize("word", ["none", "", "None", "-"])
def test_no_task_is_asked_for_by_its_own_option(run, journey, word):
    refused = run("ship", journey.run, "-o", "b-1", "--easy-task", word, "--hard-task", word)
    assert refused.code == 2
    assert refused.complaint == (
        f"error: --easy-task must name a task: got {word!r}. For a bundle without easy and hard"
        " tasks: --no-rule."
    )


def test_no_rule_goes_without_tasks(run, journey):
    refused = run("ship", journey.run, "-o", "b-1", "--no-rule", "--easy-task", "code", code=2)
    assert "--no-rule goes without --easy-task and --hard-task" in refused.err


@pytest.mark.parametrize("command", ["route", "score"])
def test_misspelt_task_is_named_once(run, journey, command):
    """Its request is answered all the same, as one without a task."""
    done = run(command, journey.bundle, "Which label fits?", "--task", "clasify", code=0)
    assert done.err == (
        "warning: the bundle's rule knows no task 'clasify' (did you mean 'classify'?): decided as"
        " a request without a task.\n"
    )
    assert done.out == run(command, journey.bundle, "Which label fits?", code=0).out
    assert run(command, journey.bundle, "Which?", "--task", "classify", code=0).err == ""


def test_unknown_task_is_told_the_known_ones(run, journey):
    done = run("route", journey.bundle, "Write a sonnet.", "--task", "poem", code=0)
    assert "no task 'poem' (it knows 'classify', 'code'," in done.err
