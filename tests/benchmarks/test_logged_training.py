"""The benchmark of logged traffic on a part of the sample, with a small recipe."""

import gzip

import numpy as np
import pytest

from benchmarks.lib.simulated_logs import Policy
from benchmarks.logged_training import BOTH, PLAIN, WEIGHTED, Experiment, ingested, page
from difficulty.encoders.base import load_encoder
from difficulty.recipe import parse_recipe
from tests.journey import RECIPE, SAMPLE

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def found(journey, tmp_path_factory):
    """Two repetitions."""
    path = tmp_path_factory.mktemp("logged") / "sample.jsonl.gz"
    with (
        gzip.open(SAMPLE, "rt", encoding="utf-8") as lines,
        gzip.open(path, "wt", encoding="utf-8") as part,
    ):
        part.writelines(line for line, _ in zip(lines, range(2_500), strict=False))
    experiment = Experiment(
        ingested(path), parse_recipe(RECIPE, name="small"), load_encoder(journey.encoder), Policy()
    )
    return [experiment.repetition(seed) for seed in range(2)]


def test_weights_undo_the_bias_of_the_log(found):
    for one in found:
        bias = {form: figures["bias"] for form, figures in one.trained_on.items()}
        assert bias[PLAIN] < -0.04
        assert abs(bias[WEIGHTED]) < abs(bias[PLAIN])
        assert one.trained_on[BOTH]["mean p_cheap_fails"] - bias[BOTH] == pytest.approx(one.truth)


def test_the_log_as_it_is_flatters_the_cheap_model_and_weighted_it_does_so_less(found):
    brier = {
        form: np.array([one.judged_on[form]["brier"] for one in found])
        for form in (BOTH, WEIGHTED, PLAIN)
    }
    assert (brier[PLAIN] < brier[BOTH] - 0.01).all()
    assert abs((brier[WEIGHTED] - brier[BOTH]).mean()) < abs((brier[PLAIN] - brier[BOTH]).mean())


def test_a_weighted_model_is_one_model_judged_three_times(found):
    """On the truth both tables say the same of it; the repetitions have different splits and
    logs.
    """
    first, second = found
    assert first.judged_on[BOTH]["brier"] == first.trained_on[WEIGHTED]["brier"]
    assert first.truth != second.truth
    assert first.effective != second.effective


def test_page_has_both_tables(found):
    text = "\n".join(page(found, {"requests": 2_500, "recipe": "small"}))
    assert text.count(f"| {WEIGHTED} |") == text.count(f"| {PLAIN} |") == 2
    assert text.count(f"| {PLAIN} - {BOTH} |") == 1
