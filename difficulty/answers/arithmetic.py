"""Facts about worked maths: whether its steps add up, and whether they end in the answer."""

from __future__ import annotations

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
    )
)
_LARGEST_ERROR = 1e6
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
    ]


def share_of_new_operands(steps: list[Step], given: list[float]) -> float:
    """Return the share of the steps' operands that are neither given nor a result of a step
    before; 0 without operands.
    """
    known, n_new, n_operands = set(given), 0, 0
    for step in steps:
        for operand in step.operands:
            n_operands += 1
            n_new += not (operand in known or operand * 100 in known)
        known.add(step.value)
    return n_new / max(1, n_operands)


def _is_same(result: float, final: float | None) -> bool:
    return final is not None and abs(result - final) < _SAME
