"""The benchmark of replay runs, and its intervals hold what they should on a simulated set."""

import numpy as np

from benchmarks.replay import POLICIES, Population, as_markdown, run, synthetic, tables


def test_simulated_logs_are_judged_and_told():
    population = Population.of(synthetic(n=3000), np.random.default_rng(0))
    rows = list(run([population], 6, POLICIES, seed=1))
    results = {"policies": tables(rows), "further": tables(rows)}
    best = results["policies"]["overall"]["quality"]["doubly_robust"]
    assert best["covers"]["n"] == 6
    assert best["covers"]["value"] >= 0.5
    assert best["width"] < results["policies"]["overall"]["quality"]["inverse_propensity"]["width"]
    assert "| kind hunch | 2 |" in as_markdown(results)


def test_sessions_hold_one_task_and_every_request_once():
    data = synthetic(n=500)
    population = Population.of(data, np.random.default_rng(0))
    assert sorted(population.order.tolist()) == list(range(500))
    for begin, end in zip(population.begins, population.begins[1:], strict=False):
        assert len(set(data.tasks[population.order[begin:end]])) == 1
