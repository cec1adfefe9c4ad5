"""Decisions for asyncio: the event loop waits on a thread, never computes. The one module of the
runtime that imports asyncio.

A request that comes alone goes to the thread at once. Those that come while the thread is busy are
decided together when it is done, so that a burst costs what a batch costs and nobody ever waits for
a batch to fill.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

_MOST_AT_ONCE = 256
_Asked = TypeVar("_Asked")
_Answer = TypeVar("_Answer")


class WaitingByLoop(Generic[_Asked, _Answer]):
    """Answer questions of any event loop, each loop's by a :class:`Waiting` of its own."""

    def __init__(self, answer: Callable[[Sequence[_Asked]], Sequence[_Answer]]) -> None:
        self._answer = answer
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Waiting[_Asked, _Answer]] = (
            WeakKeyDictionary()
        )

    async def ask(self, question: _Asked) -> _Answer:
        """Return the answer to one question of the running loop."""
        loop = asyncio.get_running_loop()
        waiting = self._by_loop.get(loop)
        if waiting is None:
            waiting = self._by_loop[loop] = Waiting(self._answer)
        return await waiting.ask(question)


class Waiting(Generic[_Asked, _Answer]):
    """Answer questions of one event loop from a thread, those that wait together.

    Parameters
    ----------
    answer : callable
        From questions to their answers, in order; called in the thread.
    """

    def __init__(self, answer: Callable[[Sequence[_Asked]], Sequence[_Answer]]) -> None:
        self._answer = answer
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="difficulty")
        self._queue: deque[tuple[_Asked, asyncio.Future[_Answer]]] = deque()
        self._busy = False

    async def ask(self, question: _Asked) -> _Answer:
        """Return the answer to one question; an error of its batch is raised to everyone in it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_Answer] = loop.create_future()
        self._queue.append((question, future))
        if not self._busy:
            self._send(loop)
        return await future

    def _send(self, loop: asyncio.AbstractEventLoop) -> None:
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), _MOST_AT_ONCE))]
        # Who gave up meanwhile needs no answer.
        batch = [(question, future) for question, future in batch if not future.done()]
        self._busy = bool(batch)
        if batch:
            questions, futures = zip(*batch, strict=True)
            try:
                sent = loop.run_in_executor(self._pool, self._answer, questions)
            except RuntimeError as error:  # no thread can be started
                self._give_up([*futures, *(future for _, future in self._queue)], error)
                return
            sent.add_done_callback(lambda done: self._receive(loop, futures, done))

    def _give_up(self, futures: Sequence[asyncio.Future[_Answer]], error: Exception) -> None:
        self._queue.clear()
        self._busy = False
        for future in futures:
            if not future.done():
                future.set_exception(error)

    def _receive(
        self,
        loop: asyncio.AbstractEventLoop,
        futures: Sequence[asyncio.Future[_Answer]],
        done: asyncio.Future[Sequence[_Answer]],
    ) -> None:
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        answers = [None] * len(futures) if error else done.result()
        for future, answer in zip(futures, answers, strict=True):
            if future.done():
                continue
            if error:
                future.set_exception(error)
            else:
                future.set_result(answer)  # type: ignore[arg-type]
        if self._queue:
            self._send(loop)
        else:
            self._busy = False
