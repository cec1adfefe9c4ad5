"""A small HTTP service around a router, with the standard library alone: for containers, and for
callers that are not Python.

    POST /decide  {"messages": [...]} or {"prompt": "..."}, and perhaps id, task, prompt_tokens
                  -> the decision; of a list of such requests a list of decisions
    POST /check   the same, perhaps tools, and answer: the cheap model's text or message
                  -> whether the frontier model is to be asked too; lists as above
    POST /explain the same as /decide -> the decision and why; lists of at most 16
    GET  /health  -> {"bundle": "<name>-<version>"}, and what the check of answers has counted
    GET  /metrics -> counts since the start, as Prometheus reads them

It has no accounts and no encryption: put it where only your gateway reaches it. What one caller can
take of it is bounded all the same: bytes, requests and parts of a call, connections, time.
"""

from __future__ import annotations

import contextlib
import json
import logging
import select
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from difficulty.request import RequestRow, request_row
from difficulty.runtime.answers import AnswerScore, AnswerVerdict
from difficulty.runtime.decision import Decision
from difficulty.runtime.router import Router
from difficulty.runtime.scorer import Score
from difficulty.telemetry.decision_counts import DECISION_SECONDS, count_decision, count_verdict
from difficulty.telemetry.meter import CONTENT_TYPE, Family, Meter

CHUNK = 2_048
"""Requests decided together, and most of one call."""


def route_rows(router: Router, rows: Iterable[RequestRow]) -> Iterator[dict[str, Any]]:
    """Yield ``id`` and the decision for each request."""
    for chunk in chunks(rows):
        decisions = router.decide_many(row.request for row in chunk)
        for row, decision in zip(chunk, decisions, strict=True):
            yield _decision_row(row, decision)


def explain_rows(router: Router, rows: Iterable[RequestRow]) -> Iterator[dict[str, Any]]:
    """Yield ``id``, the decision and ``why``, its explanation, for each request; none is
    counted.
    """
    for row in rows:
        explanation = router.explain_request(row.request)
        yield _decision_row(row, explanation.decision) | {
            "why": explanation.as_dict(without=("decision",))
        }


def _decision_row(row: RequestRow, decision: Decision) -> dict[str, Any]:
    written = {"id": row.id, **decision.as_dict()}
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
            came = "none" if answer is None else type(answer).__name__
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


logger = logging.getLogger("difficulty.runtime")

MOST_BYTES = 16_000_000
"""Of a request's body."""
MOST_PARTS = 2_000_000
"""Objects, lists and their entries of a body: each takes memory of its own."""
MOST_CONNECTIONS = 128
_IDLE_S = 60.0
_LARGE = 65_536  # bytes; larger bodies are read and decided a few at a time
_MOST_LARGE = 4
_PATIENCE_S = 10.0
_MOST_DIGITS = 15
_BLOCK = 1 << 18  # bytes of a body that are counted at a time
_BACKSLASH = 0x5C
_FULL = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


_ANSWERS = Family(
    "difficulty_service_answers_total",
    "counter",
    "Calls of the service, by path and HTTP status.",
    ("path", "status"),
)
_ERRORS = Family(
    "difficulty_scorer_errors_total", "counter", "Requests that could not be scored, since start."
)
MOST_EXPLAINED = 16
"""Requests of one call for explanations: each is scored some hundred times."""
_PATHS = {"/decide", "/check", "/explain", "/health", "/metrics"}
_BUNDLE = Family(
    "difficulty_bundle_info", "gauge", "The bundle that decides now.", ("bundle_version",)
)
FAMILIES = (_ANSWERS, _ERRORS, _BUNDLE)
"""What the service counts beside decisions and verdicts."""


class DecisionServer(ThreadingHTTPServer):
    """Serve decisions until ``shutdown``, a thread a connection; port 0 takes a free one, see
    ``server_port``.

    Parameters
    ----------
    router : Router
    host, port
        Where to listen.
    most_connections : int
        Connections at once; for one more, the one that has kept quiet longest is closed.
    """

    daemon_threads = True  # a connection that is idle does not keep the server from ending
    request_queue_size = MOST_CONNECTIONS

    def __init__(
        self,
        router: Router,
        *,
        host: str = "127.0.0.1",
        port: int = 8080,
        most_connections: int = MOST_CONNECTIONS,
    ) -> None:
        self.router = router
        self.meter = Meter()
        self.large = threading.BoundedSemaphore(_MOST_LARGE)
        self.is_ending = False
        self._most_connections = most_connections
        self._change = threading.Condition()
        self._waiting: dict[socket.socket, float | None] = {}  # since when for the rest of a call
        super().__init__((host, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin a connection, in the place of a quiet one where there are too many."""
        if not self._take_place(request):
            with contextlib.suppress(OSError):
                request.settimeout(1.0)
                request.sendall(_FULL)
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread can be started
            self.leave(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.leave(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what ended a connection, in the log alone: most often the caller was gone."""
        logger.debug("a connection ended", exc_info=True)

    def read_counts(self) -> str:
        """Return what was counted since the start, as Prometheus' text."""
        self.meter.put(_ERRORS, float(self.router.scorer_errors))
        self.meter.clear(_BUNDLE)  # a router may follow a path
        self.meter.put(_BUNDLE, 1.0, self.router.current.version)
        return self.meter.text()

    def service_actions(self) -> None:
        """Close connections whose call has not come in whole for a minute."""
        self._close_quiet(longer_than_s=_IDLE_S)

    def await_call(self, connection: socket.socket) -> None:
        """Note that the next call of a connection may come."""
        self._note(connection, time.monotonic())

    def take_call(self, connection: socket.socket) -> None:
        """Note that a call has come in whole."""
        self._note(connection, None)

    def leave(self, connection: socket.socket) -> None:
        """Note that a connection has ended."""
        with self._change:
            self._waiting.pop(connection, None)
            self._change.notify_all()

    def drain(self, timeout_s: float = _PATIENCE_S) -> bool:
        """After ``shutdown``: answer what has come in, close what is idle; return whether all was
        answered.
        """
        self.is_ending = True
        self.timeout = 0
        while select.select([self.socket], [], [], 0)[0]:
            self.handle_request()  # who connected before the end
        self.socket.close()
        with self._change:
            for connection in self._waiting:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RD)  # what lies there is still read
            return self._change.wait_for(lambda: not self._waiting, timeout_s)

    def _take_place(self, connection: socket.socket) -> bool:
        with self._change:
            if len(self._waiting) >= self._most_connections:
                self._close_quiet(longer_than_s=1.0, most=1)
                self._change.wait_for(lambda: len(self._waiting) < self._most_connections, 0.2)
            if len(self._waiting) >= self._most_connections:
                return False
            self._waiting[connection] = time.monotonic()
            return True

    def _close_quiet(self, *, longer_than_s: float, most: int = MOST_CONNECTIONS) -> None:
        now = time.monotonic()
        with self._change:
            quiet = [
                (since, connection)
                for connection, since in self._waiting.items()
                if since is not None and now - since > longer_than_s
            ]
            quiet.sort(key=itemgetter(0))
            for _, connection in quiet[:most]:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)  # its thread reads the end and leaves

    def _note(self, connection: socket.socket, since: float | None) -> None:
        with self._change:
            if connection in self._waiting:
                self._waiting[connection] = since


class _Refusal(NamedTuple):
    """Why a call is not answered."""

    status: HTTPStatus
    error: str


class _Handler(BaseHTTPRequestHandler):
    """Answer one connection."""

    server: DecisionServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "difficulty", ""
    timeout = _IDLE_S
    disable_nagle_algorithm = True  # it would hold small answers back, by up to 40 ms

    def do_GET(self) -> None:
        # What follows such a question would be read as the next one.
        has_body = self.headers.get("Content-Length", "0") != "0"
        if has_body or "Transfer-Encoding" in self.headers:
            self._refuse(HTTPStatus.BAD_REQUEST, "GET has no body")
        elif self.path == "/health":
            router = self.server.router.current
            checker = router.answers
            counted = {} if checker is None else {"check": checker.watch.as_dict()}
            self._answer(HTTPStatus.OK, {"bundle": router.version, **counted})
        elif self.path == "/metrics":
            self._send(HTTPStatus.OK, self.server.read_counts().encode("utf-8"), CONTENT_TYPE)
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "GET knows /health and /metrics")

    def do_POST(self) -> None:
        refusal = self._find_refusal()
        if refusal is not None:
            self._refuse(*refusal)
            return
        length = int(self.headers["Content-Length"])
        if length <= _LARGE:
            self._decide(length)
        elif self.server.large.acquire(timeout=_PATIENCE_S):
            try:
                self._decide(length)
            finally:
                self.server.large.release()
        else:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many large requests at once")

    def _find_refusal(self) -> _Refusal | None:
        lengths = self.headers.get_all("Content-Length", [])
        length = lengths[0] if lengths else ""
        if self.path not in ("/decide", "/check", "/explain"):
            return _Refusal(HTTPStatus.NOT_FOUND, "POST knows /decide, /check and /explain")
        # Two ways to say where a request ends: who stands before us may have read the other one.
        if len(lengths) > 1 or (lengths and "Transfer-Encoding" in self.headers):
            return _Refusal(HTTPStatus.BAD_REQUEST, "a request needs one Content-Length alone")
        if not (length.isascii() and length.isdecimal()):
            return _Refusal(HTTPStatus.LENGTH_REQUIRED, "a request needs a Content-Length")
        if len(length) > _MOST_DIGITS or int(length) > MOST_BYTES:
            came = f"{int(length):,}" if len(length) <= _MOST_DIGITS else "far more"
            rule = f"a request must have at most {MOST_BYTES:,} bytes"
            return _Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{rule}: got {came}")
        return None

    def _decide(self, length: int) -> None:
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True  # the caller is gone
            return
        self.server.take_call(self.connection)
        if _has_too_many_parts(body):
            rule = f"a request must have at most {MOST_PARTS:,} objects, lists and entries"
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, rule)
            return
        try:
            # By hand: of UTF-16, which the module would take too, no parts were counted.
            content = json.loads(body.decode("utf-8-sig", "surrogatepass"))
        except (ValueError, RecursionError) as error:
            self._refuse(HTTPStatus.BAD_REQUEST, f"a request must be JSON: {error!s:.120}")
            return
        is_list = isinstance(content, list)
        most = MOST_EXPLAINED if self.path == "/explain" else CHUNK
        if is_list and len(content) > most:
            rule = f"a call must have at most {most:,} requests"
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{rule}: got {len(content):,}")
            return
        entries = content if is_list else [content]
        if self.path == "/check":
            told = list(check_forms(self.server.router.current, entries))
            self._count_verdicts(told)
        elif self.path == "/explain":
            rows = [request_row(each, n, noun="request") for n, each in enumerate(entries, 1)]
            told = list(explain_rows(self.server.router.current, rows))
        else:
            start = time.perf_counter()
            rows = [request_row(each, n, noun="request") for n, each in enumerate(entries, 1)]
            told = list(route_rows(self.server.router, rows))
            self._count_decisions(told, time.perf_counter() - start)
        self._answer(HTTPStatus.OK, told if is_list else told[0])

    def _count_decisions(self, told: list[dict[str, Any]], seconds: float) -> None:
        meter = self.server.meter
        for row in told:
            version = row["bundle_version"]
            count_decision(
                meter,
                row["route"],
                row["reason"],
                version,
                score=row["difficulty_score"],
                ineligible=row["ineligible"],
            )
            meter.observe(DECISION_SECONDS, seconds / len(told))

    def _count_verdicts(self, told: list[dict[str, Any]]) -> None:
        for row in told:
            count_verdict(self.server.meter, row["escalate"], row["reason"], row["bundle_version"])

    def _refuse(self, status: HTTPStatus, error: str) -> None:
        self.close_connection = True  # what is left of the body is not read
        self._answer(status, {"error": error})

    def _answer(self, status: HTTPStatus, body: Any) -> None:
        self._send(status, json.dumps(body).encode("ascii"), "application/json")

    def _send(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self.close_connection = self.close_connection or self.server.is_ending
        # What else is asked for is no label: anyone may ask for anything.
        path = self.path if self.path in _PATHS else "other"
        self.server.meter.add(_ANSWERS, path, str(int(status)))
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)
        self.server.await_call(self.connection)

    def log_message(self, format: str, *arguments: Any) -> None:
        logger.debug(format, *arguments)


def _has_too_many_parts(body: bytes) -> bool:
    return _count_parts(body) > MOST_PARTS and _count_parts_outside_texts(body) > MOST_PARTS


def _count_parts(body: bytes) -> int:
    return sum(body.count(sign) for sign in (b"[", b"{", b","))


def _count_parts_outside_texts(body: bytes) -> int:
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
