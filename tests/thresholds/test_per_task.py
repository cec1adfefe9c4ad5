import numpy as np
import pytest

from difficulty.errors import InvalidValueError, NotAttainableError
from difficulty.metrics import Resampling
from difficulty.thresholds.point import choose_per_task
from difficulty.thresholds.policy_curve import parse_objective
from tests.thresholds.conftest import NAN, scored, sent_at


def two_tasks(sizes=(1000, 1000), *, seed=0, names=("code", "chat"), **more):
    """Return requests of two tasks; the scores of the first are in the upper half, and it fails as
    often as twice the score minus 1.
    """
    rng = np.random.default_rng(seed)
    score = np.r_[0.5 + rng.random(sizes[0]) / 2, rng.random(sizes[1]) / 2]
    fails = np.r_[
        rng.random(sizes[0]) < 2 * score[: sizes[0]] - 1,
        rng.random(sizes[1]) < 2 * score[sizes[0] :],
    ]
    tasks = [names[0]] * sizes[0] + [names[1]] * sizes[1]
    return scored(score, cheap=1.0 - fails, gain=fails.astype(float), tasks=tasks, **more)


def chosen(traffic, objective):
    return choose_per_task(traffic, parse_objective(objective), Resampling(20))


def share_of(traffic, point, task):
    inside = np.array([one == task for one in traffic.tasks])
    return sent_at(traffic, point.threshold, point.task_thresholds)[inside].mean()


def test_share_is_met_in_each_task():
    """One threshold for both would send only code; with their own each sends about 30 %."""
    traffic = two_tasks()
    point = chosen(traffic, "share=0.3")
    assert share_of(traffic, point, "code") == pytest.approx(0.3, abs=0.04)
    assert share_of(traffic, point, "chat") == pytest.approx(0.3, abs=0.08)
    assert point.objective == "share=0.3 per task"
    assert point.frontier_share.value == pytest.approx(0.3, abs=0.06)


def test_rare_task_is_pulled_towards_the_whole():
    """The threshold of a task with 20 samples lies between that of the whole and its own, nearer to
    the whole than with 1,000.
    """
    many, few = (chosen(two_tasks((size, 1000)), "share=0.3") for size in (1000, 20))
    own = float(np.quantile(0.5 + np.random.default_rng(0).random(1000) / 2, 0.7))
    assert abs(few.task_thresholds["code"] - own) > abs(many.task_thresholds["code"] - own)
    assert few.threshold < few.task_thresholds["code"] < own


def test_task_with_hardly_a_sample_has_the_threshold_of_the_whole():
    point = chosen(two_tasks((5, 1000)), "share=0.3")
    assert list(point.task_thresholds) == ["chat"]


def test_task_in_which_the_objective_means_nothing_is_named():
    """The gap of a task in which the frontier model is never better cannot be recovered: the whole
    decides there.
    """
    traffic = two_tasks()
    rows = np.array([task == "chat" for task in traffic.tasks])
    traffic.outcomes.frontier_quality[rows] = traffic.outcomes.cheap_quality[rows] - 0.9
    traffic.outcomes.preferred_gain[rows] = -0.9
    point = chosen(traffic, "quality=0.5") if traffic.outcomes.gain.sum() > 0 else None
    if point:
        assert "chat" not in point.task_thresholds
        assert any("'chat'" in sentence for sentence in point.assumed)


def test_risk_is_promised_in_each_task():
    traffic = two_tasks()
    point = chosen(traffic, "risk=0.3")
    assert set(point.task_thresholds) == {"code", "chat"}
    assert point.task_thresholds["code"] < 0.8  # 2 s - 1 has a mean of 0.3 below it
    assert point.task_thresholds["chat"] < 0.3
    assert "at most 0.3 of the kept requests" in point.guarantee


def test_task_that_cannot_keep_the_promise_goes_to_the_frontier_model():
    """All of chat fails; a threshold of 0 sends it away."""
    traffic = two_tasks()
    rows = np.array([task == "chat" for task in traffic.tasks])
    traffic.outcomes.cheap_quality[rows] = 0.0
    point = chosen(traffic, "risk=0.3")
    assert point.task_thresholds["chat"] == 0.0
    assert share_of(traffic, point, "chat") == 1.0
    assert any("'chat' it cannot be shown" in sentence for sentence in point.assumed)


def test_rare_tasks_are_tested_together():
    """Two tasks of 80 samples share the threshold that both together allow."""
    rng = np.random.default_rng(0)
    score = rng.random(160)
    fails = rng.random(160) < score / 4
    traffic = scored(score, cheap=1.0 - fails, gain=fails.astype(float), tasks=["a", "b"] * 80)
    point = chosen(traffic, "risk=0.3")
    assert (point.task_thresholds, point.threshold > 0.5) == ({}, True)
    assert any("tested together" in sentence for sentence in point.assumed)


def test_promise_that_holds_in_no_task_is_not_attainable():
    traffic = two_tasks()
    traffic.outcomes.cheap_quality[:] = 0.0
    with pytest.raises(
        NotAttainableError, match="risk=0.3 cannot be shown in any task on 2,000 samples"
    ):
        chosen(traffic, "risk=0.3")


def test_thresholds_per_task_need_tasks():
    with pytest.raises(InvalidValueError, match="task must be known of some samples"):
        chosen(scored([0.2, 0.8], tasks=[None, None]), "share=0.3")


def test_fixed_routes_count_as_before():
    """Rows that a task rule decides stay where they are."""
    traffic = two_tasks(fixed=np.r_[np.full(1000, 1.0), np.full(1000, NAN)])
    point = chosen(traffic, "share=0.6")
    assert share_of(traffic, point, "code") == 1.0
    assert "code" not in point.task_thresholds


def with_easy_task(failing_share):
    """Return requests of a task that the rule keeps, failing in this share, beside two others."""
    traffic, n = two_tasks(), 600
    fails = np.arange(n) % 100 < 100 * failing_share
    easy = scored(
        np.linspace(0, 1, n),
        cheap=1.0 - fails,
        gain=fails.astype(float),
        fixed=np.zeros(n),
        tasks=["easy"] * n,
    )
    parts = (traffic, easy)
    return scored(
        np.concatenate([part.difficulty_score for part in parts]),
        cheap=np.concatenate([part.outcomes.cheap_quality for part in parts]),
        gain=np.concatenate([part.outcomes.gain for part in parts]),
        fixed=np.concatenate([part.by_rule for part in parts]),
        tasks=[task for part in parts for task in part.tasks],
    )


def test_promise_per_task_is_refused_where_the_rule_keeps_what_fails():
    """No threshold sends an easy task's requests, so where it cannot be shown nothing is promised,
    and the task is named.
    """
    with pytest.raises(NotAttainableError, match="cannot be shown in 'easy', and the rule keeps"):
        chosen(with_easy_task(0.4), "risk=0.2")


def test_promise_per_task_holds_for_the_tasks_that_the_rule_keeps():
    point = chosen(with_easy_task(0.1), "risk=0.2")
    assert "in each of 'chat', 'code', 'easy' by itself" in point.guarantee
    assert point.risk.value <= 0.2
