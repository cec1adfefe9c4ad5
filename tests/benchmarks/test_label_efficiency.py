import numpy as np
import pytest

from benchmarks.label_efficiency import kept, light_curves, paired, sizes_of, told_draw
from benchmarks.lib.label_page import as_markdown
from benchmarks.lib.label_rivals import TAKING, TELLING, LightSet, Situation, k_center
from benchmarks.lib.protocol import BenchmarkSet


@pytest.fixture(scope="module")
def light():
    """400 requests on a circle, whose cheap answers fail on one side of it."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 400)
    vectors = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    cheap = (rng.random(400) < np.where(vectors[:, 0] > 0, 0.9, 0.3)).astype(float)
    frontier = (rng.random(400) < 0.9).astype(float)
    names = np.arange(400).astype(str)
    data = BenchmarkSet(
        names.tolist(), cheap, frontier, np.arange(400) % 5, names, np.full(400, "")
    )
    return LightSet(data, vectors)


def situation(light, rows):
    free = np.setdiff1d(np.arange(400), rows)
    clusters = (np.arange(len(free)) % 4).astype(np.intp)
    heads = light.fit(rows) if len(rows) else None
    return Situation(light.vectors[free], light, rows, heads, clusters, np.random.default_rng(0))


def test_light_heads_learn_the_side(light):
    assert light.apgr(light.fit(np.arange(0, 400, 2)), np.arange(1, 400, 2)) > 0.6


@pytest.mark.parametrize("name", TELLING)
def test_every_telling_part_is_drawn_with_weights_that_hold_for_all(light, name):
    """Of many draws the weights sum to the requests, on average."""
    now = situation(light, np.arange(30))
    telling = TELLING[name](now)
    sums = []
    for seed in range(40):
        other = Situation(
            now.vectors, light, now.rows, now.heads, now.clusters, np.random.default_rng(seed)
        )
        picked, weights = told_draw(other, telling, 40, np.full(30, 400 / 30))
        assert len(picked) == 40
        sums.append(weights.sum())
    assert np.mean(sums) == pytest.approx(400, rel=0.03)


@pytest.mark.parametrize("name", TAKING)
def test_every_taking_method_takes_different_requests(light, name):
    taken = TAKING[name](situation(light, np.arange(30)), 25)
    assert len(set(taken.tolist())) == 25


def test_k_center_takes_the_farthest_first(light):
    now = situation(light, np.array([0]))
    first = k_center(now, 1)[0]
    assert now.vectors[first] @ light.vectors[0] == pytest.approx(-1.0, abs=0.01)


def test_paired_by_hand():
    """Differences 1 and 3: mean 2, standard error 1, t(0.975, 1) = 12.71."""
    assert paired([1.0, 3.0]) == pytest.approx([2.0, 2 - 12.706, 2 + 12.706], abs=1e-3)


def test_what_was_made_is_kept(tmp_path):
    assert kept(tmp_path, "a/b", lambda: [1]) == [1]
    assert kept(tmp_path, "a/b", lambda: [2]) == [1]


def test_page_has_the_parts_that_were_made(light):
    assert sizes_of(11_000) == (300, 1000, 3000)
    curves = light_curves(light, 0)
    assert set(curves) == {150, 300}
    by = {
        n: {name: [value, 0.0, 0.0, 0.0] for name, value in of.items()} for n, of in curves.items()
    }
    kind = {"random": 0.6, "label - random": [0.01, -0.02, 0.04]}
    fast = {"mmlu": [{"labels": 300, "text only": kind, "task told": kind}]}
    figure = {"gap": {"truth": 0.1, "mean": 0.11, "held": 0.95, "replays": 300}}
    page = as_markdown(
        {"seeds": 5, "light_seeds": 2, "fast": fast, "light": {"mmlu": by, "x": by}}
        | {"replays": figure}
    )
    assert "| mmlu | 300 | 0.600 | +0.010 [-0.020, +0.040] |" in page
    assert "| `gap` | 0.1000 | 0.1100 | 0.950 |" in page
    assert "In 1 of 1 figures the interval holds the truth in 93 to 97 %" in page
    for name in (*TELLING, *TAKING):
        assert f"| {name} |" in page
