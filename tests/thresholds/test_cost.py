import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difficulty.errors import InvalidValueError, NotAttainableError, UndefinedMetricError
from difficulty.thresholds.objectives import threshold_for_cost
from difficulty.thresholds.policy_curve import PolicyCurve
from tests.thresholds.conftest import NAN, scored, sent_at

MILLS = ([0.001] * 4, [0.011] * 4)


@pytest.mark.parametrize(
    ("most", "sent"), [(1.0, 0), (3.4, 0), (3.5, 1), (8.4, 2), (8.5, 3), (11.0, 4), (500.0, 4)]
)
def test_cost_by_hand(most, sent):
    """A cheap call costs 1 USD per 1,000, a frontier call 11: each of four requests that is sent
    adds 2.5.
    """
    traffic = scored([0.8, 0.6, 0.4, 0.2], costs=MILLS)
    assert sent_at(traffic, threshold_for_cost(PolicyCurve.of(traffic), most)).sum() == sent


def test_cost_counts_the_fallback():
    """Of two kept requests one fails and is caught: cheap and frontier call together are dearer
    than the frontier call alone.
    """
    curve = PolicyCurve.of(
        scored(
            [0.8, 0.2], cheap=[0, 1], gain=[1, 0], costs=([0.001] * 2, [0.011] * 2), catch_rate=1.0
        )
    )
    assert curve.figure("cost") == pytest.approx([6.5, 6.0, 11.0])
    assert threshold_for_cost(curve, 6.2) == pytest.approx(0.5)


def test_cost_below_the_cheap_model_cannot_be_reached():
    """The nearest that the message names can be asked for."""
    curve = PolicyCurve.of(scored([0.8, 0.2], costs=([0.0012345] * 2, [0.011] * 2)))
    with pytest.raises(
        NotAttainableError, match="a cost of at most 1 USD per 1,000 requests cannot be reached"
    ) as caught:
        threshold_for_cost(curve, 1.0)
    nearest = float(re.search(r"Nearest: cost=([\d.]+)\.$", str(caught.value))[1])
    assert nearest == 1.24
    assert threshold_for_cost(curve, nearest) == pytest.approx(0.9)


def test_cost_needs_prices():
    with pytest.raises(
        UndefinedMetricError,
        match="objective cost needs prices, and samples with the token counts .* Pass --prices",
    ):
        threshold_for_cost(PolicyCurve.of(scored([0.8, 0.2])), 1.0)


@pytest.mark.parametrize("most", [-1.0, NAN, float("inf")])
def test_cost_is_an_amount_of_money(most):
    with pytest.raises(InvalidValueError, match="cost must be 0 or more USD per 1,000 requests"):
        threshold_for_cost(PolicyCurve.of(scored([0.8, 0.2], costs=([0.1] * 2, [0.2] * 2))), most)


@given(
    st.lists(
        st.tuples(st.floats(0.01, 1), st.floats(0, 1), st.floats(0, 10)), min_size=1, max_size=20
    ),
    st.floats(0, 5000),
)
def test_cost_is_kept(requests, most):
    """Whatever the prices, the point found costs no more than was allowed."""
    score, cheap, more = (np.array(column) for column in zip(*requests, strict=True))
    traffic = scored(score, costs=(cheap, cheap + more))
    try:
        sent = sent_at(traffic, threshold_for_cost(PolicyCurve.of(traffic), most))
    except NotAttainableError:
        assert 1000 * cheap.mean() > most
    else:
        assert 1000 * (cheap + sent * more).mean() <= most * (1 + 1e-9) + 1e-9
