import dataclasses
import math

import pytest

from difficulty.errors import FieldError, InvalidValueError
from difficulty.records import Estimate, Message, OperatingPoint, Prices, Sample

HELLO = (Message("user", "Hello"),)


def sample(**changes):
    return Sample(**({"id": "a", "messages": HELLO, "cheap_quality": 1.0} | changes))


def point(**changes):
    known = Estimate(value=0.3, low=0.2, high=0.4, n=10)
    fields = {
        "threshold": 0.5,
        "objective": "share=0.3",
        "frontier_share": known,
        "quality": known,
        "gap_recovered": known,
    }
    return OperatingPoint(**(fields | {"cost": Estimate(value=None)} | changes))


@pytest.mark.parametrize("quality", [0, 1, 0.0, 0.25, 1.0, None])
def test_sample_takes_any_quality_between_0_and_1(quality):
    assert sample(frontier_quality=quality).frontier_quality == quality


@pytest.mark.parametrize("quality", [-0.01, 1.01, 70, math.nan, math.inf, "1", True])
@pytest.mark.parametrize("name", ["cheap_quality", "frontier_quality"])
def test_sample_refuses_a_quality_that_is_no_number_between_0_and_1(name, quality):
    with pytest.raises(InvalidValueError, match=rf"{name} must be in \[0, 1\] or null"):
        sample(**{name: quality})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", ""),
        ("prompt_tokens", -1),
        ("cheap_tokens", math.nan),
        ("frontier_tokens", "many"),
        ("cached_tokens", -1),
        ("cheap_cost_usd", -0.01),
        ("frontier_cost_usd", float("inf")),
        ("propensity", 0.0),
        ("propensity", 1.5),
        ("weight", 0.0),
        ("weight", math.inf),
        ("weight", math.nan),
        ("preference", "both"),
        ("route", "strong"),
    ],
)
def test_sample_refuses_a_value_that_breaks_the_rule_of_its_field(name, value):
    with pytest.raises(InvalidValueError, match=f"{name} must"):
        sample(**{name: value})


@pytest.mark.parametrize(
    "messages", [(), (Message("user", ""),), (Message("system", " \n"), Message("user", "\t"))]
)
def test_sample_refuses_messages_without_text(messages):
    with pytest.raises(InvalidValueError, match="messages must hold some text"):
        sample(messages=messages)


@pytest.mark.parametrize(
    "outcome",
    [
        {"cheap_quality": 0.0},
        {"frontier_quality": 0.0},
        {"cheap_passed": False},
        {"preference": "tie"},
    ],
    ids=str,
)
def test_one_outcome_is_enough_and_a_failure_is_one(outcome):
    """Zero and false are known outcomes, only null is unknown."""
    assert sample(**({"cheap_quality": None} | outcome)).has_outcome


def test_request_needs_no_outcome():
    """Unlabelled traffic is traffic: nothing is known of it, which is neither zero nor failed."""
    assert not sample(cheap_quality=None).has_outcome
    assert not sample(cheap_quality=None, route="frontier", propensity=0.5).has_outcome


def test_sample_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        sample().weight = 2.0


def test_estimate_has_a_note_only_when_there_is_one():
    assert Estimate(value=0.5, low=0.4, high=0.6, n=9).as_dict() == {
        "value": 0.5,
        "low": 0.4,
        "high": 0.6,
        "n": 9,
    }
    undefined = {"value": None, "low": None, "high": None, "n": 0, "note": "one class"}
    assert Estimate(value=None, note="one class").as_dict() == undefined


def test_operating_point_as_dict_is_plain():
    form = point().as_dict()
    assert [
        name for name, value in form.items() if isinstance(value, dict) and "value" in value
    ] == ["frontier_share", "quality", "gap_recovered", "cost", "risk", "fallback_share"]
    assert (form["task_thresholds"], form["assumed"], form["guarantee"]) == ({}, [], None)
    assert form["threshold"] == 0.5
    assert form["quality"] == {"value": 0.3, "low": 0.2, "high": 0.4, "n": 10}


@pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan])
def test_operating_point_refuses_a_threshold_that_is_no_probability(threshold):
    with pytest.raises(InvalidValueError, match="threshold must be a probability"):
        point(threshold=threshold)


def test_operating_point_tells_a_percentage():
    with pytest.raises(InvalidValueError, match=r"got 70\. Pass 0\.7, not a percentage\."):
        point(threshold=70)


@pytest.mark.parametrize("price", [-1.0, math.inf, math.nan])
def test_prices_refuse_what_is_no_price(price):
    with pytest.raises(FieldError, match="frontier_input must be 0 or more USD"):
        Prices(
            date="2026-01-01",
            cheap_input=0.1,
            cheap_output=0.2,
            frontier_input=price,
            frontier_output=10.0,
        )


@pytest.mark.parametrize(("cached", "price"), [(0.5, 0.009161), (None, 0.080585)])
def test_a_cached_prompt_costs_what_the_provider_asks_for_it(cached, price):
    """239 new tokens at 5 USD a million, 15,872 kept ones at 0.50, two written at 15."""
    prices = Prices(
        date="2026-01-01",
        cheap_input=0.1,
        cheap_output=0.2,
        frontier_input=5.0,
        frontier_output=15.0,
        frontier_cached_input=cached,
    )
    assert prices.cost("frontier", 16_111, 2, cached=15_872) == pytest.approx(price)
    assert prices.cost("cheap", 1_000_000, 0, cached=400_000) == pytest.approx(0.1)


def test_cached_tokens_are_part_of_the_prompt():
    assert sample(prompt_tokens=16_111, cached_tokens=15_872).cached_tokens == 15_872
    with pytest.raises(InvalidValueError, match="cached_tokens must be a part of prompt_tokens"):
        sample(prompt_tokens=10, cached_tokens=11)
