import numpy as np
import pytest

from benchmarks.lib.judge import Judged, judge
from benchmarks.lib.means import means_of
from benchmarks.lib.methods import Scored
from benchmarks.lib.protocol import BenchmarkSet, draw
from benchmarks.lib.report import as_markdown, short_table


def made_set(n, seed, *, tasks=("a", "b"), names=None):
    rng = np.random.default_rng(seed)
    cheap = (rng.random(n) < 0.6).astype(float)
    return BenchmarkSet(
        ids=[str(i) for i in range(n)],
        cheap=cheap,
        frontier=np.maximum(cheap, rng.random(n) < 0.7),
        fold=np.arange(n) % 5,
        groups=np.asarray(names if names is not None else [f"{seed} {i}" for i in range(n)]),
        tasks=np.array([tasks[i % len(tasks)] for i in range(n)]),
    )


def judged(data, seed, *, told=True, peer=False):
    rng = np.random.default_rng(seed)
    good = data.gain + rng.normal(size=len(data))
    methods = [
        Scored("fast", "ours", good),
        *([Scored("fast_task", "ours", good + data.gain)] if told else []),
        *([Scored("model2vec", "peer", rng.random(len(data)))] if peer else []),
        Scored("length", "reference", rng.random(len(data))),
        Scored("tfidf", "reference", good + rng.normal(size=len(data))),
    ]
    return judge(data, methods, n_draws=40)


@pytest.fixture(scope="module")
def sets():
    """Two sets with two tasks, one of which a peer was run on, and one without tasks."""
    return {
        "mmlu": judged(made_set(300, 0), 0, peer=True),
        "bfcl": judged(made_set(200, 1), 1, peer=True),
        "gsm8k": judged(made_set(250, 2, tasks=("",)), 2, told=False),
    }


def value(judged_set, name):
    return judged_set.figures["methods"][name]["apgr"]["value"]


def test_mean_of_a_told_method_takes_the_text_where_there_is_one_task(sets):
    whole = means_of(sets)[0]
    assert whole["sets"] == ["mmlu", "bfcl", "gsm8k"]
    told = [value(sets["mmlu"], "fast_task"), value(sets["bfcl"], "fast_task")]
    expected = np.mean([*told, value(sets["gsm8k"], "fast")])
    mean = whole["methods"]["fast_task"]["apgr"]
    assert mean["value"] == pytest.approx(expected)
    assert mean["low"] < mean["value"] < mean["high"]


def test_peers_have_a_mean_over_the_sets_that_they_were_run_on(sets):
    whole, beside = means_of(sets)
    assert "model2vec" not in whole["methods"]
    assert beside["sets"] == ["mmlu", "bfcl"]
    assert "model2vec" in beside["methods"]


def test_differences_are_paired_and_the_best_reference_has_the_best_mean(sets):
    whole = means_of(sets)[0]
    assert whole["best_plain"] == "tfidf"
    minus = whole["differences"]["fast"]["tfidf"]
    methods = whole["methods"]
    apart = methods["fast"]["apgr"]["value"] - methods["tfidf"]["apgr"]["value"]
    assert minus["value"] == pytest.approx(apart)
    spans = [minus, methods["fast"]["apgr"], methods["tfidf"]["apgr"]]
    assert spans[0]["high"] - spans[0]["low"] < sum(one["high"] - one["low"] for one in spans[1:])


def test_sets_of_the_same_requests_share_their_draws():
    """Three pairs of models on the same tool calls are luck with the same requests."""
    names = [f"g{i // 2}" for i in range(100)]
    one, other = (made_set(100, seed, names=names) for seed in (3, 4))
    count = {"first": lambda weight: weight[..., 0]}
    assert np.array_equal(*(draw(count, data.groups, n_draws=50)["first"] for data in (one, other)))
    apart = draw(count, made_set(100, 5).groups, n_draws=50)["first"]
    assert not np.array_equal(apart, draw(count, one.groups, n_draws=50)["first"])


def test_what_is_judged_is_read_back_as_it_was(sets):
    again = Judged.from_arrays(sets["mmlu"].as_arrays())
    assert again.figures == sets["mmlu"].figures
    assert {*again.apgr} == {*sets["mmlu"].apgr}
    assert np.array_equal(again.apgr["fast"]["apgr"], sets["mmlu"].apgr["fast"]["apgr"])


def test_page_begins_with_five_rows(sets):
    results = {
        "date": "2026-11-28",
        "command": "x",
        "n_draws": 40,
        "versions": {"Python": "3.11"},
        "means": means_of(sets),
        "sets": {name: {"title": name.upper()} | one.figures for name, one in sets.items()},
    }
    rows = short_table(results)[2:]
    assert [row.split(" |")[0] for row in rows] == [
        "| **`fast`, task told**",
        "| **`fast`, text only**",
        "| TF-IDF, difference of two logistic models",
        "| model2vec 0.10.0, classifier",
        "| length of the request",
    ]
    assert as_markdown(results, stem="out").count("## Means over sets") == 1
