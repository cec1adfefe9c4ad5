import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from difficulty.metrics import expected_calibration_error
from difficulty.model.calibration import PIECEWISE_SAMPLES, Calibrator, fit_calibrator


def drawn(n, *, true_probability=expit, seed=0, spread=2.0):
    """Return n logits, outcomes drawn from a probability of them, and weights of 1."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, spread, n)
    return logits, (rng.random(n) < true_probability(logits)).astype(float), np.ones(n)


def test_calibrator_by_default_is_the_plain_sigmoid():
    logits = np.array([[-3.0, 0.0, 3.0]])
    assert Calibrator()(logits) == pytest.approx(expit(logits))


def test_calibrator_by_hand():
    """Logit 1 becomes sigmoid(2 - 2) = 0.5, which lies halfway between the knots 0.25 and 0.75, so
    halfway between 0.1 and 0.7.
    """
    calibrator = Calibrator(
        2.0, -2.0, np.array([0.0, 0.25, 0.75, 1.0]), np.array([0.0, 0.1, 0.7, 1.0])
    )
    assert calibrator(np.array([1.0])) == pytest.approx([0.4])


def test_fitted_calibrator_halves_logits_that_are_twice_too_sure():
    calibrator = fit_calibrator(
        *drawn(20_000, true_probability=lambda x: expit(0.5 * x + 1.0)), pieces=False
    )
    assert (calibrator.slope, calibrator.intercept) == pytest.approx((0.5, 1.0), abs=0.05)


def test_fitted_calibrator_learns_from_graded_outcomes():
    logits = np.linspace(-2, 2, 5_000)
    calibrator = fit_calibrator(logits, expit(0.8 * logits + 0.3), np.ones(5_000), pieces=False)
    assert (calibrator.slope, calibrator.intercept) == pytest.approx((0.8, 0.3), abs=0.02)


def test_fitted_calibrator_ignores_unknown_outcomes():
    logits, outcome, weight = drawn(400)
    unknown = np.arange(400) % 2 == 0
    found = fit_calibrator(logits, np.where(unknown, np.nan, outcome), weight)
    assert found(logits) == pytest.approx(
        fit_calibrator(logits[~unknown], outcome[~unknown], weight[~unknown])(logits)
    )


def test_fitted_calibrator_without_known_outcomes_is_plain():
    logits, outcome, weight = drawn(50)
    assert fit_calibrator(logits, np.full_like(outcome, np.nan), weight)(logits) == pytest.approx(
        expit(logits)
    )


def test_few_samples_cannot_turn_noise_into_confidence():
    """Ten outcomes that happen to be told apart perfectly leave the slope near 1; the same of ten
    thousand do not.
    """
    logits = np.tile([-1.0, 1.0], 5)
    outcome = (logits > 0).astype(float)
    few = fit_calibrator(logits, outcome, np.ones(10)).slope
    many = fit_calibrator(
        np.tile(logits, 1_000), np.tile(outcome, 1_000), np.ones(10_000), pieces=False
    ).slope
    assert 1.0 < few < 1.5
    assert many > 5.0


def test_pieces_need_enough_samples():
    logits, outcome, weight = drawn(PIECEWISE_SAMPLES)
    assert len(fit_calibrator(logits, outcome, weight).knots) > 2
    assert len(fit_calibrator(logits[1:], outcome[1:], weight[1:]).knots) == 2
    assert len(fit_calibrator(logits, outcome, weight, pieces=False).knots) == 2


def test_pieces_repair_what_no_sigmoid_can():
    """The truth is flat in the middle and steep outside; judged on fresh draws."""

    def bent(x):
        return np.where(np.abs(x) < 1.5, 0.5, expit(3 * x))

    logits, outcome, _ = drawn(20_000, true_probability=bent, seed=1)
    error = {
        pieces: expected_calibration_error(
            fit_calibrator(*drawn(5_000, true_probability=bent), pieces=pieces)(logits), outcome
        )
        for pieces in (True, False)
    }
    assert error[True] < 0.03 < 2 * 0.03 < error[False]


@settings(max_examples=40)
@given(
    st.integers(0, 10_000),
    st.sampled_from([5, 200, 1_500]),
    st.sampled_from(
        [lambda x: expit(-x), lambda x: expit(x), lambda x: 0 * x, lambda x: 0 * x + 1]
    ),
)
def test_fitted_calibrator_never_changes_the_order_of_requests(seed, n, true_probability):
    """Also where the outcomes say the opposite of the logits, or are all the same."""
    calibrator = fit_calibrator(*drawn(n, true_probability=true_probability, seed=seed))
    probabilities = calibrator(np.linspace(-4, 4, 200))
    assert np.all(np.diff(probabilities) > 0)
    assert np.all((probabilities > 0) & (probabilities < 1))


@pytest.mark.parametrize(
    "logits", [np.zeros(2_000), np.full(2_000, -30.0), np.full(2_000, 30.0)], ids=["0", "-30", "30"]
)
@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_calibrator_of_one_logit_gives_its_rate(logits, rate):
    """A constant head, however sure it is, is brought to about the rate that was seen."""
    outcome = (np.arange(2_000) < rate * 2_000).astype(float)
    assert fit_calibrator(logits, outcome, np.ones(2_000))(logits[:1])[0] == pytest.approx(
        rate, abs=0.02
    )


def test_weight_2_counts_twice():
    logits, outcome, weight = drawn(1_200)
    double = fit_calibrator(
        np.tile(logits, 2), np.tile(outcome, 2), np.tile(weight, 2), pieces=False
    )
    assert fit_calibrator(logits, outcome, 2 * weight, pieces=False)(logits) == pytest.approx(
        double(logits), abs=1e-4
    )


def test_calibrated_probability_of_a_base_rate_is_that_rate():
    """Logits that know the rate already are left as they are."""
    logits = np.full(3_000, logit(0.2))
    assert fit_calibrator(logits, (np.arange(3_000) % 5 == 0).astype(float), np.ones(3_000))(
        logits[:1]
    )[0] == pytest.approx(0.2, abs=1e-3)
