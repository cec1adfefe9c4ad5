import pytest

from difficulty.errors import InvalidValueError, UndefinedMetricError
from difficulty.thresholds.objectives import threshold_for_utility
from difficulty.thresholds.policy_curve import PolicyCurve
from tests.thresholds.conftest import NAN, scored, sent_at

GAINS = {
    "cheap": [0.0, 0.0, 0.5, 1.0],
    "gain": [1.0, 0.5, 0.2, 0.0],
    "costs": ([0.001] * 4, [0.011] * 4),
}


@pytest.mark.parametrize(
    ("value", "sent"),
    [(0.0, 0), (0.009, 0), (0.011, 1), (0.019, 1), (0.021, 2), (0.049, 2), (0.051, 3), (100.0, 3)],
)
def test_utility_by_hand(value, sent):
    """Each frontier call costs 0.01 USD more; it pays where the gain times the value is more than
    that.
    """
    traffic = scored([0.8, 0.6, 0.4, 0.2], **GAINS)
    assert sent_at(traffic, threshold_for_utility(PolicyCurve.of(traffic), value)).sum() == sent


def test_utility_sends_nothing_that_validation_catches_cheaply():
    """If every failure is caught, keeping loses no quality, and cheap and frontier call together
    cost little more than the latter.
    """
    traffic = scored(
        [0.8, 0.2], cheap=[0, 1], gain=[1, 0], costs=([0.001] * 2, [0.011] * 2), catch_rate=1.0
    )
    assert sent_at(traffic, threshold_for_utility(PolicyCurve.of(traffic), 100.0)).tolist() == [
        1,
        0,
    ]


@pytest.mark.parametrize(
    "traffic",
    [scored([0.8], cheap=[0], gain=[1]), scored([0.8], gain=[1], costs=([0.1], [0.2]))],
    ids=["cost", "quality"],
)
def test_utility_needs_cost_and_quality(traffic):
    with pytest.raises(UndefinedMetricError, match="objective utility needs"):
        threshold_for_utility(PolicyCurve.of(traffic), 1.0)


@pytest.mark.parametrize("value", [-1.0, NAN, float("inf")])
def test_utility_is_an_amount_of_money(value):
    with pytest.raises(InvalidValueError, match="utility must be 0 or more USD"):
        threshold_for_utility(PolicyCurve.of(scored([0.8, 0.6, 0.4, 0.2], **GAINS)), value)
