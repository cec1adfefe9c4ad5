"""Golden vectors: fixed texts with the token ids, scores and decisions that every runtime must
reproduce.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from difficulty.bundle import Bundle, Policy
from difficulty.conversation.request_numbers import FEATURES, NumberedIds
from difficulty.errors import BundleError
from difficulty.form import read_json
from difficulty.request import Request, read_held
from difficulty.runtime.golden_answers import check_golden_answers
from difficulty.runtime.router import Router
from difficulty.runtime.scorer import EARLY_OUTPUT, Score

_SCORES = Score._fields
_EXACT = (
    "route",
    "model",
    "reason",
    "threshold",
    "fallback",
    "tokens",
    "tokens_source",
    "truncated",
)
_ASKED = ("id", "messages", "task", "given_tokens", "tools", "held")
_LARGEST = 1e6
"""No score is; and less than what arithmetic refuses."""
_DECIDED = ("route", "model", "reason", "fallback")


def golden_rows(router: Router, requests: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield one row of ``golden.jsonl`` for each request (``id``, ``messages``, optional ``task``,
    ``given_tokens``, ``tools`` and ``held``).

    The scorer decides all of them; what the early graph gives, where the bundle has one, stands
    beside.
    """
    for request in requests:
        messages, task, tools = request["messages"], request.get("task"), request.get("tools")
        held = read_held(request.get("held"))
        asked = Request(messages, task, request.get("given_tokens"), tools=tools, held=held)
        decision = router.consider(asked, early=False, eligible=False).as_dict()
        is_read = decision["reason"] != "scorer_error"
        ids = router.scorer.encode(messages, task, tools).ids if is_read else None
        row = {**request, "input_ids": ids}
        if router.scorer.reads_numbers:
            numbers = ids.numbers.tolist() if isinstance(ids, NumberedIds) else None
            row[FEATURES] = numbers
        row |= {name: decision[name] for name in (*_SCORES, *_EXACT)}
        if router.early:
            is_scored = ids and decision["difficulty_score"] is not None
            row[EARLY_OUTPUT] = router.early.score_ids(ids) if ids and is_scored else None
        yield row


def read_golden(bundle: Bundle) -> list[dict[str, Any]]:
    """Return the rows of a bundle's ``golden.jsonl``.

    Raises
    ------
    BundleError
        If there is none, or one is not a golden vector.
    """
    rows = []
    for number, line in enumerate(bundle.files["golden.jsonl"].split(b"\n"), start=1):
        if not line:
            continue
        try:
            row = read_json(line)
            _check_row(row)
        except ValueError as error:
            raise BundleError(
                f"golden.jsonl, line {number}, is no golden vector: {error}. Ship the bundle again."
            ) from error
        rows.append(row)
    if not rows:
        raise BundleError("golden.jsonl must hold golden vectors: got none. Ship the bundle again.")
    return rows


def _check_row(row: object) -> None:
    """Refuse what cannot be compared with a decision."""
    if not isinstance(row, dict):
        raise ValueError("it is no object")
    needed = ("id", "messages", "input_ids", *_SCORES, *_EXACT)
    if missing := [name for name in needed if name not in row]:
        raise ValueError(f"{missing[0]!r} is missing")
    # It is printed where a vector differs.
    if not isinstance(row["id"], str) or not row["id"].isprintable():
        raise ValueError("'id' must be a printable string")
    for name in (*_SCORES, EARLY_OUTPUT, "threshold"):
        value = row.get(name)
        if value is None and name != "threshold":  # that is there whether the score is or not
            continue
        number = (
            math.nan if isinstance(value, bool) or not isinstance(value, int | float) else value
        )
        if not abs(number) < _LARGEST:
            raise ValueError(f"{name!r} must be a number: got {value!r:.80}")


def check_golden(bundle: Bundle, router: Router) -> list[str]:
    """Return what differs from the bundle's golden vectors, a sentence each."""
    rows = read_golden(bundle)
    requests: list[dict[str, Any]] = [
        {key: row[key] for key in _ASKED if key in row} for row in rows
    ]
    return [
        difference
        for expected, actual in zip(rows, golden_rows(router, requests), strict=True)
        for difference in _differences(
            expected,
            actual,
            tolerance=bundle.manifest.score_tolerance,
            edges=_edges(bundle.policy, expected),
        )
    ]


def checked_router(bundle: Bundle, *, threads: int = 1) -> Router:
    """Build a bundle's router and replay the golden vectors with it.

    Raises
    ------
    BundleError
        If this machine does not reproduce them, or the scorer cannot be built.
    """
    router = Router.from_bundle(bundle, threads=threads)
    differences = [*check_golden(bundle, router), *check_golden_answers(bundle, router)]
    if differences:
        raise BundleError(
            f"bundle {bundle.label} must reproduce its golden vectors on this machine:"
            f" {len(differences)} differ, first {differences[0]}. Ship it again, or verify it where"
            " it was made."
        )
    return router


def _edges(policy: Policy, row: dict[str, Any]) -> tuple[float, ...]:
    """Return the scores at which a row's decision changes."""
    threshold, stick = row["threshold"], policy.stick
    if stick is None or row.get("held") is None:
        return (threshold,)
    return (threshold, threshold + stick.margin, threshold - stick.back)


def _differences(
    expected: dict[str, Any], actual: dict[str, Any], *, tolerance: float, edges: tuple[float, ...]
) -> Iterator[str]:
    """Yield what differs in one row, scores by more than the tolerance."""
    score = expected["difficulty_score"]
    # So near the threshold rounding may decide: either route is right.
    is_at_the_edge = score is not None and any(abs(score - edge) <= tolerance for edge in edges)
    for name in ("input_ids", FEATURES, *_EXACT):
        if expected.get(name) != actual.get(name) and not (is_at_the_edge and name in _DECIDED):
            yield (
                f"{expected['id']}: {name} is {actual.get(name)!r:.80}, expected"
                f" {expected.get(name)!r:.80}"
            )
    for name in (*_SCORES, EARLY_OUTPUT):
        if not _is_close(expected.get(name), actual.get(name), tolerance):
            yield (
                f"{expected['id']}: {name} is {actual.get(name)}, expected {expected.get(name)}"
                f" within {tolerance:g}"
            )


def _is_close(expected: float | None, actual: float | None, tolerance: float) -> bool:
    if expected is None or actual is None:
        return expected is actual
    return abs(expected - actual) <= tolerance
