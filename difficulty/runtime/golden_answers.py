"""Golden vectors of the check of answers: fixed requests with answers, and the numbers that every
runtime must reproduce.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from difficulty.answers.facts import FACTS
from difficulty.bundle import Bundle
from difficulty.bundle.store import GOLDEN_ANSWERS
from difficulty.errors import BundleError
from difficulty.form import read_json
from difficulty.runtime.answer_checker import AnswerChecker, read_asking
from difficulty.runtime.router import Router

_SCORES = ("answer_score", "p_answer_fails")
_GIVEN = ("id", "body", "task", "answer")
_FACT_TOLERANCE = 1e-5
"""Relative, beside one of the same size for facts near 0."""
_LARGEST = 1e30
"""No fact is; and what float32 still holds."""


def golden_answer_rows(
    checker: AnswerChecker, cases: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Yield one row of ``golden_answers.jsonl`` for each case: ``id``, ``body`` (a chat completion
    request), perhaps ``task``, and ``answer`` (an assistant message).
    """
    for case in cases:
        asked, messages = read_asking(case["body"], case.get("task"))
        verdict = checker.consider(asked, messages, case["answer"])
        row: dict[str, Any] = {name: case[name] for name in _GIVEN if name in case}
        if verdict.answer_score is None:
            row |= {"answer_ids": None, "facts": None}
        else:
            inputs = checker.read(asked, messages, case["answer"])
            facts = [None if math.isnan(value) else value for value in inputs.facts.tolist()]
            row |= {"answer_ids": inputs.answer_ids, "facts": facts}
        yield row | {name: getattr(verdict, name) for name in _SCORES}


def read_golden_answers(bundle: Bundle) -> list[dict[str, Any]]:
    """Return the rows of a bundle's ``golden_answers.jsonl``; none where it has no such file.

    Raises
    ------
    BundleError
        If one is no golden vector.
    """
    rows = []
    for number, line in enumerate(bundle.files.get(GOLDEN_ANSWERS, b"").split(b"\n"), start=1):
        if not line:
            continue
        try:
            row = read_json(line)
            _check_row(row)
        except ValueError as error:
            raise BundleError(
                f"{GOLDEN_ANSWERS}, line {number}, is no golden vector: {error}. Ship the bundle"
                " again."
            ) from error
        rows.append(row)
    return rows


def check_golden_answers(bundle: Bundle, router: Router) -> list[str]:
    """Return what differs from the bundle's golden vectors of answers, a sentence each."""
    rows = read_golden_answers(bundle)
    facts = bundle.answer_facts
    if not rows:
        return []
    if router.answers is None or facts is None:
        raise BundleError(
            f"a bundle with {GOLDEN_ANSWERS} must have a check of answers: got none. Ship the"
            " bundle again."
        )
    return [
        difference
        for expected, actual in zip(rows, golden_answer_rows(router.answers, rows), strict=True)
        for difference in _differences(expected, actual, tolerance=facts.score_tolerance)
    ]


def _check_row(row: object) -> None:
    """Refuse what cannot be compared with a verdict."""
    if not isinstance(row, dict):
        raise ValueError("it is no object")
    needed = ("id", "body", "answer", "answer_ids", "facts", *_SCORES)
    if missing := [name for name in needed if name not in row]:
        raise ValueError(f"{missing[0]!r} is missing")
    # It is printed where a vector differs.
    if not isinstance(row["id"], str) or not row["id"].isprintable():
        raise ValueError("'id' must be a printable string")
    for name in ("body", "answer"):
        if not isinstance(row[name], dict):
            raise ValueError(f"{name!r} must be an object")
    facts = row["facts"]
    if facts is not None and (not isinstance(facts, list) or len(facts) != len(FACTS)):
        raise ValueError(f"'facts' must be a list of {len(FACTS)}")
    for value in (row["answer_score"], row["p_answer_fails"], *(facts or ())):
        if value is None:
            continue
        number = (
            math.nan if isinstance(value, bool) or not isinstance(value, int | float) else value
        )
        if not abs(number) < _LARGEST:
            raise ValueError(f"scores and facts must be numbers: got {value!r:.80}")


def _differences(
    expected: dict[str, Any], actual: dict[str, Any], *, tolerance: float
) -> Iterator[str]:
    if expected["answer_ids"] != actual["answer_ids"]:
        yield f"{expected['id']}: answer_ids are others"
    pairs = zip(FACTS, expected["facts"] or (), actual["facts"] or (), strict=False)
    for name, wanted, value in pairs:
        if not _is_near(wanted, value):
            yield f"{expected['id']}: the fact {name} is {value}, expected {wanted}"
    for name in _SCORES:
        wanted, value = expected[name], actual[name]
        if (wanted is None) != (value is None) or (
            wanted is not None and abs(wanted - value) > tolerance
        ):
            yield f"{expected['id']}: {name} is {value}, expected {wanted} within {tolerance:g}"


def _is_near(wanted: float | None, value: float | None) -> bool:
    if wanted is None or value is None:
        return wanted is value
    return abs(wanted - value) <= _FACT_TOLERANCE * max(1.0, abs(wanted))
