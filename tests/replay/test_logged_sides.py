"""What a log says of both sides of a request is used, and nothing more."""

import numpy as np
import pytest

from difficulty.replay.logged_sides import costs, failures, fallbacks, group_numbers, qualities
from tests.replay.logs import NAN, log_of


def same(left, right):
    return np.array_equal(np.asarray(left, dtype=float), np.asarray(right, float), equal_nan=True)


def test_only_the_route_taken_is_known():
    log = log_of(
        ["cheap", "frontier"],
        propensity=[0.9, 0.2],
        cheap_quality=[1.0, NAN],
        frontier_quality=[NAN, 0.0],
    )
    seen = qualities(log)
    assert same(seen.value, [[1.0, NAN], [NAN, 0.0]])
    assert seen.chance == pytest.approx(np.array([[0.9, 0.1], [0.8, 0.2]]))


def test_answer_of_a_fallback_is_what_the_cheap_route_gives():
    """The frontier model was asked because the cheap answer had failed: of its own route that says
    nothing.
    """
    log = log_of(
        ["cheap", "cheap", "frontier"],
        fallback=["validation", None, None],
        frontier_role=["fallback", None, "answer"],
        cheap_quality=[NAN, 0.0, NAN],
        frontier_quality=[1.0, NAN, 1.0],
    )
    assert same(qualities(log).value, [[1.0, NAN], [0.0, NAN], [NAN, 1.0]])
    assert same(failures(log).value[:, 0], [0.0, 1.0, NAN])
    assert same(fallbacks(log).value, [[1.0, 0.0], [0.0, 0.0], [NAN, 0.0]])


def test_shadow_calls_give_a_route_without_chance_its_support():
    """Two of four cheap requests had a shadow call: the other side was seen with 1/2."""
    log = log_of(
        ["cheap"] * 4,
        propensity=[1.0] * 4,
        frontier_role=["shadow", "shadow", None, None],
        cheap_quality=[1.0, 0.0, 1.0, 0.0],
        frontier_quality=[1.0, 1.0, NAN, NAN],
    )
    seen = qualities(log)
    assert same(seen.value[:, 1], [1.0, 1.0, NAN, NAN])
    assert seen.chance == pytest.approx(np.array([[1.0, 0.5]] * 4))


def test_a_deterministic_route_without_shadow_calls_has_no_support():
    log = log_of(["cheap", "frontier"], propensity=[1.0, 1.0], cheap_quality=[1.0, NAN])
    assert qualities(log).chance[0, 1] == 0.0
    assert qualities(log).chance[1, 0] == 0.0


def test_shadow_answer_that_validators_refuse_would_have_been_replaced():
    log = log_of(
        ["frontier"],
        cheap_role=["shadow"],
        frontier_role=["answer"],
        cheap_passed=[0.0],
        cheap_quality=[0.0],
        frontier_quality=[1.0],
        cheap_cost_usd=[0.1],
        frontier_cost_usd=[1.0],
        cost_usd=[1.0],
    )
    assert same(qualities(log).value, [[1.0, 1.0]])
    assert costs(log).value == pytest.approx(np.array([[1.1, 1.0]]))


def test_share_that_is_told_of_kept_answers_says_nothing_of_replaced_ones():
    """Of 10 cheap answers 2 were replaced, which harms nobody and needs no label; of the other 8
    half have one. Bins are too small, and the kinds are not thrown together.
    """
    log = log_of(
        ["cheap"] * 10,
        propensity=[1.0] * 10,
        fallback=["validation"] * 2 + [None] * 8,
        frontier_role=["fallback"] * 2 + [None] * 8,
        cheap_quality=[NAN] * 2 + [1.0, 0.0, 1.0, 1.0] + [NAN] * 4,
    )
    assert failures(log).chance[:, 0] == pytest.approx([1.0] * 2 + [0.5] * 8)


def test_unlabelled_shadow_answers_make_no_outcome_more_probable():
    """What validators refuse in the shadow is known without a label, what they pass is not."""
    log = log_of(
        ["frontier"] * 4 + ["cheap"] * 4,
        propensity=[0.9] * 4 + [0.1] * 4,
        cheap_role=["shadow"] * 4 + ["answer"] * 4,
        cheap_passed=[0.0, 1.0, 1.0, 1.0] + [1.0] * 4,
        cheap_quality=[NAN] * 4 + [1.0, 0.0, NAN, NAN],
    )
    assert failures(log).chance[1:, 0] == pytest.approx([0.1 * 0.5] * 7)


def test_cost_of_the_cheap_route_counts_both_calls():
    """As billed: 0.1 for the refused answer and 1 for the other."""
    log = log_of(
        ["cheap", "frontier"],
        fallback=["validation", None],
        cost_usd=[1.1, 1.0],
        cheap_cost_usd=[0.1, NAN],
        frontier_cost_usd=[1.0, 1.0],
    )
    assert same(costs(log).value, [[1.1, NAN], [NAN, 1.0]])


@pytest.fixture
def checked():
    """Three cheap answers, scores 0.2, 0.6, 0.8, sent on above 0.5 but for the second, where
    exploration kept it; the check explores with 0.1.
    """
    return log_of(
        ["cheap"] * 3,
        propensity=[0.8] * 3,
        answer_score=[0.2, 0.6, 0.8],
        policy_escalates=[0.0, 1.0, 1.0],
        escalated=[0.0, 0.0, 1.0],
        escalation_propensity=[0.9, 0.1, 0.9],
        fallback=[None, None, "validation"],
        frontier_role=[None, None, "fallback"],
        cheap_quality=[1.0, 0.0, NAN],
        frontier_quality=[NAN, NAN, 1.0],
    )


def test_weight_of_a_checked_answer_is_that_of_route_and_escalation(checked):
    """The logged rule would have sent the second on: what was done says nothing of that."""
    seen = qualities(checked)
    assert same(seen.value[:, 0], [1.0, NAN, 1.0])
    assert seen.chance[:, 0] == pytest.approx([0.8 * 0.9, 0.8 * 0.9, 0.8 * 0.9])


def test_another_threshold_of_the_check_reads_what_was_done_otherwise(checked):
    """Above 0.7 the second stays, and exploration showed that with probability 0.1."""
    seen = qualities(checked, 0.7)
    assert same(seen.value[:, 0], [1.0, 0.0, 1.0])
    assert seen.chance[:, 0] == pytest.approx([0.72, 0.08, 0.72])


def test_shadow_call_tells_what_was_not_done_about_an_answer():
    """The rule kept both; another would send both on, and one of the two had a shadow call: the
    route of 0.8 was seen with 1/2.
    """
    log = log_of(
        ["cheap"] * 2,
        propensity=[0.8] * 2,
        answer_score=[0.6, 0.6],
        policy_escalates=[0.0, 0.0],
        escalated=[0.0, 0.0],
        escalation_propensity=[1.0, 1.0],
        frontier_role=["shadow", None],
        cheap_quality=[0.0, 0.0],
        frontier_quality=[1.0, NAN],
        cost_usd=[0.1, 0.1],
        cheap_cost_usd=[0.1, 0.1],
        frontier_cost_usd=[1.0, NAN],
    )
    seen = qualities(log, 0.5)
    assert same(seen.value[:, 0], [1.0, NAN])
    assert seen.chance[:, 0] == pytest.approx([0.4, 0.4])
    assert same(costs(log, 0.5).value[:, 0], [1.1, NAN])


def test_check_without_exploration_supports_no_other_threshold(checked):
    log = log_of(
        ["cheap", "frontier"],
        answer_score=[0.6, NAN],
        policy_escalates=[1.0, NAN],
        escalated=[1.0, NAN],
        escalation_propensity=[1.0, NAN],
        fallback=["validation", None],
        frontier_quality=[1.0, 1.0],
    )
    assert qualities(log, 0.7).chance[:, 0].tolist() == [0.0, 0.0]


def test_validators_refusal_stands_whatever_a_check_says():
    log = log_of(
        ["cheap"],
        answer_score=[0.2],
        policy_escalates=[0.0],
        escalated=[0.0],
        escalation_propensity=[1.0],
        fallback=["validation"],
        frontier_quality=[1.0],
    )
    assert qualities(log, 0.1).value[0, 0] == 1.0


def test_late_labels_weigh_by_the_share_that_was_told():
    """Of 100 easy requests a half has an outcome, of 100 hard ones a fifth: bins of 40."""
    n = 400
    score = np.linspace(0, 1, n)
    told = np.where(score < 0.5, np.arange(n) % 2 == 0, np.arange(n) % 5 == 0)
    log = log_of(
        ["cheap"] * n,
        propensity=[0.9] * n,
        difficulty_score=score,
        cheap_quality=np.where(told, 1.0, NAN),
    )
    chance = qualities(log).chance[:, 0]
    assert chance[:80] == pytest.approx(0.9 * 0.5)
    assert chance[-80:] == pytest.approx(0.9 * 0.2, abs=0.02)
    # Weighted, the outcomes stand for all requests.
    assert (told / chance).sum() == pytest.approx(n / 0.9)


def test_bin_of_which_nothing_is_told_has_no_support():
    n = 400
    score = np.linspace(0, 1, n)
    log = log_of(
        ["cheap"] * n, difficulty_score=score, cheap_quality=np.where(score < 0.8, 1.0, NAN)
    )
    chance = qualities(log).chance[:, 0]
    assert (chance[:320] > 0).all()
    assert (chance[-79:] == 0).all()


def test_requests_without_a_group_are_their_own():
    assert group_numbers(np.array(["a", None, "a", None], dtype=object)).tolist() == [0, 1, 0, 2]


def test_answers_that_were_caught_alone_do_not_say_that_nothing_fails():
    """Of the answers that users got nothing is known: the risk is unknown, and not 0."""
    log = log_of(["cheap", "cheap"], fallback=["validation", None])
    assert same(failures(log).value, [[NAN, NAN], [NAN, NAN]])
