"""Facts about worked maths: whether its steps add up, and whether they end in the answer."""

from __future__ import annotations

import math
from math import log1p

from difficulty.answers.pair import Pair
from difficulty.answers.steps import Step

NAMES = tuple(
    f"arithmetic.{name}"
    for name in (
        "steps",
        "wrong_steps",
        "any_wrong",
        "share_wrong",
        "last_is_wrong",
        "largest_error",
        "share_not_whole",
        "final_is_last",
        "final_is_result",
        "negative_result",
        "result_not_whole",
        "no_step",
        "share_new_operands",
        "hand_score",
    )
)
_LARGEST_ERROR = 1e6
FINDINGS = {
    "a step is wrong": 0.6,
    "the answer is not the last result": 0.6,
    "numbers of the question are not used": 0.4,
    "steps use numbers from nowhere": 0.4,
    "the answer is no whole number": 0.3,
    "a result is negative": 0.3,
}
"""What the hand score counts, and how doubtful each alone makes an answer."""
_SAME = 1e-6


def read_arithmetic(pair: Pair) -> list[float]:
    """Return the facts named in ``NAMES``."""
    steps, final = pair.steps, pair.stated.number
    wrong = [step for step in steps if not step.is_right]
    results = [step.value for step in steps]
    return [
        log1p(len(steps)),
        log1p(len(wrong)),
        float(bool(wrong)),
        len(wrong) / max(1, len(steps)),
        float(bool(steps) and not steps[-1].is_right),
        log1p(max((min(step.error, _LARGEST_ERROR) for step in wrong), default=0.0)),
        sum(not step.is_whole for step in steps) / max(1, len(steps)),
        float(bool(steps) and _is_same(results[-1], final)),
        float(any(_is_same(result, final) for result in results)),
        float(any(result < 0 for result in results)),
        float(any(result % 1 != 0 for result in results)),
        float(not steps),
        share_of_new_operands(steps, pair.question_numbers),
        hand_score(pair),
    ]


def hand_score(pair: Pair) -> float:
    """Return how doubtful worked maths is by rules that know no label, in [0, 1]; ``nan`` without a
    step. Each finding leaves its share of the trust that the others left.
    """
    if not pair.steps:
        return math.nan
    trust = 1.0
    for finding, extent in find_faults(pair).items():
        trust *= 1 - FINDINGS[finding] * extent
    return 1 - trust


def find_faults(pair: Pair) -> dict[str, float]:
    """Return to which extent, in [0, 1], an answer with steps has each of ``FINDINGS``."""
    steps, final = pair.steps, pair.stated.number
    given = set(pair.question_numbers)
    unused = given - set(pair.text_numbers)
    extents = (
        any(not step.is_right for step in steps),
        not _is_same(steps[-1].value, final),
        len(unused) / max(1, len(given)),
        share_of_new_operands(steps, pair.question_numbers),
        final is not None and final % 1 != 0,
        any(step.value < 0 for step in steps) or (final is not None and final < 0),
    )
    return dict(zip(FINDINGS, map(float, extents), strict=True))


def share_of_new_operands(steps: list[Step], given: list[float]) -> float:
    """Return the share of the steps' operands that are neither given nor a result of a step
    before; 0 without operands.
    """
    known, n_new, n_operands = set(given), 0, 0
    for step in steps:
        for operand in step.operands:
            n_operands += 1
            n_new += not (operand in known or _as_percent(operand) in known)
        known.add(step.value)
    return n_new / max(1, n_operands)


def _as_percent(share: float) -> float:
    """Return a share as a percentage, rounded to a millionth."""
    return math.floor(share * 1e8 + 0.5) / 1e6


def _is_same(result: float, final: float | None) -> bool:
    return final is not None and abs(result - final) < _SAME
