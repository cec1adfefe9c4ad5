"""Sessions simulated on their recorded outcomes: routes, bills, and the margins that are chosen."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from difficulty.bundle import Policy
from difficulty.errors import InvalidValueError, NotAttainableError
from difficulty.records import Prices
from difficulty.routes import Held, Stick
from difficulty.runtime.rule import after_scoring
from difficulty.runtime.sticking import hold
from difficulty.thresholds.sticking_margins import (
    SessionSteps,
    bill_sessions,
    choose_margins,
    judge_stick,
    session_routes,
)
from tests.data.make_bundle import POLICY

PRICES = Prices(
    date="2026-11-28",
    cheap_input=1.0,
    cheap_output=0.0,
    frontier_input=10.0,
    frontier_output=0.0,
    cheap_cached_input=0.1,
    frontier_cached_input=1.0,
)


def steps_of(scores, *, lengths=None, **changes):
    scores = np.asarray(scores, dtype=float)
    n = len(scores)
    session = np.repeat(np.arange(len(lengths or [n])), lengths or [n])
    columns = {
        "session": session,
        "score": scores,
        "threshold": np.full(n, 0.6),
        "fixed": np.full(n, np.nan),
        "at_s": np.arange(n) * 10.0,
        "in_loop": np.ones(n, dtype=bool),
        "prompt": np.full(n, 1000.0),
        "cheap_tokens": np.zeros(n),
        "frontier_tokens": np.zeros(n),
        "cheap_quality": np.zeros(n),
        "frontier_quality": np.ones(n),
    }
    return SessionSteps(**columns | {name: np.asarray(value) for name, value in changes.items()})


def test_routes_by_hand():
    """Threshold 0.6, margins 0.1 and 0.2: held at 0.65, off at 0.71, held at 0.45, back at 0.39."""
    steps = steps_of([0.5, 0.65, 0.71, 0.45, 0.39, 0.65], lengths=[5, 1])
    sticks = [Stick(margin=0.1, margin_back=0.2), Stick(margin=0.0)]
    assert session_routes(steps, sticks).tolist() == [
        [False, False, True, True, False, True],
        steps.sent_alone.tolist(),
    ]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.3, 0.5, 0.55, 0.6, 0.65, 0.7, 0.9]),
            st.sampled_from([1.0, 290.0, 310.0]),
            st.booleans(),
            st.sampled_from([None, 0.0, 1.0]),
        ),
        min_size=1,
        max_size=12,
    ),
    st.builds(
        Stick,
        within=st.sampled_from(["loop", "session"]),
        margin=st.sampled_from([0.0, 0.05, 0.1, 1.0]),
        margin_back=st.sampled_from([None, 0.0, 0.1]),
        cold_after_minutes=st.sampled_from([None, 5.0]),
    ),
)
def test_routes_are_those_of_the_router(given_steps, stick):
    """Step by step through the rule that routers apply."""
    policy = Policy.parse(POLICY | {"threshold": 0.6})
    score, waits, loops, fixed = zip(*given_steps, strict=True)
    steps = steps_of(
        score,
        at_s=np.cumsum(waits),
        in_loop=np.array(loops),
        fixed=np.array([np.nan if route is None else route for route in fixed]),
    )
    route, expected = None, []
    for number, (each, wait, loop, rule) in enumerate(given_steps):
        alone = after_scoring(policy, task=None, score=each, familiarity=None)
        held = None if number == 0 else Held(route, loop, idle_s=wait)
        ruling = hold(stick, held, alone, score=each, threshold=0.6)
        route = ruling.route if rule is None else ("frontier" if rule else "cheap")
        expected.append(route == "frontier")
    assert session_routes(steps, [stick])[0].tolist() == expected


def test_bill_by_hand():
    """Prompts of 1,000, 2,000, 3,000 and 4,000 tokens; cheap, frontier, frontier, cheap. The first
    frontier call finds nothing of the 1,000 that the cheap model's provider had; the last cheap
    one finds 1,000 of 3,000.
    """
    steps = steps_of([0, 1, 1, 0], prompt=np.array([1000.0, 2000.0, 3000.0, 4000.0]))
    bill = bill_sessions(steps, np.array([False, True, True, False]), PRICES)
    expected = [1000, 20_000, 2000 + 10_000, 100 + 3000]
    assert bill.cost * 1e6 == pytest.approx(expected)
    assert bill.switched.tolist() == [False, True, False, True]
    assert bill.cold * 1e6 == pytest.approx([0, 9 * 1000, 0, 0.9 * 2000])


def test_margins_are_judged_by_hand():
    """Alone the second step is sent and the fourth is not; held, it is the other way round, and the
    fourth gains nothing.
    """
    quality = np.array([1.0, 1.0, 1.0, 0.0, 1.0, 1.0])
    steps = steps_of([0.5, 0.65, 0.71, 0.45, 0.39, 0.65], lengths=[5, 1], frontier_quality=quality)
    stick = Stick(margin=0.1, margin_back=0.2)
    judged = judge_stick(steps, stick, PRICES)
    values = {name: estimate.value for name, estimate in judged.items()}
    bill = bill_sessions(
        steps, np.stack([steps.sent_alone, session_routes(steps, [stick])[0]]), PRICES
    )
    assert values == pytest.approx(
        {
            "frontier_share_alone": 3 / 6,
            "frontier_share": 3 / 6,
            "switched_share_alone": 2 / 4,
            "switched_share": 2 / 4,
            "quality_change": -1 / 6,
            "cost_ratio": bill.cost[1].sum() / bill.cost[0].sum(),
            "cold_share_alone": bill.cold[0].sum() / bill.cost[0].sum(),
            "cold_share": bill.cold[1].sum() / bill.cost[1].sum(),
        }
    )
    assert all(each.low <= each.value <= each.high and each.n == 2 for each in judged.values())
    blind = steps_of([0.5, 0.7], cheap_quality=[np.nan] * 2, prompt=[np.nan] * 2)
    unpriced = judge_stick(blind, stick, None)
    assert unpriced["quality_change"].note == "no outcomes of both models"
    assert "cost_ratio" not in unpriced


def test_cold_caches_are_read_anew():
    steps = steps_of([0, 0], at_s=np.array([0.0, 301.0]))
    sent = np.array([False, False])
    assert bill_sessions(steps, sent, PRICES).cost * 1e6 == pytest.approx([1000, 1000])
    warm = bill_sessions(steps, sent, PRICES, cache_minutes=None)
    assert warm.cost * 1e6 == pytest.approx([1000, 100])


def agents(n=200, *, correlated=0.6, seed=0):
    """Sessions of 10 steps; a step's chance to need the frontier model is its score."""
    rng = np.random.default_rng(seed)
    level = np.sqrt(correlated) * rng.standard_normal((n, 1))
    level = level + np.sqrt(1 - correlated) * rng.standard_normal((n, 10))
    score = 1 / (1 + np.exp(-level.ravel()))
    prompt = 5000.0 + np.tile(np.arange(10) * 1000.0, n)
    return steps_of(
        score,
        lengths=[10] * n,
        prompt=prompt,
        cheap_quality=(rng.random(10 * n) > score).astype(float),
        frontier_quality=np.full(10 * n, 0.9),
    )


def test_margins_that_save_on_other_sessions_too_are_chosen():
    """Chosen on 600 sessions, and on 600 others they save about what was told of them."""
    choice = choose_margins(agents(600), PRICES)
    assert choice.cost_ratio.high < 1.0
    assert choice.quality_change.value >= -0.005
    assert choice.switches < choice.switches_alone
    other = agents(600, seed=1)
    alone = bill_sessions(other, other.sent_alone, PRICES)
    held = bill_sessions(other, session_routes(other, [choice.stick])[0], PRICES)
    ratio = held.cost.sum() / alone.cost.sum()
    assert choice.cost_ratio.low - 0.03 < ratio < choice.cost_ratio.high + 0.03
    assert "switch where" in choice.sentence


def test_what_says_too_little_chooses_no_margins():
    """Few sessions, sessions of one step, prices without caches, unknown outcomes, no saving."""
    steps = agents(60)
    without = replace(PRICES, cheap_cached_input=None)
    unknown = replace(steps, cheap_quality=np.full(len(steps), np.nan))
    dear = replace(PRICES, cheap_cached_input=1.0, frontier_cached_input=10.0)
    for wrong, prices, why in [
        (agents(20), PRICES, "needs 30 sessions"),
        (steps_of(np.ones(50), lengths=[1] * 50), PRICES, "two and more steps"),
        (steps_of([]), PRICES, "needs 30 sessions"),
        (steps, without, "price of cached tokens"),
        (unknown, PRICES, "outcomes of both models"),
        (agents(60, correlated=0.0), dear, "must save"),
    ]:
        with pytest.raises(NotAttainableError, match=why):
            choose_margins(wrong, prices)
    with pytest.raises(InvalidValueError, match="share"):
        choose_margins(steps, PRICES, max_loss=-1)
