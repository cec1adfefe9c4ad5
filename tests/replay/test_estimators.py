"""Estimators of replay on numbers worked by hand, and their bias by simulation."""

import numpy as np
import pytest

from difficulty.errors import InvalidValueError
from difficulty.replay.doubly_robust import correct_model, trust_model
from difficulty.replay.inverse_propensity import self_normalise, weigh_inversely
from difficulty.replay.switching import shrink_weights, switch_to_model
from difficulty.replay.weighed import Weighed

NAN = float("nan")


def value_of(ratio):
    return ratio.numerator.sum() / ratio.denominator.sum()


@pytest.fixture
def four():
    """Four requests, cheap and frontier; the rule sends the last two to the frontier model.

    Seen where the rule looks: a cheap 1 with chance 0.5, and a frontier 0 with chance 0.8.
    """
    return Weighed(
        taken=np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=float),
        chance=np.array([[0.5, 0.5], [0.5, 0.5], [0.2, 0.8], [0.2, 0.8]]),
        value=np.array([[1, NAN], [NAN, 1], [NAN, 0], [1, NAN]]),
        model=np.array([[0.6, 0.9], [0.5, 0.9], [0.5, 0.8], [0.5, 0.7]]),
    )


def test_inverse_propensity_by_hand(four):
    """(1 / 0.5 + 0 / 0.8) / 4."""
    assert value_of(weigh_inversely(four)) == pytest.approx(0.5)


def test_self_normalised_by_hand(four):
    """2 / (2 + 1.25)."""
    assert value_of(self_normalise(four)) == pytest.approx(2 / 3.25)


def test_doubly_robust_by_hand(four):
    """The model says 0.6, 0.5, 0.8, 0.7; 2 * 0.4 is added and 1.25 * 0.8 taken off."""
    assert value_of(trust_model(four)) == pytest.approx(0.65)
    assert value_of(correct_model(four)) == pytest.approx((2.6 + 0.8 - 1.0) / 4)


def test_mean_over_one_side_counts_what_is_taken():
    """Risk: of three requests two stay cheap; a failure seen with chance 0.5 counts twice."""
    weighed = Weighed(
        taken=np.array([[1.0], [1.0], [0.0]]),
        chance=np.full((3, 1), 0.5),
        value=np.array([[1.0], [NAN], [1.0]]),
        model=np.zeros((3, 1)),
    )
    assert value_of(correct_model(weighed)) == pytest.approx(2.0 / 2.0)


def test_switch_leaves_requests_of_great_weight_to_the_model():
    """One outcome in a thousand has a weight of 1,000: a model off by it would be all noise."""
    n = 1000
    chance, value = np.full((n, 1), 0.5), np.full((n, 1), NAN)
    chance[0], value[0] = 0.001, 0.0
    value[1::2] = 1.0
    weighed = Weighed(
        taken=np.ones((n, 1)), chance=chance, value=value, model=np.full((n, 1), 0.95)
    )
    ratio, cut = switch_to_model(weighed)
    assert cut < 1000
    assert value_of(ratio) == pytest.approx(1.0, abs=0.01)
    assert value_of(correct_model(weighed)) == pytest.approx(0.05, abs=0.01)


def test_shrinkage_without_a_limit_is_doubly_robust():
    """Equal weights have no noise to give up: nothing is shortened."""
    rng = np.random.default_rng(0)
    n = 400
    weighed = Weighed(
        taken=np.ones((n, 1)),
        chance=np.ones((n, 1)),
        value=rng.integers(0, 2, (n, 1)).astype(float),
        model=np.full((n, 1), 0.2),
    )
    ratio, limit = shrink_weights(weighed)
    assert np.isinf(limit)
    assert value_of(ratio) == pytest.approx(value_of(correct_model(weighed)))


@pytest.mark.parametrize("estimator", [weigh_inversely, self_normalise, correct_model])
def test_estimators_are_unbiased_whatever_the_model_says(estimator):
    """800 logs of 300 requests; the model is off by 0.3 and the policy looks at the outcomes."""
    rng = np.random.default_rng(1)
    n = 300
    truth = rng.integers(0, 2, (n, 2)).astype(float)
    taken = np.eye(2)[rng.integers(0, 2, n)]
    p_sent = np.where(truth[:, 0] > 0.5, 0.3, 0.7)
    chance = np.stack([1 - p_sent, p_sent], axis=1)
    values = []
    for _ in range(800):
        sent = rng.random(n) < p_sent
        seen = np.stack([~sent, sent], axis=1)
        weighed = Weighed(
            taken=taken, chance=chance, value=np.where(seen, truth, NAN), model=np.full((n, 2), 0.2)
        )
        values.append(value_of(estimator(weighed)))
    error = np.std(values) / np.sqrt(len(values))
    assert np.mean(values) == pytest.approx((taken * truth).sum() / n, abs=4 * error)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"chance": [[1.5, 0.5]]}, "probabilities"),
        ({"taken": [[NAN, 0.0]]}, "probabilities"),
        ({"value": [[NAN]]}, "shape"),
        ({"chance": [[0.0, 0.5]], "value": [[1.0, NAN]]}, "above 0 where the outcome is known"),
    ],
)
def test_weighed_refuses_what_cannot_be(change, rule):
    columns = {
        "taken": [[1.0, 0.0]],
        "chance": [[0.5, 0.5]],
        "value": [[1.0, NAN]],
        "model": [[0.5, 0.5]],
    }
    arrays = {name: np.array(values) for name, values in (columns | change).items()}
    with pytest.raises(InvalidValueError, match=rule):
        Weighed(**arrays)
