"""Sessions keep their model within a margin: the rule, and the router that applies it."""

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from difficulty.bundle import Policy
from difficulty.errors import FieldError
from difficulty.request import Request, continues_loop, read_held
from difficulty.routes import Held, Stick
from difficulty.runtime.rule import after_scoring
from difficulty.runtime.sticking import hold
from tests.data.make_bundle import POLICY
from tests.runtime.conftest import hand_made, hand_made_early

STICK = {"within": "session", "margin": 0.1, "margin_back": 0.2}
SHARES = st.floats(0, 1) | st.sampled_from([0.0, 0.5, 1.0])


def test_session_keeps_its_model_until_the_score_crosses_by_the_margin():
    """Threshold 0.6; word ``wN`` scores N/200: 0.65 holds, 0.75 crosses, back at 0.4 and below."""
    router = hand_made({"stick": STICK})
    cheap, frontier = Held("cheap", switch_cost_usd=0.02), Held("frontier")
    steps = [
        (router.decide("w130", held=cheap), ("cheap", "stick", 0.02)),
        (router.decide("w150", held=cheap), ("frontier", "above_threshold", 0.02)),
        (router.decide("w100", held=frontier), ("frontier", "stick", None)),
        (router.decide("w79", held=frontier), ("cheap", "within_threshold", None)),
        (router.decide("w130"), ("frontier", "above_threshold", None)),
    ]
    assert [(step.route, step.reason, step.switch_cost_usd) for step, _ in steps] == [
        expected for _, expected in steps
    ]
    assert [step.held_on for step, _ in steps] == ["cheap", "cheap", "frontier", "frontier", None]


def test_held_cheap_answers_fall_back_and_are_scored_as_others():
    held = hand_made({"stick": STICK}).decide("w130", held=Held("cheap"))
    assert (held.fallback, held.model, held.scored_by) == ("frontier", "cheap-8b", "scorer")
    assert held.difficulty_score == pytest.approx(0.65)


def test_all_ways_to_ask_give_the_same_decision():
    router = hand_made({"stick": STICK})
    asked = Request("w130", held=Held("cheap"))
    decisions = [
        router.decide("w130", held=Held("cheap")),
        router.decide_many([asked, Request("w3")])[0],
        asyncio.run(router.adecide("w130", held=Held("cheap"))),
        router.consider(asked),
    ]
    assert len(set(decisions)) == 1


def test_early_exit_is_not_asked_by_which_margin_a_score_crosses():
    """The small graph says 0.995 of word 199, beyond its cut-off: the scorer decides where the
    session would be left.
    """
    cuts = {"low": 0.1, "high": 0.7, "n": 100, "expected": {}}
    early = {"threshold": 0.6, "budget": 0.01, "confidence": 0.9, "without_task": cuts}
    router = hand_made({"stick": STICK, "early": early}, early=hand_made_early())
    found = [router.decide("w199", held=held) for held in (None, Held("frontier"), Held("cheap"))]
    assert [step.scored_by for step in found] == ["early", "early", "scorer"]
    assert {step.route for step in found} == {"frontier"}


@pytest.mark.parametrize(
    "held",
    [
        "cheap",
        7,
        {"route": None},
        {"route": ["cheap"]},
        {"cached_tokens": 3},
        Held("neither"),
        float("nan"),
        {"route": {"a": 1}},
    ],
)
def test_what_is_no_session_is_none(held):
    assert read_held(held) is None
    decision = hand_made({"stick": STICK}).decide("w130", held=held)
    assert (decision.route, decision.reason) == ("frontier", "above_threshold")


def test_fields_of_a_session_that_are_none_are_not_known():
    form = {"route": "cheap", "in_loop": "yes", "cached_tokens": -1, "idle_s": math.nan}
    assert read_held(form | {"switch_cost_usd": 10**400}) == Held("cheap")
    assert read_held({"route": "frontier", "idle_s": 3, "cached_tokens": True}) == Held(
        "frontier", idle_s=3.0
    )


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([{"role": "user", "content": "a"}, {"role": "tool", "content": "4"}], True),
        ([{"role": "function", "name": "f", "content": "4"}], True),
        ([{"role": "user", "content": [{"type": "tool_result", "content": "4"}]}], True),
        ([{"type": "function_call_output", "output": "4"}], True),
        ([{"role": "tool", "content": "4"}, {"role": "user", "content": "thanks"}], False),
        ([{"role": "user", "content": ["tool_result", None]}], False),
        ("tool", False),
        ([], False),
        ([None], False),
        (None, False),
        ({"role": "tool"}, False),
    ],
)
def test_loop_goes_on_after_a_tools_result(messages, expected):
    assert continues_loop(messages) is expected


@given(
    SHARES,
    SHARES,
    st.builds(Stick, margin=SHARES, margin_back=st.none() | SHARES),
    st.sampled_from(["cheap", "frontier"]),
)
def test_held_route_is_left_only_beyond_its_margin(score, threshold, stick, route):
    """And only for the route that the score alone names."""
    policy = Policy.parse(POLICY | {"threshold": threshold})
    alone = after_scoring(policy, task=None, score=score, familiarity=None)
    held = hold(stick, Held(route), alone, score=score, threshold=threshold)
    assert held.route in (route, alone.route)
    if route == "cheap":
        assert (held.route == "frontier") == (score > threshold + stick.margin)
    else:
        assert (held.route == "cheap") == (score <= threshold - stick.back)
    assert (held.reason == "stick") == (held.route != alone.route)


def test_policy_without_stick_has_no_key_and_one_with_it_comes_back():
    assert "stick" not in Policy.parse(POLICY).as_dict()
    policy = Policy.parse(POLICY | {"stick": STICK})
    assert policy.stick == Stick(within="session", margin=0.1, margin_back=0.2)
    assert Policy.parse(policy.as_dict()) == policy


@pytest.mark.parametrize(
    "wrong",
    [
        {"margin": 1.5},
        {"margin": -0.1},
        {"within": "day"},
        {"cold_after_minutes": 0},
        {"sticky": True},
        {"margin": "much"},
    ],
)
def test_stick_that_cannot_be_is_refused(wrong):
    with pytest.raises(FieldError):
        Policy.parse(POLICY | {"stick": wrong})
