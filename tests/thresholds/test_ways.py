"""Which way is taken, and what is promised of it."""

import dataclasses

import numpy as np
import pytest

from difficulty.errors import InvalidValueError, NotAttainableError
from difficulty.metrics import Resampling
from difficulty.thresholds.point import changes, choose, choose_per_task, operating_point
from difficulty.thresholds.policy_curve import parse_objective
from difficulty.thresholds.ways import WayWanted, choose_way
from tests.evaluation.test_frontiers import many

NAN = float("nan")


def alike(**changes):
    """Requests of which the answer says what the request had said."""
    scored = many(request=1.5)
    return dataclasses.replace(scored, answer_score=scored.difficulty_score, **changes)


def way(scored, objective, option="auto"):
    return choose_way(scored, parse_objective(objective), WayWanted(option))


@pytest.mark.parametrize(
    "objective", ["quality=0.8", "mean_quality=0.9", "share=0.3", "cost=0.4", "utility=0.003"]
)
def test_a_good_check_is_taken_and_one_that_says_nothing_new_is_not(objective):
    taken = way(many(), objective)
    assert (taken.kind, taken.threshold) == ("check", 1.0)
    assert 0.0 < taken.answer.threshold < 1.0
    left = way(alike(), objective)
    assert (left.kind, left.answer) == ("request", None)
    assert left.said.startswith("answers are not checked")


def test_the_objective_is_met_by_what_the_user_gets_in_the_end():
    point = choose(many(), parse_objective("quality=0.8"), Resampling(20))
    assert point.gap_recovered.value == pytest.approx(0.8, abs=0.005)
    assert point.escalated_share.value == point.frontier_share.value
    assert point.cost.value == pytest.approx(0.05 + point.frontier_share.value)
    assert point.answer.request_threshold < 1.0
    said = point.assumed[0]
    assert said.startswith("every answer of the cheap model is checked. For 80 % of the quality")
    assert said.count(":") == 0
    assert "% less than the request's score alone, and score and check together cost" in said


def test_a_share_counts_what_the_check_sends_on():
    assert choose(many(), parse_objective("share=0.3"), Resampling(5)).frontier_share.value <= 0.3


def test_a_wait_that_costs_more_than_is_saved_decides():
    """A frontier call costs a thousandth of a dollar here; so does the wait for it."""
    taken = choose_way(many(), parse_objective("quality=0.8"), WayWanted(wait_usd=0.001))
    assert taken.kind == "request"
    assert "0.001 USD for the wait" in taken.said


def test_both_are_taken_where_that_is_clearly_cheaper():
    """A fifth of the requests is known to be hard beforehand, and the cheap call is dear."""
    rng, n = np.random.default_rng(1), 2000
    sure = rng.random(n) < 0.3
    base = many(n=n, cheap_cost=0.3)
    scored = dataclasses.replace(
        base,
        difficulty_score=np.where(sure, 0.9, 0.1) + 0.05 * rng.random(n),
        answer_score=np.where(sure, 0.5 + 0.5 * rng.random(n), base.answer_score),
        outcomes=dataclasses.replace(
            base.outcomes, cheap_quality=np.where(sure, 0.0, base.outcomes.cheap_quality)
        ),
    )
    taken = way(scored, "quality=0.8")
    assert taken.kind == "both"
    assert taken.threshold < 1.0


def test_what_is_asked_for_is_done():
    assert way(many(), "quality=0.8", "off").answer is None
    assert way(alike(), "quality=0.8", "check").kind == "check"
    assert way(many(), "quality=0.8", "both").kind == "both"
    assert "as asked" in way(many(), "quality=0.8", "both").said


def test_a_check_that_cannot_be_judged_is_refused_where_it_is_asked_for():
    scored = many(n=200)
    few = dataclasses.replace(
        scored, answer_score=np.where(np.arange(200) < 50, scored.answer_score, NAN)
    )
    with pytest.raises(
        InvalidValueError, match="of 200 samples 50 have a checked answer, 50 of them"
    ):
        way(few, "quality=0.8", "check")
    left = way(few, "quality=0.8")
    assert left.answer is None
    assert "50 samples have a checked answer" in left.said


def test_the_threshold_is_chosen_on_requests_with_an_answer():
    scored = many()
    part = dataclasses.replace(
        scored, answer_score=np.where(np.arange(1200) % 2, scored.answer_score, NAN)
    )
    taken = way(part, "quality=0.8")
    assert taken.kind == "check"
    assert any("the other 600 are like these" in text for text in taken.choice.assumed)


def test_a_promise_of_the_check_speaks_of_what_stays_in_the_end():
    point = choose(many(), parse_objective("risk=0.1"), Resampling(20))
    assert point.answer.kind == "check"
    assert point.risk.value <= 0.1
    assert "with confidence 0.9" in point.guarantee
    assert "those that the check of the answer sends on left out" in point.guarantee
    assert any("tested for 2 ways at once" in text for text in point.assumed)


def test_a_promise_without_a_check_spends_its_confidence_alone():
    scored = many(request=1.5)
    alone = dataclasses.replace(scored, answer_score=None)
    said = " ".join(choose(alone, parse_objective("risk=0.2"), Resampling(5)).assumed)
    assert "at once" not in said
    # The same samples with a check: each of two ways has half of delta, and less is kept by one.
    off = way(scored, "risk=0.2", "off").threshold
    assert off == choose(alone, parse_objective("risk=0.2"), Resampling(5)).threshold


def test_where_nothing_can_be_promised_both_reasons_are_told():
    with pytest.raises(NotAttainableError, match="By the check of answers alone: risk of at most"):
        choose(many(request=0.1, knows=0.1, n=300), parse_objective("risk=0.02"), Resampling(5))


def test_thresholds_per_task_come_without_a_check():
    scored = dataclasses.replace(many(), tasks=["a", "b"] * 600)
    point = choose_per_task(scored, parse_objective("share=0.3"), Resampling(5))
    assert point.answer is None
    assert "answers are not checked, as thresholds are chosen per task" in point.assumed
    with pytest.raises(InvalidValueError, match="answer must be 'off' where thresholds"):
        choose_per_task(
            scored, parse_objective("share=0.3"), Resampling(5), answer=WayWanted("check")
        )


def test_exploration_of_escalations_is_inside_a_promise():
    """A tenth of what the check sends on is kept all the same, so fewer may stay by the check."""
    scored = many(n=4000)
    plain = choose(scored, parse_objective("risk=0.15"), Resampling(5), answer=WayWanted("check"))
    explored = dataclasses.replace(scored, exchanged=np.full(4000, 0.1))
    point = choose(explored, parse_objective("risk=0.15"), Resampling(5), answer=WayWanted("check"))
    assert point.answer.threshold < plain.answer.threshold
    assert "(exploration included)" in point.guarantee


def test_two_points_are_compared_each_with_its_own_check():
    """As a policy that was chosen before, read again on new traffic."""
    scored, resampling = many(), Resampling(20)
    old, new = (
        choose(scored, parse_objective(text), resampling) for text in ("share=0.4", "share=0.1")
    )
    again = operating_point(scored, old, resampling, objective=old.objective)
    assert again.answer == old.answer
    moved = changes(scored, again, new, resampling)["frontier_share"].value
    assert moved == pytest.approx(new.frontier_share.value - old.frontier_share.value)
