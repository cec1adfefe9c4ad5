"""A run folder and a bundle that were written once keep working; see ``tests.data.make_run``.

The bundle has what ``bundle-format-1-1`` lacks: columns of tasks, an encoder that is a transformer,
embeddings read in three ways, and early exit.
"""

import json
import tarfile

import numpy as np
import pytest

from difficulty.training.run import Run
from tests.conftest import REPOSITORY
from tests.data.make_run import BUNDLE, RUN, decisions_of, scores_of, ship
from tests.freeze import first_difference, outline_of, run_command, this_machine

DATA = REPOSITORY / "tests" / "data"
SAID = json.loads((DATA / f"{RUN}.json").read_text(encoding="utf-8"))
SAME_MACHINE = this_machine() == SAID["machine"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the run, the bundle, and a bundle shipped from the run today."""
    folder = tmp_path_factory.mktemp("saved")
    for name in (RUN, BUNDLE):
        with tarfile.open(DATA / f"{name}.tar.xz") as archive:
            archive.extractall(folder, filter="data")
    ship(RUN, "shipped-1", cwd=folder)
    return folder


def test_model_of_a_saved_run_scores_as_it_did(folder):
    tolerance = 1e-9 if SAME_MACHINE else 1e-5  # the encoder is a float32 graph
    scores = scores_of(Run.read(folder / RUN))
    assert scores.keys() == SAID["scores"].keys()
    for kind, outputs in SAID["scores"].items():
        for name, values in outputs.items():
            np.testing.assert_allclose(scores[kind][name], values, rtol=0, atol=tolerance)


def test_saved_run_is_read_whole(folder):
    run = Run.read(folder / RUN)
    counts = run.record.samples.as_dict()
    samples = {"calibration": len(run.calibration.tasks), "test": len(run.test.tasks)}
    assert samples == {name: counts[name] for name in samples}
    assert len(run.out_of_fold.scores.difficulty_score) == counts["fit"]
    assert run.seen.holds(run.calibration).all()
    assert run.early is not None
    assert run.learning_curve.sentence
    assert run.recipe.name == "saved"


@pytest.mark.parametrize("name", ["scorer.onnx", "early.onnx", "tokenizer.json", "golden.jsonl"])
def test_saved_run_ships_the_bundle_it_shipped(folder, name):
    before, after = folder / BUNDLE / name, folder / "shipped-1" / name
    old, new = (outline_of(path.parent, name) for path in (before, after))
    difference = first_difference(f"sample-1/{name}", old, new, same_machine=SAME_MACHINE)
    assert not difference, difference
    if SAME_MACHINE:
        assert after.read_bytes() == before.read_bytes()


def test_bundle_verifies_and_decides_as_it_did(folder):
    verified = json.loads(run_command("verify", BUNDLE, "--json", cwd=folder))
    assert (verified["golden"], verified["differences"]) == (53, [])
    decisions = decisions_of(BUNDLE, SAID["requests"], cwd=folder)
    if SAME_MACHINE:
        assert decisions == SAID["decisions"]
    pairs = zip(decisions, SAID["decisions"], strict=True)
    assert sum(now != was for now, was in pairs) <= 4  # float32 near a cut-off


def test_saved_run_ships_a_bundle_that_decides_as_that_did(folder):
    """Cut-offs of early exit may be chosen with more care today, and ask the scorer more often."""
    verified = json.loads(run_command("verify", "shipped-1", "--json", cwd=folder))
    assert (verified["golden"], verified["differences"]) == (53, [])
    decisions = decisions_of("shipped-1", SAID["requests"], cwd=folder)
    pairs = zip(decisions, SAID["decisions"], strict=True)
    assert sum(now[:2] != was[:2] for now, was in pairs) <= 4


def test_saved_decisions_are_of_every_kind():
    _, reasons, scored_by = map(set, zip(*SAID["decisions"], strict=True))
    assert {"easy_task", "hard_task", "above_threshold", "within_threshold"} <= reasons
    assert scored_by == {None, "early", "scorer"}
