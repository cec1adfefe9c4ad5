"""What the default recipe's channels make of odd traffic: few tasks or many, outcomes between good
and bad, gains that are all alike, very few rows.
"""

import numpy as np
import pytest

from difficulty.encoders.base import StaticEncoder
from difficulty.errors import TooFewSamplesError
from difficulty.recipe import parse_recipe
from difficulty.stages.ingest import ingest
from difficulty.stages.ship import ship
from difficulty.stages.train import train
from difficulty.traffic.table import Traffic
from difficulty.training.shipped import find_recipe
from tests.journey import DRAWS, sample_rows, write_rows

SMALL = {"folds": 3, "calibration": "auto"}


@pytest.fixture(scope="module")
def rows():
    """Return sample rows whose outcomes are both known."""
    known = ("cheap_quality", "frontier_quality")
    return [row for row in sample_rows(600) if all(row[name] is not None for name in known)]


def trained(folder, encoder, rows, **settings):
    """Train the channels of ``fast``, made small, on rows."""
    form = find_recipe("fast").as_dict()
    features = form["features"] | {"encoder": str(encoder), "trees": {"components": 6}}
    features["ngrams"] = features["ngrams"] | {"buckets": 512}
    recipe = parse_recipe({**form, **SMALL, "features": features}, name="odd.toml")
    source = write_rows(folder / "rows.jsonl", rows)
    ingest([source], folder / "rows.parquet", near_duplicates=False)
    return train(
        folder / "rows.parquet",
        folder / "run",
        recipe=recipe,
        encoder=StaticEncoder.load(encoder),
        draws=DRAWS,
        **{"more_labels": False, "unseen_tasks": False, **settings},
    )


def told(rows, task_of):
    return [row | {"task": task_of(number, row)} for number, row in enumerate(rows)]


@pytest.mark.parametrize(
    "task_of",
    [
        lambda number, row: None,
        lambda number, row: "only",
        lambda number, row: f"task {number}",
        lambda number, row: ["rare", "rarer"][number % 2] if number < 4 else None,
    ],
    ids=["none", "one", "one each", "two rows each"],
)
def test_tasks_that_tell_nothing_leave_a_score_of_the_text(journey, rows, tmp_path, task_of):
    run, _ = trained(tmp_path, journey.encoder, told(rows, task_of))
    names = ["ngrams", "trees", "embedding", "length"]
    assert [channel.name for channel in run.model.all_channels] == names
    bundle = ship(tmp_path / "run", tmp_path / "odd-1", draws=DRAWS, allow_no_signal=True).bundle
    assert bundle.manifest.outputs[0] == "difficulty_score"
    assert not bundle.manifest.task_ids


def test_task_with_two_rows_counts_as_no_task(journey, rows, tmp_path):
    rare = told(rows, lambda number, row: "rare" if number < 2 else row["task"])
    run, _ = trained(tmp_path, journey.encoder, rare)
    assert run.model.tasks is not None
    assert "rare" not in run.model.tasks.tasks
    ids = [[1, 2, 3]]
    assert run.model.predict(ids, ["rare"]).difficulty_score == pytest.approx(
        run.model.predict(ids, [None]).difficulty_score
    )


@pytest.mark.parametrize("gain", [0.0, 0.25])
def test_gains_that_are_all_alike_are_refused(journey, rows, tmp_path, gain):
    alike = [
        row | {"cheap_quality": 0.5 * (number % 2), "frontier_quality": 0.5 * (number % 2) + gain}
        for number, row in enumerate(rows)
    ]
    with pytest.raises(TooFewSamplesError, match="every known gain of the frontier model is equal"):
        trained(tmp_path, journey.encoder, alike)


def test_sixty_rows_are_refused(journey, rows, tmp_path):
    with pytest.raises(TooFewSamplesError, match="at least 60 fit samples .* about 200 in all"):
        trained(tmp_path, journey.encoder, rows[:60])


def test_graded_outcomes_teach_and_ship(journey, rows, tmp_path):
    def graded(row, number):
        return row | {
            "cheap_quality": float(np.clip(0.7 * row["cheap_quality"] + 0.1 * (number % 3), 0, 1)),
            "frontier_quality": 0.9 * row["frontier_quality"] + 0.05,
        }

    run, _ = trained(tmp_path, journey.encoder, [graded(row, n) for n, row in enumerate(rows)])
    assert run.record.target == "benefit"
    bundle = ship(tmp_path / "run", tmp_path / "odd-1", draws=DRAWS, allow_no_signal=True).bundle
    assert bundle.manifest.outputs[0] == "difficulty_score"


def test_test_samples_without_a_gap_leave_the_curve_without_a_value(journey, rows, tmp_path):
    """It was written as a number, and "value must be a finite number" ended the training."""
    few = rows[:160]
    ingest([write_rows(tmp_path / "few.jsonl", few)], tmp_path / "few.parquet")
    test = Traffic.read(tmp_path / "few.parquet").splits() == "test"
    assert test.any()
    without = [
        row | {"frontier_quality": row["cheap_quality"]} if judged else row
        for row, judged in zip(few, test, strict=True)
    ]
    run, evaluation = trained(tmp_path, journey.encoder, without, more_labels=True)
    assert evaluation.overall["apgr"].value is None
    assert run.learning_curve.value is None
    assert "cannot tell" in run.learning_curve.sentence


def test_answers_whose_form_alone_was_checked_are_unlabelled_beside_graded_ones(
    journey, rows, tmp_path
):
    """Every third answer only passed a check: neither training nor any judge after it counts that
    as right, so the cheap model fails as often as it did among the graded ones.
    """
    checked = {"cheap_quality": None, "cheap_passed": True, "measured_by": "validators:json"}
    mixed = [row | checked if number % 3 == 0 else row for number, row in enumerate(rows)]
    n = sum(number % 3 == 0 for number in range(len(rows)))
    run, evaluation = trained(tmp_path, journey.encoder, mixed)
    said = f"of {n:,} requests only a check"
    assert run.record.ungraded == n
    assert any(said in note for note in evaluation.notes)
    assert "validators:json" not in evaluation.measured_by
    outcomes = Traffic.read(tmp_path / "rows.parquet").outcomes
    learned = run.calibration.outcomes
    assert np.nanmean(learned.cheap_quality) < outcomes.cheap_quality.mean()
    shipped = ship(tmp_path / "run", tmp_path / "odd-1", draws=DRAWS, allow_no_signal=True)
    assert "form alone" not in " ".join(shipped.bundle.policy.chosen.assumed)
