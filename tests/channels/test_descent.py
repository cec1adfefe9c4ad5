"""The solver of heads, beside SciPy's and closed forms."""

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from difficulty.channels.descent import fit_logistic, minimise

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


def test_a_search_ends_where_a_loss_is_told_from_its_rounding_no_more():
    """As sums of numbers of 32 bits are: it would go on and on below what they can say."""
    asked = []

    def rounded(place):
        asked.append(place)
        value, slope = logistic(place)
        chance = np.random.default_rng(len(asked))
        return value * (1.0 + 1e-9 * chance.normal()), slope + 1e-4 * chance.normal(size=30)

    found = minimise(rounded, np.zeros(30), gradient=1e-7, rounding=1e-8, most=300)
    assert len(asked) < 60
    assert logistic(found)[0] == pytest.approx(logistic(minimise_well())[0], rel=1e-7)


def minimise_well():
    return minimise(logistic, np.zeros(30), gradient=1e-9)


class Counted:
    """Columns that count how often they are multiplied."""

    def __init__(self, columns):
        self.columns, self.shape, self.products = columns, columns.shape, 0

    def __matmul__(self, coefficients):
        self.products += 1
        return self.columns @ coefficients

    def pulled(self, residual):
        """Return the transposed product."""
        return self.columns.T @ residual

    def pulled_squares(self, weight):
        """Return that of the squares."""
        return (self.columns**2).T @ weight


def test_columns_that_most_rows_have_cost_no_passes():
    """Boilerplate: at a level of 0 the intercept would move with every one of them."""
    rng = np.random.default_rng(5)
    rare = (rng.random((2_000, 60)) < 0.05).astype(float)
    common = (rng.random((2_000, 40)) < 0.97).astype(float)
    columns = np.hstack([rare, common])
    outcome = (rng.random(2_000) < 1 / (1 + np.exp(2.0 - 2.0 * rare @ rng.normal(size=60)))) * 1.0
    one = np.ones(2_000)
    alone, beside = Counted(rare), Counted(columns)
    fit_logistic(alone, outcome, one, strength=3.0)
    fitted = fit_logistic(beside, outcome, one, strength=3.0)
    assert beside.products <= 1.5 * alone.products
    model = LogisticRegression(C=3.0, tol=1e-10, max_iter=10_000).fit(columns, outcome)
    assert fitted[:-1] == pytest.approx(model.coef_[0], abs=2e-3)
    assert fitted[-1] == pytest.approx(model.intercept_[0], abs=2e-2)
