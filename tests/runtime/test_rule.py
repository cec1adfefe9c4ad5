import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from difficulty.bundle import Policy
from difficulty.recipe import PolicySettings
from difficulty.runtime.rule import after_scoring, before_scoring, threshold_of
from tests.data.make_bundle import POLICY

EASY, HARD, OTHER = "classify", "multi-step planning", "code"


def policy_of(**changes):
    return Policy.parse(
        POLICY | {"max_cheap_tokens": 256, "easy_tasks": [EASY], "hard_tasks": [HARD]} | changes
    )


def decide(policy, task, tokens, score, familiarity=None):
    """Return route and reason, as the router puts the two halves of the rule together."""
    verdict = before_scoring(policy, task=task, tokens=tokens)
    return tuple(verdict or after_scoring(policy, task=task, score=score, familiarity=familiarity))


@pytest.mark.parametrize(
    ("task", "tokens", "score", "expected"),
    [
        (EASY, 0, 0.99, ("cheap", "easy_task")),
        (EASY, 255, 0.99, ("cheap", "easy_task")),
        (EASY, 256, 0.99, ("frontier", "above_threshold")),
        (EASY, 256, 0.10, ("cheap", "within_threshold")),
        (HARD, 3, 0.00, ("frontier", "hard_task")),
        (HARD, 9999, 0.00, ("frontier", "hard_task")),
        (OTHER, 3, 0.61, ("frontier", "above_threshold")),
        (OTHER, 3, 0.60, ("cheap", "within_threshold")),
        (OTHER, 3, math.nextafter(0.6, 1), ("frontier", "above_threshold")),
        (None, 3, 0.59, ("cheap", "within_threshold")),
        (None, 3, 0.61, ("frontier", "above_threshold")),
        ("Classify", 3, 0.61, ("frontier", "above_threshold")),
    ],
)
def test_rule_by_hand(task, tokens, score, expected):
    """Threshold 0.6, easy below 256 tokens: ties at the threshold stay cheap, names of tasks are
    exact.
    """
    assert decide(policy_of(), task, tokens, score) == expected


def test_threshold_of_a_task_stands_in_for_the_common_one():
    policy = policy_of(task_thresholds={OTHER: 0.2, EASY: 0.0})
    assert [threshold_of(policy, task) for task in (OTHER, EASY, HARD, None, "unheard of")] == [
        0.2,
        0.0,
        0.6,
        0.6,
        0.6,
    ]
    assert decide(policy, OTHER, 3, 0.3) == ("frontier", "above_threshold")
    assert decide(policy, None, 3, 0.3) == ("cheap", "within_threshold")


def test_unfamiliar_requests_go_to_the_frontier_model():
    policy = policy_of(min_familiarity=0.5)
    assert decide(policy, OTHER, 3, 0.0, familiarity=0.49) == ("frontier", "unfamiliar")
    assert decide(policy, OTHER, 3, 0.0, familiarity=0.5) == ("cheap", "within_threshold")
    assert decide(policy, EASY, 3, 0.0, familiarity=0.0) == ("cheap", "easy_task")


def test_no_tokens_are_few_enough_when_the_easy_rule_is_off():
    assert decide(policy_of(max_cheap_tokens=0), EASY, 0, 0.9) == ("frontier", "above_threshold")


TASKS = ["a", "b", "c", "d"]
SCORES = st.floats(0, 1) | st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])


@st.composite
def policies(draw):
    kinds = draw(st.lists(st.sampled_from(["easy", "hard", "neither"]), min_size=4, max_size=4))
    return policy_of(
        max_cheap_tokens=draw(st.integers(0, 6)),
        easy_tasks=[task for task, kind in zip(TASKS, kinds, strict=True) if kind == "easy"],
        hard_tasks=[task for task, kind in zip(TASKS, kinds, strict=True) if kind == "hard"],
        threshold=draw(SCORES),
        task_thresholds=draw(st.dictionaries(st.sampled_from(TASKS), SCORES)),
        min_familiarity=draw(SCORES),
    )


def as_designed(policy, task, tokens, score, familiarity):
    """The rule, word for word as the design has it."""
    difficulty_score, max_cheap_tokens = score, policy.max_cheap_tokens
    easy_tasks, hard_tasks = policy.easy_tasks, policy.hard_tasks
    threshold = policy.task_thresholds[task] if task in policy.task_thresholds else policy.threshold
    unfamiliar = familiarity is not None and familiarity < policy.min_familiarity
    if tokens < max_cheap_tokens and task in easy_tasks:
        return "cheap"
    elif task in hard_tasks or unfamiliar or difficulty_score > threshold:
        return "frontier"
    else:
        return "cheap"


@given(
    policies(),
    st.sampled_from([*TASKS, "unheard of", None]),
    st.integers(0, 7),
    SCORES,
    st.none() | SCORES,
)
@example(policy_of(threshold=0.5), "a", 3, 0.5, None)
@example(policy_of(threshold=1.0), None, 3, 1.0, None)
def test_rule_is_the_designed_one(policy, task, tokens, score, familiarity):
    assert decide(policy, task, tokens, score, familiarity)[0] == as_designed(
        policy, task, tokens, score, familiarity
    )


@given(policies(), st.sampled_from([*TASKS, None]), st.integers(0, 7), SCORES, SCORES)
def test_higher_scores_never_turn_a_request_cheap(policy, task, tokens, one, other):
    low, high = sorted([one, other])
    if decide(policy, task, tokens, low)[0] == "frontier":
        assert decide(policy, task, tokens, high)[0] == "frontier"


def test_recipe_has_the_rules_that_need_no_score():
    settings = PolicySettings(max_cheap_tokens=10, easy_tasks=(EASY,), hard_tasks=(HARD,))
    assert before_scoring(settings, task=EASY, tokens=9).reason == "easy_task"
    assert before_scoring(settings, task=HARD, tokens=9).reason == "hard_task"
    assert before_scoring(settings, task=EASY, tokens=10) is None
