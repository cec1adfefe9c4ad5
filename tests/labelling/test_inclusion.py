"""Probabilities of a draw, by hand and by counting draws."""

import numpy as np
import pytest

from difficulty.errors import InvalidValueError
from difficulty.labelling.inclusion import (
    draw,
    mixed_sizes,
    proportional,
    share_of_round,
    units_of,
    weights_over_rounds,
)


def test_probabilities_by_hand():
    """Sizes 6, 2, 1 and 1, two to draw: 6 would have 1.2, so it is certain, and the others share
    one place.
    """
    assert proportional(np.array([2.0, 6.0, 1.0, 1.0]), 2) == pytest.approx([0.5, 1.0, 0.25, 0.25])
    assert proportional(np.array([2.0, 6.0, 1.0, 1.0]), 2, largest=0.8) == pytest.approx(
        [0.6, 0.8, 0.3, 0.3]
    )


@pytest.mark.parametrize("n", [4, 9])
def test_all_are_certain_where_there_are_no_more(n):
    assert proportional(np.array([5.0, 1.0, 1.0, 1.0]), n) == pytest.approx(np.ones(4))


def test_a_bound_that_cannot_be_kept_is_raised():
    assert proportional(np.array([5.0, 1.0]), 1, largest=0.1) == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("seed", range(20))
def test_probabilities_sum_to_the_number_drawn_and_keep_the_order_of_sizes(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.pareto(0.7, size=50) + 1e-3
    largest = rng.uniform(0.2, 1.0)
    probability = proportional(sizes, 10, largest=largest)
    assert probability.sum() == pytest.approx(10)
    assert 0 < probability.min() <= probability.max() <= largest + 1e-12
    assert (np.diff(probability[np.argsort(sizes)]) >= -1e-12).all()
    free = probability < largest - 1e-9
    assert np.ptp(probability[free] / sizes[free]) < 1e-9


@pytest.mark.parametrize("size", [0.0, -1.0, np.nan, np.inf])
def test_sizes_that_are_none_are_refused(size):
    with pytest.raises(InvalidValueError, match="sizes must be finite numbers above 0"):
        proportional(np.array([1.0, size]), 1)


def test_the_random_part_keeps_its_share_for_every_request():
    """Three requests, two of them copies: a plain draw has 2/3 and 1/3."""
    sizes = mixed_sizes(np.array([2.0, 1.0]), np.array([0.0, 5.0]), random_share=0.4)
    assert sizes == pytest.approx([0.4 * 2 / 3, 0.4 / 3 + 0.6])
    assert mixed_sizes(np.array([2.0, 1.0]), np.zeros(2), random_share=0.4) == pytest.approx(
        [2 / 3, 1 / 3]
    )


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, np.nan])
def test_without_a_random_part_it_is_refused(share):
    with pytest.raises(InvalidValueError, match="figures hold for no traffic"):
        mixed_sizes(np.ones(2), np.ones(2), random_share=share)


def test_each_unit_is_drawn_with_its_probability_and_the_number_is_fixed():
    """10,000 draws: frequencies agree with the probabilities within 4.5 standard errors."""
    rng = np.random.default_rng(0)
    probability = proportional(rng.pareto(1.0, size=30) + 0.05, 7, largest=0.9)
    n_draws, counts = 10_000, np.zeros(30)
    for _ in range(n_draws):
        drawn = draw(probability, order=rng.permutation(30), rng=rng)
        assert len(drawn) == 7
        counts[drawn] += 1
    error = np.sqrt(probability * (1 - probability) / n_draws)
    assert (np.abs(counts / n_draws - probability) < 4.5 * error + 1e-12).all()


def test_what_lies_side_by_side_is_hardly_drawn_together():
    """Ten pairs, ten to draw: one of each pair, whatever the start."""
    probability, order = np.full(20, 0.5), np.arange(20)
    for seed in range(50):
        drawn = draw(probability, order=order, rng=np.random.default_rng(seed))
        assert sorted(drawn // 2) == list(range(10))


def test_nothing_is_drawn_of_nothing():
    rng = np.random.default_rng(0)
    assert len(draw(np.zeros(0), order=np.zeros(0, dtype=np.intp), rng=rng)) == 0


def test_rounds_of_equal_probability_weigh_all_units_the_same():
    """Of 12 units 2, then 4, then 6: 12 / 6 after two rounds, 1 after all were drawn."""
    weights = np.full(2, 6.0)
    share = share_of_round(12, 2, 4)
    before, now = weights_over_rounds(weights, np.full(4, 4 / 10), share=share)
    assert np.concatenate([before, now]) == pytest.approx(np.full(6, 2.0))
    share = share_of_round(12, 6, 6)
    before, now = weights_over_rounds(np.full(6, 2.0), np.ones(6), share=share)
    assert np.concatenate([before, now]) == pytest.approx(np.ones(12))
    assert share_of_round(12, 6, 0) == 0.0


def test_totals_of_rounds_that_look_at_outcomes_are_unbiased():
    """The second round goes by what the first saw, and by the values of what is left beside it:
    6,000 repetitions of 3 + 3 of 12 units.
    """
    rng = np.random.default_rng(1)
    values = rng.pareto(1.5, size=12)
    totals = []
    for _ in range(6_000):
        first = proportional(rng.permutation(values) + 0.3, 3)
        drawn = draw(first, order=rng.permutation(12), rng=rng)
        left = np.setdiff1d(np.arange(12), drawn)
        # Neighbours of large values are drawn more often.
        near = np.abs(left[:, None] - drawn) <= 2
        second = proportional((near * values[drawn]).sum(axis=1) + 0.1, 3, largest=0.65)
        later = draw(second, order=rng.permutation(9), rng=rng)
        before, now = weights_over_rounds(
            1 / first[drawn], second[later], share=share_of_round(12, 3, 3)
        )
        totals.append(before @ values[drawn] + now @ values[left[later]])
    error = np.std(totals) / np.sqrt(len(totals))
    assert abs(np.mean(totals) - values.sum()) < 3.5 * error


def test_units_are_numbered_as_they_come():
    units, counts = units_of(["b", "a", "b", "c"])
    assert (units.tolist(), counts.tolist()) == ([0, 1, 0, 2], [2, 1, 1])
