"""The rule's tasks, each against the score in its place: worked by hand, and by simulation."""

import dataclasses

import numpy as np
import pytest

from difficulty.evaluation import evaluate
from difficulty.evaluation.rule_tasks import LEAST_JUDGED, judge_rule, losing
from difficulty.metrics import Resampling

from .conftest import outcomes_of, scored_of

EASY, REST = "classify", "chat"


def ruled(score, cheap, frontier, tasks, *, value=0.0, **changes):
    """Return requests of which the rule settles the task ``classify``."""
    fixed = np.where(np.asarray(tasks, dtype=object) == EASY, value, np.nan)
    return scored_of(score, cheap, frontier, tasks=list(tasks), fixed=fixed, **changes)


def drawn(seed, *, n=800, right=0.9, groups=1, knows=0.0, **changes):
    """Return traffic a quarter of which is ``classify``: of it the cheap model gets ``right``, of
    the rest 0.7; the frontier model gets 0.95 of all. The score is noise but for ``knows``, how
    much it goes by the chance of the task.
    """
    rng = np.random.default_rng(seed)
    tasks = np.where(rng.random(n) < 0.25, EASY, REST)
    chance = np.where(tasks == EASY, right, 0.7)
    cheap = (rng.random(n) < chance).astype(float)
    frontier = (rng.random(n) < 0.95).astype(float)
    score = (1 - knows) * rng.random(n) + knows * (1 - chance)
    cut = float(np.quantile(score, 0.7))
    own = {"groups": rng.integers(0, max(1, n // groups), n).astype(str), "threshold": cut}
    return ruled(score, cheap, frontier, tasks, **{**own, **changes})


def test_net_is_what_the_freed_task_changes_for_as_many_calls():
    """By hand: the rule keeps the first, which gains 1 and has the highest score; the one call goes
    to the second, which gains 0. Freed, the call goes to the first: 1 of 4 answers is better.
    """
    scored = ruled([0.9, 0.8, 0.4, 0.1], [0, 1, 1, 1], [1, 1, 1, 0], [EASY, REST, REST, REST])
    (task,) = judge_rule(scored, Resampling(20))
    assert (task.task, task.route, task.requests, task.n) == (EASY, "cheap", 1, 1)
    assert (task.gap.value, task.quality.value, task.net.value) == (1.0, -1.0, -0.25)
    assert (task.cost.value, task.same) == (None, "number of frontier calls")


def test_net_spends_the_same_money():
    """By hand: the rule sends the first for 3 USD, without any gain; the score would spend them on
    two others at 1 USD each and, for the last, on half of a call of 2 USD.
    """
    scored = ruled(
        [0.1, 0.9, 0.8, 0.7],
        [1, 0, 0, 0],
        [1, 1, 1, 1],
        [EASY, REST, REST, REST],
        value=1.0,
        threshold=0.95,
        cheap_cost=np.zeros(4),
        frontier_cost=np.array([3.0, 1.0, 1.0, 2.0]),
    )
    (task,) = judge_rule(scored, Resampling(20))
    assert (task.route, task.same) == ("frontier", "money")
    assert task.net.value == pytest.approx(-2.5 / 4)
    assert (task.quality.value, task.cost.value) == (0.0, 3000.0)


def test_easy_task_that_the_cheap_model_fails_loses():
    """Right on 20 % of a quarter of the requests: the rule is named as the cause, as an error."""
    scored = drawn(0, right=0.2, knows=0.3)
    (task,) = losing(judge_rule(scored, Resampling(200)))
    assert task.net.high < -0.02
    findings = {each.name: each for each in evaluate(scored, Resampling(50)).findings}
    assert findings["losing_rule"].severity == "error"
    assert "Take 'classify' out of easy_tasks" in findings["losing_rule"].message
    assert findings["losing_rule"].numbers["net"] < 0


def test_hard_task_that_needs_no_frontier_model_loses():
    scored = drawn(0, right=0.95, value=1.0, knows=0.3)
    (task,) = losing(judge_rule(scored, Resampling(200)))
    assert (task.route, task.verdict) == ("frontier", "loses")


def test_easy_task_that_the_cheap_model_answers_gains_beside_a_score_of_noise():
    scored = drawn(0, n=2000, right=0.97)
    (task,) = judge_rule(scored, Resampling(200))
    assert task.verdict == "gains"
    assert "the rule gains" in task.sentence
    assert "losing_rule" not in {each.name for each in evaluate(scored, Resampling(50)).findings}


@pytest.mark.parametrize("groups", [1, 5])
def test_rule_as_good_as_the_score_is_seldom_refused(groups):
    """Where both are neutral by construction at most 2.5 % of draws may lose, by chance."""
    lost = sum(
        bool(losing(judge_rule(drawn(seed, n=400, right=0.7, groups=groups), Resampling(100))))
        for seed in range(200)
    )
    assert lost <= 12  # 5 expected; 13 or more have a chance of 0.2 %


def test_few_requests_are_not_judged():
    """A rule that is hopeless on few requests is told, not refused."""
    scored = drawn(0, n=LEAST_JUDGED, right=0.0, knows=0.5)
    (task,) = judge_rule(scored, Resampling(50))
    assert task.verdict == "too few"
    assert f"too few to judge the rule ({LEAST_JUDGED} are needed)" in task.sentence
    assert losing([task]) == ()


def test_without_frontier_outcomes_failures_are_what_is_caught():
    """On validation results alone: the rule keeps what the cheap model fails."""
    scored = drawn(0, right=0.2, knows=0.3, target="failure")
    outcomes = dataclasses.replace(scored.outcomes, frontier_quality=np.full(800, np.nan))
    (task,) = judge_rule(dataclasses.replace(scored, outcomes=outcomes), Resampling(100))
    assert task.gap.value == pytest.approx(0.8, abs=0.05)
    assert task.verdict == "loses"


def test_fallback_makes_a_bad_rule_less_bad():
    """What validation catches is answered by the frontier model after all."""
    alone, caught = (
        judge_rule(drawn(0, right=0.2, knows=0.3, catch_rate=rate), Resampling(50))[0]
        for rate in (None, 0.9)
    )
    assert alone.net.value < 2 * caught.net.value < 0


def test_unfamiliar_requests_are_no_hard_task():
    """They are sent too, one of many of their task."""
    scored = scored_of(
        [0.2, 0.3, 0.9], [1, 0, 0], [1, 1, 1], tasks=[REST] * 3, fixed=np.array([1.0, np.nan, 1.0])
    )
    assert judge_rule(scored, Resampling(10)) == ()


def test_without_a_threshold_or_a_rule_nothing_is_judged():
    assert judge_rule(dataclasses.replace(drawn(0), threshold=None), Resampling(10)) == ()
    assert judge_rule(dataclasses.replace(drawn(0), fixed=None), Resampling(10)) == ()


def test_requests_without_outcomes_do_not_count():
    nothing = outcomes_of([np.nan] * 4, [np.nan] * 4)
    scored = ruled([0.9, 0.8, 0.4, 0.1], [0] * 4, [0] * 4, [EASY] * 4)
    (task,) = judge_rule(dataclasses.replace(scored, outcomes=nothing), Resampling(10))
    assert (task.n, task.net.value, task.verdict) == (0, None, "too few")
