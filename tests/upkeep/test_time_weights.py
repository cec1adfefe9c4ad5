import numpy as np
import pytest

from difficulty.errors import InvalidValueError
from difficulty.records import Estimate
from difficulty.upkeep.time_weights import (
    TriedWay,
    choose_way,
    forward_folds,
    mean_difference,
    weights_by_age,
)

START = np.datetime64("2026-01-01", "us")


def days(*numbers):
    return START + np.array(numbers) * np.timedelta64(1, "D")


def test_weights_halve_with_age():
    """Worked by hand: ages 20, 10 and 0 with a half-life of 10 days are 1/4, 1/2 and 1."""
    weight = weights_by_age(days(0, 10, 20), 10.0)
    assert weight / weight[2] == pytest.approx([0.25, 0.5, 1.0])
    assert weight.mean() == pytest.approx(1.0)
    assert (weights_by_age(days(0, 10), None) == 1.0).all()


def test_no_time_counts_as_the_oldest_and_no_label_is_thrown_away():
    times = np.append(days(0, 300), np.datetime64("NaT", "us"))
    weight = weights_by_age(times, 1.0)
    assert weight[2] == weight[0] > 0.0
    assert weight[0] / weight[1] == pytest.approx(0.01)
    assert (weights_by_age(times[2:], 5.0) == 1.0).all()


@pytest.mark.parametrize("half_life", [0.0, -1.0, np.inf, np.nan])
def test_a_half_life_that_is_none_is_refused(half_life):
    with pytest.raises(InvalidValueError, match="days above 0"):
        weights_by_age(days(0), half_life)


def test_folds_go_forward_and_share_no_family():
    """Ten days, two folds of 20 %: day 7 is a copy of day 0 and judges nothing."""
    families = np.array([0, 1, 2, 3, 4, 5, 6, 0, 8, 9])
    folds = forward_folds(days(*range(10)), families, folds=2, share=0.2)
    assert [(a.tolist(), b.tolist()) for a, b in folds] == [
        ([0, 1, 2, 3, 4, 5], [6]),
        ([0, 1, 2, 3, 4, 5, 6, 7], [8, 9]),
    ]


def test_mean_difference_counts_groups():
    """Worked by hand: differences 1 and 0 of two groups, whichever their number of copies."""
    loss, other = np.array([1.0, 1.0, 0.0, 0.0]), np.zeros(4)
    alone = mean_difference(loss, other, weight=np.ones(4), groups=np.arange(4))
    tied = mean_difference(loss, other, weight=np.ones(4), groups=[0, 0, 1, 1])
    assert alone.value == tied.value == 0.5
    assert tied.high - tied.low > 1.7 * (alone.high - alone.low)
    unknown = mean_difference(np.full(4, np.nan), other, weight=np.ones(4), groups=np.arange(4))
    assert unknown.value is None


def way(loss, behind, half, **changes):
    return TriedWay(
        half_life=None,
        warm=False,
        loss=loss,
        behind_first=Estimate(value=behind, low=behind - half, high=behind + half, n=9),
        effective=9.0,
        **changes,
    )


def test_equal_weights_stay_unless_another_way_is_clearly_better():
    first = way(0.5, 0.0, 0.0)
    within_noise, better, best = way(0.49, -0.01, 0.03), way(0.4, -0.1, 0.1), way(0.3, -0.2, 0.2)
    assert choose_way([first, within_noise]) == 0
    assert choose_way([first, within_noise, better, best]) == 3
    failed = way(None, -0.4, 0.01, problem="too few")
    assert choose_way([first, failed]) == 0
