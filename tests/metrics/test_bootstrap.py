"""Bootstrap weights and intervals; the coverage of intervals is in test_coverage.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difficulty.errors import InvalidValueError
from difficulty.metrics import Resampling, auroc, bootstrap, debiased_interval, percentile_interval


def weights_of(groups, draws, seed=0):
    """Return the bootstrap weights of every draw, shape (n_draws, n)."""
    return np.concatenate(list(Resampling(draws, seed).of(groups).blocks())).astype(float)


def test_groups_are_drawn_whole():
    """Requests of a group share their weight; as many groups are drawn as there are."""
    draws = weights_of(["a", "b", "a", "c"], 50)
    assert draws.shape == (50, 4)
    assert (draws[:, 0] == draws[:, 2]).all()
    assert (draws[:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_weights_have_the_mean_and_spread_of_a_multinomial():
    draws = weights_of(np.arange(50), 4000, seed=1)
    assert draws.mean() == pytest.approx(1.0)
    assert draws.var() == pytest.approx(1 - 1 / 50, abs=0.02)


def test_the_seed_decides_the_draws():
    first, second = (weights_of(["a", "b", "c"], 5, seed=7) for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, weights_of(["a", "b", "c"], 5, seed=8))


def test_a_stream_that_is_shared_goes_on():
    rng = np.random.default_rng(7)
    first, second = (Resampling(5).of(["a", "b", "c"], rng=rng).counts for _ in range(2))
    assert np.array_equal(first, Resampling(5, 7).of(["a", "b", "c"]).counts)
    assert not np.array_equal(first, second)


def test_the_interval_holds_the_middle_of_the_draws():
    assert percentile_interval(np.arange(1, 1000), confidence=0.9) == pytest.approx((50.0, 950.0))


def test_many_undefined_draws_leave_no_interval():
    """A few are left out; more than 1 in 20, and the rest no longer stand for all."""
    draws = np.arange(100.0)
    draws[:5] = np.nan
    assert percentile_interval(draws)[0] >= 5.0
    draws[5] = np.nan
    assert np.isnan(percentile_interval(draws)).all()
    assert np.isnan(debiased_interval(0.1, draws)).all()


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95])
def test_a_confidence_outside_0_and_1_is_refused(confidence):
    with pytest.raises(InvalidValueError, match="confidence must be in"):
        percentile_interval([1.0, 2.0], confidence=confidence)


def test_no_draw_is_refused():
    with pytest.raises(InvalidValueError, match="draws must be 1 or more: got 0"):
        Resampling(0)


def test_no_group_is_refused():
    with pytest.raises(InvalidValueError, match="groups must be one group for each request"):
        Resampling(1).of([])


def test_a_paired_difference_is_surer_than_two_intervals():
    """Two scores that differ little move together over the draws."""
    rng = np.random.default_rng(3)
    label = rng.integers(0, 2, 300)
    better = label + rng.normal(0, 1, 300)
    worse = better + rng.normal(0, 0.2, 300)
    draws = weights_of(np.arange(300), 100)
    alone = np.array([auroc(better, label, weight=weight) for weight in draws])
    differences = alone - [auroc(worse, label, weight=weight) for weight in draws]
    assert differences.std() < 0.6 * alone.std()


def test_sample_weights_multiply_the_draw():
    """A statistic that returns the mean weight sees both."""
    values = Resampling(3).of(["a", "a"]).values(lambda w: w.mean(axis=1), np.array([1.0, 3.0]))
    assert values == pytest.approx([2.0, 2.0, 2.0])


def test_work_is_bounded():
    assert Resampling(1000).affordable(14_042).draws == 1000
    assert Resampling(1000).affordable(1_000_000).draws == 200
    assert Resampling(1000).affordable(125_000).draws == 400
    assert Resampling(50).affordable(10_000_000).draws == 50


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=50), st.floats(0.0, 1.0))
def test_a_debiased_interval_holds_the_value_and_no_negative_number(draws, value):
    low, high = debiased_interval(value, draws)
    assert 0.0 <= low <= value <= high


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(1, 9))
def test_every_draw_counts_its_groups(groups, n_draws):
    """The number of groups drawn is always the number of groups."""
    draws = weights_of(groups, n_draws)
    assert len(draws) == n_draws
    first = {group: place for place, group in reversed(list(enumerate(groups)))}
    for draw in draws:
        assert draw[list(first.values())].sum() == len(first)


def test_draws_do_not_depend_on_the_blocks():
    """Whichever requests are asked for, and however the draws are cut into blocks."""
    groups, rows = ["a", "b", "a", "c", "c", "c"], np.array([5, 0, 3])
    expected, draws = weights_of(groups, 11, seed=4), Resampling(11, 4).of(groups)
    for size in (1, 7, 1000):
        assert np.array_equal(
            np.concatenate(list(draws.blocks(rows, size=size))), expected[:, rows]
        )


def test_a_group_drawn_more_than_255_times_is_counted(monkeypatch):
    """Counts are kept in one byte only while they fit."""
    monkeypatch.setattr(bootstrap, "_counts", lambda n_groups, rng: np.array([300.0, 0.0]))
    draws = Resampling(2).of(["a", "b"])
    assert draws.counts.tolist() == [[300, 0], [300, 0]]
