"""Verdicts are read strictly and settled by both orders."""

import pytest

from difficulty.labelling.verdicts import (
    PairVerdict,
    VerdictCounts,
    answer_text,
    judge_question,
    read_verdict,
)


@pytest.mark.parametrize(
    ("text", "seat"),
    [
        ("Both are fine, the first is shorter.\n[[A]]", "first"),
        ("[[B]]", "second"),
        ("Neither.\n\n**[[TIE]]**\n", "tie"),
        ("[[A]] at first sight, but the second is right.\n[[B]].", "second"),
        ("The verdict is [[A]]", None),
        ("A", None),
        ("[[C]]", None),
        ("[[A]] [[B]]", None),
        ("I prefer answer A.", None),
        ("[[A]]\nI am not sure, though.", None),
        ("", None),
    ],
)
def test_last_line_alone_is_the_verdict(text, seat):
    assert read_verdict({"content": text}) == seat


def test_verdict_that_was_cut_off_or_refused_is_unknown():
    assert read_verdict({"content": "[[A]]", "finish_reason": "length"}) is None
    assert read_verdict({"content": None, "refusal": "no"}) is None


@pytest.mark.parametrize(
    ("cheap_first", "frontier_first", "vote", "inconsistent", "first_gain"),
    [
        ("first", "second", "cheap", False, 0.0),
        ("second", "first", "frontier", False, 0.0),
        ("first", "first", "tie", True, 1.0),
        ("second", "second", "tie", True, -1.0),
        ("tie", "tie", "tie", False, 0.0),
        ("tie", "first", "tie", False, 0.5),
        ("first", None, None, False, None),
    ],
)
def test_both_orders_settle_a_pair(cheap_first, frontier_first, vote, inconsistent, first_gain):
    verdict = PairVerdict(cheap_first, frontier_first)
    assert (verdict.vote, verdict.is_inconsistent, verdict.first_gain) == (
        vote,
        inconsistent,
        first_gain,
    )


def test_counts_keep_ties_and_unknown_apart():
    verdicts = [
        PairVerdict("first", "second"),
        PairVerdict("first", "first"),
        PairVerdict("tie", "tie"),
        PairVerdict("first", None),
    ]
    assert VerdictCounts.of(verdicts) == VerdictCounts(
        pairs=4, unknown=1, inconsistent=1, cheap=1, tie=2, frontier=0
    )


def test_judge_sees_request_and_answers_and_no_name():
    call = '{"role": "assistant", "content": "", "tool_calls": [{"type": "function",'
    call += ' "function": {"name": "find", "arguments": "{}"}}]}'
    assert answer_text(call) == "find({})"
    question = judge_question(
        [{"role": "user", "content": "Two plus two?"}], "4", answer_text(call)
    )
    shown = question.messages[1]["content"]
    assert "[user]\nTwo plus two?" in shown
    assert "<answer_a>\n4\n</answer_a>" in shown
    assert "<answer_b>\nfind({})\n</answer_b>" in shown
