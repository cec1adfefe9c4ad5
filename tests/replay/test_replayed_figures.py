"""Figures of another rule: by hand, with bounds where support is missing, and paired."""

import numpy as np
import pytest

from difficulty.replay.replayed_figures import OtherRule, replay
from tests.replay.logs import NAN, log_of


def replayed(log, sent, answer_threshold=None):
    rule = OtherRule(sent=np.array(sent, dtype=float), answer_threshold=answer_threshold)
    unknown = np.full(len(log), NAN)
    return replay(log, rule, (unknown, unknown), log.groups % 5)


def shadowed(cheap, frontier, **columns):
    """Return a log of requests of which everything is known: cheap route, shadow calls."""
    n = len(cheap)
    return log_of(
        ["cheap"] * n,
        propensity=[1.0] * n,
        frontier_role=["shadow"] * n,
        cheap_quality=cheap,
        frontier_quality=frontier,
        **columns,
    )


def test_with_both_outcomes_known_a_replay_is_a_count():
    log = shadowed(
        [1, 0, 1, 0],
        [1, 1, 0, 1],
        cost_usd=[0.1] * 4,
        cheap_cost_usd=[0.1] * 4,
        frontier_cost_usd=[1.0] * 4,
    )
    figures = replayed(log, [0, 1, 0, 1]).figures
    assert figures["quality"].replayed.value == pytest.approx(1.0)
    assert figures["quality"].logged.value == pytest.approx(0.5)
    assert figures["quality"].difference.value == pytest.approx(0.5)
    assert figures["risk"].replayed.value == pytest.approx(0.0)
    assert figures["risk"].logged.value == pytest.approx(0.5)
    assert figures["frontier_share"].replayed.value == pytest.approx(0.5)
    assert figures["cost"].replayed.value == pytest.approx(1000 * 0.55)
    assert figures["fallback_share"].replayed.value == pytest.approx(0.0)


def test_rules_that_agree_differ_by_nothing():
    """Whatever is unsure of either, the difference is 0 and sure."""
    rng = np.random.default_rng(0)
    n = 200
    route = np.where(rng.random(n) < 0.5, "frontier", "cheap")
    quality = rng.integers(0, 2, n).astype(float)
    log = log_of(
        route,
        policy_route=["cheap"] * n,
        cheap_quality=np.where(route == "cheap", quality, NAN),
        frontier_quality=np.where(route == "frontier", quality, NAN),
    )
    figure = replayed(log, np.zeros(n)).figures["quality"]
    assert figure.replayed.value == pytest.approx(figure.logged.value)
    assert (figure.difference.value, figure.difference.low, figure.difference.high) == (0, 0, 0)


def test_without_support_there_are_bounds_and_no_number():
    """A tenth of the requests goes where nobody ever went: nothing between 0 and 1 is excluded for
    them.
    """
    n = 1000
    sent = np.arange(n) < 100
    log = log_of(
        ["cheap"] * n, propensity=[1.0] * n, cheap_quality=(np.arange(n) % 10 != 5).astype(float)
    )
    result = replayed(log, sent)
    quality = result.figures["quality"].replayed
    assert quality.value is None
    assert "bounds alone: on 100 of 1,000" in quality.note
    # 0.9 of the 900 others, and 0 or 1 of the 100.
    assert quality.low == pytest.approx(0.81, abs=0.03)
    assert quality.high == pytest.approx(0.91, abs=0.03)
    assert quality.low < 0.81
    assert quality.high > 0.91
    difference = result.figures["quality"].difference
    assert difference.value is None
    assert difference.low < -0.09 < 0.01 < difference.high
    assert result.figures["risk"].replayed.value == pytest.approx(0.1, abs=0.02)
    assert result.figures["cost"].replayed.value is None
    assert result.unsupported["quality"].sum() == 100


def test_bounds_of_a_difference_count_the_same_unseen_outcome_once():
    """Both rules send the unsupported requests to the same side: the difference is known."""
    n = 300
    log = log_of(
        ["frontier"] * n,
        propensity=[1.0] * n,
        frontier_quality=np.where(np.arange(n) < 150, 1.0, NAN),
        difficulty_score=np.arange(n) / n,
    )
    figure = replayed(log, np.ones(n)).figures["quality"]
    assert figure.replayed.value is None
    assert (figure.difference.low, figure.difference.high) == pytest.approx((0.0, 0.0))


def test_requests_whose_route_is_not_known_leave_bounds():
    log = shadowed([1, 0, 1, 0], [1, 1, 0, 1])
    figures = replayed(log, [0, 1, NAN, 1]).figures
    share = figures["frontier_share"].replayed
    assert (share.value, share.low, share.high) == (None, 0.5, 0.75)
    assert figures["quality"].replayed.value is None


def test_nothing_known_is_unknown_and_not_zero():
    figures = replayed(log_of(["cheap", "frontier"]), [0, 0]).figures
    for name in ("quality", "risk", "cost"):
        assert figures[name].replayed.value is None
        assert figures[name].replayed.low is None
    assert figures["frontier_share"].replayed.value == 0.0


def test_figures_are_unbiased_over_logs():
    """40 logs of a threshold with epsilon 0.1, shadow calls and late labels; qualities in groups.

    The naive mean is off by more than five standard errors.
    """
    rng = np.random.default_rng(5)
    n, values, naive, truths, held = 600, [], [], [], 0
    score = rng.random(n)
    cheap = (rng.random(n) > score).astype(float)
    frontier = (rng.random(n) > 0.3 * score).astype(float)
    named, asked = score > 0.5, score > 0.7
    groups = [str(row // 3) for row in range(n)]
    for _ in range(40):
        explored = rng.random(n) < 0.1
        sent = named ^ explored
        shadow = rng.random(n) < 0.1
        told = rng.random(n) < np.where(sent, 0.9, 0.6)
        log = log_of(
            np.where(sent, "frontier", "cheap"),
            policy_route=np.where(named, "frontier", "cheap"),
            propensity=np.where(explored, 0.1, 0.9),
            cheap_role=np.where(sent, np.where(shadow, "shadow", None), "answer"),
            frontier_role=np.where(sent, "answer", np.where(shadow, "shadow", None)),
            cheap_quality=np.where((~sent | shadow) & told, cheap, NAN),
            frontier_quality=np.where((sent | shadow) & told, frontier, NAN),
            difficulty_score=score,
            group=groups,
        )
        result = replayed(log, asked)
        difference = result.figures["quality"].difference
        truth = float(((asked * 1.0 - named) * (frontier - cheap)).mean())
        values.append(difference.value - truth)
        naive.append(result.naive["quality"].value)
        truths.append(float(np.where(asked, frontier, cheap).mean()))
        held += difference.low <= truth <= difference.high
    error = np.std(values) / np.sqrt(40)
    assert np.mean(values) == pytest.approx(0.0, abs=4 * error)
    assert abs(np.mean(naive) - truths[0]) > 5 * np.std(naive) / np.sqrt(40)
    # The truth of these very requests: the interval is of their kind, and holds it more often.
    assert held / 40 > 0.85
