"""The solver of heads, beside SciPy's and closed forms."""

import numpy as np
import pytest
from scipy.optimize import minimize

from difficulty.channels.descent import minimise

RNG = np.random.default_rng(3)
ROWS = RNG.normal(size=(400, 30))
MARKS = np.where(ROWS[:, 0] + RNG.normal(size=400) > 0.0, 1.0, -1.0)


def logistic(place):
    margin = MARKS * (ROWS @ place)
    residual = -MARKS / (1.0 + np.exp(margin))
    loss = np.logaddexp(0.0, -margin).sum() + 0.5 * place @ place
    return float(loss), ROWS.T @ residual + place


def test_least_of_a_quadratic_is_found_whatever_its_curvatures():
    curvature = np.logspace(-2, 3, 30)
    least = RNG.normal(size=30)
    found = minimise(
        lambda place: (float(0.5 * curvature @ (place - least) ** 2), curvature * (place - least)),
        np.zeros(30),
        gradient=1e-8,
    )
    assert found == pytest.approx(least, abs=1e-5)


def test_logistic_loss_ends_where_scipys_does():
    found = minimise(logistic, np.zeros(30), gradient=1e-6)
    scipys = minimize(logistic, np.zeros(30), jac=True, method="BFGS", options={"gtol": 1e-8}).x
    assert found == pytest.approx(scipys, abs=1e-6)
    assert np.abs(logistic(found)[1]).max() <= 1e-6


def test_first_step_that_would_go_far_too_far_is_cut():
    asked = []

    def steep(place):
        asked.append(float(place[0]))
        return float(5e5 * place[0] ** 2), 1e6 * place

    found = minimise(steep, np.array([1.0]), gradient=1e-3)
    assert abs(found[0]) < 1e-8
    assert max(map(abs, asked)) <= 2.0


def test_search_that_begins_at_the_least_asks_once():
    asked = []

    def flat(place):
        asked.append(place)
        return 1.0, np.zeros_like(place)

    start = np.array([4.0, 2.0])
    assert minimise(flat, start, gradient=1e-6) is start
    assert len(asked) == 1


def test_steps_are_bounded():
    asked = []

    def loss(place):
        asked.append(place)
        return logistic(place)

    minimise(loss, np.zeros(30), gradient=0.0, most=5)
    assert 5 <= len(asked) <= 10


@pytest.mark.parametrize(
    "loss",
    [
        lambda place: (np.nan, place + 1.0),
        lambda place: (float(place @ place), np.full_like(place, np.nan)),
        lambda place: (
            (float(((place - 3.0) ** 2).sum()), 2.0 * (place - 3.0))
            if np.abs(place).max() < 1.0
            else (np.nan, place)
        ),
    ],
)
def test_search_ends_where_the_loss_is_no_number(loss):
    assert np.isfinite(minimise(loss, np.zeros(2), gradient=1e-8)).all()
