"""Clients that ask over HTTP and cost little themselves: many connections in one event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

_PATIENCE_S = 600.0


@dataclass(slots=True)
class Tally:
    """What clients saw."""

    ms: list[float] = field(default_factory=list)
    """Of each answer, from the first byte sent to the last one read."""
    statuses: list[int] = field(default_factory=list)
    refused: int = 0
    """Connections that were not let in, or closed without an answer."""


class Asking(asyncio.Protocol):
    """One connection that asks one thing after another."""

    def __init__(self, calls: Sequence[bytes], tally: Tally, done: asyncio.Future[None]) -> None:
        self._calls, self._tally, self._done = iter(calls), tally, done
        self._read, self._began, self._asked = bytearray(), 0.0, False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask the first."""
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Read an answer; ask the next once it is whole."""
        self._read += data
        head, mark, body = bytes(self._read).partition(b"\r\n\r\n")
        if not mark:
            return
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        if len(body) < length:
            return
        self._tally.ms.append((time.perf_counter() - self._began) * 1000)
        self._tally.statuses.append(int(head.split(b" ")[1]))
        self._read.clear()
        self._asked = False
        self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        """Note an answer that never came."""
        self._tally.refused += self._asked
        self._finish()

    def _ask(self) -> None:
        call = next(self._calls, None)
        if call is None:
            self._transport.close()
            self._finish()
            return
        self._asked, self._began = True, time.perf_counter()
        self._transport.write(call)  # type: ignore[attr-defined]

    def _finish(self) -> None:
        if not self._done.done():
            self._done.set_result(None)


async def ask_at_once(port: int, calls: Sequence[Sequence[bytes]]) -> Tally:
    """Open one connection for each list of calls, all at once, and ask them one after another."""
    loop, tally = asyncio.get_running_loop(), Tally()

    async def one(own: Sequence[bytes]) -> None:
        done: asyncio.Future[None] = loop.create_future()
        try:
            await loop.create_connection(lambda: Asking(own, tally, done), "127.0.0.1", port)
        except OSError:
            tally.refused += 1
            return
        await asyncio.wait_for(done, _PATIENCE_S)

    await asyncio.gather(*map(one, calls))
    return tally


def written_call(path: str, body: bytes) -> bytes:
    """Return a call as it goes over the line."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
