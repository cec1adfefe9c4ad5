import gzip
import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.cold_start import (
    Cold,
    as_markdown,
    few,
    labels_of,
    means_of,
    priors_of,
    without_labels,
)
from benchmarks.lib.protocol import BenchmarkSet, read_traffic
from benchmarks.lib.recipes import Trainer
from difficulty.training.shipped import find_recipe
from tests.conftest import REPOSITORY


def test_labelled_are_whole_groups_and_as_many_as_asked_or_a_group_more():
    groups = np.array([f"g{i // 3}" for i in range(90)])
    for seed in range(5):
        chosen = labels_of(groups, 20, seed)
        assert 20 <= chosen.sum() < 23
        assert all(len({*chosen[groups == name]}) == 1 for name in np.unique(groups))
    assert not np.array_equal(labels_of(groups, 20, 0), labels_of(groups, 20, 1))


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Parts of the sample traffic in the place of three sets of two sources."""
    trainer = Trainer.of(find_recipe("fast"))
    with gzip.open(REPOSITORY / "data" / "sample.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    rows = [row for row in rows if row["cheap_quality"] is not None]
    rows = [row for row in rows if row["frontier_quality"] is not None]
    found = []
    for place, name in enumerate(("one__a", "one__b", "other")):
        path = tmp_path_factory.mktemp("cold") / f"{name}.jsonl"
        part = rows[place :: len(rows) // 320][:320]
        path.write_text("\n".join(map(json.dumps, part)), encoding="utf-8")
        traffic = read_traffic(path)
        data = BenchmarkSet.of(traffic).in_one_fold()
        found.append(Cold(name, name.upper(), traffic, trainer.tokenize(traffic), data))
    return found, trainer


def test_prior_knows_no_set_of_its_own_source(sets):
    """Outcomes of one__b turned round move what is said of the other source, and nothing that is
    said of one__a.
    """
    (first, second, other), trainer = sets
    turned = replace(second.data, cheap=second.data.frontier, frontier=second.data.cheap)
    one = priors_of([first, second, other], trainer)
    two = priors_of([first, replace(second, data=turned), other], trainer)
    assert np.array_equal(one["one__a"], two["one__a"])
    assert not np.array_equal(one["other"], two["other"])


def test_sources_count_once_in_the_mean_over_sets():
    """Gains 0.02 and 0.04 of one source and 0.01 of another have the mean (0.03 + 0.01) / 2."""
    rows = [
        {"set": "one__a", "labels": 50, "minus": [0.02, 0.003]},
        {"set": "one__b", "labels": 50, "minus": [0.04, 0.005]},
        {"set": "two", "labels": 50, "minus": [0.01, 0.003]},
    ]
    ((size, value, error, n),) = means_of(rows)
    assert (size, n) == (50, 2)
    assert (value, error) == (pytest.approx(0.02), pytest.approx(0.0025))


def test_page_states_both_parts(sets):
    parts, trainer = sets
    priors = priors_of(parts, trainer)
    none = without_labels(parts, priors, n_draws=20)
    assert none["sources"] == 2
    rows = list(few(parts[2], 50, priors["other"], trainer, 2))
    assert list(few(parts[2], 200, priors["other"], trainer, 2)) == []  # too few left to judge
    results = {"date": "2026-11-28", "labels_drawn": 2, "none": none, "few": rows}
    page = as_markdown(results)
    assert "| **mean of 2 sources** |" in page
    assert "| OTHER | 50 |" in page
