"""The simulated year, on requests made up for the test."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import year
from benchmarks.lib.year_page import as_lines
from benchmarks.lib.year_plot import plot_year
from benchmarks.lib.year_world import DAYS, FLOOD, NEW_TASK, Calendar, Pool


@pytest.fixture(scope="module")
def world():
    """A small pool with a score that knows something; no bundle."""
    rng = np.random.default_rng(0)
    n = 400
    kind = np.array((["mmlu"] * 5 + ["tools"] * 2 + ["primes"] * 2 + ["gsm8k"]) * (n // 10), object)
    task = np.where(rng.random(n) < 0.2, "moral_scenarios", kind).astype(object)
    task[kind != "mmlu"] = kind[kind != "mmlu"]
    score = rng.random(n)
    cheap = (rng.random((3, n)) > score * 0.8).astype(float)
    frontier = np.ones((3, n))
    pool = Pool(None, kind, task, cheap, frontier, np.full(n, 1e-5), np.full(n, 1e-3))
    return SimpleNamespace(
        pool=pool, calendar=Calendar.of(pool), outputs={"difficulty_score": score}
    )


def served(world, threshold, day=0):
    bundle = SimpleNamespace(policy=SimpleNamespace(threshold=threshold))
    return year.Served(day, bundle, None, world.outputs)


def test_laws_sum_to_one_and_follow_the_calendar(world):
    calendar, pool = world.calendar, world.pool
    assert calendar.weight.sum(axis=1) == pytest.approx(np.ones(DAYS))
    new = calendar.weight[:, pool.kind == "gsm8k"].sum(axis=1)
    assert new[NEW_TASK - 1] == 0.0
    assert new[NEW_TASK] == pytest.approx(0.2)
    assert calendar.flooded[FLOOD[0] - 1] == 0.0
    assert calendar.flooded[FLOOD[0]] == pytest.approx(2 / 3)


def test_figures_of_a_cut_agree_with_those_of_a_policy(world):
    """The curve of all thresholds and the figures of one are the same reckoning."""
    order = np.argsort(world.outputs["difficulty_score"], kind="stable")
    part = year.DayParts(world, 60)
    kept = 150
    sends = np.ones(len(order), dtype=bool)
    sends[order[:kept]] = False
    assert part.along(order, np.array([kept]))[0] == pytest.approx(part.figures(sends))


def test_oracle_keeps_the_promise_every_day_where_a_threshold_can(world):
    hindsight = year.Hindsight.of(world)
    days = hindsight.keeping(0.3)
    assert (days[:, 3] / days[:, 2]).max() <= 0.3
    # No policy is cheaper for its quality than thresholds chosen each day with hindsight.
    figures = year.summed(world, year.days_of(world, [served(world, 0.5)]), hindsight)
    assert figures["to_daily"] >= 1.0
    assert figures["to_fixed"] == pytest.approx(1.0, abs=0.02)


def test_a_version_serves_from_its_day_on(world):
    days = year.days_of(world, [served(world, 0.0), served(world, 1.0, day=100)])
    assert days[99, 4] > 0.9
    assert days[100, 4] < 0.1


def test_page_and_picture_are_made_of_figures_alone(world, tmp_path):
    hindsight = year.Hindsight.of(world)
    figures = year.summed(world, year.days_of(world, [served(world, 0.5)]), hindsight)
    figures = json.loads(json.dumps(figures | {"versions": [0, 91], "said": []}))
    results = {
        "date": "2026-11-28",
        "risk": 0.3,
        "seeds": 2,
        "retrained": 0,
        "oracle": year.summed(world, hindsight.keeping(0.3), hindsight),
        "safe": year.summed(world, hindsight.safe(0.3), hindsight),
        "seed_figures": [{"fixed": figures, "recalibrated": figures}] * 2,
    }
    page = "\n".join(as_lines(results, "year"))
    assert "recalibrated: a new version on day 91 in 2 of 2" in page
    plot_year(results, tmp_path / "year.svg")
    assert "promise" in (tmp_path / "year.svg").read_text()
