"""What a service says of requests: the rows of decisions, verdicts and explanations, as commands
and ``difficulty serve`` write them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from itertools import islice
from typing import Any, Protocol

from difficulty.errors import name_kind
from difficulty.request import Request, RequestRow, request_row
from difficulty.runtime.answers import AnswerScore, AnswerVerdict
from difficulty.runtime.decision import Decision
from difficulty.runtime.router import Router
from difficulty.runtime.scorer import Score

CHUNK = 2_048
"""Requests decided together, and most of one call."""

_DECIDED = tuple(field.name for field in fields(Decision))


class DecidesMany(Protocol):
    """A router, or what holds one and may exchange it."""

    def decide_many(self, requests: Iterable[Request]) -> list[Decision]:
        """Return the decisions for many requests, in order."""


def route_rows(router: DecidesMany, rows: Iterable[RequestRow]) -> Iterator[dict[str, Any]]:
    """Yield ``id`` and the decision for each request."""
    for chunk in chunks(rows):
        decisions = router.decide_many(row.request for row in chunk)
        for row, decision in zip(chunk, decisions, strict=True):
            yield decision_row(row, decision)


def explain_rows(router: Router, rows: Iterable[RequestRow]) -> Iterator[dict[str, Any]]:
    """Yield ``id``, the decision and ``why``, its explanation, for each request; none is
    counted.
    """
    for row in rows:
        explanation = router.explain_request(row.request)
        yield decision_row(row, explanation.decision) | {
            "why": explanation.as_dict(without=("decision",))
        }


def decision_row(row: RequestRow, decision: Decision) -> dict[str, Any]:
    """Return a decision as it is written out."""
    written: dict[str, Any] = {"id": row.id}
    for name in _DECIDED:  # of plain values all, so that nothing is to be walked
        written[name] = getattr(decision, name)
    written["ineligible"] = list(decision.ineligible)
    for name in Score._fields:
        if written[name] is not None:
            written[name] = round(written[name], 7)  # the digits that float32 has
    error = row.problem or written.pop("error")
    return written | ({"error": error} if error else {})


def check_forms(router: Router, forms: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """Yield ``id`` and the verdict for each JSON object that holds a request and its ``answer``."""
    for number, form in enumerate(forms, 1):
        row = request_row(form, number, noun="request")
        body, answer = {}, None
        if isinstance(form, dict):
            body, answer = {**form, "messages": row.request.messages}, form.get("answer")
        problem = row.problem
        if problem is None and not isinstance(answer, str | dict):
            came = "none" if answer is None else name_kind(answer)
            problem = f"answer must be a text or a message: got {came}"
        verdict = router.check(body, answer or "", task=row.request.task, problem=problem)
        yield verdict_row(row.id, verdict)


def verdict_row(name: str, verdict: AnswerVerdict) -> dict[str, Any]:
    """Return a verdict on an answer as it is written out."""
    written = {"id": name, **verdict.as_dict()}
    for score in AnswerScore._fields:
        if written[score] is not None:
            written[score] = round(written[score], 7)
    error = written.pop("error")
    return written | ({"error": error} if error else {})


def chunks(rows: Iterable[RequestRow]) -> Iterator[list[RequestRow]]:
    """Yield rows in lists that are decided together."""
    rest = iter(rows)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
