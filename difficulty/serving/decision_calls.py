"""Decisions, verdicts and explanations over HTTP: what /decide, /check, /explain, /health and
/metrics answer.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from difficulty.request import Request, RequestRow, request_row
from difficulty.runtime.decision import Decision
from difficulty.runtime.router import Router
from difficulty.runtime.service import CHUNK, check_forms, decision_row, explain_rows, route_rows
from difficulty.runtime.waiting import WaitingByLoop
from difficulty.serving.call_bodies import Bodies, Receive, RefusedError, Scope, Send, refuse_body
from difficulty.telemetry.decision_counts import DECISION_SECONDS, count_decision, count_verdict
from difficulty.telemetry.meter import CONTENT_TYPE, Family, Meter
from difficulty.text import quantity_text

if TYPE_CHECKING:
    from difficulty.runtime.reload import ReloadingRouter

MOST_EXPLAINED = 16
"""Requests of one call for explanations: each is scored some hundred times."""
ANSWERS = Family(
    "difficulty_service_answers_total",
    "counter",
    "Calls of the service, by path and HTTP status.",
    ("path", "status"),
)
_ERRORS = Family(
    "difficulty_scorer_errors_total", "counter", "Requests that could not be scored, since start."
)
_BUNDLE = Family(
    "difficulty_bundle_info", "gauge", "The bundle that decides now.", ("bundle_version",)
)
FAMILIES = (ANSWERS, _ERRORS, _BUNDLE)
"""What the service counts beside decisions and verdicts."""


async def send_json(
    send: Send, status: int, content: Any, *, headers: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    """Send one JSON answer."""
    await send_bytes(
        send, status, json.dumps(content).encode("ascii"), b"application/json", headers=headers
    )


async def send_bytes(
    send: Send,
    status: int,
    content: bytes,
    kind: bytes,
    *,
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> None:
    """Send one answer whole."""
    head = [(b"content-type", kind), (b"content-length", str(len(content)).encode()), *headers]
    await send({"type": "http.response.start", "status": int(status), "headers": head})
    await send({"type": "http.response.body", "body": content})


class DecisionCalls:
    """Answer what a router can say.

    Parameters
    ----------
    router : Router or ReloadingRouter
    meter : Meter
        What counts.
    bodies : Bodies
    """

    def __init__(self, router: Router | ReloadingRouter, meter: Meter, bodies: Bodies) -> None:
        self.router, self.meter, self.bodies = router, meter, bodies
        # Requests that come while a thread decides are decided together.
        self._waiting = WaitingByLoop[Request, Decision](router.decide_many)

    async def decide(self, scope: Scope, receive: Receive, send: Send) -> None:
        """POST /decide."""
        async with self.bodies.read(scope, receive) as content:
            start = time.perf_counter()
            if isinstance(content, list):
                _refuse_many(content, CHUNK)
                told: Any = await asyncio.to_thread(self._decide_all, content)
                rows = told
            else:
                told = await self._decide_one(request_row(content, 1, noun="request"))
                rows = [told]
            self._count_decisions(rows, time.perf_counter() - start)
            await send_json(send, HTTPStatus.OK, told)

    async def check(self, scope: Scope, receive: Receive, send: Send) -> None:
        """POST /check."""
        async with self.bodies.read(scope, receive) as content:
            told = await self._answer_all(content, CHUNK, self._check_all)
            for row in told:
                count_verdict(self.meter, row["escalate"], row["reason"], row["bundle_version"])
            await send_json(send, HTTPStatus.OK, told if isinstance(content, list) else told[0])

    async def explain(self, scope: Scope, receive: Receive, send: Send) -> None:
        """POST /explain."""
        async with self.bodies.read(scope, receive) as content:
            told = await self._answer_all(content, MOST_EXPLAINED, self._explain_all)
            await send_json(send, HTTPStatus.OK, told if isinstance(content, list) else told[0])

    async def health(self, scope: Scope, receive: Receive, send: Send) -> None:
        """GET /health."""
        refuse_body(scope["headers"])
        router = self.router.current
        checker = router.answers
        counted = {} if checker is None else {"check": checker.watch.as_dict()}
        await send_json(send, HTTPStatus.OK, {"bundle": router.version, **counted})

    async def live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """GET /healthz: that the process answers, without a key and without a word more."""
        refuse_body(scope["headers"])
        await send_json(send, HTTPStatus.OK, {"status": "ok"})

    async def metrics(self, scope: Scope, receive: Receive, send: Send) -> None:
        """GET /metrics."""
        refuse_body(scope["headers"])
        self.meter.put(_ERRORS, float(self.router.scorer_errors))
        self.meter.clear(_BUNDLE)  # a router may follow a path
        self.meter.put(_BUNDLE, 1.0, self.router.current.version)
        text = self.meter.text().encode("utf-8")
        await send_bytes(send, HTTPStatus.OK, text, CONTENT_TYPE.encode())

    async def _decide_one(self, row: RequestRow) -> dict[str, Any]:
        try:
            decision = await self._waiting.ask(row.request)
        except (OSError, RuntimeError):  # no thread to be had: late is better than not at all
            (decision,) = self.router.decide_many([row.request])
        return decision_row(row, decision)

    def _decide_all(self, forms: list[Any]) -> list[dict[str, Any]]:
        return list(route_rows(self.router, _read_rows(forms)))

    def _check_all(self, forms: list[Any]) -> list[dict[str, Any]]:
        return list(check_forms(self.router.current, forms))

    def _explain_all(self, forms: list[Any]) -> list[dict[str, Any]]:
        return list(explain_rows(self.router.current, _read_rows(forms)))

    async def _answer_all(
        self, content: Any, most: int, answer: Callable[[list[Any]], list[dict[str, Any]]]
    ) -> list[dict[str, Any]]:
        forms = content if isinstance(content, list) else [content]
        _refuse_many(forms, most)
        return await asyncio.to_thread(answer, forms)

    def _count_decisions(self, told: list[dict[str, Any]], seconds: float) -> None:
        for row in told:
            version = row["bundle_version"]
            count_decision(
                self.meter,
                row["route"],
                row["reason"],
                version,
                score=row["difficulty_score"],
                ineligible=row["ineligible"],
            )
            self.meter.observe(DECISION_SECONDS, seconds / len(told))


def _read_rows(forms: list[Any]) -> list[RequestRow]:
    return [request_row(form, number, noun="request") for number, form in enumerate(forms, 1)]


def _refuse_many(forms: list[Any], most: int) -> None:
    if len(forms) > most:
        rule = f"a call must have at most {quantity_text(most, 'request')}"
        raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{rule}: got {len(forms):,}")
