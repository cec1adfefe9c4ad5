"""The learned check of cheap answers inside a gateway: at once where that is quick, else in a
thread, so that no other request waits.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

from difficulty.answers.answer import Answer
from difficulty.bundle.policy import Exploration
from difficulty.events import Escalation
from difficulty.gateway.validators.structured import exceeds
from difficulty.gateway.visits import EXPLORED, Visit, chance
from difficulty.runtime.answers import AnswerVerdict

_THREADS = 2
_QUICK = 4_096
"""Characters of a request and its answer that are read in a millisecond or two."""
_QUICK_TOOLS = 16_384
LARGEST_TOOLS = 1_000_000
"""Characters of the offered tools, about; with larger ones an answer is not checked."""


class PendingVerdict(NamedTuple):
    """A verdict that may be under way."""

    future: Future[AnswerVerdict] | None
    give_up: Callable[[], AnswerVerdict]
    """Returns what is said where there is none in time."""

    def take(self) -> AnswerVerdict:
        """Return the verdict that there is now."""
        future = self.future
        if future is not None and future.done() and not future.cancelled():
            with suppress(Exception):  # it came too late
                return future.result()
        return self.give_up()


class LearnedCheck:
    """Run the learned check of a visit's bundle.

    Parameters
    ----------
    timeout_s : float
        Most time for one answer, as for all other checks.
    """

    def __init__(self, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._process_id = -1

    def begin(self, visit: Visit, answer: Answer, *, advisory: bool) -> PendingVerdict | None:
        """Begin to check an answer of the cheap model; ``None`` where the policy has no check.

        Parameters
        ----------
        visit : Visit
        answer : Answer
        advisory : bool
            Whether the client has that answer already, or never will.
        """
        checker, asked = visit.answers, visit.asked
        if checker is None or visit.policy.answer is None:
            return None

        def check() -> AnswerVerdict:
            # Its walk takes up to half a second, so no event loop waits for it.
            if exceeds(asked.tools, LARGEST_TOOLS):
                return give_up("tools too large to be checked")
            return checker.check(
                asked, visit.asked_messages, answer, visit.decision, advisory=advisory
            )

        def give_up(error: str = f"took longer than {self._timeout_s:g} s") -> AnswerVerdict:
            return checker.give_up(error, advisory=advisory)

        done: Future[AnswerVerdict] = Future()
        try:
            if not _is_quick(visit, answer):
                return PendingVerdict(self._submit(check), give_up)
            done.set_result(check())
        except Exception:  # of a class of the caller's
            done.set_result(give_up("tools that cannot be read"))
        return PendingVerdict(done, give_up)

    def _submit(self, check: Callable[[], AnswerVerdict]) -> Future[AnswerVerdict] | None:
        until = time.monotonic() + self._timeout_s

        def check_in_time() -> AnswerVerdict:
            if time.monotonic() > until:
                raise TimeoutError  # nobody waits for it any more
            return check()

        try:
            return self._threads().submit(check_in_time)
        except RuntimeError:  # no thread is to be had
            return None

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._process_id != os.getpid():  # the threads of a fork are the parent's
                self._process_id = os.getpid()
                self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="difficulty-answers")
            return self._pool


def _is_quick(visit: Visit, answer: Answer) -> bool:
    """Return whether an event loop may wait."""
    written = len(answer.text) + sum(len(call.arguments) for call in answer.tool_calls)
    written += sum(map(len, answer.others)) + len(visit.asked.text) + len(visit.asked.system)
    return written <= _QUICK and not exceeds(visit.asked.tools, _QUICK_TOOLS)


def settle(
    verdict: AnswerVerdict, visit: Visit, settings: Exploration, *, secret: str = ""
) -> Escalation:
    """Return what is done about a verdict: what it says, or by chance the other thing, so that the
    log can teach what that would have brought.
    """
    is_explored = visit.decision.reason in EXPLORED and verdict.reason in (
        "above_threshold",
        "within_threshold",
    )
    epsilon = settings.epsilon if is_explored else 0.0
    is_turned = chance("escalate", settings.seed, visit.lot, secret=secret) < epsilon
    return Escalation(
        answer_score=verdict.answer_score,
        p_answer_fails=verdict.p_answer_fails,
        threshold=verdict.threshold,
        reason=verdict.reason,
        policy_escalates=verdict.escalate,
        escalated=verdict.escalate != is_turned,
        propensity=epsilon if is_turned else 1.0 - epsilon,
        moved=tuple(move.name for move in verdict.moved),
        error=verdict.error,
    )
