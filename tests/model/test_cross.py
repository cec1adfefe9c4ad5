"""Heads that learn from the calibration samples too, calibrated out of fold."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logit

from difficulty.channels.embedding import EmbeddingChannel
from difficulty.channels.neighbours import NeighbourChannel
from difficulty.channels.ngrams import NgramChannel
from difficulty.channels.task_columns import TaskChannel
from difficulty.metrics import auroc
from difficulty.model.combination import Logits
from difficulty.model.difficulty import DifficultyModel
from tests.fakes import VOCABULARY, labelled_tokens, load_encoder, with_tasks


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return load_encoder(tmp_path_factory.mktemp("encoder"))


def unfitted(encoder, calibration, *, strength=0.1):
    return DifficultyModel(
        [NgramChannel(len(VOCABULARY), buckets=512), EmbeddingChannel(encoder, strength=strength)],
        calibration=calibration,
    )


def disjoint(n, n_calibration, *, seed=0):
    """Return fit and calibration requests without a common group."""
    both = labelled_tokens(n + n_calibration, seed=seed)
    return both[np.arange(n)], both[np.arange(n, n + n_calibration)]


def slope_of(p, failure):
    """Return the slope of a logistic regression of outcomes on the logits of probabilities."""
    x = logit(p)

    def loss(parameters):
        z = parameters[0] * x + parameters[1]
        return np.mean(np.logaddexp(0.0, z) - failure * z)

    return minimize(loss, [1.0, 0.0]).x[0]


def test_level_by_hand():
    """Folds with means 1 and 5 have the mean of all, 3."""
    logits = Logits(np.array([[0.0], [2.0], [4.0], [6.0]]), np.zeros((4, 1)))
    assert logits.level(np.array([0, 0, 3, 3])).cheap.ravel().tolist() == [2.0, 4.0, 2.0, 4.0]


def test_heads_learn_from_the_calibration_requests(encoder):
    """They are those of a model that had both for fitting."""
    fit, calibration = disjoint(200, 100)
    cross = unfitted(encoder, "cross").fit(fit, calibration)
    both = unfitted(encoder, "split").fit(fit.joined(calibration), labelled_tokens(50, seed=9))
    for name, learned in cross.fitted_.items():
        assert learned.cheap.coefficients == pytest.approx(both.fitted_[name].cheap.coefficients)


def test_split_keeps_heads_off_the_calibration_requests(encoder):
    fit, calibration = disjoint(200, 100)
    split = unfitted(encoder, "split").fit(fit, calibration)
    other = unfitted(encoder, "split").fit(fit, labelled_tokens(50, seed=9))
    for name, learned in split.fitted_.items():
        same = other.fitted_[name].cheap.coefficients
        assert learned.cheap.coefficients.tolist() == same.tolist()


def test_out_of_fold_scores_are_of_both_and_know_no_outcome(encoder):
    """Outcomes by the toss of a coin: the whole model knows them by heart, these scores do not."""
    fit, calibration = disjoint(300, 100)
    rng = np.random.default_rng(3)
    for part in (fit, calibration):
        part.outcomes.cheap_quality[:] = rng.integers(0, 2, len(part))
    model = unfitted(encoder, "cross").fit(fit, calibration)
    failure = calibration.outcomes.cheap_failure
    assert len(model.out_of_fold_.fold) == 400
    unseen = model.out_of_fold_.scores.p_cheap_fails[300:]
    assert auroc(model.predict(calibration.ids).p_cheap_fails, failure) > 0.8
    assert 0.35 < auroc(unseen, failure) < 0.65


@pytest.mark.slow
def test_slope_from_few_labels_is_near_one(encoder):
    """400 labels, mean of 12 draws: the share of failures moves with the probability as it says;
    calibrated on a quarter of the labels, it moves more than twice as far (0.96 and 2.74).
    """
    fresh = labelled_tokens(4_000, seed=99)
    slopes = {"split": [], "cross": []}
    for seed in range(12):
        fit, calibration = disjoint(300, 100, seed=seed)
        for how, of_draws in slopes.items():
            model = unfitted(encoder, how, strength=0.001).fit(fit, calibration)
            of_draws.append(
                slope_of(model.predict(fresh.ids).p_cheap_fails, fresh.outcomes.cheap_failure)
            )
    means = {how: np.mean(of_draws) for how, of_draws in slopes.items()}
    assert 0.9 < means["cross"] < 1.2
    assert means["split"] > 2.0


@pytest.mark.slow
def test_slope_of_known_tasks_from_few_labels_is_near_one():
    """400 labels, mean of 8 draws."""
    fresh = with_tasks(labelled_tokens(4_000, seed=99), seed=99)
    slopes = []
    for seed in range(8):
        both = with_tasks(labelled_tokens(400, seed=seed), seed=seed)
        channel = NgramChannel(len(VOCABULARY), buckets=512)
        model = DifficultyModel(
            [channel],
            task_channels=[TaskChannel(channel, ["easy", "hard", "middle"])],
            calibration="cross",
        ).fit(both[np.arange(300)], both[np.arange(300, 400)])
        predicted = model.predict(fresh.ids, fresh.tasks).p_cheap_fails
        slopes.append(slope_of(predicted, fresh.outcomes.cheap_failure))
    assert 0.9 < np.mean(slopes) < 1.2


def test_weights_change_what_heads_learn_and_nothing_of_the_calibration(encoder):
    """Rows that hardly count for the heads still say how often requests fail."""
    fit, calibration = disjoint(300, 100)
    learned = fit.joined(calibration)
    lighter = learned.outcomes.weight * np.where(np.arange(400) < 150, 1.0, 0.01)
    weighted = replace(learned, outcomes=replace(learned.outcomes, weight=lighter))
    plain = unfitted(encoder, "cross").fit(fit, calibration)
    model = unfitted(encoder, "cross").fit(fit, calibration, weighted=weighted)
    assert model.predict(fit.ids).p_cheap_fails.mean() == pytest.approx(
        learned.outcomes.cheap_failure.mean(), abs=0.03
    )
    assert model.predict(fit.ids).p_cheap_fails != pytest.approx(
        plain.predict(fit.ids).p_cheap_fails, abs=1e-3
    )


def test_familiarity_does_not_know_the_calibration_requests(encoder):
    """New requests of the same kind spread over all percentiles; had their counterparts been known,
    all would seem less familiar.
    """
    fit, calibration = disjoint(150, 150)
    channels = [
        NgramChannel(len(VOCABULARY), buckets=512),
        NeighbourChannel(encoder, centres=256, strength=0.1),
    ]
    model = DifficultyModel(channels, calibration="cross").fit(fit, calibration)
    familiarity = model.predict(labelled_tokens(2_000, seed=7).ids).familiarity
    assert np.median(familiarity) == pytest.approx(0.5, abs=0.1)
    assert np.mean(familiarity < 0.1) == pytest.approx(0.1, abs=0.06)
