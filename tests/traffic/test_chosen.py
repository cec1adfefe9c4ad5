"""Weights that undo which requests were chosen for labelling."""

import numpy as np
import pytest

from difficulty.recipe import LabelSettings
from difficulty.traffic.logged import weigh_logged
from difficulty.traffic.table import Traffic
from tests.traffic.test_logged import seen, traffic_of

BOTH = {"cheap_quality": 1.0, "frontier_quality": 0.0}


def weighed(folder, rows):
    return weigh_logged(traffic_of(folder, rows), LabelSettings())


def test_weights_by_hand(tmp_path):
    """1 / inclusion is 2 and 4, a row that was labelled anyway stands for itself: the mean of the
    three is 7/3. Of requests that nobody chose the weight is 1.
    """
    rows = [BOTH | {"inclusion": 0.5}, BOTH | {"inclusion": 0.25}, BOTH, {}, {"task": "x"}]
    traffic, report = weighed(tmp_path, rows)
    assert traffic.outcomes.weight == pytest.approx(np.array([6, 12, 3, 7, 7]) / 7)
    assert (report.chosen, report.weighted) == (2, 0)
    assert report.chosen_worth == pytest.approx(7**2 / 21, abs=0.05)
    assert report.effective["cheap"] == report.chosen_worth
    assert report.notes[0].startswith("2 requests were chosen for labelling")
    assert len(report.notes) == 1


def test_requests_count_once_where_all_of_them_are_there(tmp_path):
    """A file with requests that nobody chose is the whole traffic; one of labelled requests alone
    is not.
    """
    labelled = [BOTH | {"inclusion": 0.5}, BOTH | {"inclusion": 0.25}]
    outcomes = weighed(tmp_path, [*labelled, {}])[0].outcomes
    assert outcomes.weight * outcomes.per_request == pytest.approx(np.ones(3))
    outcomes = weighed(tmp_path, labelled)[0].outcomes
    assert outcomes.weight * outcomes.per_request == pytest.approx([2 / 3, 4 / 3])
    assert outcomes[np.array([1])].request_weight == pytest.approx([4 / 3])


def test_a_chosen_request_without_outcome_is_no_request_that_nobody_chose(tmp_path):
    rows = [BOTH | {"inclusion": 0.5}, BOTH | {"inclusion": 0.25}, {"inclusion": 0.5}]
    outcomes = weighed(tmp_path, rows)[0].outcomes
    assert outcomes.request_weight == pytest.approx([2 / 3, 4 / 3, 2 / 3])


def test_it_multiplies_sample_weights_and_propensities(tmp_path):
    """Inverse inclusion times sample weight is 2, 12 and 4 (mean over weights 3); inverse
    propensity makes 4, 48 and 8 of that.
    """
    rows = [
        seen("cheap", 0.5) | {"inclusion": 0.5},
        seen("cheap", 0.25) | {"inclusion": 0.25, "weight": 3},
        seen("cheap", 0.5) | {"inclusion": 0.25},
    ]
    traffic, report = weighed(tmp_path, rows)
    weight = traffic.outcomes.weight
    assert weight / weight[0] == pytest.approx([1, 12, 2])
    assert (report.chosen, report.weighted, len(report.notes)) == (3, 3, 2)


@pytest.mark.parametrize("rows", [[BOTH, {}], [{"inclusion": 0.5}, {}]])
def test_nothing_is_weighted_without_a_chosen_outcome(tmp_path, rows):
    traffic, report = weighed(tmp_path, rows)
    assert report is None
    assert (traffic.outcomes.weight == 1).all()


def test_it_is_written_read_and_part_of_the_hash(tmp_path):
    plain = traffic_of(tmp_path, [BOTH, BOTH])
    before = plain.data_hash
    chosen = plain.with_columns({"inclusion": [0.5, None]})
    assert chosen.data_hash != before
    chosen.write(tmp_path / "chosen.parquet")
    again = Traffic.read(tmp_path / "chosen.parquet")
    assert again.column("inclusion") == [0.5, None]
    assert again.data_hash == chosen.data_hash
    assert again.with_columns({"inclusion": [None, None]}).data_hash == before


def test_a_subset_keeps_its_weights(tmp_path):
    rows = [BOTH | {"inclusion": 0.5}, BOTH | {"inclusion": 0.25}, {}]
    traffic = weighed(tmp_path, rows)[0]
    picked = traffic.select([1, 2]).without_outcomes(np.array([False, True])).outcomes
    assert picked.weight == pytest.approx(traffic.outcomes.weight[[1, 2]])
    assert picked.request_weight == pytest.approx([1, 1])
