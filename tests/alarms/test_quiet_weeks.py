import numpy as np
import pytest

from difficulty.alarms.day_sums import DaySums
from difficulty.alarms.mixes import follow_mix
from difficulty.alarms.quiet_weeks import (
    RARE,
    UNSEEN,
    around,
    common_words,
    informative_cuts,
    learn_quiet,
    tolerance_of,
)

WEEKDAYS = np.arange(28) % 7


def counted(total, groups):
    """Return sums of groups that say 0 or 1."""
    total = np.asarray(total, dtype=np.float64)
    groups = np.broadcast_to(np.asarray(groups, dtype=np.float64), len(total)).copy()
    return DaySums(
        groups=groups,
        requests=groups,
        total=total,
        squares=total,
        columns=tuple(f"word {number}" for number in range(total.shape[1])),
    )


def test_bound_is_tolerance_and_error_of_the_reference():
    """2,800 groups, half of them: sd 1/2, variance 1/4 * 100/99 inside days that do not swing."""
    quiet = learn_quiet(counted([[50.0]] * 28, 100), slice(0, 28), WEEKDAYS)
    error = np.sqrt(0.25 * 100 / 99 / 2800)
    assert quiet.mean[0, 0] == 0.5
    assert quiet.bound[0] == pytest.approx(np.hypot(0.035, 2.0 * error))
    assert quiet.swing[0, 0] == 0.0


def test_weekdays_that_differ_by_more_than_chance_have_means_of_their_own():
    total = np.where(WEEKDAYS >= 5, 700.0, 500.0)[:, None]
    quiet = learn_quiet(counted(total, 1000), slice(0, 28), WEEKDAYS)
    assert quiet.mean[0, 0] == pytest.approx(0.5, abs=0.002)
    assert quiet.mean[6, 0] == pytest.approx(0.7, abs=0.003)


def test_weekdays_that_differ_by_chance_share_one_mean():
    rng = np.random.default_rng(0)
    total = rng.binomial(40, 0.3, 28)[:, None].astype(np.float64)
    quiet = learn_quiet(counted(total, 40), slice(0, 28), WEEKDAYS)
    raw = np.array([total[WEEKDAYS == day].mean() / 40 for day in range(7)])
    assert np.ptp(quiet.mean[:7, 0]) < 0.5 * np.ptp(raw)


def test_days_that_swing_are_known_to():
    rng = np.random.default_rng(0)
    share = np.clip(rng.normal(0.5, 0.1, 28), 0.0, 1.0)
    quiet = learn_quiet(counted(np.round(1000 * share)[:, None], 1000), slice(0, 28), WEEKDAYS)
    # With slack for having seen few weeks.
    assert 0.1 <= np.sqrt(quiet.swing[0, 0]) <= 0.2


def test_column_of_zeros_is_no_proof_of_zero():
    quiet = learn_quiet(counted(np.zeros((28, 1)), 100), slice(0, 28), WEEKDAYS)
    assert quiet.bound[0] > 0.003
    assert quiet.variance[0] > 0.0


def test_tolerance_worked_by_hand():
    """0.07 of a standard deviation: 3.5 points of one half, 2.1 of a tenth, never none."""
    assert tolerance_of(np.array([0.5, 0.1, 0.0])).round(4).tolist() == [0.035, 0.021, 0.0035]


def test_stated_range_has_the_weekdays_of_what_was_learned():
    sums = counted(np.where(WEEKDAYS >= 5, 700.0, 500.0)[:, None], 1000)
    like = learn_quiet(sums, slice(0, 28), WEEKDAYS)
    stated = around(0.3, 0.02, sums, like)
    assert stated.bound.tolist() == [0.02]
    assert stated.mean[:7].mean() == pytest.approx(0.3)
    assert stated.mean[6, 0] - stated.mean[0, 0] == pytest.approx(0.2, abs=0.005)


def test_cuts_are_those_near_the_quantiles():
    above = np.linspace(1.0, 0.0, 51)
    sums = counted(np.tile(1000 * above, (28, 1)), 1000)
    chosen = informative_cuts(sums, slice(0, 28))
    np.testing.assert_allclose(
        chosen.mean()[::-1], [0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95], atol=0.011
    )


def test_words_that_are_rare_or_new_count_together():
    """Of four words two are common, one is rare, one comes after the reference."""
    total = np.array([[600.0, 395.0, 5.0, 0.0]] * 28 + [[500.0, 395.0, 5.0, 100.0]])
    sums, products = common_words(counted(total, 1000), slice(0, 28))
    assert sums.columns == ("word 0", "word 1", RARE, UNSEEN)
    assert sums.total[28].tolist() == [500.0, 395.0, 5.0, 100.0]
    # Every group said one word, so no products of two shares are left.
    np.testing.assert_allclose(products, 0.0)


def test_products_of_shares_are_bounded_where_groups_say_several_words():
    """One group that says two words half and half: 1 - (1/4 + 1/4), all of it their product."""
    sums = DaySums(
        groups=np.ones(28),
        requests=np.full(28, 2.0),
        total=np.full((28, 2), 0.5),
        squares=np.full((28, 2), 0.25),
        columns=("a", "b"),
    )
    np.testing.assert_allclose(common_words(sums, slice(0, 28))[1], 0.5)


def test_bet_on_a_mix_sees_several_small_moves_sooner_than_bets_on_each():
    """And nothing while the mix is as before."""
    usual, moved = [400.0, 300.0, 200.0, 100.0, 0.0], [340.0, 240.0, 260.0, 160.0, 0.0]
    sums = counted([usual] * 40 + [moved] * 5, 1000)
    quiet = learn_quiet(sums, slice(0, 28), np.arange(45) % 7)
    gains = follow_mix(sums, quiet, np.zeros(45))
    assert (gains[:41] == 0.0).all()
    assert (gains[41:, 0] > 1.0).all()


def test_bet_on_a_mix_gains_nothing_on_average_while_it_is_quiet():
    """By simulation: the mean wealth of followers stays at 1."""
    rng, wealth = np.random.default_rng(3), []
    for _ in range(100):
        total = rng.multinomial(60, [0.5, 0.3, 0.15, 0.05], 60).astype(np.float64)
        sums = counted(total, 60)
        quiet = learn_quiet(sums, slice(0, 28), np.arange(60) % 7)
        wealth.append(np.exp(follow_mix(sums, quiet, np.zeros(60))[28:].sum(axis=0)))
    assert np.mean(wealth) <= 1.05


@pytest.mark.parametrize("words", [[100.0], [0.0, 100.0]])
def test_mix_of_one_word_is_not_bet_on(words):
    sums = counted([words] * 30, 100)
    quiet = learn_quiet(sums, slice(0, 28), np.arange(30) % 7)
    assert (follow_mix(sums, quiet, np.zeros(30)) == 0.0).all()
