import gzip
import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.lib.experiments import Experiment
from benchmarks.lib.protocol import read_traffic
from benchmarks.lib.recipes import Trainer, digest_of_recipe, joined, score_fold
from difficulty.training.shipped import find_recipe
from tests.conftest import REPOSITORY


def part(*scores):
    """What one fold's model says, everything else counted from the scores."""
    score = np.array(scores)
    told = {"score_task": score + 1, "p_cheap_fails_task": score / 4}
    return (
        {"score": score, "p_cheap_fails": score / 2, "familiarity": score * 0}
        | told
        | {"parity": np.ones(3), "train_s": 2.0, "score_s": 1.0}
    )


def test_folds_are_joined_at_their_own_requests():
    arrays = joined("fast", np.array([1, 0, 1]), [part(0.2), part(0.4, 0.6)])
    np.testing.assert_allclose(arrays["score__fast"], [0.4, 0.2, 0.6])
    np.testing.assert_allclose(arrays["score__fast_task"], [1.4, 1.2, 1.6])
    np.testing.assert_allclose(arrays["p_cheap_fails__fast"], [0.2, 0.1, 0.3])
    np.testing.assert_allclose(arrays["p_cheap_fails__fast_task"], [0.1, 0.05, 0.15])
    assert arrays["train_s__fast"].sum() == arrays["train_s__fast_task"].sum() == 4.0


def test_key_of_a_recipe_follows_its_settings():
    recipe = find_recipe("fast")
    assert digest_of_recipe(recipe) == digest_of_recipe(find_recipe("fast"))
    assert digest_of_recipe(replace(recipe, seed=1)) != digest_of_recipe(recipe)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """A tenth of the sample traffic."""
    with gzip.open(REPOSITORY / "data" / "sample.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines][::10]
    path = tmp_path_factory.mktemp("benchmark") / "sample.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return Experiment("sample", "Sample", read_traffic(path))


@pytest.mark.long
def test_fold_is_scored_by_the_others_with_and_without_the_task(experiment):
    """Its exported graph agrees with it, the task changes some scores, and a second run gives the
    same ones.
    """
    trainer = Trainer.of(find_recipe("fast"))
    first, second = (score_fold(experiment, trainer, 0) for _ in range(2))
    n, largest, flips = first["parity"]
    assert (n, flips) == (len(first["score"]), 0)
    assert len(first["score"]) == (experiment.outcomes.fold == 0).sum()
    assert largest < 1e-5
    assert np.abs(first["score"] - first["score_task"]).max() > 0.001
    np.testing.assert_array_equal(first["score"], second["score"])
