"""The service as an ASGI application: paths, keys, request ids, counts, errors."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from difficulty.errors import MissingExtraError
from difficulty.runtime.router import Router
from difficulty.serving.api_description import describe_api
from difficulty.serving.api_keys import ApiKeys, read_secret
from difficulty.serving.call_bodies import (
    Bodies,
    CallerGoneError,
    Receive,
    RefusedError,
    Scope,
    Send,
    refuse_body,
)
from difficulty.serving.decision_calls import ANSWERS, DecisionCalls, send_json
from difficulty.telemetry.meter import Meter

try:
    from starlette.routing import Router as Paths
except ImportError as error:  # pragma: no cover - installed without the extra
    raise MissingExtraError("serve", package="starlette", extra="serve") from error

if TYPE_CHECKING:
    from difficulty.runtime.reload import ReloadingRouter
    from difficulty.serving.chat_calls import ChatCalls

logger = logging.getLogger("difficulty.serving")

_Endpoint = Callable[[Scope, Receive, Send], Awaitable[None]]
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:@/+=-]{1,128}")
_OPEN = {"/healthz"}
"""What answers without a key: a probe of the platform has none."""
_V1 = "/v1/"


class WebApp:
    """Answer calls over ASGI.

    Parameters
    ----------
    router : Router or ReloadingRouter
    chat : callable, optional
        Makes what answers chat requests, given the meter and what reads bodies; without it the
        paths below /v1/ say how to get them.
    keys : ApiKeys, optional
        Who may call; without it everybody may.
    """

    def __init__(
        self,
        router: Router | ReloadingRouter,
        *,
        chat: Callable[[Meter, Bodies], ChatCalls] | None = None,
        keys: ApiKeys | None = None,
    ) -> None:
        self.router, self.keys, self.meter = router, keys, Meter()
        self._prefix, self._number = os.urandom(8).hex(), itertools.count(1)
        bodies = Bodies()
        calls = DecisionCalls(router, self.meter, bodies)
        self._chat = chat(self.meter, bodies) if chat else None
        self._answering: dict[str, dict[str, _Endpoint]] = {
            "/decide": {"POST": calls.decide},
            "/check": {"POST": calls.check},
            "/explain": {"POST": calls.explain},
            "/health": {"GET": calls.health},
            "/healthz": {"GET": calls.live},
            "/metrics": {"GET": calls.metrics},
            "/openapi.json": {"GET": self._describe},
            "/v1/chat/completions": {"POST": self._chat.complete if self._chat else _no_models},
            "/v1/models": {"GET": self._chat.list_models if self._chat else _no_models},
        }
        self._paths = Paths(
            redirect_slashes=False, default=self._refuse_unknown, lifespan=self._live
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call."""
        if scope["type"] != "http":
            await self._paths(scope, receive, send)
            return
        path, headers = scope["path"], dict(scope["headers"])
        request_id, is_begun = self._note_caller(scope, headers), False
        # What else is asked for is no label: anyone may ask for anything.
        label = path if path in self._answering else "other"

        async def answer(message: Any) -> None:
            nonlocal is_begun
            if message["type"] == "http.response.start":
                is_begun = True
                message["headers"].append((b"x-request-id", request_id))
                self.meter.add(ANSWERS, label, str(message["status"]))
            await send(message)

        try:
            self._check_key(scope, headers)
            await self._find(path, scope)(scope, receive, answer)
        except CallerGoneError:
            pass
        except RefusedError as refused:
            await _send_refusal(path, refused, answer)
        except Exception as error:
            # By its type alone: the message may hold the request.
            logger.warning("a call of %s failed: %s", label, type(error).__name__, exc_info=False)
            if is_begun:
                raise
            broken = RefusedError(HTTPStatus.INTERNAL_SERVER_ERROR, "the service failed at this")
            await _send_refusal(path, broken, answer)

    def _find(self, path: str, scope: Scope) -> _Endpoint:
        """Return what answers a call. Every path is one text: nothing is to be matched."""
        methods = self._answering.get(path)
        if methods is None:
            return self._paths
        answer = methods.get(scope["method"])
        if answer is None:
            allowed = ", ".join(methods)
            raise RefusedError(
                HTTPStatus.METHOD_NOT_ALLOWED, f"{path} takes {allowed}", headers={"allow": allowed}
            )
        return answer

    def count_refusal(self, status: int) -> None:
        """Count a call that was refused before it came here."""
        self.meter.add(ANSWERS, "other", str(status))

    def _note_caller(self, scope: Scope, headers: Mapping[bytes, bytes]) -> bytes:
        sent = headers.get(b"x-request-id")
        said = "" if sent is None else sent.decode("latin-1")
        sent_id = said if said and _REQUEST_ID.fullmatch(said) else None
        # Of this process alone and counted: no call asks the system, nor lets go of the thread.
        request_id = sent_id or f"{self._prefix}{next(self._number):016x}"
        scope["state"] = {"request_id": request_id, "sent_id": sent_id, "key": None}
        return request_id.encode()

    def _check_key(self, scope: Scope, headers: Mapping[bytes, bytes]) -> None:
        if self.keys is None or scope["path"] in _OPEN:
            return
        secret = read_secret(headers)
        key = self.keys.find(secret) if secret is not None else None
        if key is None:
            raise RefusedError(
                HTTPStatus.UNAUTHORIZED,
                "a call needs a key that is known: Authorization: Bearer KEY",
                code="invalid_api_key",
                headers={"www-authenticate": "Bearer"},
            )
        scope["state"]["key"] = key.name

    async def _refuse_unknown(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"] if scope["method"] in ("GET", "POST") else None
        known = [
            path
            for path, methods in self._answering.items()
            if (method is None or method in methods) and (self._chat or not path.startswith(_V1))
        ]
        *others, last = known
        raise RefusedError(
            HTTPStatus.NOT_FOUND, f"{method or 'the service'} knows {', '.join(others)} and {last}"
        )

    async def _describe(self, scope: Scope, receive: Receive, send: Send) -> None:
        refuse_body(scope["headers"])
        chat, keys = self._chat is not None, self.keys is not None
        await send_json(send, HTTPStatus.OK, describe_api(with_chat=chat, with_keys=keys))

    @asynccontextmanager
    async def _live(self, _: object) -> AsyncIterator[None]:
        yield
        if self._chat is not None:
            await self._chat.flow.drain()
            await self._chat.models.close()
            log = self._chat.flow.gateway.log
            if log is not None:
                await asyncio.to_thread(log.close)


async def _no_models(scope: Scope, receive: Receive, send: Send) -> None:
    raise RefusedError(
        HTTPStatus.NOT_FOUND,
        "this service calls no models. Start it with --cheap and --frontier.",
        code="model_not_found",
    )


async def _send_refusal(path: str, refused: RefusedError, send: Send) -> None:
    content = refused.as_openai() if path.startswith(_V1) else {"error": refused.error}
    headers = {**refused.headers}
    if refused.closes:
        headers["connection"] = "close"  # what is left of the body is not read
    sent = tuple((name.encode(), value.encode("latin-1")) for name, value in headers.items())
    await send_json(send, refused.status, content, headers=sent)
