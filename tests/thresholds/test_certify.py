"""The tests behind a promise: numbers by hand, and that they are wrong no more often than they
say.
"""

import dataclasses

import numpy as np
import pytest

from difficulty.thresholds.certify import (
    KeptLosses,
    betting_p_value,
    binomial_p_value,
    gamma_p_value,
    losses_allowed,
    rejected,
    samples_to_certify,
)


def losses(loss, *, weight=None, groups=None, unit=1.0):
    loss = np.asarray(loss, dtype=float)
    return KeptLosses(
        loss=loss,
        weight=np.ones(len(loss)) if weight is None else np.asarray(weight, dtype=float),
        groups=np.arange(len(loss)).astype(str) if groups is None else np.asarray(groups),
        unit=unit,
    )


def test_binomial_p_value_by_hand():
    """No loss in 10 at a rate of 1/4 has a chance of 0.75^10; at most 1 in 4 at 1/2 has 5/16; of
    nothing nothing is shown.
    """
    found = binomial_p_value(np.array([0, 1, 0]), np.array([10, 4, 0]), 0.25)
    assert found == pytest.approx([0.75**10, 0.75**4 + 4 * 0.25 * 0.75**3, 1.0])


def test_nothing_lost_needs_as_many_samples_as_clopper_and_pearson_say():
    """0.9^k falls to 0.1 at k = 22: with so few samples all of delta is spent on keeping them
    all.
    """
    numbers = np.arange(1, 61)
    assert len(rejected(losses(np.zeros(21)), numbers[:21], alpha=0.1, delta=0.1)) == 0
    assert rejected(losses(np.zeros(22)), numbers[:22], alpha=0.1, delta=0.1).tolist() == [22]


def test_rejection_goes_as_far_as_the_losses_allow():
    """After 500 requests without a loss all others are lost: the share kept ends a little before
    the mean passes 0.1.
    """
    data = losses(np.r_[np.zeros(500), np.ones(500)])
    found = rejected(data, np.arange(1, 1001), alpha=0.1, delta=0.1)
    assert 500 <= found.max() < 555
    assert found.min() == 100


def test_a_bad_start_does_not_end_the_search():
    """The lowest scores lose most; the second start finds the thresholds that keep enough good ones
    beside them.
    """
    data = losses(np.r_[np.ones(60), np.zeros(940)])
    found = rejected(data, np.arange(1, 1001), alpha=0.2, delta=0.1)
    assert found.max() == 1000
    assert found.min() >= 500


@pytest.mark.parametrize(
    ("data", "test"),
    [
        (losses([0, 1, 0]), "binomial"),
        (losses([0, 0.2, 0], unit=0.2), "binomial"),
        (losses([0, 0.2, 0]), "betting"),
        (losses([0, 1, 0], weight=[1, 2, 1]), "gamma"),
        (losses([0, 1, 0], groups=["a", "a", "b"]), "gamma"),
        (losses([0, 1] * 10, groups=["a", "a", *map(str, range(18))]), "gamma"),
    ],
    ids=["plain", "caught", "graded", "weighted", "grouped", "few near-duplicates"],
)
def test_samples_decide_the_test(data, test):
    """The exact tests count each sample once, which is right only where each stands alone."""
    assert data.test == test


def test_gamma_p_value_without_a_loss_by_hand():
    """With no loss the limit is that of the one group added: exponential with its size as mean."""
    weight = np.array([1.0, 1.0, 2.0, 4.0])
    found = gamma_p_value(np.zeros(4), weight, 0.5, guard=2.0)
    assert found == pytest.approx(np.exp(-0.5 * 8 / 2.0))


def test_gamma_p_value_of_requests_that_stand_alone_is_that_of_the_poisson_limit():
    """Of 2,000 requests that stand alone 8 lost: the exact chance of at most 8 is 0.038."""
    lost = np.r_[np.ones(8), np.zeros(1992)]
    exact = binomial_p_value(np.array([8]), np.array([2000]), 0.0072)[0]
    found = gamma_p_value(lost, np.ones(2000), 0.0072, guard=1.0)
    assert found == pytest.approx(exact, rel=0.05)


def test_gamma_p_value_of_one_group_is_1():
    assert gamma_p_value(np.zeros(1), np.ones(1), 0.5, guard=0.1) == 1.0
    assert gamma_p_value(np.zeros(2), np.zeros(2), 0.5, guard=0.1) == 1.0


def test_guard_is_as_large_as_what_fails():
    """Ten groups of ten all fail, 990 single requests none: a group that fails has ten requests,
    the typical group 1.8.
    """
    groups = np.r_[np.repeat(np.arange(10), 10), np.arange(10, 1000)].astype(str)
    data = losses(np.r_[np.ones(100), np.zeros(990)], groups=groups)
    assert data.requests_a_group == pytest.approx(1990 / 1090)
    assert data._usual_guard == pytest.approx((1000 + (1990 / 1090) ** 2) / (100 + 1990 / 1090))


def test_leeway_is_reckoned_with_as_if_it_went_wrong():
    """Ten more of 100 that are lost turn a mean of 0.1 into 20 of 110."""
    data = losses(np.r_[np.ones(10), np.zeros(190)])
    with_leeway = dataclasses.replace(data, leeway=10.0)
    kept, alpha = np.array([5, 100]), 20 / 110
    assert with_leeway.p_values(kept, alpha=alpha, delta=0.1) == pytest.approx(
        [1.0, data.p_values(kept, alpha=0.1, delta=0.1)[1]]
    )


def test_losses_allowed_by_hand():
    """598 without a loss show 0.5 % at 95 %; a request that is asked twice counts as a group."""
    alone, pairs = losses(np.zeros(598)), losses(np.zeros(598), groups=np.arange(598) // 2)
    nothing = np.array([], dtype=np.intp)
    assert losses_allowed(alone, nothing, alpha=0.005, delta=0.05) == 0
    assert losses_allowed(alone, nothing, alpha=0.00499, delta=0.05) == -1
    assert losses_allowed(pairs, nothing, alpha=0.005, delta=0.05) == -1
    assert losses_allowed(pairs, nothing, alpha=0.0101, delta=0.05) == 0


def test_no_loss_can_pass_a_level_above_the_largest():
    """Validation that catches 90 % of the failures leaves at most 0.1 of them."""
    assert (
        rejected(losses([0.1] * 20, unit=0.1), np.arange(1, 21), alpha=0.2, delta=0.1).max() == 20
    )


def draw_grouped(rng, n, rate):
    """Return graded losses of mean ``rate``, in groups of up to five that share their luck, with
    weights.
    """
    sizes = rng.integers(1, 6, n)
    groups = np.repeat(np.arange(n), sizes)
    luck = np.repeat(rng.random(n) < rate, sizes)
    loss = np.where(
        luck, rng.choice([0.5, 1.0], len(groups)), rng.choice([0.0, 0.25 * rate], len(groups))
    )
    order = rng.permutation(len(groups))
    return losses(
        loss[order], groups=groups[order].astype(str), weight=rng.choice([1.0, 2.0], len(groups))
    )


MEAN_LOSS = 0.3 * 0.75 + 0.7 * 0.125 * 0.3
"""Of a sample of ``draw_grouped`` at a rate of 0.3."""


def test_gamma_test_is_wrong_no_more_often_than_delta():
    """At a level just below the true mean every rejection is wrong; 400 draws of delta 0.1 have at
    most 0.1 + 3 standard errors.
    """
    rng = np.random.default_rng(0)
    draws = [draw_grouped(rng, 60, 0.3) for _ in range(400)]
    wrong = [
        len(rejected(data, np.array([len(data)]), alpha=MEAN_LOSS - 1e-3, delta=0.1))
        for data in draws
    ]
    assert np.mean(wrong) <= 0.1 + 3 * np.sqrt(0.1 * 0.9 / 400)


def test_gamma_test_finds_what_is_clearly_there():
    """Far above the mean nearly every draw is rejected."""
    rng = np.random.default_rng(0)
    found = [
        len(
            rejected(
                data := draw_grouped(rng, 120, 0.3), np.array([len(data)]), alpha=0.45, delta=0.1
            )
        )
        for _ in range(50)
    ]
    assert np.mean(found) > 0.9


def test_betting_p_value_of_nothing_is_1():
    assert betting_p_value(np.array([]), 1.0, delta=0.1) == 1.0
    assert betting_p_value(np.full(50, 0.2), 1.0, delta=0.1) == 1.0


def test_exact_test_is_wrong_no_more_often_than_delta():
    """All thresholds together, in 500 draws of losses whose mean is above the level at every one of
    them.
    """
    rng = np.random.default_rng(1)
    wrong = [
        len(rejected(losses(rng.random(300) < 0.205), np.arange(1, 301), alpha=0.2, delta=0.1)) > 0
        for _ in range(500)
    ]
    assert np.mean(wrong) <= 0.1 + 3 * np.sqrt(0.1 * 0.9 / 500)


def test_samples_to_certify_by_hand():
    """Without any loss 0.75^k <= 0.1 needs 9; at a rate of 0.2 a normal quantile of 1.28 needs
    1.28^2 0.2 0.8 / 0.05^2; above none do.
    """
    assert samples_to_certify(0.0, alpha=0.25, delta=0.1) == 9
    assert samples_to_certify(0.2, alpha=0.25, delta=0.1) == pytest.approx(
        1.2816**2 * 0.16 / 0.0025, abs=1
    )
    assert samples_to_certify(0.25, alpha=0.25, delta=0.1) is None


def test_guard_of_logged_samples_is_as_heavy_as_what_is_kept():
    """What a policy hardly ever kept weighs nothing on a threshold that does not keep it either."""
    weight = np.repeat([1.0, 20.0], [300, 10])
    data = dataclasses.replace(losses(np.zeros(310), weight=weight), logged=True)
    easy, all_of_them = data._guards(np.array([300, 310]))
    assert easy < all_of_them == pytest.approx(20.0)
    assert easy == pytest.approx(data._usual_guard)
