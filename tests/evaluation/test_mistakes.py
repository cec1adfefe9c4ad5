"""The requests on which the score was sure and wrong."""

import dataclasses

import numpy as np

from difficulty.evaluation.slices import worst_mistakes
from tests.evaluation.conftest import scored_of


def test_mistakes_of_four_requests_by_hand(four):
    """At threshold 0.7 only b is sent, and rightly; a needed the frontier model too and is kept."""
    mistakes = worst_mistakes(four, ["a", "b", "c", "d"])
    assert [(mistake.id, mistake.score, mistake.by_rule) for mistake in mistakes.kept] == [
        ("a", 0.2, False)
    ]
    assert (mistakes.sent, mistakes.n_kept, mistakes.n_sent) == ((), 1, 0)


def test_the_surest_come_first_and_only_some_are_listed():
    """Kept ones from the lowest score up, sent ones from the highest down; unknown outcomes are no
    mistakes.
    """
    score = np.array([0.1, 0.3, 0.2, 0.9, 0.8, 0.95, 0.05])
    scored = scored_of(score, [0, 0, 0, 1, 1, 1, np.nan], [1, 1, 1, 1, 0, 1, 1], tasks=["t"] * 7)
    mistakes = worst_mistakes(scored, list("abcdefg"), most=2)
    assert [mistake.id for mistake in mistakes.kept] == ["a", "c"]
    assert [mistake.id for mistake in mistakes.sent] == ["f", "d"]
    assert (mistakes.n_kept, mistakes.n_sent) == (3, 3)
    assert mistakes.kept[0].text is None
    assert (
        mistakes.kept[0].cheap_quality,
        mistakes.kept[0].frontier_quality,
        mistakes.kept[0].task,
    ) == (0.0, 1.0, "t")


def test_a_rule_that_decided_is_told(four):
    mistakes = worst_mistakes(
        dataclasses.replace(four, fixed=np.array([0.0, 0.0, np.nan, np.nan])), list("abcd")
    )
    assert {mistake.id: mistake.by_rule for mistake in mistakes.kept}["b"] is True


def test_no_threshold_no_mistakes(four):
    assert worst_mistakes(dataclasses.replace(four, threshold=None), list("abcd")) is None
