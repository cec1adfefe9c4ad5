"""Teacher and student on the command line, from traffic to routed requests."""

import json
from dataclasses import replace

import pytest

from difficulty.bundle import read_bundle
from difficulty.training.run import Run
from difficulty.training.shipped import find_recipe
from tests.journey import sample_rows, write_recipe, write_rows

DISTIL = "[distil]\nshare = 0.5\n"


@pytest.fixture
def recipe(journey, tmp_path):
    """The small recipe, taught."""
    path = write_recipe(tmp_path / "distilled.toml", journey.encoder)
    path.write_text(path.read_text() + DISTIL)
    return path


def test_student_is_trained_shipped_and_verified(run, journey, recipe, tmp_path):
    """The teacher is the small run; the unlabelled requests are the next rows of the sample without
    their outcomes, ingested.
    """
    rows = [{"messages": row["messages"], "task": row["task"]} for row in sample_rows(1_000)[800:]]
    unlabelled = tmp_path / "requests.parquet"
    run("ingest", write_rows(tmp_path / "requests.jsonl", rows), "-o", unlabelled, code=0)
    options = (
        "--recipe",
        recipe,
        "--teacher",
        journey.run,
        "--unlabelled",
        unlabelled,
        "--no-tracking",
    )
    trained = run("train", journey.traffic, "-o", "student", *options, code=0)
    assert "target benefit; 464 fit, 141 calibration, 194 test samples" in trained.out
    student = Run.read(tmp_path / "student")
    assert 150 < student.record.unlabelled <= 200
    assert student.record.teacher["name"] == "small"
    run("ship", "student", "-o", "student-1", "--allow-no-signal", code=0)
    assert "10 files match their hashes" in run("verify", "student-1", code=0).out
    assert (
        read_bundle(tmp_path / "student-1").manifest.outputs
        == read_bundle(journey.bundle).manifest.outputs
    )
    assert (
        "[distil]"
        not in run("route", "student-1", "Prove that there are infinitely many primes.", code=0).out
    )


def test_shipped_student_is_the_recipe_fast_taught():
    """What was measured of one holds for the size and the speed of the other."""
    taught, fast = find_recipe("distilled"), find_recipe("fast")
    assert taught.distil.share == 0.5
    assert taught.features.ngrams.strength > fast.features.ngrams.strength
    same = {
        "ngrams": fast.features.ngrams,
        "embedding": fast.features.embedding,
    }  # but for the strengths, which change neither
    assert (
        replace(taught, name="fast", distil=False, features=replace(taught.features, **same))
        == fast
    )


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--recipe", "{recipe}"], "learns from a teacher: pass --teacher RUN"),
        (
            ["--recipe", "{recipe}", "--unlabelled", "requests.jsonl"],
            "learns from a teacher: pass --teacher RUN",
        ),
        (
            ["--recipe", "{small}", "--teacher", "{run}"],
            "learns from no teacher. Leave out --teacher",
        ),
        (
            ["--recipe", "{small}", "--unlabelled", "requests.jsonl"],
            "unlabelled requests need a teacher",
        ),
        (["--recipe", "{recipe}", "--teacher", "nowhere"], "no run at 'nowhere'"),
        (
            ["--recipe", "{recipe}", "--teacher", "{run}", "--unlabelled", "requests.jsonl"],
            "no request file at 'requests.jsonl'",
        ),
    ],
    ids=[
        "no teacher",
        "no teacher, requests",
        "teacher for nothing",
        "requests for nothing",
        "no run",
        "no requests",
    ],
)
def test_what_does_not_go_together_is_refused(run, journey, recipe, tmp_path, options, complaint):
    named = {"recipe": recipe, "small": journey.recipe_file, "run": journey.run}
    filled = [option.format(**named) for option in options]
    assert (
        complaint
        in run(
            "train", journey.traffic, "-o", "student", "--no-tracking", *filled, code=2
        ).complaint
    )
    assert not (tmp_path / "student").exists()


def test_json_of_a_student_has_no_learning_curve(run, journey, recipe, tmp_path):
    done = run(
        "train",
        journey.traffic,
        "-o",
        "student",
        "--recipe",
        recipe,
        "--teacher",
        journey.run,
        "--no-tracking",
        "--json",
        code=0,
    )
    assert json.loads(done.out)["learning_curve"] is None
