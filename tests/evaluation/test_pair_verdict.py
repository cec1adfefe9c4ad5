"""Which of two bundles is better: a gain counts beyond the noise, and no winner stands on a loss
that may hide in it.
"""

import json

import numpy as np
import pytest

from difficulty.evaluation.comparison import Paired
from difficulty.evaluation.decision.pair_verdict import COMPARED, is_clear, judge_pair
from difficulty.evaluation.decision.side_by_side import set_side_by_side, side_by_side_text
from difficulty.metrics import Resampling
from difficulty.records import Estimate
from tests.evaluation.test_comparison import contender


def pair(low, value, high, *, before=1.0):
    """Return a figure of A and its difference."""
    unknown = value is None
    difference = Estimate(value=value, low=low, high=high, n=0 if unknown else 100)
    side = Estimate(value=None if unknown else before)
    return Paired(challenger=side, champion=side, difference=difference)


NONE = pair(None, None, None)


@pytest.mark.parametrize(
    ("quality", "cost", "answer", "words"),
    [
        (pair(0.01, 0.02, 0.03), pair(-0.005, 0.0, 0.005), "prefer_b", "B has better answers by"),
        (pair(-0.03, -0.02, -0.01), pair(-0.005, 0.0, 0.005), "prefer_a", "B has worse answers"),
        (pair(-0.005, 0.0, 0.005), pair(-0.3, -0.2, -0.1), "prefer_b", "B costs less by USD 0.20"),
        (pair(0.01, 0.02, 0.03), pair(0.1, 0.2, 0.3), "trade_off", "B costs more by USD 0.20"),
        (
            pair(-0.05, -0.01, 0.03),
            pair(-0.3, -0.2, -0.1),
            "unsure",
            "No difference shown in quality",
        ),
        (
            pair(-0.05, 0.0, 0.05),
            pair(-0.005, 0.0, 0.005),
            "unsure",
            "No difference shown in quality",
        ),
        (
            pair(-0.005, 0.001, 0.005),
            pair(-0.005, 0.0, 0.005),
            "no_difference",
            "No difference shown in quality, B minus A is 0.1 % (-0.5 to 0.5)",
        ),
        (pair(0.0, 0.0, 0.0), pair(0.0, 0.0, 0.0), "no_difference", "Quality is the same; cost is"),
        (NONE, pair(-0.3, -0.2, -0.1), "unsure", "add outcomes of both models"),
    ],
)
def test_winner_is_named_beyond_the_noise_only(quality, cost, answer, words):
    verdict = judge_pair({"quality": quality, "cost": cost})
    assert verdict.answer == answer
    assert words in verdict.sentence


def test_without_prices_calls_are_what_is_paid_with():
    figures = {
        "quality": pair(-0.001, 0.0, 0.001),
        "cost": NONE,
        "frontier_share": pair(-0.2, -0.1, -0.05),
    }
    verdict = judge_pair(figures)
    assert (verdict.answer, verdict.price) == ("prefer_b", "frontier_share")
    assert "B sends less by 10.0 % (5.0 to 20.0)" in verdict.sentence


def test_many_differences_at_once_have_wider_ranges():
    """1.96 errors from 0 is clear alone, and not as one of twenty."""
    difference = Estimate(value=0.02, low=0.001, high=0.039, n=50)
    assert is_clear(difference)
    assert not is_clear(difference, among=20)
    assert not is_clear(Estimate(value=0.02))


def sides(n=240):
    """A sends the right half of the requests, B the wrong half; two tasks, one of them small."""
    needed = np.arange(n) % 2 == 0
    outcomes = {"cheap": np.where(needed, 0.0, 1.0), "frontier": np.ones(n)}
    a, b = contender(needed, **outcomes), contender(~needed, **outcomes)
    tasks = ["big"] * (n - 20) + ["small"] * 20
    for side in (a, b):
        object.__setattr__(side.scored, "tasks", tasks)
    return a, b


def test_slices_are_paired_too_and_small_ones_are_named():
    a, b = sides()
    result = set_side_by_side(a, b, Resampling(50), names=("one", "two"), traffic="t.parquet")
    assert result.verdict.worth == "quality"
    assert result.verdict.sentence.startswith("B has worse answers by 50.0 %")
    assert result.figures["quality"].difference.value == pytest.approx(-0.5)
    assert result.slices["task"]["big"]["quality"].difference.value == pytest.approx(-0.5)
    assert list(result.small) == ["task: small"]
    assert result.ends["all_frontier"]["quality"] == 1.0
    written = json.loads(side_by_side_text(result))
    assert written["format"] == 1
    assert set(written["figures"]) == set(COMPARED)
