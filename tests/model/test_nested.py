from dataclasses import replace

import numpy as np
import pytest

from difficulty.channels.ngrams import NgramChannel
from difficulty.channels.task_columns import TaskChannel
from difficulty.metrics import auroc, rank_within
from difficulty.model.difficulty import DifficultyModel
from difficulty.model.nested import nested_logits, nested_scores
from tests.fakes import VOCABULARY, labelled_tokens, with_tasks

N = 900


def folds(n=N, *, number=3):
    """Return folds of pairs, as the groups are."""
    return (np.arange(n) // 2) % number


def flipped(data, rows):
    """Return the requests with both outcomes of some rows turned round."""
    turned = np.isin(np.arange(len(data)), rows)
    cheap, frontier = data.outcomes.cheap_quality, data.outcomes.frontier_quality
    outcomes = replace(
        data.outcomes,
        cheap_quality=np.where(turned, 1 - cheap, cheap),
        frontier_quality=np.where(turned, 1 - frontier, frontier),
    )
    return replace(data, outcomes=outcomes)


def logits_of(data, channel=None):
    return nested_logits(channel or NgramChannel(len(VOCABULARY), buckets=256), data, folds())


def test_logits_depend_on_neither_the_asked_fold_nor_the_requests_own():
    """Turning round every outcome of fold 0 changes nothing in row 0, and nothing of fold 0's own
    requests in any row.
    """
    data = labelled_tokens(N)
    before, after = logits_of(data), logits_of(flipped(data, np.flatnonzero(folds() == 0)))
    own = folds() == 0
    for one, other in ((before.cheap, after.cheap), (before.frontier, after.frontier)):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[:, own], other[:, own])
        assert (one[1:][:, ~own] != other[1:][:, ~own]).all()


@pytest.mark.parametrize("target", ["benefit", "failure"])
def test_scores_of_a_fold_do_not_depend_on_its_outcomes(target):
    """Heads and the weights that combine them are fitted without the fold."""
    data, channel = labelled_tokens(N), NgramChannel(len(VOCABULARY), buckets=256)
    model, own = DifficultyModel([channel], target=target), folds() == 1
    turned = flipped(data, np.flatnonzero(own))
    before, after = (
        nested_scores(model, {"ngrams": logits_of(some, channel)}, some, folds()).without_task
        for some in (data, turned)
    )
    np.testing.assert_array_equal(before[own], after[own])
    assert (before[~own] != after[~own]).all()
    assert auroc(rank_within(before, folds()), data.outcomes.cheap_failure) > 0.57


def test_scores_without_a_frontier_outcome():
    data = labelled_tokens(N, frontier=False)
    logits = logits_of(data)
    assert (logits.frontier == 0).all()
    model = DifficultyModel([NgramChannel(len(VOCABULARY), buckets=256)], target="failure")
    scores = nested_scores(model, {"ngrams": logits}, data, folds()).without_task
    assert auroc(rank_within(scores, folds()), data.outcomes.cheap_failure) > 0.57


def test_scores_read_the_task_where_it_is_known():
    data = with_tasks(labelled_tokens(N), seed=2)
    ngrams = NgramChannel(len(VOCABULARY), buckets=256)
    beside = TaskChannel(ngrams, ["easy", "hard", "middle"])
    model = DifficultyModel([ngrams], task_channels=[beside])
    scores = nested_scores(
        model, {one.name: logits_of(data, one) for one in (ngrams, beside)}, data, folds()
    )
    known = np.array([task is not None for task in data.tasks])
    assert 0 < known.sum() < N
    np.testing.assert_array_equal(scores.with_task[~known], scores.without_task[~known])
    failure = data.outcomes.cheap_failure
    assert (
        auroc(scores.with_task[known], failure[known])
        > auroc(scores.without_task[known], failure[known]) + 0.1
    )
