"""Checks of answers off the event loop, in processes that can be ended.

A schema of a kilobyte, which any client may send, can take minutes; a pattern or a function of
yours may hang. So what may take long runs in a process beside the gateway, all checks of an answer
share one deadline, and a process that is not done by then is ended: nothing is known of that
answer. Answers that are held against a client's schema have processes of their own, with a lower
priority and a bound on memory, so that no client waits for another one's schema.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import fields, replace
from functools import lru_cache
from typing import Any, NamedTuple

from difficulty.answers.answer import Answer, Asked, ToolCall
from difficulty.events import Check
from difficulty.gateway.learned import PendingVerdict
from difficulty.gateway.validators import Checker
from difficulty.gateway.validators.structured import JsonSchema, client_schema, exceeds
from difficulty.routes import ValidatorRule
from difficulty.runtime.answers import AnswerVerdict

logger = logging.getLogger("difficulty.runtime")

LARGEST_SCHEMA = 32_768
"""Characters of a client's schema, about; a larger one is not read."""
_LARGEST_ASKED = 1_000_000
_BY_TOOLS = frozenset(("tool_call", "tool_facts"))
_PROCESSES = 2  # of each lane
_READY_S = 30.0
_MEMORY = 2 * 2**30
_START = (
    # First of all: what it loads, after each process that was ended, takes time of others too.
    "import json, os, sys; sys.argv[2] == 'limited' and os.nice(19);"
    " sys.path[:] = json.loads(sys.argv[1]);"
    " from difficulty.gateway.checking import serve; serve(limited=sys.argv[2] == 'limited')"
)


class Pending(NamedTuple):
    """Checks of one answer, some of which may be under way."""

    known: Mapping[int, Check | None]
    """Verdicts that are there, by the number of their rule."""
    names: Mapping[int, str]
    """Validators that are still at work."""
    future: Future[list[Check | None] | None] | None
    """Of their verdicts, in that order; ``None`` where nobody is at work."""
    until: float
    """Deadline by ``time.monotonic``."""
    unknown: str
    """What is said of those that are not done then."""
    learned: PendingVerdict | None = None
    """The learned check, where this answer has one."""
    answer: str | None = None
    """The answer as the log may hold it; ``None`` where it may not."""

    @property
    def left_s(self) -> float:
        """Seconds until the deadline."""
        return max(0.0, self.until - time.monotonic())

    @property
    def futures(self) -> list[Future[Any]]:
        """What is to be waited for, until the deadline."""
        learned = self.learned.future if self.learned else None
        return [one for one in (self.future, learned) if one is not None and not one.done()]

    def wait(self) -> tuple[Check, ...]:
        """Return the checks, at the deadline at the latest."""
        wait_for(self.futures, self.left_s)
        return self.checks()

    def checks(self) -> tuple[Check, ...]:
        """Return the checks in the order of the policy, as far as they are done."""
        slow = None
        with contextlib.suppress(Exception):  # no process to be had
            slow = self.future.result() if self.future and self.future.done() else None
        if slow is None:
            slow = [
                Check(name=name, passed=None, detail=self.unknown) for name in self.names.values()
            ]
        found = dict(self.known) | dict(zip(self.names, slow, strict=True))
        return tuple(check for _, check in sorted(found.items()) if check is not None)

    def verdict(self) -> AnswerVerdict | None:
        """Return what the learned check says by now; ``None`` where there is none."""
        return self.learned and self.learned.take()


class Checking:
    """Check answers, the quick checks at once and the others in processes.

    Parameters
    ----------
    timeout_s : float
        Most time for all checks of one answer.
    """

    def __init__(self, *, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._lanes = {limited: _Lane(limited=limited) for limited in (False, True)}

    def begin(self, checker: Checker, answer: Answer, asked: Asked) -> Pending:
        """Begin to check an answer; return at once."""
        until = time.monotonic() + self.timeout_s
        numbers = checker.numbers(asked)
        slow = [number for number in numbers if not checker.is_quick(number, answer, asked)]
        names = {number: checker.rule(number).check for number in slow}
        known = {
            number: checker.run(number, answer, asked) for number in numbers if number not in names
        }
        problem = _find_excess(asked) if slow else None
        if problem or not slow:
            return Pending(known, names, None, until, problem or "")
        rules = _write_rules(checker, slow)
        # Whose price a client sets, by its schema or its tools.
        limited = not _BY_TOOLS.isdisjoint(names.values()) or (
            client_schema(asked) is not None and "json_schema" in names.values()
        )
        future = self._lanes[limited].submit(
            rules, lambda: _write_question(rules, answer, asked), until
        )
        return Pending(known, names, future, until, f"took longer than {self.timeout_s:g} s")

    def warm_up(self, checker: Checker, *, wait: bool) -> None:
        """Start the processes that a policy will need; where that is waited for, what they load is
        no answer's time.
        """
        answer, asked = Answer("x"), Asked()
        numbers = range(len(checker))
        slow = [number for number in numbers if not checker.is_quick(number, answer, asked)]
        schema = [number for number in numbers if checker.rule(number).check == "json_schema"]
        started = [
            self._lanes[limited].start(_write_rules(checker, rules))
            for limited, rules in ((False, slow), (True, schema))
            if rules
        ]
        for future in started:
            if wait and future is not None:
                error = future.exception(_READY_S)
                if error is not None:
                    logger.warning("answers cannot be checked here: no process begins (%s)", error)


def _find_excess(asked: Asked) -> str | None:
    """Return what is too large to be checked."""
    schema = client_schema(asked)
    if schema is not None and exceeds(schema, LARGEST_SCHEMA):
        return f"a client's schema of more than {LARGEST_SCHEMA:,} characters"
    parts = [asked.tools, asked.tool_choice, asked.response_format, asked.system]
    return "a request too large to be checked" if exceeds(parts, _LARGEST_ASKED) else None


class _Lane:
    """Processes that wait for questions, each asked by a thread of its own.

    Parameters
    ----------
    limited : bool
        Whether the processes have a lower priority and bounded memory.
    """

    def __init__(self, *, limited: bool) -> None:
        self._limited = limited
        self._lock = threading.Lock()
        self._process_id = -1

    def submit(
        self, rules: str, question: Callable[[], bytes], until: float
    ) -> Future[list[Check | None] | None] | None:
        """Ask a process; ``None`` where no thread is to be had."""
        try:
            return self._threads().submit(self._ask, rules, question, until)
        except RuntimeError:
            return None

    def start(self, rules: str) -> Future[_Worker] | None:
        """Begin to start one process; ``None`` where no thread is to be had."""
        try:
            return self._threads().submit(self._worker, rules)
        except RuntimeError:
            return None

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            # The threads of a fork are the parent's, and so are its processes.
            if self._process_id != os.getpid():
                self._process_id = os.getpid()
                self._pool = ThreadPoolExecutor(_PROCESSES, thread_name_prefix="difficulty-checks")
                self._local = threading.local()
            return self._pool

    def _worker(self, rules: str) -> _Worker:
        """Return this thread's process, which has built the rules."""
        worker: _Worker | None = getattr(self._local, "worker", None)
        if worker is None or not worker.is_alive:
            worker = self._local.worker = _Worker(limited=self._limited)
        try:
            worker.prepare(rules)
        except (OSError, ValueError):
            worker.end()  # or the next question would get this one's answer
            raise
        return worker

    def _ask(
        self, rules: str, question: Callable[[], bytes], until: float
    ) -> list[Check | None] | None:
        if time.monotonic() >= until:
            return None  # waited too long behind others
        worker = self._worker(rules)
        content = question()
        # What it took to start is not the answer's fault: a process that is new is kept.
        if time.monotonic() >= until:
            return None
        try:
            forms = worker.ask(content, until)
        except (OSError, ValueError):  # not done in time, or out of memory
            worker.end()
            self._local.worker = _Worker(limited=self._limited)  # for the next one
            return None
        return [None if form is None else Check(**form) for form in forms]


class _Worker:
    """A process that answers one question at a time, over a socket."""

    def __init__(self, *, limited: bool) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-c", _START, json.dumps(sys.path)]
            self._process = subprocess.Popen(
                [*command, "limited" if limited else "free"], stdin=theirs.fileno()
            )
        self._socket = ours
        self._prepared: set[str] = set()
        self.end = weakref.finalize(self, _end, self._process, ours)

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked."""
        return self.end.alive and self._process.poll() is None

    def prepare(self, rules: str) -> None:
        """Have it build rules, and load what they need: that is no answer's time."""
        if rules not in self._prepared:
            self.ask(json.dumps({"rules": rules}).encode("ascii"), time.monotonic() + _READY_S)
            self._prepared.add(rules)

    def ask(self, content: bytes, until: float) -> Any:
        """Return the reply.

        Raises
        ------
        OSError
            If there is none in time, or the process is gone.
        """
        _send(self._socket, content, until)
        return json.loads(_receive(self._socket, until))


def _end(process: subprocess.Popen[bytes], connection: socket.socket) -> None:
    connection.close()
    process.kill()
    process.wait()


def _send(connection: socket.socket, content: bytes, until: float | None = None) -> None:
    connection.settimeout(until and max(0.001, until - time.monotonic()))
    connection.sendall(len(content).to_bytes(4, "big") + content)


def _receive(connection: socket.socket, until: float | None = None) -> bytes:
    n = int.from_bytes(_receive_bytes(connection, 4, until), "big")
    return _receive_bytes(connection, n, until)


def _receive_bytes(connection: socket.socket, n: int, until: float | None) -> bytes:
    content = b""
    while len(content) < n:
        connection.settimeout(until and max(0.001, until - time.monotonic()))
        part = connection.recv(n - len(content))
        if not part:
            raise ConnectionError("the other side is gone")
        content += part
    return content


def _write_rules(checker: Checker, numbers: Sequence[int]) -> str:
    rules = [checker.rule(number).as_dict() for number in numbers]
    return json.dumps({"rules": rules, "allowed": checker.allowed})


def _write_question(rules: str, answer: Answer, asked: Asked) -> bytes:
    form = {
        "rules": rules,
        # The calls are named tuples, which JSON writes as lists.
        "answer": _values(answer),
        "asked": _values(asked),
    }
    return json.dumps(form).encode("ascii")


def _values(record: Answer | Asked) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}


def serve(*, limited: bool) -> None:
    """Answer the questions that come in by the socket that is standard input, until it closes: what
    the processes do.
    """
    if limited:
        _limit()
    connection = socket.socket(fileno=os.dup(0))
    with contextlib.suppress(ConnectionError):
        while True:
            form = json.loads(_receive(connection))
            checker = _find_checker(form["rules"])
            checks = _check(checker, form) if "answer" in form else []
            forms = [check and check.as_dict() for check in checks]
            _send(connection, json.dumps(forms).encode("ascii"))


def _check(checker: Checker, form: Mapping[str, Any]) -> list[Check | None]:
    answer, asked = Answer(**form["answer"]), Asked(**form["asked"])
    logprobs = answer.logprobs
    answer = replace(
        answer,
        tool_calls=tuple(ToolCall(*call) for call in answer.tool_calls),
        logprobs=logprobs and tuple(logprobs),
        others=tuple(answer.others),
    )
    asked = replace(asked, tools=tuple(asked.tools))
    return [checker.run(number, answer, asked) for number in checker.numbers(asked)]


@lru_cache(maxsize=8)
def _find_checker(rules: str) -> Checker:
    form = json.loads(rules)
    checker = Checker(list(map(ValidatorRule.parse, form["rules"])), allowed=form["allowed"])
    if any(rule["check"] == "json_schema" for rule in form["rules"]):
        JsonSchema(schema={})  # loads what the first schema would wait for
    return checker


def _limit() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
