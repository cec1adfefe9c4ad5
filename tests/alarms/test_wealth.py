import numpy as np
import pytest

from difficulty.alarms.day_sums import DaySums
from difficulty.alarms.wealth import (
    LARGEST_BET,
    WINDOWS,
    Quiet,
    began,
    follow,
    gains_of,
    look_back,
    play,
    start,
    start_shares,
)


def sums_of(days, groups=1):
    """Return sums of one column; each day's ``groups`` have its values in turn."""
    values = np.array(days, dtype=np.float64).reshape(len(days), -1)
    count = np.full(len(days), float(values.shape[1] if groups == 1 else groups))
    total = values.sum(axis=1) if groups == 1 else values[:, 0] * groups
    squares = (values**2).sum(axis=1) if groups == 1 else values[:, 0] ** 2 * groups
    return DaySums(
        groups=count, requests=count, total=total[:, None], squares=squares[:, None], columns=("x",)
    )


def quiet(mean, n_days, *, bound=0.1, variance=0.25, swing=0.0, rises_only=False):
    return Quiet(
        mean=np.full((n_days, 1), mean),
        bound=np.array([bound]),
        variance=np.array([variance]),
        swing=np.full((n_days, 1), swing),
        rises_only=rises_only,
    )


def test_gain_of_one_day_worked_by_hand():
    """Two groups with means 1 and 0.5, quiet up to 0.4: y is 0.6 and 0.1. A bet of one half has
    ``psi = log 2 - 1/2``, so the gain is ``0.5 * 0.7 - psi * (0.36 + 0.01)``.
    """
    sums, bets = sums_of([[1.0, 0.5]]), np.full((1, 1, 1), 0.5)
    rise = gains_of(sums, quiet(0.3, 1), bets, 1.0)[0, 0, 0]
    assert rise == pytest.approx(0.35 - (np.log(2.0) - 0.5) * 0.37)
    # Downwards quiet ends at 0.2: y is -0.8 and -0.3.
    fall = gains_of(sums, quiet(0.3, 1), bets, -1.0)[0, 0, 0]
    assert fall == pytest.approx(-0.55 - (np.log(2.0) - 0.5) * 0.73)


def test_swing_of_days_costs_as_if_it_were_normal():
    """Two groups, a bet of one half, a day's deviation of 0.2: ``(0.5 * 2 * 0.2)^2 / 2``."""
    sums, bets = sums_of([[1.0, 0.5]]), np.full((1, 1, 1), 0.5)
    still, swinging = (
        gains_of(sums, quiet(0.3, 1, swing=swing), bets, 1.0)[0, 0, 0] for swing in (0.0, 0.04)
    )
    assert still - swinging == pytest.approx(0.02)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("mean", [0.02, 0.3, 0.5, 0.9])
def test_no_bet_gains_on_average_inside_the_range(mean, sign):
    """Worked over all outcomes of one group that says 0 or 1, at the end of the range."""
    bound = 0.05
    true = np.clip(mean + sign * bound, 0.0, 1.0)
    for bet in (0.01, 0.2, 0.6, LARGEST_BET, 5.0):
        wealth = [
            np.exp(
                gains_of(
                    sums_of([[x]]), quiet(mean, 1, bound=bound), np.full((1, 1, 1), bet), sign
                )[0, 0, 0]
            )
            for x in (0.0, 1.0)
        ]
        assert (1.0 - true) * wealth[0] + true * wealth[1] <= 1.0 + 1e-12


def test_wealth_is_kept_on_days_without_traffic():
    sums = DaySums(
        groups=np.zeros(5),
        requests=np.zeros(5),
        total=np.zeros((5, 1)),
        squares=np.zeros((5, 1)),
        columns=("x",),
    )
    wealth = play(sums, quiet(0.3, 5), slice(0, 5), length=91)
    np.testing.assert_allclose(wealth.log, 0.0, atol=1e-12)


def test_followers_bet_on_nothing_on_the_first_day_and_while_all_is_quiet():
    """What they know is older than the day they bet on."""
    assert follow(sums_of([[1.0] * 50]), quiet(0.3, 1)).tolist() == [[0.0] * len(WINDOWS)]
    steady = sums_of([[0.3] * 50] * 20)
    np.testing.assert_array_equal(follow(steady, quiet(0.3, 20)), 0.0)


def test_followers_gain_from_the_second_day_of_a_change():
    days = [[0.3] * 50] * 20 + [[0.8] * 50] * 3
    gains = follow(sums_of(days), quiet(0.3, 23))
    assert (gains[:21] == 0.0).all()
    assert (gains[21:, 0] > 1.0).all()


def test_look_back_sees_no_day_but_those_before():
    means, groups = look_back(np.array([[1.0], [2.0], [6.0]]), np.array([1.0, 1.0, 2.0]))
    assert means[:, 0, 0].tolist() == [0.0, 1.0, 2.0]
    assert means[:, 1, 0].tolist() == [0.0, 1.0, 1.5]
    assert groups[:, 1, 0].tolist() == [1.0, 1.0, 2.0]


def test_only_rises_are_bet_on_where_a_fall_is_good_news():
    sums = sums_of([[0.0] * 50] * 30)
    down, up = (
        play(sums, quiet(0.5, 30, rises_only=only), slice(0, 30), length=91).log[-1]
        for only in (False, True)
    )
    assert down > 10.0
    assert up <= 0.0


def test_starters_have_all_of_their_wealth_by_the_end_of_the_quarter():
    shares = start_shares(91)
    assert shares.sum() == pytest.approx(1.0)
    assert (shares > 0).all()
    assert start(sums_of([[0.3]]), quiet(0.3, 1)).shape == (1, 10)


def test_change_is_dated_on_its_first_day():
    days = [[0.3] * 40] * 30 + [[0.6] * 40] * 5
    assert began(sums_of(days), quiet(0.3, 35), 0, slice(0, 35)) == 30
    assert began(sums_of(days), quiet(0.3, 35), 0, slice(28, 35)) == 30


@pytest.mark.parametrize("groups", [3, 40])
def test_wealth_reaches_twenty_in_fewer_than_one_of_twenty_quarters(groups):
    """Ville's inequality, by simulation, at the very end of what counts as quiet, where the mean
    is as high as it may be; looked at every day.
    """
    rng, reached, n = np.random.default_rng(7), 0, 300
    for _ in range(n):
        total = rng.binomial(groups, 0.35, 91).astype(np.float64)[:, None]
        sums = DaySums(
            groups=np.full(91, float(groups)),
            requests=np.full(91, float(groups)),
            total=total,
            squares=total,
            columns=("x",),
        )
        wealth = play(sums, quiet(0.3, 91, bound=0.05, variance=0.21), slice(0, 91), length=91)
        reached += wealth.log.max() >= np.log(20.0)
    assert reached <= 0.05 * n
