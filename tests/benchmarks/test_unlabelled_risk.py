"""The benchmark of estimates without labels, on columns made up."""

import numpy as np
import pytest

from benchmarks.unlabelled_risk import as_markdown, drawn, plain, summed, truth
from difficulty.bundle import read_bundle

OTHERS = ("held-back subjects", "GSM8K")


def columns(n, seed, *, fails=0.3):
    rng = np.random.default_rng(seed)
    return {
        "difficulty_score": rng.uniform(0.3, 0.7, n),
        "p_cheap_fails": np.full(n, 0.3),
        "p_frontier_fails": np.full(n, 0.1),
        "familiarity": rng.random(n),
        "tokens": rng.integers(10, 200, n).astype(float),
        "route": np.where(rng.random(n) < 0.3, "frontier", "cheap").astype(object),
        "cheap_fails": (rng.random(n) < fails).astype(float),
        "frontier_fails": (rng.random(n) < 0.1).astype(float),
    }


def test_truth_and_plain_mean_by_hand():
    log = columns(4, 0) | {
        "route": np.array(["cheap", "cheap", "frontier", "frontier"], dtype=object),
        "cheap_fails": np.array([1.0, 0.0, 1.0, 1.0]),
        "frontier_fails": np.array([0.0, 0.0, 0.0, 1.0]),
    }
    assert truth(log) == {"risk": 0.5, "quality": 0.5, "gap": 0.5}
    assert plain(log) == pytest.approx({"risk": 0.3, "quality": 0.8, "gap": 0.2})


def test_page_counts_what_was_told_and_wrong(journey):
    bundle = read_bundle(journey.bundle)
    kinds = {name: columns(400, seed) for seed, name in enumerate(("known", *OTHERS))}
    rows = drawn(bundle, kinds, seed=0, n_draws=4)
    assert len(rows) == 12
    results = {
        "date": "2026-11-28",
        "seeds": 1,
        "draws": 4,
        "by_kind": summed(rows, ("kind",)),
        "by_share": summed(rows, ("kind", "share")),
        "all": summed(rows, ()),
    }
    (whole,) = results["all"]
    assert whole["n"] == 12
    assert whole["told"] == pytest.approx(sum(row["told"] for row in rows) / 12)
    assert "Of 12 figures" in as_markdown(results)
