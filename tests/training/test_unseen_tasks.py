from dataclasses import replace

import numpy as np
import pytest

from difficulty.channels.embedding import EmbeddingChannel
from difficulty.channels.ngrams import NgramChannel
from difficulty.model.difficulty import DifficultyModel
from difficulty.stages.train import train
from difficulty.training.diagnosis import advise_familiarity
from difficulty.training.run import Run
from tests.fakes import VOCABULARY, labelled_tokens, load_encoder


def of_tasks(n, *, seed=0):
    """Return requests of ten tasks, task ``t3`` with the ids 60 to 79; the cheap model fails the
    more, the larger they are.
    """
    rng = np.random.default_rng(seed)
    tasks = [number % 10 for number in range(n)]
    ids = [rng.integers(20 * task, 20 * task + 20, rng.integers(3, 20)).tolist() for task in tasks]
    outcomes = replace(
        labelled_tokens(n).outcomes,
        cheap_quality=(rng.random(n) > [np.mean(row) / 200 for row in ids]).astype(float),
    )
    return replace(
        labelled_tokens(n), ids=ids, outcomes=outcomes, tasks=[f"t{task}" for task in tasks]
    )


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    encoder = load_encoder(tmp_path_factory.mktemp("encoder"))
    channels = [NgramChannel(len(VOCABULARY), buckets=512), EmbeddingChannel(encoder, strength=0.1)]
    fit, calibration = of_tasks(900), of_tasks(400, seed=1)
    return (
        DifficultyModel(channels, rng=np.random.default_rng(0)).fit(fit, calibration),
        fit,
        calibration,
    )


def left_out(fit, calibration, task):
    """Return where a task lies in the fit samples, and where other tasks lie in the calibration
    samples.
    """
    return tuple(
        np.flatnonzero([(name == task) == wanted for name in data.tasks])
        for data, wanted in ((fit, True), (calibration, False))
    )


def test_scores_of_unseen_are_those_of_heads_that_saw_the_others(fitted):
    model, fit, calibration = fitted
    rows, kept = left_out(fit, calibration, "t5")
    others = np.setdiff1d(np.arange(len(fit)), rows)
    found = next(model.scores_of_unseen([(rows, kept)], fit, calibration))
    expected = next(model.scores_of_parts([others], fit, [fit.ids[row] for row in rows]))
    assert found.difficulty_score == pytest.approx(expected, abs=1e-12)


def test_scores_of_unseen_do_not_know_what_was_left_out(fitted):
    """Other outcomes and other texts of the samples that are left out change nothing for each of
    them.
    """
    model, fit, calibration = fitted
    rows, kept = left_out(fit, calibration, "t5")
    turned = replace(fit.outcomes, cheap_quality=fit.outcomes.cheap_quality.copy())
    turned.cheap_quality[rows] = 1.0 - turned.cheap_quality[rows]
    first, second = (
        next(model.scores_of_unseen([(rows, kept)], data, calibration))
        for data in (fit, replace(fit, outcomes=turned))
    )
    assert first.difficulty_score == pytest.approx(second.difficulty_score, abs=1e-12)
    assert first.familiarity == pytest.approx(second.familiarity, abs=1e-12)


def test_a_task_that_is_left_out_is_less_familiar(fitted):
    model, fit, calibration = fitted
    rows, kept = left_out(fit, calibration, "t8")
    found = next(model.scores_of_unseen([(rows, kept)], fit, calibration))
    assert (
        found.familiarity.mean()
        < model.predict([fit.ids[row] for row in rows]).familiarity.mean() - 0.1
    )


def test_advice_covers_every_request_with_a_task(fitted):
    model, fit, calibration = fitted
    some = replace(
        fit, tasks=[None if place % 10 == 0 else task for place, task in enumerate(fit.tasks)]
    )
    advice = advise_familiarity(model, some, calibration, seed=0)
    assert advice.known_lift > 0.0
    assert 0 < advice.lifts[-1].n <= 810
    assert 0.0 <= advice.recommended <= 0.5


def test_advice_needs_several_tasks(fitted):
    model, fit, calibration = fitted
    for data in (replace(fit, tasks=None), replace(fit, tasks=["a", "b", "c"] * 300)):
        advice = advise_familiarity(model, data, calibration, seed=0)
        assert advice.recommended == 0.0
        assert "which needs 8 tasks of at least 20" in advice.sentence


def test_training_writes_the_advice(journey):
    """The sample traffic names seven tasks."""
    advice = Run.read(journey.run).record.familiarity
    assert advice.recommended == 0.0
    assert advice.sentence.startswith("No --min-familiarity is set")


def test_training_leaves_no_task_out_when_told_so(journey, tmp_path):
    run = Run.read(journey.run)
    bare, _ = train(
        journey.traffic,
        tmp_path / "run",
        recipe=run.recipe,
        encoder=run.encoder,
        more_labels=False,
        unseen_tasks=False,
        draws=5,
    )
    assert bare.record.familiarity is None
