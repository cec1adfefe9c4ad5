"""Golden vectors: fixed texts with the token ids, scores and decisions that every runtime must
reproduce.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from difficulty.bundle import Bundle
from difficulty.errors import BundleError
from difficulty.request import Request
from difficulty.runtime.router import Router
from difficulty.runtime.scorer import EARLY_OUTPUT

_SCORES = ("difficulty_score", "p_cheap_fails", "p_frontier_fails", "familiarity")
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
_DECIDED = ("route", "model", "reason", "fallback")


def golden_rows(router: Router, requests: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield one row of ``golden.jsonl`` for each request (``id``, ``messages``, optional ``task``
    and ``given_tokens``).

    The scorer decides all of them; what the early graph gives, where the bundle has one, stands
    beside.
    """
    for request in requests:
        asked = Request(request["messages"], request.get("task"), request.get("given_tokens"))
        decision = router.consider(asked, early=False).as_dict()
        ids = (
            None
            if decision["reason"] == "scorer_error"
            else router.scorer.encode(request["messages"], request.get("task")).ids
        )
        scored = None if decision["difficulty_score"] is None else ids
        early = (
            {EARLY_OUTPUT: router.early.score_ids(scored) if scored else None}
            if router.early
            else {}
        )
        yield {
            **request,
            "input_ids": ids,
            **{name: decision[name] for name in (*_SCORES, *_EXACT)},
            **early,
        }


def check_golden(bundle: Bundle, router: Router) -> list[str]:
    """Return what differs from the bundle's golden vectors, one sentence each; empty when all
    agree.
    """
    rows = [json.loads(line) for line in bundle.files["golden.jsonl"].decode().split("\n") if line]
    if not rows:
        raise BundleError("golden.jsonl must hold golden vectors: got none. Ship the bundle again.")
    requests = [
        {key: row[key] for key in ("id", "messages", "task", "given_tokens") if key in row}
        for row in rows
    ]
    return [
        difference
        for expected, found in zip(rows, golden_rows(router, requests), strict=True)
        for difference in _differences(expected, found, tolerance=bundle.manifest.score_tolerance)
    ]


def _differences(
    expected: dict[str, Any], found: dict[str, Any], *, tolerance: float
) -> Iterator[str]:
    for name in ("input_ids", *_EXACT):
        if name in _DECIDED and _at_the_edge(expected, tolerance):
            continue
        if expected[name] != found[name]:
            yield (
                f"{expected['id']}: {name} is {found[name]!r:.80}, expected {expected[name]!r:.80}"
            )
    for name in (*_SCORES, EARLY_OUTPUT):
        if not _close(expected.get(name), found.get(name), tolerance):
            yield (
                f"{expected['id']}: {name} is {found.get(name)}, expected {expected.get(name)}"
                f" within {tolerance:g}"
            )


def _at_the_edge(expected: dict[str, Any], tolerance: float) -> bool:
    """Whether the score is so near the threshold that rounding may decide."""
    score = expected["difficulty_score"]
    return score is not None and abs(score - expected["threshold"]) <= tolerance


def _close(expected: float | None, found: float | None, tolerance: float) -> bool:
    if expected is None or found is None:
        return expected is found
    return abs(expected - found) <= tolerance
