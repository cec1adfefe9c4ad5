import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from difficulty.model.combination import (
    GainWeights,
    Logits,
    Shares,
    fit_gain_weights,
    fit_outcome_stack,
    fold_numbers,
)
from difficulty.traffic.outcomes import Outcomes


def test_gain_by_hand():
    """Differences (0.2, 0.1) with weights (1, 2) and intercept 0.05."""
    assert GainWeights(np.array([1.0, 2.0]), 0.05)(np.array([[0.2, 0.1]])) == pytest.approx([0.45])


def test_gain_weight_is_halfway_to_1_at_the_prior_number_of_samples():
    """1,500 samples say that the gain is three times the difference, and the prior, worth 1,500
    samples, says once: twice.
    """
    difference = np.linspace(-0.3, 0.5, 1_500)
    found = fit_gain_weights(difference[:, None], 3 * difference + 0.1, np.ones(1_500))
    assert found.weights == pytest.approx([2.0])
    assert found(np.array([[difference.mean()]])) == pytest.approx([3 * difference.mean() + 0.1])


def test_gain_weights_of_few_samples_leave_the_first_head_alone():
    rng = np.random.default_rng(0)
    differences = rng.normal(size=(10, 3))
    found = fit_gain_weights(differences, differences[:, 2], np.ones(10))
    assert found.weights == pytest.approx([1.0, 0.0, 0.0], abs=0.05)


def test_gain_weights_of_many_samples_find_the_head_that_knows():
    rng = np.random.default_rng(0)
    differences = rng.normal(size=(200_000, 3))
    found = fit_gain_weights(differences, differences[:, 2], np.ones(200_000))
    assert found.weights == pytest.approx([0.0, 0.0, 1.0], abs=0.02)


def test_gain_weights_are_never_negative():
    """A head that says the opposite of the gain is left out, not turned round."""
    rng = np.random.default_rng(0)
    differences = rng.normal(size=(50_000, 2))
    found = fit_gain_weights(differences, differences[:, 0] - differences[:, 1], np.ones(50_000))
    assert found.weights[0] == pytest.approx(1.0, abs=0.02)
    assert found.weights[1] == 0.0


@pytest.mark.parametrize(
    "gain", [np.full(50, np.nan), np.r_[0.5, np.full(49, np.nan)]], ids=["none known", "one known"]
)
def test_gain_weights_without_known_gains_trust_the_first_head(gain):
    found = fit_gain_weights(np.ones((50, 2)), gain, np.ones(50))
    assert (found.weights.tolist(), found.intercept) == ([1.0, 0.0], 0.0)


def test_gain_weights_of_heads_that_are_all_wrong_trust_the_first_head():
    differences = np.random.default_rng(0).normal(size=(50_000, 1))
    found = fit_gain_weights(differences, -differences[:, 0], np.ones(50_000))
    assert (found.weights.tolist(), found.intercept) == ([1.0], 0.0)


def test_gain_weights_ignore_unknown_gains_and_count_weights():
    rng = np.random.default_rng(1)
    differences, gain = rng.normal(size=(300, 2)), rng.normal(size=300)
    unknown = np.arange(300) % 4 == 0
    weight = np.where(np.arange(300) % 4 == 1, 2.0, 1.0)
    found = fit_gain_weights(differences, np.where(unknown, np.nan, gain), weight)
    rows = np.repeat(np.arange(300), np.where(unknown, 0, weight.astype(int)))
    expected = fit_gain_weights(differences[rows], gain[rows], np.ones(len(rows)))
    assert found.weights == pytest.approx(expected.weights)
    assert found.intercept == pytest.approx(expected.intercept)


@given(st.lists(st.sampled_from("abcdefgh"), max_size=40), st.integers(2, 5), st.integers(0, 99))
def test_folds_keep_groups_whole_and_hold_as_many_groups_each(groups, folds, seed):
    fold = fold_numbers(groups, folds=folds, rng=np.random.default_rng(seed))
    assert len(fold) == len(groups)
    pairs = set(zip(groups, fold.tolist(), strict=True))
    assert len(pairs) == len(set(groups))
    sizes = np.bincount([number for _, number in pairs], minlength=folds)
    assert len(sizes) == folds
    assert sizes.max() - sizes.min() <= 1


def test_outcome_stack_of_few_labels_never_turns_a_head_round():
    """The first head decides, though by chance it was wrong more often than right out of fold."""
    logits = np.array([[-1.0], [-0.5], [0.5], [1.0]] * 10)
    failure = np.array([1.0, 1.0, 0.0, 0.0] * 10)
    stack = fit_outcome_stack(logits, failure, np.ones(40))
    assert 0.8 < stack.coefficients[0] <= 1.0


def test_outcome_stack_of_many_labels_finds_the_head_that_knows():
    """Of two heads the second alone tells failures apart: with 20,000 labels it has most of the
    weight.
    """
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 2))
    failure = (rng.random(20_000) < expit(0.5 + logits[:, 1])).astype(float)
    stack = fit_outcome_stack(logits, failure, np.ones(20_000))
    assert stack.coefficients == pytest.approx([0.07, 0.9], abs=0.05)
    assert stack.intercept == pytest.approx(0.5, abs=0.1)


def test_outcome_stack_counts_a_graded_outcome_as_its_share():
    """Half a failure everywhere, from heads that say so: nothing to change."""
    stack = fit_outcome_stack(
        np.zeros((50, 2)), np.where(np.arange(50) % 2, 0.25, 0.75), np.ones(50)
    )
    assert stack.logits(np.zeros((1, 2))) == pytest.approx([0.0], abs=1e-6)


def test_shares_of_deviations_by_hand():
    """Deviations 1 and 4 with shares 2 and 1: weights stand as 8 to 1, and all are scaled alike."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100_000, 2)) * [1.0, 4.0]
    gain = x @ [0.8, 0.1]
    found = Shares(np.array([2.0, 1.0]), by_deviation=True).weights(x, gain, np.ones(len(x)))
    assert found.weights[0] / found.weights[1] == pytest.approx(8.0, rel=0.02)
    assert found.weights == pytest.approx([0.8, 0.1], rel=0.05)


def test_shares_of_the_gain_by_hand():
    """Not divided by deviations, and halfway to 1 at 100 samples where twice the mean is right."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 2))
    found = Shares(np.ones(2), by_deviation=False).weights(x, x.sum(axis=1), np.ones(len(x)))
    assert found.weights == pytest.approx([0.75, 0.75], abs=0.02)


def test_channel_without_spread_has_no_share_of_the_order():
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=500), np.ones(500)])
    found = Shares(np.ones(2), by_deviation=True).weights(x, x[:, 0], np.ones(500))
    assert found.weights == pytest.approx([1.0, 0.0])


@pytest.mark.parametrize("n", [0, 1, 2, 5], ids=str)
def test_shares_of_hardly_any_gain_are_kept(n):
    x = np.zeros((n, 2))
    found = Shares(np.array([2.0, 1.0]), by_deviation=True).weights(x, np.zeros(n), np.ones(n))
    assert found.weights == pytest.approx([2 / 3, 1 / 3])


def test_fitted_weights_earn_their_way():
    """With as many samples as shares are worth, weights are halfway between both."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(10_000, 2))
    gain = x @ [1.5, 0.5]
    found = fit_gain_weights(x, gain, np.ones(10_000), shares=Shares(np.ones(2), by_deviation=True))
    assert found.weights == pytest.approx([1.23, 0.73], abs=0.03)


def test_gain_that_is_said_stands_for_the_difference():
    logits = Logits(np.array([[2.0, 0.0]]), np.array([[0.0, 0.0]]), np.array([[np.nan, 0.4]]))
    assert logits.differences == pytest.approx(np.array([[expit(2.0) - 0.5, 0.4]]))


def evidence(says, gain):
    """Return what two channels say of the gain of as many requests, and what they are worth; the
    second has to earn its share.
    """
    says = np.asarray(says, dtype=float)
    gains = np.column_stack([np.linspace(-1.0, 1.0, len(says)), says])
    zeros = np.zeros_like(gains)
    known = np.full(len(says), np.nan)
    outcomes = Outcomes(
        cheap_quality=known,
        frontier_quality=known,
        preferred_gain=np.asarray(gain, dtype=float),
        weight=np.ones(len(says)),
    )
    shares = Shares(np.array([2.0, 1.0]), by_deviation=True, earned=np.array([False, True]))
    return shares, Logits(zeros, zeros, gains), outcomes


def test_share_is_earned_by_one_standard_error():
    """By hand, gains less their mean times what it says: 0.5, 1.5, 0.5 and -0.5 are 2 together, and
    their error is the root of 3; 1, 1, -1 and -1 are 0.
    """
    fold, groups = np.zeros(4, dtype=int), ["a", "b", "c", "d"]
    shares, logits, outcomes = evidence([1, -1, 1, -1], [1, -1, 1, 1])
    assert shares.as_shown(logits, outcomes, fold, groups).shares.tolist() == [2.0, 1.0]
    shares, logits, outcomes = evidence([1, -1, 1, -1], [1, -1, -1, 1])
    assert shares.as_shown(logits, outcomes, fold, groups).shares.tolist() == [2.0, 0.0]


def test_requests_of_one_group_are_one_piece_of_evidence():
    """Ten copies of one request that goes well do not outweigh two that go badly."""
    says, gain = [1.0] * 10 + [-1.0, -1.0, 1.0], [1.0] * 10 + [1.0, 1.0, -1.0]
    shares, logits, outcomes = evidence(says, gain)
    fold = np.zeros(13, dtype=int)
    alone = shares.as_shown(logits, outcomes, fold, [str(number) for number in range(13)])
    together = shares.as_shown(logits, outcomes, fold, ["one"] * 10 + ["a", "b", "c"])
    assert together.shares[1] == 0.0
    assert alone.shares[0] == together.shares[0] == 2.0


def test_differences_between_folds_earn_no_share():
    """All that it says is which fold's heads spoke."""
    fold = np.repeat([0, 1], 50)
    gain = np.where(fold == 1, 1.0, 0.0) + np.tile([0.1, -0.1], 50)
    shares, logits, outcomes = evidence(fold + np.tile([-0.01, 0.01], 50), gain)
    groups = [str(number) for number in range(100)]
    assert shares.as_shown(logits, outcomes, fold, groups).shares.tolist() == [2.0, 0.0]


@pytest.mark.parametrize("gain", [[np.nan] * 4, [1.0, np.nan, np.nan, np.nan]])
def test_shares_stay_where_no_label_tells(gain):
    shares, logits, outcomes = evidence([1, -1, 1, -1], gain)
    unchanged = shares.as_shown(logits, outcomes, np.zeros(4, dtype=int), ["a", "b", "c", "d"])
    assert unchanged.shares.tolist() == [2.0, 1.0]


def test_the_only_channel_keeps_its_share_whatever_labels_say():
    shares, logits, outcomes = evidence([1, -1, 1, -1], [-1, 1, -1, 1])
    alone = Shares(np.array([0.0, 1.0]), by_deviation=True, earned=shares.earned)
    assert alone.as_shown(logits, outcomes, np.zeros(4, dtype=int), list("abcd")) is alone
