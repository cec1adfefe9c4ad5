"""Scores of traffic are those that serving gives, in whatever parts they are made."""

import numpy as np
import pytest

import difficulty.stages.deploying.traffic_scores as scores_module
from difficulty.bundle import read_bundle
from difficulty.errors import ScoringError
from difficulty.export.parity import golden_requests
from difficulty.runtime.scorer import Encoded, Scorer
from difficulty.stages.deploying.traffic_scores import (
    RequestReader,
    Wanted,
    quick_scorer,
    score_traffic,
)
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


def test_what_is_read_in_arrays_is_what_a_router_reads(journey, scorer):
    """Of the suite's texts, with a task that is known, one that is not, and none."""
    tasks = [None, *[*scorer.task_ids][:1], "a task nobody listed"]
    rows = [
        (request["messages"], task, request.get("tools"), None)
        for request in golden_requests(numbers=True)
        for task in tasks
    ]
    reader = RequestReader(scorer.view, scorer.tokenizer, scorer.task_ids, Wanted(numbers=False))
    read, tokens = reader(rows), reader(rows).tokens
    for place, (messages, task, tools, _) in enumerate(rows):
        try:
            encoded = scorer.encode(messages, task, tools)
        except ScoringError:
            encoded = Encoded([], 0)
        assert read.with_task[place] == encoded.ids
        assert tokens.ids[place] == encoded.without_task
        assert tokens.totals[place] == encoded.tokens
        assert (read.knows_task[place], tokens.shortened[place]) == encoded[3:1:-1]
        assert tokens.masked[place] == (encoded.masked_share > 0 and not encoded.truncated)


def test_quicker_form_gives_the_same_numbers(journey, traffic, monkeypatch):
    bundle = read_bundle(journey.bundle)
    monkeypatch.setattr(scores_module, "_MANY_SCORED", 50)
    quick = quick_scorer(bundle, 50)
    assert type(quick.graph) is not type(quick_scorer(bundle, 49).graph)
    whole = score_traffic(Scorer.from_bundle(bundle), traffic).outputs
    for name, values in score_traffic(quick, traffic).outputs.items():
        np.testing.assert_allclose(values, whole[name], atol=1e-6)


@pytest.mark.slow  # starts a process for each core
def test_processes_read_the_same(journey, scorer, traffic, monkeypatch):
    monkeypatch.setattr(scores_module, "BLOCK_ROWS", 16)
    here = score_traffic(scorer, traffic, sliced=True)
    monkeypatch.setattr(scores_module, "_MANY_ROWS", 1)
    there = score_traffic(scorer, traffic, sliced=True)
    assert (there.labels, there.reading) == (here.labels, here.reading)
    for name, values in here.outputs.items():
        assert there.outputs[name].tolist() == values.tolist()
