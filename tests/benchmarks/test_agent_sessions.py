"""Simulated sessions: a small run on outcomes that are made up."""

import numpy as np
import pytest

from benchmarks.agent_sessions import STEPS, WAYS, _cost_at, page_of, prices_of, run, simulate
from benchmarks.lib.out_of_fold import ScoredSet


def made_up(n=300):
    rng = np.random.default_rng(0)
    score = rng.random(n)
    return ScoredSet(
        name="made-up",
        cheap=(rng.random(n) > score).astype(float),
        frontier=np.full(n, 0.9),
        score=score,
        p_cheap_fails=score,
        p_frontier_fails=np.full(n, 0.1),
        tasks=np.full(n, "a"),
        groups=np.arange(n).astype(str),
    )


def test_sessions_have_growing_prompts_and_correlated_steps():
    """Twenty steps each; with a correlation of 0.9 sessions differ more than by chance."""
    data, rows = made_up(), np.arange(300)
    spread = {}
    for correlation in (0.0, 0.9):
        steps = simulate(data, rows, correlation, np.random.default_rng(1))
        same = np.diff(steps.session) == 0
        assert (np.diff(steps.prompt)[same] > 0).all()
        spread[correlation] = steps.score.reshape(-1, STEPS).mean(axis=1).std()
    assert spread[0.9] > 2 * spread[0.0]


def test_cost_at_a_quality_lies_between_two_points():
    curve = [(1.0, 0.5), (3.0, 0.7), (4.0, 0.6), (5.0, 0.9)]
    assert _cost_at(curve, 0.6) == pytest.approx(2.0)
    assert _cost_at(curve, 0.8) == pytest.approx(4.5)
    assert np.isnan(_cost_at(curve, 0.95))


def test_page_has_every_way(monkeypatch):
    monkeypatch.setattr("benchmarks.agent_sessions.SESSIONS", 40)
    monkeypatch.setattr("benchmarks.agent_sessions.CORRELATIONS", (0.6,))
    results = run({"made-up": made_up()}, 2)
    page = page_of(results, 2)
    assert all(way in page for way in WAYS)
    assert prices_of(0.1).frontier_cached_input == pytest.approx(0.3)
