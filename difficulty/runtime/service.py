"""A small HTTP service around a router, with the standard library alone: for containers, and for
callers that are not Python.

    POST /decide  {"messages": [...]} or {"prompt": "..."}, and perhaps id, task, prompt_tokens
                  -> the decision; of a list of such requests a list of decisions
    GET  /health  -> {"bundle": "<name>-<version>"}

It has no accounts and no encryption: put it where only your gateway reaches it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from typing import Any

from difficulty.request import RequestRow, request_row
from difficulty.runtime.router import Router
from difficulty.runtime.scorer import Score

CHUNK = 2_048
"""Requests decided together."""


def route_rows(router: Router, rows: Iterable[RequestRow]) -> Iterator[dict[str, Any]]:
    """Yield ``id`` and the decision for each request."""
    for chunk in chunks(rows):
        decisions = router.decide_many(row.request for row in chunk)
        for row, decision in zip(chunk, decisions, strict=True):
            written = {"id": row.id, **decision.as_dict()}
            for name in Score._fields:
                if written[name] is not None:
                    written[name] = round(written[name], 7)  # the digits that float32 has
            error = row.problem or written.pop("error")
            yield written | ({"error": error} if error else {})


def chunks(rows: Iterable[RequestRow]) -> Iterator[list[RequestRow]]:
    """Yield rows in lists that are decided together."""
    rest = iter(rows)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


logger = logging.getLogger("difficulty.runtime")

MOST_BYTES = 16_000_000
"""Of a request's body."""
_IDLE_S = 60.0


class DecisionServer(ThreadingHTTPServer):
    """Serve decisions until ``shutdown``, a thread a connection; port 0 takes a free one, see
    ``server_port``.
    """

    daemon_threads = True  # a connection that is idle does not keep the server from ending

    def __init__(self, router: Router, *, host: str = "127.0.0.1", port: int = 8080) -> None:
        self.router = router
        super().__init__((host, port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    """Answer one connection."""

    server: DecisionServer
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_S
    disable_nagle_algorithm = True  # it would hold small answers back, by up to 40 ms

    def do_GET(self) -> None:
        if self.path == "/health":
            self._answer(HTTPStatus.OK, {"bundle": self.server.router.version})
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "GET knows /health")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.path != "/decide":
            self._refuse(HTTPStatus.NOT_FOUND, "POST knows /decide")
        elif not length.isdecimal():
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "a request needs a Content-Length")
        elif int(length) > MOST_BYTES:
            self._refuse(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"a request must have at most {MOST_BYTES:,} bytes: got {int(length):,}",
            )
        else:
            self._decide(self.rfile.read(int(length)))

    def _decide(self, body: bytes) -> None:
        try:
            content = json.loads(body)
        except (ValueError, RecursionError) as error:
            self._refuse(HTTPStatus.BAD_REQUEST, f"a request must be JSON: {error}")
            return
        is_list = isinstance(content, list)
        entries = enumerate(content if is_list else [content], 1)
        rows = [request_row(entry, number) for number, entry in entries]
        decisions = list(route_rows(self.server.router, rows))
        self._answer(HTTPStatus.OK, decisions if is_list else decisions[0])

    def _refuse(self, status: HTTPStatus, error: str) -> None:
        self.close_connection = True  # what is left of the body is not read
        self._answer(status, {"error": error})

    def _answer(self, status: HTTPStatus, body: Any) -> None:
        content = json.dumps(body).encode("ascii")
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:
        logger.debug(format, *arguments)
