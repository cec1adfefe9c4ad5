"""Bootstrap weights and intervals; the coverage of intervals is in test_coverage.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difficulty.errors import InvalidValueError
from difficulty.metrics import (
    affordable_draws,
    auroc,
    bootstrap,
    debiased_interval,
    group_weights,
    percentile_interval,
    resample,
)
from difficulty.metrics.bootstrap import GroupDraws, percentile_intervals


def test_groups_are_drawn_whole():
    """Requests of a group share their weight; as many groups are drawn as there are."""
    draws = np.stack(
        list(group_weights(["a", "b", "a", "c"], n_draws=50, rng=np.random.default_rng(0)))
    )
    assert draws.shape == (50, 4)
    assert (draws[:, 0] == draws[:, 2]).all()
    assert (draws[:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_weights_have_the_mean_and_spread_of_a_multinomial():
    draws = np.stack(list(group_weights(np.arange(50), n_draws=4000, rng=np.random.default_rng(1))))
    assert draws.mean() == pytest.approx(1.0)
    assert draws.var() == pytest.approx(1 - 1 / 50, abs=0.02)


def test_the_seed_decides_the_draws():
    first, second = (
        list(group_weights(["a", "b", "c"], n_draws=5, rng=np.random.default_rng(7)))
        for _ in range(2)
    )
    assert np.array_equal(first, second)


def test_the_interval_holds_the_middle_of_the_draws():
    assert percentile_interval(np.arange(1, 1000), confidence=0.9) == pytest.approx((50.0, 950.0))


def test_many_intervals_at_once_are_those_of_each():
    """Undefined draws in one column do not touch the others."""
    draws = np.random.default_rng(0).normal(size=(200, 4))
    draws[:5, 1], draws[:50, 2] = np.nan, np.nan
    low, high = percentile_intervals(draws)
    expected = [percentile_interval(draws[:, place]) for place in range(4)]
    assert np.stack([low, high], axis=1) == pytest.approx(np.array(expected), nan_ok=True)


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
    with pytest.raises(InvalidValueError, match="n_draws must be 1 or more"):
        next(group_weights(["a"], n_draws=0, rng=np.random.default_rng(0)))


def test_no_group_is_refused():
    with pytest.raises(InvalidValueError, match="groups must be one group for each request"):
        next(group_weights([], n_draws=1, rng=np.random.default_rng(0)))


def test_a_paired_difference_is_surer_than_two_intervals():
    """Two scores that differ little move together over the draws."""
    rng = np.random.default_rng(3)
    label = rng.integers(0, 2, 300)
    better = label + rng.normal(0, 1, 300)
    worse = better + rng.normal(0, 0.2, 300)
    differences = resample(
        lambda weight: auroc(better, label, weight=weight) - auroc(worse, label, weight=weight),
        np.arange(300),
        n_draws=100,
        rng=np.random.default_rng(0),
    )
    alone = resample(
        lambda weight: auroc(better, label, weight=weight),
        np.arange(300),
        n_draws=100,
        rng=np.random.default_rng(0),
    )
    assert differences.std() < 0.6 * alone.std()


def test_sample_weights_multiply_the_draw():
    """A statistic that returns the mean weight sees both."""
    values = resample(
        np.mean, ["a", "a"], n_draws=3, rng=np.random.default_rng(0), weight=[1.0, 3.0]
    )
    assert values == pytest.approx([2.0, 2.0, 2.0])


def test_work_is_bounded():
    assert affordable_draws(14_042, 1000) == 1000
    assert affordable_draws(1_000_000, 1000) == 200
    assert affordable_draws(500_000, 1000) == 400
    assert affordable_draws(10_000_000, 50) == 50


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=50), st.floats(0.0, 1.0))
def test_a_debiased_interval_holds_the_value_and_no_negative_number(draws, value):
    low, high = debiased_interval(value, draws)
    assert 0.0 <= low <= value <= high


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(1, 9))
def test_every_draw_counts_its_groups(groups, n_draws):
    """The number of groups drawn is always the number of groups."""
    draws = list(group_weights(groups, n_draws=n_draws, rng=np.random.default_rng(0)))
    assert len(draws) == n_draws
    first = {group: place for place, group in reversed(list(enumerate(groups)))}
    for draw in draws:
        assert draw[list(first.values())].sum() == len(first)


def test_group_draws_are_the_group_weights():
    """The same seed gives the same draws, whichever requests are asked for and however they are cut
    into blocks.
    """
    groups = ["a", "b", "a", "c", "c", "c"]
    expected = np.stack(list(group_weights(groups, n_draws=11, rng=np.random.default_rng(4))))
    draws = GroupDraws.of(groups, n_draws=11, rng=np.random.default_rng(4))
    rows = np.array([5, 0, 3])
    for size in (1, 7, 1000):
        assert np.array_equal(
            np.concatenate(list(draws.blocks(rows, size=size))), expected[:, rows]
        )


def test_a_group_drawn_more_than_255_times_is_counted(monkeypatch):
    """Counts are kept in one byte only while they fit."""
    monkeypatch.setattr(bootstrap, "_counts", lambda n_groups, rng: np.array([300.0, 0.0]))
    draws = GroupDraws.of(["a", "b"], n_draws=2, rng=np.random.default_rng(0))
    assert draws.counts.tolist() == [[300, 0], [300, 0]]


def test_group_draws_need_a_draw():
    with pytest.raises(InvalidValueError, match="n_draws must be 1 or more: got 0"):
        GroupDraws.of(["a"], n_draws=0, rng=np.random.default_rng(0))
