import numpy as np
import pytest

from difficulty.errors import InvalidValueError
from difficulty.evaluation.comparison import PAIRED, Contender, compare_pair
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.metrics import Resampling
from difficulty.traffic.outcomes import Outcomes


def contender(sent, *, cheap, frontier, score=None, cost=0.0):
    """Return a router's decisions on as many requests, each its own group."""
    n = len(sent)
    outcomes = Outcomes(
        cheap_quality=np.asarray(cheap, dtype=float),
        frontier_quality=np.asarray(frontier, dtype=float),
        preferred_gain=np.full(n, np.nan),
        weight=np.ones(n),
    )
    score = np.asarray(sent, dtype=float) if score is None else np.asarray(score, dtype=float)
    return Contender(
        scored=ScoredTraffic(
            difficulty_score=score,
            p_cheap_fails=np.full(n, 0.5),
            p_frontier_fails=None,
            outcomes=outcomes,
            groups=np.array([f"g{row}" for row in range(n)]),
            tasks=[None] * n,
            n_tokens=np.full(n, 10),
            cheap_cost=np.full(n, cost),
            frontier_cost=np.full(n, 10 * cost),
            target="benefit",
            threshold=None,
        ),
        sent=np.asarray(sent, dtype=float),
    )


def test_differences_of_four_requests_are_worked_by_hand():
    """The frontier model is better on the first two; the challenger sends those, the champion sends
    one of them and one in vain.
    """
    outcomes = {"cheap": [0, 0, 1, 1], "frontier": [1, 1, 1, 1], "cost": 1e-3}
    found = compare_pair(
        contender([1, 1, 0, 0], **outcomes), contender([1, 0, 1, 0], **outcomes), Resampling(200)
    )
    values = {
        name: (pair.challenger.value, pair.champion.value, pair.difference.value)
        for name, pair in found.items()
    }
    assert values["quality"] == (1.0, 0.75, 0.25)
    assert values["frontier_share"] == (0.5, 0.5, 0.0)
    assert values["cost"] == pytest.approx((5.5, 5.5, 0.0))
    assert values["risk"] == (0.0, 0.5, -0.5)
    assert values["gap_recovered"] == (1.0, 0.5, 0.5)
    assert set(values) == set(PAIRED)


def test_a_router_against_itself_differs_by_nothing_in_every_draw():
    rng = np.random.default_rng(1)
    same = contender(rng.random(300) < 0.4, cheap=rng.random(300), frontier=np.ones(300), cost=1e-3)
    for pair in compare_pair(same, same, Resampling(50)).values():
        assert (pair.difference.value, pair.difference.low, pair.difference.high) == (0.0, 0.0, 0.0)


def test_pairing_makes_the_interval_narrow():
    """Two routers that disagree on one request in twenty: both qualities are uncertain, their
    difference is not.
    """
    rng = np.random.default_rng(2)
    cheap, frontier = (rng.random(600) < 0.5).astype(float), np.ones(600)
    sent = rng.random(600) < 0.4
    other = sent ^ (rng.random(600) < 0.05)
    found = compare_pair(
        contender(sent, cheap=cheap, frontier=frontier),
        contender(other, cheap=cheap, frontier=frontier),
        Resampling(300),
    )["quality"]
    assert found.difference.high - found.difference.low < 0.6 * (
        found.champion.high - found.champion.low
    )


def test_what_is_not_known_has_no_value():
    """Without frontier outcomes quality is unknown, not zero; risk and share are known."""
    found = compare_pair(
        contender([1, 0, 0, 0], cheap=[0, 1, 1, 0], frontier=[np.nan] * 4, cost=np.nan),
        contender([0, 0, 0, 1], cheap=[0, 1, 1, 0], frontier=[np.nan] * 4, cost=np.nan),
        Resampling(50),
    )
    unknown = {name for name, pair in found.items() if pair.difference.value is None}
    assert unknown == {"quality", "gap_recovered", "cost", "apgr"}
    assert (found["risk"].difference.value, found["frontier_share"].difference.value) == (0.0, 0.0)


def test_other_requests_are_refused():
    with pytest.raises(
        InvalidValueError,
        match="champion must be judged on the challenger's 2 requests: got '1 request'",
    ):
        compare_pair(
            contender([1, 0], cheap=[0, 1], frontier=[1, 1]),
            contender([1], cheap=[0], frontier=[1]),
            Resampling(),
        )
