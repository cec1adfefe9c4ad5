"""What is expected of a request is learned from other groups, and from little it learns little."""

import numpy as np
import pytest

from difficulty.replay.outcome_model import deal_folds, expect_amount, expect_quality

NAN = float("nan")


def test_without_outcomes_the_bundle_is_believed():
    p = np.array([0.1, 0.5, 0.9])
    expected = expect_quality(p, np.full(3, NAN), np.ones(3), np.array([0, 1, 2]))
    assert expected == pytest.approx(1 - p)


def test_probabilities_that_are_off_are_put_right():
    """The models fail half as often, by the logit, as the bundle says."""
    rng = np.random.default_rng(0)
    p = rng.uniform(0.05, 0.95, 6000)
    logit = np.log((1 - p) / p)
    truth = 1 / (1 + np.exp(-(0.5 * logit + 1.0)))
    quality = (rng.random(6000) < truth).astype(float)
    expected = expect_quality(p, quality, np.ones(6000), np.arange(6000) % 5)
    assert np.abs(expected - truth).max() < 0.05


def test_expectation_knows_nothing_of_its_own_group():
    """Turning the outcomes of one fold round changes what is expected of the others alone."""
    rng = np.random.default_rng(1)
    p, folds = rng.uniform(0.2, 0.8, 500), np.arange(500) % 5
    quality = rng.integers(0, 2, 500).astype(float)
    turned = np.where(folds == 2, 1 - quality, quality)
    before, after = (expect_quality(p, each, np.ones(500), folds) for each in (quality, turned))
    assert before[folds == 2] == pytest.approx(after[folds == 2])
    assert np.abs(before - after)[folds != 2].max() > 0.01


def test_amounts_follow_the_size():
    """A dollar, and two for each token."""
    size = np.array([1.0, 2.0, 3.0, 4.0, 5.0, NAN])
    expected = expect_amount(size, 1.0 + 2.0 * size, np.ones(6), np.arange(6))
    assert expected[:5] == pytest.approx(1.0 + 2.0 * size[:5])
    assert expected[5] == pytest.approx(7.0)  # as one of mean size


def test_folds_keep_groups_and_move_for_no_row_that_is_added():
    groups = np.array(["a", "b", "a", "c"], dtype=object)
    folds = deal_folds(groups)
    assert folds[0] == folds[2]
    more = deal_folds(np.array(["a", "b", "a", "c", "d", "a"], dtype=object))
    assert more[:4].tolist() == folds.tolist()
