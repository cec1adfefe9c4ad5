"""Fit samples in other clothes."""

import numpy as np
import pytest

from difficulty.errors import RecipeError
from difficulty.perturb import PERTURBATIONS
from difficulty.recipe import AugmentSettings
from difficulty.stages.ingest import ingest
from difficulty.traffic.table import Traffic
from difficulty.training.wrapping import wrap_some
from tests.journey import write_rows


@pytest.fixture(scope="module")
def traffic(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wrapping")
    rows = [
        {"id": f"r{n}", "prompt": f"Which number follows {n}?", "cheap_quality": n % 2}
        for n in range(200)
    ]
    ingest([write_rows(folder / "in.jsonl", rows)], folder / "out.parquet", near_duplicates=False)
    return Traffic.read(folder / "out.parquet")


def test_share_of_the_rows_that_may_be_wrapped_is(traffic):
    """Of 100 rows 40; the other 100 stay, and so do ids and outcomes."""
    rows = np.arange(100)
    settings = AugmentSettings(share=0.4, perturbations=("polite", "reminder"))
    wrapped = wrap_some(traffic, rows, settings, seed=0)
    changed = [new != old for new, old in zip(wrapped.messages(), traffic.messages(), strict=True)]
    assert (sum(changed[:100]), sum(changed[100:])) == (40, 0)
    assert wrapped.ids == traffic.ids
    assert np.array_equal(wrapped.outcomes.cheap_quality, traffic.outcomes.cheap_quality)
    assert wrap_some(traffic, rows, settings, seed=0).messages() == wrapped.messages()


def test_no_names_are_all(traffic):
    wrapped = wrap_some(traffic, np.arange(200), AugmentSettings(share=1.0), seed=0)
    texts = ["\n".join(m["content"] for m in messages) for messages in wrapped.messages()]
    assert any("system-reminder" in text for text in texts)
    assert any(text.isupper() for text in texts)


def test_unknown_names_are_refused_with_those_that_are_known(traffic):
    with pytest.raises(RecipeError, match=f"got 'shouting'. Known: {[*PERTURBATIONS][0]}"):
        wrap_some(traffic, np.arange(9), AugmentSettings(perturbations=("shouting",)), seed=0)
