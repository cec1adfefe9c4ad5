import numpy as np
import pytest

from benchmarks.lib.protocol import read_traffic
from benchmarks.lib.trained import Training
from benchmarks.no_signal import Case, one_round, verdicts
from difficulty.diagnostics.signal import Signal
from difficulty.training.shipped import find_recipe, shipped_file

pytestmark = pytest.mark.long

CASE = Case(source="sample", size=600, shuffled=False, with_task=True, repeats=2)
SHUFFLED = Case(source="sample", size=600, shuffled=True, with_task=False, repeats=2)


@pytest.fixture(scope="module")
def sample():
    return read_traffic(shipped_file("data/sample.jsonl.gz"))


def test_shuffled_outcomes_are_the_same_pairs_on_other_requests(sample):
    rng = np.random.default_rng(0)
    plain, shuffled = CASE.traffic(sample, np.random.default_rng(0)), SHUFFLED.traffic(sample, rng)
    assert plain.ids == shuffled.ids
    assert set(shuffled.tasks) == {None}
    pairs = [
        np.stack([one.outcomes.cheap_quality, one.outcomes.frontier_quality])
        for one in (plain, shuffled)
    ]
    assert sorted(map(str, pairs[0].T)) == sorted(map(str, pairs[1].T))
    assert (pairs[0] != pairs[1]).any()


@pytest.mark.slow
def test_real_outcomes_pass_and_refused_traffic_counts_as_not_shipped(sample):
    """Of 600 samples the score learns the task at least; 40 are too few to train on."""
    training = Training.of(find_recipe("fast"))
    signals = one_round(CASE, sample, training, first_seed=0)
    assert verdicts(CASE, 600, signals).shipped.count == 2
    few = Case(source="sample", size=40, shuffled=False, with_task=True, repeats=1)
    said = verdicts(few, 40, one_round(few, sample, training, first_seed=0))
    assert (said.refused, said.shipped.count, said.shipped.n, said.p_values) == (1, 0, 1, [])


def test_verdicts_are_counted_by_the_rule():
    said = [Signal(n=9, p_value=p_value) for p_value in (0.01, 0.05, 0.5, 1.0)]
    found = verdicts(CASE, 9, [*said, None])
    assert (found.clear.count, found.shipped.count, found.shipped.n, found.refused) == (1, 2, 5, 1)
    assert found.p_values == [0.01, 0.05, 0.5, 1.0]
