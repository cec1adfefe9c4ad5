import gzip
import json

import numpy as np
import pytest

from benchmarks.familiarity import as_markdown, measured, recovered_at
from benchmarks.lib.protocol import BenchmarkSet, read_traffic
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.long


def outcomes(gain):
    n, gain = len(gain), np.array(gain)
    names = np.arange(n).astype(str)
    return BenchmarkSet(
        names.tolist(),
        1 - np.maximum(gain, 0),
        1 + np.minimum(gain, 0),
        np.zeros(n, dtype=int),
        names,
        names,
    )


def test_recovered_share_is_that_of_the_highest_scores():
    """Of five requests two are won; three fifths of the traffic is the first three."""
    data = outcomes([1.0, 0.0, 0.0, 1.0, 0.0])
    found = [
        recovered_at(np.array(score), data, share=0.6)
        for score in ([5.0, 4, 3, 2, 1], [5.0, 4, 1, 3, 2], [1.0, 5, 4, 2, 3])
    ]
    assert [float(statistic(np.ones(5))) for statistic in found] == pytest.approx([0.5, 1.0, 0.0])
    weight = np.array([[1.0, 1, 1, 1, 1], [2.0, 0.5, 0.5, 1, 1]])
    np.testing.assert_allclose(found[0](weight), [0.5, 2 / 3])


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """Half of the sample traffic, its six tasks made twelve: from eight on some are left out."""
    with gzip.open(REPOSITORY / "data" / "sample.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines][::2]
    for number, row in enumerate(rows):
        row["task"] += f" {number % 2}"
    path = tmp_path_factory.mktemp("benchmark") / "sample.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return read_traffic(path)


@pytest.fixture(scope="module")
def results(sample):
    return measured(sample, recipe="fast", n_seeds=2)


def test_bounds_cost_what_the_unfamiliar_take_from_the_score(results):
    known = results["known"]
    assert [row["bound"] for row in known][:3] == [0.0, 0.02, 0.05]
    assert known[0]["difference"] is None
    shares = [row["unfamiliar_share"] for row in known]
    assert shares == sorted(shares)
    assert shares[0] == 0.0 < shares[-1] < results["share"]
    for row in known[1:]:
        assert row["difference"]["value"] == pytest.approx(
            row["recovered"]["value"] - known[0]["recovered"]["value"]
        )


def test_page_names_every_bound_and_how_often_each_was_recommended(results):
    assert len(results["recommended"]) == 2
    assert results["unseen"]
    page = as_markdown(results)
    for row in (*results["known"], *results["unseen"]):
        assert f"| {row['bound']:g} | " in page
    assert "Recommended: " in page


def test_too_few_tasks_are_said_to_be_too_few(results):
    few = {
        **results,
        "unseen": [],
        "known_lift": None,
        "sentence": "No --min-familiarity is recommended: the traffic names 6 tasks.",
    }
    assert as_markdown(few).rstrip().endswith("the traffic names 6 tasks.")
