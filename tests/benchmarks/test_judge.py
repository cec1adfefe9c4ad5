import numpy as np
import pytest

from benchmarks.lib.judge import judge
from benchmarks.lib.methods import Scored, _same_requests
from benchmarks.lib.plots import plot_apgr, plot_curves
from benchmarks.lib.protocol import BROKEN, BenchmarkSet
from benchmarks.lib.report import as_markdown


@pytest.fixture(scope="module")
def found():
    """Figures of one of ours, a peer that failed, and two references, on made-up outcomes of two
    tasks.
    """
    rng = np.random.default_rng(0)
    n = 400
    cheap = (rng.random(n) < 0.6).astype(float)
    data = BenchmarkSet(
        ids=[str(i) for i in range(n)],
        cheap=cheap,
        frontier=np.maximum(cheap, rng.random(n) < 0.7),
        fold=np.arange(n) % 5,
        groups=np.arange(n).astype(str),
        tasks=np.where(np.arange(n) < 300, "law", BROKEN),
    )
    good = data.gain + rng.normal(size=n)
    methods = [
        Scored(
            "fast",
            "ours",
            good,
            p_cheap_fails=np.full(n, 1.0 - cheap.mean()),
            train_s=1.0,
            score_ms=0.1,
        ),
        Scored("model2vec", "peer", None, reason="cannot be installed: no network"),
        Scored("oracle", "reference", data.gain, train_s=0.0, score_ms=0.0),
        Scored("random", "reference", rng.random(n), train_s=0.0, score_ms=0.0),
    ]
    return {"title": "A set"} | judge(data, methods, n_draws=50).figures


def test_oracle_leads_and_random_is_about_one_half(found):
    apgr = {
        name: method["apgr"]["value"]
        for name, method in found["methods"].items()
        if "apgr" in method
    }
    assert apgr["oracle"] > apgr["fast"] > apgr["random"]
    assert apgr["random"] == pytest.approx(0.5, abs=0.1)


def test_difference_is_that_of_the_two_values(found):
    methods, difference = found["methods"], found["differences"]["all"]["fast"]["random"]
    assert difference["value"] == pytest.approx(
        methods["fast"]["apgr"]["value"] - methods["random"]["apgr"]["value"]
    )
    assert 0 < difference["low"] < difference["value"] < difference["high"]


def test_figures_without_the_broken_subject_count_the_other_requests(found):
    name = f"apgr_without_{BROKEN}"
    assert found["methods"]["fast"][name]["n"] == 300
    assert found["methods"]["fast"][name]["value"] != found["methods"]["fast"]["apgr"]["value"]
    assert f"_without_{BROKEN}" in found["differences"]


def test_probability_that_is_the_base_rate_has_its_brier_score(found):
    assert found["methods"]["fast"]["brier"] == pytest.approx(found["base_rate_brier"])
    assert found["methods"]["fast"]["ece"]["value"] == pytest.approx(0.0, abs=1e-9)


def test_curve_goes_from_one_model_to_the_other(found):
    curve = found["methods"]["oracle"]["curve"]
    assert curve[0] == pytest.approx(found["cheap_quality"], abs=1e-4)
    assert curve[-1] == pytest.approx(found["frontier_quality"], abs=1e-4)


def test_page_reports_a_peer_that_was_not_run_with_the_reason(found):
    results = {
        "date": "2026-11-23",
        "command": "x",
        "n_draws": 50,
        "versions": {"Python": "3.11"},
        "sets": {"a": found},
    }
    page = as_markdown(results, stem="out")
    assert "| model2vec 0.10.0, classifier | not run |" in page
    assert "cannot be installed: no network" in page
    assert "| **`fast`, text only** |" in page


def test_pictures_are_the_same_for_the_same_figures(found, tmp_path):
    for name in ("one", "two"):
        plot_apgr({"sets": {"a": found, "b": found}}, tmp_path / f"{name}-apgr.svg")
        plot_curves(found, tmp_path / f"{name}-curves.svg")
    for what in ("apgr", "curves"):
        first, second = ((tmp_path / f"{name}-{what}.svg").read_bytes() for name in ("one", "two"))
        assert first == second
        assert b"<svg" in first


def test_given_scores_are_taken_for_the_same_requests_alone():
    """Same ids and folds but other outcomes are another set."""
    rng = np.random.default_rng(0)
    ids, fold = list("abcd"), np.array([0, 1, 0, 1])
    data = BenchmarkSet(ids, np.zeros(4), np.ones(4), fold, np.array(ids), np.array([""] * 4))
    arrays = {
        "id": np.array(ids),
        "cheap": np.zeros(4),
        "frontier": np.ones(4),
        "fold": fold,
        "score__routellm_sw": rng.random(4),
    }
    assert _same_requests(arrays, data)
    assert not _same_requests(arrays | {"cheap": np.ones(4)}, data)
    assert not _same_requests(arrays | {"fold": np.zeros(4)}, data)
    assert not _same_requests(arrays | {"id": np.array(list("abdc"))}, data)
