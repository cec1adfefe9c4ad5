"""Scores of traffic are those that serving gives, in whatever parts they are made."""

import numpy as np
import pytest

import difficulty.stages.deploying.traffic_scores as scores_module
from difficulty.bundle import read_bundle
from difficulty.runtime.scorer import Scorer
from difficulty.stages.deploying.traffic_scores import score_traffic
from difficulty.traffic.table import Traffic


@pytest.fixture(scope="module")
def scorer(journey):
    return Scorer.from_bundle(read_bundle(journey.bundle))


@pytest.fixture(scope="module")
def traffic(journey):
    return Traffic.read(journey.traffic).select(np.arange(50))


@pytest.mark.parametrize("rows", [1, 7, 50, 51])
def test_parts_do_not_change_what_comes_out(scorer, traffic, monkeypatch, rows):
    whole, told = score_traffic(scorer, traffic, without_task=True), []
    monkeypatch.setattr(scores_module, "BLOCK_ROWS", rows)
    parts = score_traffic(scorer, traffic, without_task=True, progress=told.append)
    for name, values in whole.outputs.items():
        np.testing.assert_allclose(parts.outputs[name], values, atol=1e-5)
    np.testing.assert_allclose(parts.without_task, whole.without_task, atol=1e-6)
    assert (parts.totals.tolist(), parts.reading) == (whole.totals.tolist(), whole.reading)
    assert told == sorted(told)
    assert len(told) == max(0, -(-50 // rows) - 3)


def test_scores_are_those_of_single_requests(scorer, traffic):
    found = score_traffic(scorer, traffic, without_task=True)
    for row, (messages, task) in enumerate(zip(traffic.messages(), traffic.tasks, strict=True)):
        assert found.outputs["difficulty_score"][row] == pytest.approx(
            scorer.score(messages, task).difficulty_score, abs=1e-6
        )
        assert found.without_task[row] == pytest.approx(
            scorer.score(messages).difficulty_score, abs=1e-6
        )
        assert found.totals[row] == scorer.encode(messages, task).tokens


def test_tasks_are_left_out_only_where_asked(scorer, traffic):
    assert score_traffic(scorer, traffic).without_task is None


def test_error_while_scoring_is_raised(scorer, traffic, monkeypatch):
    """It happens on another thread."""

    def fail(rows):
        raise MemoryError("no memory")

    monkeypatch.setattr(scorer, "score_many", fail)
    with pytest.raises(MemoryError, match="no memory"):
        score_traffic(scorer, traffic)
