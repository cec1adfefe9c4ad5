"""The heads that were tried on frozen embeddings, on made-up ones where one number decides."""

import numpy as np
import pytest

from benchmarks.inside_tasks import VARIANTS, Known, as_page, judged, row_of
from benchmarks.lib.protocol import BenchmarkSet


@pytest.fixture(scope="module")
def known():
    """Two tasks; in both the first number of a unit vector decides how the cheap model does."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(300, 6))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cheap = (rng.random(300) < np.where(vectors[:, 0] > 0, 0.1, 0.9)).astype(float)
    data = BenchmarkSet(
        ids=[str(number) for number in range(300)],
        cheap=cheap,
        frontier=(rng.random(300) < 0.9).astype(float),
        fold=np.arange(300) % 3,
        groups=np.array([f"g{number}" for number in range(300)]),
        tasks=np.where(np.arange(300) % 2, "a", "b"),
    )
    return Known(vectors, data, [data.gain])


@pytest.mark.parametrize("name", VARIANTS)
def test_every_head_finds_what_decides(known, name):
    apgr, draws, inside = judged(known, VARIANTS[name][0])
    assert apgr > 0.6
    assert inside > 0.7
    assert np.isfinite(draws).all()


def test_page_says_how_many_were_tried_and_how_far_each_is_from_its_plain_form():
    draws = np.linspace(-0.01, 0.03, 101)
    figures = {"plain": {"set": (0.5, 0 * draws, 0.5)}, "new": {"set": (0.51, draws, 0.55)}}
    rows = [row_of(name, "plain", figures) for name in ("plain", "new")]
    page = as_page(rows, ["set"])
    assert page.splitlines()[2].startswith("1 variants of one head")
    assert "| new | 0.5100 | +0.0100 [-0.0094, +0.0294] | 1 of 1 | 0.550 |" in page
