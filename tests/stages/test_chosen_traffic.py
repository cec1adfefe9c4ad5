"""Requests chosen for labelling, from training to figures and thresholds."""

import numpy as np
import pytest

from difficulty.bundle import read_bundle
from difficulty.metrics.bootstrap import Resampling
from difficulty.stages.evaluate import evaluate_scorer
from difficulty.stages.judging import pick_unseen
from difficulty.stages.ship import ship
from difficulty.traffic.table import Traffic
from tests.journey import train_on

FEW = Resampling(20)


@pytest.fixture(scope="module")
def chosen(journey, tmp_path_factory):
    """Return the sample with an inclusion of a tenth where the gain is not 0, its path, and a run
    that was trained on it.
    """
    folder = tmp_path_factory.mktemp("chosen")
    traffic = Traffic.read(journey.traffic)
    gain = traffic.outcomes.gain
    inclusion = np.where(np.nan_to_num(gain) == 0, 1.0, 0.1)
    traffic = traffic.with_columns({"inclusion": inclusion.tolist()})
    traffic.write(folder / "traffic.parquet")
    run, evaluation = train_on(folder / "traffic.parquet", folder / "run", journey.encoder)
    return folder, traffic, run, evaluation


def hajek(values, inclusion):
    rows = ~np.isnan(values)
    return np.average(values[rows], weights=1 / inclusion[rows])


def test_training_weighs_and_says_so(chosen):
    _, traffic, run, evaluation = chosen
    record = run.record.logged
    labelled = int(traffic.without_forms()[0].outcomes.known.sum())
    assert (record.chosen, record.weighted) == (labelled, 0)
    assert 0 < record.chosen_worth < len(traffic)
    for notes in (evaluation.notes, run.record.notes):
        assert any("chosen for labelling and are weighted by 1 / inclusion" in one for one in notes)
    weight = run.test.outcomes.weight
    inclusion = np.array(run.test.column("inclusion"))
    assert weight * inclusion == pytest.approx(np.full(len(weight), (weight * inclusion)[0]))


def test_figures_are_those_of_all_requests(chosen):
    """The gap is the ratio of weighted sums."""
    _, _, run, evaluation = chosen
    inclusion = np.array(run.test.column("inclusion"))
    gap = evaluation.overall["gap"]
    assert gap.value == pytest.approx(hajek(run.test.outcomes.gain, inclusion), abs=1e-6)
    assert gap.low < gap.value < gap.high


def test_bundles_are_judged_and_their_thresholds_chosen_with_the_weights(chosen, tmp_path):
    """Half of the requests by weight, which is not half of the labelled ones."""
    folder, traffic, run, _ = chosen
    ship(folder / "run", out := tmp_path / "chosen-1", objective="share=0.5", draws=20)
    bundle = read_bundle(out)
    picked = pick_unseen(bundle, traffic, needs="evaluation needs samples")
    inclusion = np.array(picked.traffic.column("inclusion"))
    weight = picked.traffic.outcomes.weight * inclusion
    assert np.ptp(weight) < 1e-9 * weight.max()
    assert any("chosen for labelling" in note for note in picked.notes)
    judged = evaluate_scorer(out, folder / "traffic.parquet", tmp_path / "report", resampling=FEW)
    gap = judged.evaluation.overall["gap"]
    assert gap.value == pytest.approx(hajek(picked.traffic.outcomes.gain, inclusion), abs=1e-6)
    sent = run.out_of_fold.scores.difficulty_score > bundle.policy.threshold
    learned = np.array(run.learned.column("inclusion")) if run.learned else None
    assert learned is None or np.average(sent, weights=1 / learned) == pytest.approx(0.5, abs=0.1)
