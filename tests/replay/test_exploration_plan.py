"""How much exploration a width needs, by hand."""

import numpy as np
import pytest

from difficulty.replay.exploration_plan import PlanBasis, plan_exploration

Z = 1.959964


@pytest.fixture
def basis():
    """Of ten requests one is sent to the frontier model that stayed cheap; both outcomes vary by
    1/4 and are always told; the other route is better by 0.2 there and costs 0.01 USD more.
    """
    moved = np.zeros((10, 2))
    moved[0] = [-1.0, 1.0]
    return PlanBasis(
        moved=moved,
        spread=np.full((10, 2), 0.25),
        told=(1.0, 1.0),
        ground=0.0,
        expected_gain=np.full(10, 0.2),
        extra_cost=np.full(10, 0.01),
        other_cost=np.full(10, 0.02),
        open_=np.ones(10, dtype=bool),
        per_day=1000.0,
    )


def way_of(ways, name, share):
    return next(way for way in ways if (way.way, way.share) == (name, share))


def test_requests_of_an_epsilon_by_hand(basis):
    """The variance of a request's part is (1/4 / 0.1 + 1/4 / 0.9) / 10."""
    way = way_of(plan_exploration(basis, 0.02), "explore", 0.1)
    variance = (0.25 / 0.1 + 0.25 / 0.9) / 10
    assert way.requests == np.ceil(variance * (2 * Z / 0.02) ** 2)
    assert way.days == pytest.approx(way.requests / 1000)
    assert way.quality_lost == pytest.approx(-0.02)  # the other route is the better one
    assert way.usd == pytest.approx(0.1 * 0.01 * way.requests)


def test_shadow_calls_cost_calls_and_no_quality(basis):
    way = way_of(plan_exploration(basis, 0.02), "shadow", 0.1)
    assert way.requests == np.ceil((0.25 / 0.1 + 0.25) / 10 * (2 * Z / 0.02) ** 2)
    assert way.quality_lost == 0.0
    assert way.usd == pytest.approx(0.1 * 0.02 * way.requests)


def test_half_the_width_needs_four_times_the_requests(basis):
    few, many = (
        way_of(plan_exploration(basis, width), "explore", 0.05).requests for width in (0.02, 0.01)
    )
    assert many == pytest.approx(4 * few, rel=0.001)


def test_fewer_labels_need_more_requests(basis):
    from dataclasses import replace

    half = replace(basis, told=(0.5, 0.5))
    few, many = (
        way_of(plan_exploration(each, 0.02), "shadow", 0.2).requests for each in (basis, half)
    )
    assert many == pytest.approx(2 * few, rel=0.001)
