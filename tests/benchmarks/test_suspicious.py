from dataclasses import asdict, replace

import numpy as np
import pytest

from benchmarks.lib.protocol import read_traffic
from benchmarks.lib.trained import Training, changed
from benchmarks.suspicious import SAMPLE, Found, Judge, OnMmlu, OnSample, as_markdown, turned
from difficulty.training.shipped import find_recipe, shipped_file

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def traffic():
    """A fifth of the sample traffic."""
    whole = read_traffic(shipped_file("data/sample.jsonl.gz"))
    return whole.select(np.arange(0, len(whole), 5))


@pytest.fixture(scope="module")
def training():
    """Recipe ``fast`` made small: fewer n-grams, two folds, no more."""
    recipe = find_recipe("fast")
    ngrams = replace(recipe.features.ngrams, buckets=4096)
    small = replace(recipe, folds=2, features=replace(recipe.features, ngrams=ngrams))
    return Training.of(small)


def test_changed_columns_take_the_place_of_the_traffics_own(traffic):
    other = changed(traffic, task=[None] * len(traffic), cheap_quality=np.full(len(traffic), 0.25))
    assert set(other.tasks) == {None}
    assert set(other.outcomes.cheap_quality) == {0.25}
    assert other.ids == traffic.ids
    np.testing.assert_array_equal(
        other.outcomes.frontier_quality, traffic.outcomes.frontier_quality
    )


@pytest.mark.parametrize("model", ["cheap", "frontier"])
def test_turned_labels_are_those_that_changed(traffic, model):
    """A tenth of the labels that are not 0.5, of one model alone."""
    noisy, wrong = turned(traffic, model, 0.1, seed=0)
    (before, after) = (getattr(one.outcomes, f"{model}_quality") for one in (traffic, noisy))
    differ = ~np.isnan(before) & (before != after)
    assert {traffic.ids[row] for row in np.flatnonzero(differ)} == wrong.ids
    np.testing.assert_allclose(after[differ], 1 - before[differ])
    assert len(wrong.ids) == round(0.1 * (~np.isnan(before) & (before != 0.5)).sum())


def test_report_of_a_run_is_compared_with_what_is_known(traffic, training):
    """Turned labels are on the list more often than others, and the test samples' figures are those
    of the clean outcomes.
    """
    noisy, wrong = turned(traffic, "frontier", 0.1, seed=0)
    run = training.run(noisy, seed=0)
    found = Found.of(SAMPLE, run, 0, wrong)
    listed = run.listed("row", "frontier")
    assert found.row_precision.count == found.row_recall.count == len(listed & wrong.ids)
    assert (found.row_precision.n, found.row_recall.n) == (len(listed), len(wrong.ids))
    assert found.row_precision.value > 0.2
    rows = [traffic.ids.index(name) for name in run.ids]
    judge, failed = Judge.of(traffic), 1 - traffic.outcomes.cheap_quality[rows]
    brier = judge.brier(run)(np.ones(len(traffic)))
    assert brier == pytest.approx(np.nanmean((run.p_cheap_fails - failed) ** 2))
    (same,) = [judge.compared("a setting", "Brier score", [judge.brier(run)], [judge.brier(run)])]
    assert same.difference.value == same.difference.low == same.difference.high == 0.0
    assert same.before.low < brier < same.before.high


@pytest.mark.slow
def test_factor_on_rows_changes_the_scores(traffic, training):
    noisy, _ = turned(traffic, "cheap", 0.2, seed=0)
    plain, again, weighted = (
        training.run(noisy, seed=0, row_weight=factor) for factor in (1.0, 1.0, 0.3)
    )
    np.testing.assert_array_equal(plain.with_task, again.with_task)
    assert plain.ids == weighted.ids
    assert np.abs(plain.with_task - weighted.with_task).max() > 0.001


@pytest.mark.slow
def test_page_has_a_line_for_each_kind_of_traffic_and_each_comparison(traffic, training):
    """Two halves of the benchmark on small traffic, the task "code" in the place of the broken
    one.
    """
    sample, mmlu = OnSample(traffic), OnMmlu(traffic, broken="code")
    found = [*sample.run(training, 0), *mmlu.run(training, 0)]
    compared = [*sample.compared(), *mmlu.compared()]
    form = {"date": "2026-11-27", "recipe": "fast", "command": "x"}
    page = as_markdown(
        form
        | {
            name: [asdict(one) for one in each]
            for name, each in (("found", found), ("compared", compared))
        }
    )
    assert len(found) == 6
    assert page.count("| the synthetic sample |") == 8
    assert page.count("`group_weight = 0.1`") == 3
    assert "10% of the frontier labels turned round" in page
