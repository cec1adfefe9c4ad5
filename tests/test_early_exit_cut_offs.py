import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from difficulty.early_exit import choose_cut_offs as choose_weighted
from difficulty.early_exit import figures_of_exit
from difficulty.errors import InvalidValueError, NotAttainableError
from difficulty.metrics.intervals import exact_interval


def alone(n):
    return np.arange(n)


def choose_cut_offs(early, score, *, weight=None, **more):
    return choose_weighted(
        early, score, weight=np.ones(len(early)) if weight is None else weight, **more
    )


def test_exact_interval_by_hand():
    """None of 10: the upper end solves (1 - p)^10 = 0.025; all of 10 is its mirror image."""
    assert exact_interval(0, 10) == (0.0, pytest.approx(1 - 0.025 ** (1 / 10)))
    assert exact_interval(10, 10) == (pytest.approx(0.025 ** (1 / 10)), 1.0)
    for count, n in ((1, 0), (-1, 5), (6, 5)):
        with pytest.raises(InvalidValueError, match="must be"):
            exact_interval(count, n)


def test_figures_by_hand():
    """Of five, one is between the cut-offs; of the other four one leaves on the wrong side."""
    early, score = np.array([0.1, 0.2, 0.5, 0.8, 0.9]), np.array([0.2, 0.7, 0.4, 0.8, 0.6])
    figures = figures_of_exit(early, score, threshold=0.5, low=0.3, high=0.7)
    assert (figures["asked"].value, figures["changed"].value, figures["asked"].n) == (0.2, 0.2, 5)
    assert (
        figures_of_exit(early[:0], score[:0], threshold=0.5, low=0.3, high=0.7)["asked"].value
        is None
    )


def test_cut_offs_by_hand():
    """600 requests, all agreed but one at 0.3: at 95 % not a single change shows 0.5 %, so 0.3 has
    to be asked about, and so has 0.7.
    """
    early, score = (
        np.repeat([0.1, 0.3, 0.7, 0.9], [200, 1, 1, 398]),
        np.repeat([0.1, 0.9, 0.9, 0.9], [200, 1, 1, 398]),
    )
    found = choose_cut_offs(early, score, threshold=0.5, groups=alone(600), budget=0.005)
    assert found.low == pytest.approx(0.3, abs=1e-6)
    assert found.high == pytest.approx(0.7, abs=1e-6)
    assert (found.figures["asked"].value, found.figures["changed"].value) == (2 / 600, 0.0)


def test_early_score_that_is_always_right_decides_alone():
    early = np.linspace(0.01, 0.99, 700)
    found = choose_cut_offs(early, early, threshold=0.5001, groups=alone(700), budget=0.005)
    assert (found.low, found.high, found.figures["asked"].value) == (0.5001, 0.5001, 0.0)


def test_too_few_requests_are_told_how_many_are_needed():
    """Without a single change, 598 show less than 0.5 % with 95 % confidence: 0.995^598 = 0.0499.
    Of pairs that share a group it takes twice as many.
    """
    early = np.full(1200, 0.1)
    for groups, needed in (
        (alone(597), "at least 598 requests to choose on: got 597"),
        (alone(1190) // 2, "about 1,196 requests in groups and of weights like these to choose on"),
    ):
        with pytest.raises(NotAttainableError, match=f"needs {needed}"):
            choose_cut_offs(
                early[: len(groups)],
                early[: len(groups)],
                threshold=0.5,
                groups=groups,
                budget=0.005,
            )
    for groups in (alone(598), alone(1200) // 2):
        some = early[: len(groups)]
        found = choose_cut_offs(some, some, threshold=0.5, groups=groups, budget=0.005)
        assert found.figures["asked"].value == 0.0


def test_budget_counts_requests_not_groups():
    """Nine requests of one conversation all change, at the far end: one group of a thousand, but
    nearly 1 % of the requests, so they stay inside.
    """
    early = np.r_[np.full(9, 0.01), np.full(999, 0.2)]
    score = np.r_[np.full(9, 0.9), np.full(999, 0.2)]
    groups = np.r_[np.zeros(9), np.arange(1, 1000)]
    with pytest.raises(NotAttainableError, match="needs about"):
        choose_cut_offs(early, score, threshold=0.5, groups=groups, budget=0.008)
    found = choose_cut_offs(early, score, threshold=0.5, groups=np.arange(1008), budget=0.02)
    assert found.low == 0.5


def test_early_score_that_says_nothing_is_refused():
    score = np.tile([0.1, 0.9], 500)
    with pytest.raises(NotAttainableError, match="would let none of 1,000 requests leave early"):
        choose_cut_offs(np.full(1000, 0.2), score, threshold=0.5, groups=alone(1000), budget=0.005)


@pytest.mark.parametrize("value", [0.0, 1.0, 5.0, float("nan")])
def test_budget_and_confidence_are_shares(value):
    for name in ("budget", "confidence"):
        with pytest.raises(InvalidValueError, match=rf"{name} must be in \(0, 1\)"):
            choose_cut_offs(
                np.zeros(5),
                np.zeros(5),
                threshold=0.5,
                groups=alone(5),
                **{"budget": 0.1, "confidence": 0.9, name: value},
            )


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 1.0), st.floats(0.01, 0.3))
def test_budget_holds_on_the_requests_that_chose_and_the_threshold_is_inside(
    seed, threshold, noise
):
    rng = np.random.default_rng(seed)
    score = rng.random(900)
    early = np.clip(score + rng.normal(0, noise, 900), 0, 1)
    try:
        found = choose_cut_offs(early, score, threshold=threshold, groups=alone(900), budget=0.01)
    except NotAttainableError:
        return
    assert found.low <= threshold <= found.high
    assert found.figures["changed"].value < 0.01


@pytest.mark.long
def test_budget_is_kept_on_new_requests_as_often_as_promised():
    """300 draws of 1,000 requests: the true share of changed decisions, from many more, is above
    the budget in at most 5 % of them.
    """
    rng, broken = np.random.default_rng(0), 0
    fresh = rng.random(200_000)
    fresh_early = np.clip(fresh + rng.normal(0, 0.05, len(fresh)), 0, 1)
    for _ in range(300):
        score = rng.random(1_000)
        early = np.clip(score + rng.normal(0, 0.05, 1_000), 0, 1)
        found = choose_cut_offs(early, score, threshold=0.6, groups=alone(1_000), budget=0.01)
        truth = figures_of_exit(fresh_early, fresh, threshold=0.6, low=found.low, high=found.high)
        broken += truth["changed"].value > 0.01
    assert broken <= 24  # 15 expected at most; P(more than 24) is below 1 %
