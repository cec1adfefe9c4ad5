"""``/v1/chat/completions`` and ``/v1/models``: OpenAI's API in front of the two models.

A request is decided, the model of its route called, its answer checked, the frontier model asked
where it will not do, and all of it logged: as in a gateway, by the same code.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import aclosing, suppress
from http import HTTPStatus
from typing import Any, NamedTuple

from difficulty.gateway.clients import read_said
from difficulty.gateway.settings import GatewaySettings
from difficulty.gateway.visits import Visit
from difficulty.integrations.litellm_flow import AnswerFlow, Calling
from difficulty.integrations.litellm_request import as_mapping, headers_of, read_text
from difficulty.integrations.litellm_sdk import SdkModels, as_event, as_whole, read_failure
from difficulty.routes import Route
from difficulty.serving.call_bodies import Bodies, Receive, RefusedError, Scope, Send, refuse_body
from difficulty.serving.chat_fields import check_chat
from difficulty.serving.decision_calls import send_json

logger = logging.getLogger("difficulty.serving")

_LONG_MS = 3.0
"""Decisions that take longer are made in a thread: they would hold up everybody else's streams."""


class Caller(NamedTuple):
    """Who calls."""

    request_id: str
    """As the client gave it, or made for it."""
    sent_id: str | None
    key: str | None
    """Name of its key."""
    session: str | None


class ChatCalls:
    """Answer chat requests by the two models.

    Parameters
    ----------
    flow : AnswerFlow
    models : SdkModels
    settings : GatewaySettings
        Which names are routed, and what clients may set.
    bodies : Bodies
    """

    def __init__(
        self, flow: AnswerFlow, models: SdkModels, settings: GatewaySettings, bodies: Bodies
    ) -> None:
        self.flow, self.models, self.settings, self.bodies = flow, models, settings, bodies
        self._usual_ms = 0.0
        self._began = int(time.time())

    async def complete(self, scope: Scope, receive: Receive, send: Send) -> None:
        """POST /v1/chat/completions."""
        async with self.bodies.read(scope, receive, is_sent_on=True) as content:
            body = check_chat(
                content, self.settings.models, self.models.passed_on, self.models.parts
            )
        visit = await self._open(body, read_caller(scope))
        answering = self._send_stream if body.get("stream") else self._send_whole
        await _until_gone(receive, answering(visit, body, send))

    async def list_models(self, scope: Scope, receive: Receive, send: Send) -> None:
        """GET /v1/models."""
        refuse_body(scope["headers"])
        entries = [
            {"id": name, "object": "model", "created": self._began, "owned_by": "difficulty"}
            for name in self.settings.models
        ]
        await send_json(send, HTTPStatus.OK, {"object": "list", "data": entries})

    async def _open(self, body: Mapping[str, Any], caller: Caller) -> Visit:
        metadata = as_mapping(body.get("metadata"))
        said = read_said({**metadata, "id": caller.sent_id}, allowed=self.settings.client_may_set)
        own_id, user = uuid.uuid4().hex, read_text(body.get("user"))
        session = caller.session or read_text(metadata.get("session_id"))

        def decide() -> Visit:
            return self.flow.gateway.open(
                body,
                id=said.id or own_id,
                task=said.task,
                tokens=said.tokens,
                group=session or user,
                session=session,
                client=json.dumps([caller.key, user]),
                lot=own_id,
                notes=said.notes,
            )

        is_long = self._usual_ms > _LONG_MS
        visit = await asyncio.to_thread(decide) if is_long else decide()
        self._usual_ms += (visit.decision_ms - self._usual_ms) / 20
        self.flow.visits.add(visit)
        return visit

    async def _send_whole(self, visit: Visit, body: Mapping[str, Any], send: Send) -> None:
        call = self._calling(body)
        try:
            response, since = await self._first(visit, call, False)
            answer = await self.flow.settle(visit, response, call, since=since)
        except asyncio.CancelledError:
            self.flow.close(visit, "abandoned")
            raise
        except Exception as error:
            raise self._failed(visit, error) from None
        self.flow.end(visit, call)
        await send_json(send, HTTPStatus.OK, as_whole(answer), headers=_told(visit))

    async def _send_stream(self, visit: Visit, body: Mapping[str, Any], send: Send) -> None:
        call, is_begun = self._calling(body), False
        with_usage = as_mapping(body.get("stream_options")).get("include_usage") is True
        try:
            response, _ = await self._first(visit, call, True)
            async with aclosing(self.flow.stream(visit, response, call)) as chunks:
                async for event in _events(chunks, with_usage=with_usage):
                    if not is_begun:
                        is_begun = True
                        await _begin_stream(visit, send)
                    await _send_event(send, event)
        except asyncio.CancelledError:  # the client hung up, or the service ends
            self.flow.close(visit, "abandoned")
            raise
        except Exception as error:
            refused = self._failed(visit, error)
            if not is_begun:
                raise refused from None
            await _send_event(send, json.dumps(refused.as_openai()))
        else:
            if not is_begun:
                await _begin_stream(visit, send)
            await _send_event(send, "[DONE]")
            self.flow.end(visit, call)
        await send({"type": "http.response.body", "body": b""})

    async def _first(self, visit: Visit, call: Calling, stream: bool) -> tuple[Any, float]:
        """Return what the model of the route answers, or the frontier one where that fails before
        it has said anything; and when that call began.
        """
        since = time.perf_counter()
        try:
            return await call(visit.route, stream), since
        except Exception as error:
            if not self.flow.take_over(visit, error):
                raise
        since = time.perf_counter()
        return await call("frontier", stream), since

    def _calling(self, body: Mapping[str, Any]) -> Calling:
        async def call(side: Route, stream: bool) -> Any:
            return await self.models.call(side, body, stream)

        return call

    def _failed(self, visit: Visit, error: Exception) -> RefusedError:
        """Log a request that got no answer, and return what its client is told."""
        self.flow.fail(visit, error)
        failure = read_failure(error)
        logger.warning("a request got no answer: %s", type(error).__name__)
        told = {name.decode(): value.decode() for name, value in _told(visit)}
        wait = {"retry-after": failure.retry_after} if failure.retry_after else {}
        return RefusedError(
            HTTPStatus(failure.status),
            failure.message,
            code=failure.kind,
            headers=told | wait,
            closes=False,
        )


def read_caller(scope: Scope) -> Caller:
    """Return who calls, as the door has noted it, and what its headers say."""
    state = scope["state"]
    sent: dict[bytes, bytes] = dict(scope["headers"])
    session = sent.get(b"x-session-id", b"").decode("latin-1")
    return Caller(state["request_id"], state["sent_id"], state["key"], session or None)


async def _events(chunks: AsyncIterator[Any], *, with_usage: bool) -> AsyncIterator[str]:
    async for chunk in chunks:
        event = as_event(chunk, with_usage=with_usage)
        if event is not None:
            yield event


def _told(visit: Visit) -> tuple[tuple[bytes, bytes], ...]:
    """Return headers that say what was decided."""
    mark = {
        "id": visit.id,
        "bundle": visit.decision.bundle_version,
        "route": visit.route,
        "reason": visit.reason,
        "fallback": visit.fallback,
        "check": visit.escalation.reason if visit.escalation is not None else None,
    }
    return tuple((name.encode(), value.encode()) for name, value in headers_of(mark).items())


async def _begin_stream(visit: Visit, send: Send) -> None:
    head = [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-cache"),
        (b"x-accel-buffering", b"no"),  # else nginx keeps a stream until it is whole
        *_told(visit),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": head})


async def _send_event(send: Send, event: str) -> None:
    body = f"data: {event}\n\n".encode("utf-8", "replace")
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _until_gone(receive: Receive, answering: Coroutine[Any, Any, None]) -> None:
    """Answer, unless the client hangs up meanwhile: then the call of the model is given up too."""
    task = asyncio.ensure_future(answering)
    gone = asyncio.ensure_future(_wait_gone(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    finally:
        gone.cancel()
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _wait_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
