"""Baselines and task means."""

import dataclasses

import numpy as np
import pytest

from difficulty.errors import TooFewSamplesError
from difficulty.evaluation import TaskMeans
from difficulty.evaluation.baselines import baselines_of


def test_task_means_by_hand():
    """Unknown values are left out, unseen tasks get the mean of all."""
    means = TaskMeans.fit(
        ["code", "code", "extract", None],
        np.array([1.0, 0.0, np.nan, 0.25]),
        weight=np.array([3.0, 1.0, 1.0, 1.0]),
    )
    assert means.by_task == {"code": pytest.approx(0.75)}
    assert means.overall == pytest.approx(3.25 / 5)
    assert means.of(["code", "extract", None]) == pytest.approx([0.75, 0.65, 0.65])


def test_task_means_need_an_outcome():
    with pytest.raises(TooFewSamplesError, match="task means need a known outcome"):
        TaskMeans.fit(["code"], np.array([np.nan]))


def test_baselines_send_the_share_of_the_threshold(many):
    """Quality and cost compare at equal share only."""
    share = many.sent.mean()
    for name, baseline in baselines_of(
        many, task_means=TaskMeans.fit(many.tasks, many.outcomes.gain)
    ).items():
        if not name.startswith("always"):
            assert baseline.sent.mean() == pytest.approx(share), name


def test_the_oracle_sends_only_requests_it_knows(many):
    unknown = many.outcomes.frontier_quality.copy()
    unknown[:100] = np.nan
    scored = dataclasses.replace(
        many, outcomes=dataclasses.replace(many.outcomes, frontier_quality=unknown)
    )
    sent = baselines_of(scored)["oracle"].sent
    assert np.isnan(sent[:100]).all()
    assert not np.isnan(sent[100:]).any()
