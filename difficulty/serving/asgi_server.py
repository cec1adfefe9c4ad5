"""uvicorn with bounds: connections, the time a call may take to come in, the size of its head, a
caller that does not read; and an end at which what has come in is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

from difficulty.errors import MissingExtraError
from difficulty.serving.call_bodies import MOST_BYTES

try:
    import uvicorn
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
except ImportError as error:  # pragma: no cover - installed without the extra
    raise MissingExtraError("serve", package="uvicorn", extra="serve") from error

if TYPE_CHECKING:
    from types import FrameType

    from difficulty.serving.web_app import WebApp

MOST_CONNECTIONS = 1_000
MOST_HEAD_BYTES = 65_536
IDLE_S = 60.0
"""Until a connection whose call has not come in whole is closed, and one that does not read."""
STOP_S = 30.0
"""Until answers under way are given up, once the service ends."""
_LEAST_QUIET_S = 1.0
_BACKLOG = 2_048


_NO_HTTP = (400, "Bad Request", "a call must be HTTP/1.1")
_FAULTS = {
    "Content-Length overflow": (
        413,
        "Payload Too Large",
        f"a request must have at most {MOST_BYTES:,} bytes: got far more",
    ),
    "Invalid character in Content-Length": (
        411,
        "Length Required",
        "a request needs a Content-Length",
    ),
    "Content-Length": (400, "Bad Request", "a request needs one Content-Length alone"),
}
"""By what the parser says, the special before the general."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    most_connections = MOST_CONNECTIONS
    count_refusal: Callable[[int], None]
    """Takes the status of a refusal that the application has not seen."""

    def __init__(self, *positional: Any, **named: Any) -> None:
        super().__init__(*positional, **named)
        self.waits_since: float | None = time.monotonic()
        """Since when for the rest of a call; ``None`` while a call is answered."""
        self.stalls_since: float | None = None
        """Since when the caller does not read."""
        self._head_bytes = 0
        self._is_in_head = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection, in the place of a quiet one where there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.most_connections and not self._make_room():
            self._refuse(503, "Service Unavailable", "too many connections")

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        self._head_bytes = self._head_bytes + len(data) if self._is_in_head else 0
        if self._head_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
            rule = f"the head of a call must have at most {MOST_HEAD_BYTES:,} bytes"
            self._refuse(431, "Request Header Fields Too Large", rule)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP; of a length that is none the parser's own words are put as those
        of other refusals.
        """
        said = str(sys.exc_info()[1])
        fault = next((fault for part, fault in _FAULTS.items() if part in said), _NO_HTTP)
        self._refuse(*fault)

    def on_message_begin(self) -> None:
        """Note that a call has begun."""
        self._is_in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        self._is_in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that a call has come in whole."""
        super().on_message_complete()
        self.waits_since = None

    def on_response_complete(self) -> None:
        """Note that the next call may come."""
        super().on_response_complete()
        if self.cycle is None or self.cycle.response_complete:
            self.waits_since = time.monotonic()

    def pause_writing(self) -> None:
        """Note that the caller does not read."""
        super().pause_writing()
        self.stalls_since = time.monotonic()

    def resume_writing(self) -> None:
        """Note that the caller reads again."""
        super().resume_writing()
        self.stalls_since = None

    def _make_room(self) -> bool:
        """Close the connection that has kept quiet longest; return whether there was one."""
        now = time.monotonic()
        quiet = [
            (other.waits_since, id(other), other)
            for other in cast("set[BoundedProtocol]", self.connections)
            if other.waits_since is not None and now - other.waits_since > _LEAST_QUIET_S
        ]
        if not quiet:
            return False
        *_, longest = min(quiet)
        self.connections.discard(longest)
        longest.transport.close()
        return True

    def _refuse(self, status: int, phrase: str, error: str) -> None:
        type(self).count_refusal(status)
        content = json.dumps({"error": error})
        self.transport.write(
            f"HTTP/1.1 {status} {phrase}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n{content}".encode()
        )
        self.connections.discard(self)
        self.transport.close()


class Service(uvicorn.Server):
    """Serve an ASGI application until ``stop``; port 0 takes a free one, see ``port``.

    Parameters
    ----------
    app : WebApp
    host, port
        Where to listen.
    most_connections : int
        Connections at once; for one more, the one that has kept quiet longest is closed.
    stop_s : float
        Seconds until answers under way are given up, once the service ends.

    Raises
    ------
    OSError
        If the address is taken or is none.
    """

    def __init__(
        self,
        app: WebApp,
        *,
        host: str = "127.0.0.1",
        port: int = 8080,
        most_connections: int = MOST_CONNECTIONS,
        stop_s: float = STOP_S,
    ) -> None:
        protocol = type(
            "BoundedProtocol",
            (BoundedProtocol,),
            {
                "most_connections": most_connections,
                "count_refusal": staticmethod(app.count_refusal),
            },
        )
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol,
                ws="none",
                lifespan="on",
                interface="asgi3",
                proxy_headers=False,  # nothing asks who called but by its key
                log_config=None,
                access_log=False,
                server_header=False,
                headers=[("server", "difficulty")],
                timeout_keep_alive=int(IDLE_S),
                timeout_graceful_shutdown=cast(int, stop_s),  # it takes a float as well
                backlog=_BACKLOG,
            )
        )
        self.app = app
        # What it says of calls may hold what clients sent.
        for name in ("uvicorn.error", "uvicorn.asgi"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._socket = _listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        self.interrupted = False
        """Whether it was ended by Ctrl-C."""

    def run_until_stopped(self) -> None:
        """Serve in this thread."""
        if threading.current_thread() is threading.main_thread():  # a process of its own
            # What is loaded stays: looked through again and again, it would hold up all callers.
            gc.collect()
            gc.freeze()
        self.run(sockets=[self._socket])

    def stop(self) -> None:
        """End: nobody new is let in, and what has come in is answered; from any thread."""
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End by a signal; a second Ctrl-C waits for nobody."""
        self.interrupted = self.interrupted or sig == signal.SIGINT
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals while serving; unlike uvicorn's own it does not raise them again after the
        end, which would make a graceful one look like a kill.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def on_tick(self, counter: int) -> bool:
        """Look after connections once a second."""
        if counter % 10 == 0:
            self._close_overdue()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what has come in, then close what is left: callers that went on too long."""
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)

    def _close_overdue(self) -> None:
        now = time.monotonic()
        for connection in cast("list[BoundedProtocol]", list(self.server_state.connections)):
            waits, stalls = connection.waits_since, connection.stalls_since
            if waits is not None and now - waits > IDLE_S:
                connection.transport.close()
            elif stalls is not None and now - stalls > IDLE_S:
                connection.transport.abort()


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; the address is checked before anything is loaded."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(_BACKLOG)  # from now on: who reads the address may call at once
    except BaseException:
        listening.close()
        raise
    return listening
