"""What one call of the service may hold, and its body: read, bounded, parsed."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

import numpy as np

from difficulty.errors import tell_json_fault

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MOST_BYTES = 16_000_000
"""Of a request's body."""
MOST_PARTS = 2_000_000
"""Objects, lists and their entries of a body: each takes memory of its own."""
MOST_DEEP = 200
"""Objects and lists within each other: what reads on walks them, one call within another."""
LARGE = 65_536
"""Bytes; larger bodies are read and decided a few at a time, away from the event loop."""
MOST_LARGE = 4
PATIENCE_S = 10.0
_MOST_DIGITS = 15
_WEIGHTS = np.zeros(256, np.int8)
_WEIGHTS[list(b"[{")], _WEIGHTS[list(b"]}")] = 1, -1
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")
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
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        closes: bool = True,
    ) -> None:
        super().__init__(error)
        self.status, self.error, self.code = status, error, code
        self.param = param
        """Which field of the request is at fault, where that is known."""
        self.headers = dict(headers or {})
        self.closes = closes
        """Whether the connection ends: where what is left of the body is not read."""

    def as_openai(self) -> dict[str, Any]:
        """Return it as OpenAI writes errors."""
        kind = "invalid_request_error" if self.status < 500 else "api_error"
        if self.status == HTTPStatus.TOO_MANY_REQUESTS:
            kind = "rate_limit_error"
        code = self.code or kind
        return {"error": {"message": self.error, "type": kind, "param": self.param, "code": code}}


class CallerGoneError(Exception):
    """Who called hung up before the body was whole."""


class Bodies:
    """Read bodies, the large ones a few at a time."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(MOST_LARGE)

    def read(self, scope: Scope, receive: Receive, *, is_sent_on: bool = False) -> _BodyBlock:
        """Give what the body of a call says; a large one keeps its place until the block ends.
        One that is sent on must be of whole characters.

        Raises
        ------
        RefusedError
            If the body is too large, no JSON, or its length is not stated as it must be.
        CallerGoneError
            If it did not come in whole.
        """
        return _BodyBlock(self._places, scope, receive, is_sent_on)


class _BodyBlock:
    """The block in which a body is read and answered: by hand, as every call has one."""

    __slots__ = ("_held", "_is_sent_on", "_places", "_receive", "_scope")

    def __init__(
        self, places: asyncio.Semaphore, scope: Scope, receive: Receive, is_sent_on: bool
    ) -> None:
        self._places, self._scope, self._receive = places, scope, receive
        self._is_sent_on, self._held = is_sent_on, False

    async def __aenter__(self) -> Any:
        length = read_length(self._scope["headers"])
        if length <= LARGE:
            return parse_body(await _receive(self._receive, length), is_sent_on=self._is_sent_on)
        try:
            await asyncio.wait_for(self._places.acquire(), PATIENCE_S)
        except TimeoutError:
            raise RefusedError(
                HTTPStatus.SERVICE_UNAVAILABLE, "too many large requests at once"
            ) from None
        self._held = True
        try:
            body = await _receive(self._receive, length)
            return await asyncio.to_thread(parse_body, body, is_sent_on=self._is_sent_on)
        except BaseException:
            self._places.release()
            raise

    async def __aexit__(self, *_: object) -> None:
        if self._held:
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
    lengths, is_chunked = list[str](), False
    for name, value in headers:
        if name == b"content-length":
            lengths.append(value.decode("latin-1"))
        elif name == b"transfer-encoding":
            is_chunked = True
    length = lengths[0] if lengths else ""
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


def parse_body(body: bytes, *, is_sent_on: bool = False) -> Any:
    """Return what a body says.

    Raises
    ------
    RefusedError
        If it is no JSON, has too many parts or is nested too deep; and where it is sent on, if a
        text holds half of a character, which can be written for nobody.
    """
    if has_too_many_parts(body):
        rule = f"a request must have at most {MOST_PARTS:,} objects, lists and entries"
        raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, rule)
    if has_too_deep_parts(body):
        raise RefusedError(
            HTTPStatus.BAD_REQUEST, f"a request must be nested at most {MOST_DEEP} deep"
        )
    try:
        # By hand: of UTF-16, which the module would take too, no parts were counted.
        content = _JSON.decode(body.decode("utf-8-sig", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise RefusedError(
            HTTPStatus.BAD_REQUEST, f"a request must be JSON: {tell_json_fault(error)}"
        ) from None
    if is_sent_on and _SURROGATE.search(body):  # halves that belong together, most often
        try:
            json.dumps(content, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise RefusedError(
                HTTPStatus.BAD_REQUEST, "a text of the request holds half of a character"
            ) from None
    return content


def _refuse_number(text: str) -> float:
    raise ValueError(text)


def _read_float(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse_number(text)


_JSON = json.JSONDecoder(parse_constant=_refuse_number, parse_float=_read_float)
"""JSON alone: what Python writes as NaN or Infinity no model's server would read."""


def has_too_deep_parts(body: bytes) -> bool:
    """Return whether a body is nested deeper than is read."""
    if body.count(b"[") + body.count(b"{") <= MOST_DEEP:  # the usual case
        return False
    return measure_parts(body).depth > MOST_DEEP


def has_too_many_parts(body: bytes) -> bool:
    """Return whether a body has more objects, lists and entries than are read."""
    if len(body) <= MOST_PARTS:  # a part takes a byte
        return False
    return _count_parts(body) > MOST_PARTS and measure_parts(body).entries > MOST_PARTS


def _count_parts(body: bytes) -> int:
    return sum(body.count(sign) for sign in (b"[", b"{", b","))


class BodyParts(NamedTuple):
    """What a body consists of, its texts left out."""

    entries: int
    """Objects, lists and what stands in them after the first."""
    depth: int
    """Objects and lists within each other."""


def measure_parts(body: bytes) -> BodyParts:
    """Return how many objects, lists and entries stand in a body, and how deep."""
    # Not by an expression: over a text without an end that takes hours, and no other thread runs.
    # A block at a time: several bodies are counted at once.
    total, inside, start, depth, deepest = 0, 0, 0, 0, 0
    while start < len(body):
        end = min(start + _BLOCK, len(body))
        while end < len(body) and body[end - 1] == _BACKSLASH:  # what it escapes belongs to it
            end += 1
        block = body[start:end].replace(rb"\\", b"").replace(rb"\"", b"")
        signs = np.frombuffer(block, np.uint8)
        if len(signs):
            within = np.bitwise_xor.accumulate((signs == ord('"')).view(np.uint8)) ^ inside
            weights = _WEIGHTS[signs]
            weights[within != 0] = 0
            total += int(np.count_nonzero((signs == ord(",")) & (within == 0)))
            total += int(np.count_nonzero(weights > 0))
            depths = np.cumsum(weights[weights != 0], dtype=np.int64)
            if len(depths):
                deepest = max(deepest, depth + int(depths.max()))
                depth += int(depths[-1])
            inside = int(within[-1])
        start = end
    return BodyParts(total, deepest)
