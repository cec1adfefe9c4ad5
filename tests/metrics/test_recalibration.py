"""How far probabilities are off, and whether chance explains it."""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from difficulty.metrics.recalibration import chance_of, debiased_error, recalibration


def drawn(n, *, slope=1.0, shift=0.0, seed=0):
    """Return probabilities, and outcomes whose logit is ``shift + slope * logit(p)``."""
    rng = np.random.default_rng(seed)
    p = expit(rng.normal(-0.8, 1.2, n))
    outcome = (rng.random(n) < expit(shift + slope * logit(p))).astype(float)
    return p, outcome, {"weight": np.ones(n), "codes": None}


def test_debiased_error_by_hand():
    """One bin: 15 of 20 happened where 0.5 was said; chance makes 0.25 * 0.75 / 19 of 0.0625."""
    outcome = np.arange(20) < 15
    error = debiased_error(
        np.full(20, 0.5), outcome.astype(float), n_bins=15, weight=np.ones(20), codes=None
    )
    assert error == pytest.approx(np.sqrt(0.0625 - 0.25 * 0.75 / 19))


def test_debiased_error_is_below_0_where_chance_takes_off_more_than_there_is():
    outcome = np.arange(20) % 2.0
    error = debiased_error(np.full(20, 0.5), outcome, n_bins=15, weight=np.ones(20), codes=None)
    assert error == pytest.approx(-np.sqrt(0.25 / 19))


@pytest.mark.parametrize("size", [1, 5])
def test_the_squared_error_of_perfect_probabilities_is_0_on_average(size):
    """Where a plain ECE would be 0.1; groups of five share their luck."""
    squares = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        codes = np.arange(300) // size
        p = rng.uniform(0.1, 0.6, 300 // size)[codes]
        outcome = (rng.random(300 // size)[codes] < p).astype(float)
        error = debiased_error(
            p, outcome, n_bins=15, weight=np.ones(300), codes=None if size == 1 else codes
        )
        squares.append(np.sign(error) * error**2)
    assert abs(np.mean(squares)) < 3 * np.std(squares) / np.sqrt(300)


def test_slope_and_intercept_are_those_of_a_logistic_regression():
    p, outcome, grouped = drawn(3000, slope=0.7, shift=0.2)
    found = recalibration(p, outcome, **grouped)
    model = LogisticRegression(C=np.inf, tol=1e-10).fit(logit(p)[:, None], outcome)
    assert found.slope.value == pytest.approx(model.coef_[0, 0], abs=1e-4)
    assert found.slope.low < 0.7 < found.slope.high < 0.9
    assert expit(logit(p) + found.intercept.value).mean() == pytest.approx(outcome.mean())


def test_copies_make_nothing_surer():
    """Each request five times in a group of its own: about the interval of each once."""
    p, outcome, grouped = drawn(400)
    once = recalibration(p, outcome, **grouped)
    five = recalibration(
        np.repeat(p, 5),
        np.repeat(outcome, 5),
        weight=np.ones(2000),
        codes=np.repeat(np.arange(400), 5),
    )
    assert (five.slope.low, five.slope.high) == pytest.approx(
        (once.slope.low, once.slope.high), rel=1e-6
    )


def test_too_few_failures_have_no_slope():
    p, outcome = np.linspace(0.01, 0.2, 60), np.zeros(60)
    outcome[:9] = 1.0
    grouped = {"weight": np.ones(60), "codes": None}
    assert recalibration(p, outcome, **grouped) is None
    assert recalibration(np.full(60, 0.3), np.arange(60) % 2.0, **grouped) is None


@pytest.mark.parametrize(("slope", "shift"), [(0.5, 0.0), (2.0, 0.0), (1.0, 0.7)])
def test_what_is_off_is_found(slope, shift):
    p, outcome, grouped = drawn(500, slope=slope, shift=shift)
    assert chance_of(p, outcome, **grouped) < 0.01


def test_what_is_called_certain_and_wrong_has_no_chance():
    certain, grouped = np.zeros(30), {"weight": np.ones(30), "codes": None}
    assert chance_of(certain, certain, **grouped) == 1.0
    assert chance_of(certain, np.append(np.zeros(29), 1.0), **grouped) == 0.0


def test_graded_outcomes_are_judged_too():
    """An outcome of 0.5 scatters less than a coin: right ones are called off no more often."""
    rng, count = np.random.default_rng(0), 0
    for _ in range(200):
        p = rng.uniform(0.1, 0.6, 100)
        outcome = np.clip(p + rng.uniform(-0.1, 0.1, 100), 0, 1)
        count += chance_of(p, outcome, weight=np.ones(100), codes=None) < 0.05
    assert count <= 17
