"""What one call of the service may hold, and its body: read, bounded, parsed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import numpy as np

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MOST_BYTES = 16_000_000
"""Of a request's body."""
MOST_PARTS = 2_000_000
"""Objects, lists and their entries of a body: each takes memory of its own."""
LARGE = 65_536
"""Bytes; larger bodies are read and decided a few at a time, away from the event loop."""
MOST_LARGE = 4
PATIENCE_S = 10.0
_MOST_DIGITS = 15
_BLOCK = 1 << 18  # bytes of a body that are counted at a time
_BACKSLASH = 0x5C


class RefusedError(Exception):
    """A call is not answered."""

    def __init__(
        self,
        status: HTTPStatus,
        error: str,
        *,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
        closes: bool = True,
    ) -> None:
        super().__init__(error)
        self.status, self.error, self.code = status, error, code
        self.headers = dict(headers or {})
        self.closes = closes
        """Whether the connection ends: where what is left of the body is not read."""

    def as_openai(self) -> dict[str, Any]:
        """Return it as OpenAI writes errors."""
        kind = "invalid_request_error" if self.status < 500 else "api_error"
        code = self.code or kind
        return {"error": {"message": self.error, "type": kind, "param": None, "code": code}}


class CallerGoneError(Exception):
    """Who called hung up before the body was whole."""


class Bodies:
    """Read bodies, the large ones a few at a time."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(MOST_LARGE)

    @asynccontextmanager
    async def read(self, scope: Scope, receive: Receive) -> AsyncIterator[Any]:
        """Give what the body of a call says; a large one keeps its place until the block ends.

        Raises
        ------
        RefusedError
            If the body is too large, no JSON, or its length is not stated as it must be.
        CallerGoneError
            If it did not come in whole.
        """
        length = read_length(scope["headers"])
        if length <= LARGE:
            yield parse_body(await _receive(receive, length))
            return
        try:
            await asyncio.wait_for(self._places.acquire(), PATIENCE_S)
        except TimeoutError:
            raise RefusedError(
                HTTPStatus.SERVICE_UNAVAILABLE, "too many large requests at once"
            ) from None
        try:
            yield await asyncio.to_thread(parse_body, await _receive(receive, length))
        finally:
            self._places.release()


async def _receive(receive: Receive, length: int) -> bytes:
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        return bytes(message.get("body", b""))  # the usual case, without a copy
    body = bytearray()
    while message["type"] == "http.request":
        body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)
        message = await receive()
    raise CallerGoneError


def refuse_body(headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Refuse a body where none belongs: what follows such a call would be read as the next one."""
    for name, value in headers:
        if name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "GET has no body")


def read_length(headers: Sequence[tuple[bytes, bytes]]) -> int:
    """Return the length of a body.

    Raises
    ------
    RefusedError
        If it is not stated once and plainly, or is too much.
    """
    lengths = [value.decode("latin-1") for name, value in headers if name == b"content-length"]
    length = lengths[0] if lengths else ""
    is_chunked = any(name == b"transfer-encoding" for name, _ in headers)
    # Two ways to say where a request ends: who stands before us may have read the other one.
    if len(lengths) > 1 or (lengths and is_chunked):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "a request needs one Content-Length alone")
    if not (length.isascii() and length.isdecimal()):
        raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "a request needs a Content-Length")
    if len(length) > _MOST_DIGITS or int(length) > MOST_BYTES:
        came = f"{int(length):,}" if len(length) <= _MOST_DIGITS else "far more"
        rule = f"a request must have at most {MOST_BYTES:,} bytes"
        raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{rule}: got {came}")
    return int(length)


def parse_body(body: bytes) -> Any:
    """Return what a body says.

    Raises
    ------
    RefusedError
        If it is no JSON, or has too many parts.
    """
    if has_too_many_parts(body):
        rule = f"a request must have at most {MOST_PARTS:,} objects, lists and entries"
        raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, rule)
    try:
        # By hand: of UTF-16, which the module would take too, no parts were counted.
        return json.loads(body.decode("utf-8-sig", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        # The message names a place and a letter at most.
        raise RefusedError(
            HTTPStatus.BAD_REQUEST, f"a request must be JSON: {error!s:.120}"
        ) from None


def has_too_many_parts(body: bytes) -> bool:
    """Return whether a body has more objects, lists and entries than are read."""
    if len(body) <= MOST_PARTS:  # a part takes a byte
        return False
    return _count_parts(body) > MOST_PARTS and count_parts_outside_texts(body) > MOST_PARTS


def _count_parts(body: bytes) -> int:
    return sum(body.count(sign) for sign in (b"[", b"{", b","))


def count_parts_outside_texts(body: bytes) -> int:
    """Return how many objects, lists and entries stand in a body, those in its texts left out."""
    # Not by an expression: over a text without an end that takes hours, and no other thread runs.
    # A block at a time: several bodies are counted at once.
    total, inside, start = 0, 0, 0
    while start < len(body):
        end = min(start + _BLOCK, len(body))
        while end < len(body) and body[end - 1] == _BACKSLASH:  # what it escapes belongs to it
            end += 1
        block = body[start:end].replace(rb"\\", b"").replace(rb"\"", b"")
        signs = np.frombuffer(block, np.uint8)
        if len(signs):
            within = np.bitwise_xor.accumulate((signs == ord('"')).view(np.uint8)) ^ inside
            total += sum(int(np.count_nonzero((signs == sign) & (within == 0))) for sign in b"[{,")
            inside = int(within[-1])
        start = end
    return total
