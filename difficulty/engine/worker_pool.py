"""Processes that work on blocks, one started again where it is lost.

A process is started with ``python -c`` and spoken to over a socket: unlike those of
``multiprocessing`` it does not run the caller's script again, and unlike those of
``concurrent.futures`` the loss of one costs its own blocks alone, which are done again.
"""

from __future__ import annotations

import os
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

from difficulty.engine.work import BlockAnswer, Work, answer
from difficulty.errors import EngineError

TRIES = 4
"""How often a block may lose its worker before it is given up: it may be what kills them."""
_QUEUED = 2  # blocks of a worker: the next is there when one is done
_AHEAD = 4  # blocks for each worker that may be done before the first of them is taken
_START = (
    "import sys; from difficulty.engine.worker_pool import serve_blocks;"
    " serve_blocks(int(sys.argv[1]))"
)


class Task(NamedTuple):
    """A block, and the worker that has to do it where that matters."""

    block: Any
    worker: int | None = None


class WorkerPool:
    """One process for each of some works.

    Parameters
    ----------
    works : sequence of callable
        What each process opens.

    Raises
    ------
    EngineError
        If no process can be started.
    """

    def __init__(self, works: Sequence[Work]) -> None:
        self._workers: list[_BlockProcess] = []
        try:
            for work in works:
                self._workers.append(_BlockProcess(work))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End all processes, whatever they are at."""
        for worker in self._workers:
            worker.end()

    def run(self, tasks: Iterable[Task]) -> Iterator[Any]:
        """Yield the result of each task in their order; tasks are drawn as they are needed."""
        source = enumerate(tasks)
        done: dict[int, BlockAnswer] = {}
        tries: Counter[int] = Counter()
        first = begun = 0
        waiting: tuple[int, Task] | None = None  # for a worker that is not free
        while True:
            while first in done:
                yield done.pop(first).value()
                first += 1
            while begun - first < _AHEAD * len(self._workers):
                waiting = waiting or next(source, None)
                if waiting is None or (worker := self._free(waiting[1])) is None:
                    break
                worker.begin(*waiting)
                waiting, begun = None, begun + 1
            if begun == first:
                return
            for worker in self._answering():
                try:
                    number, answered = worker.connection.recv()
                except (EOFError, OSError):
                    self._replace(worker, tries)
                else:
                    worker.queue.popleft()
                    done[number] = answered

    def _answering(self) -> list[_BlockProcess]:
        """Wait for some worker that is busy and return those that have something to say, if it is
        that they are lost.
        """
        busy = {worker.connection: worker for worker in self._workers if worker.queue}
        ready = set(wait(list(busy)))
        return [worker for connection, worker in busy.items() if connection in ready]

    def _free(self, task: Task) -> _BlockProcess | None:
        """Return the worker that takes a task next, or none while all are busy."""
        if task.worker is not None:
            worker = self._workers[task.worker]
        else:
            worker = min(self._workers, key=lambda each: len(each.queue))
        return worker if len(worker.queue) < _QUEUED else None

    def _replace(self, worker: _BlockProcess, tries: Counter[int]) -> None:
        """Start a lost worker again, with the blocks that it had."""
        code = worker.end()
        number = worker.queue[0][0]
        tries[number] += 1
        if tries[number] >= TRIES:
            raise EngineError(
                f"block {number + 1} has to be done by some process: {TRIES} were ended at it, the"
                f" last with code {code}. Run it with more memory free, or with fewer processes."
            )
        worker.start()
        for waiting, task in tuple(worker.queue):
            worker.send((waiting, task.block))


class _BlockProcess:
    """One process, and the blocks that it has."""

    def __init__(self, work: Work) -> None:
        self.queue: deque[tuple[int, Task]] = deque()
        self._work = work
        self.start()

    def start(self) -> None:
        """Start the process and have it open its work."""
        import socket
        import subprocess  # here: most programs that import this start no process

        ours, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                # Ctrl-C is for the first process, which ends this one.
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise EngineError(
                f"no further process can be started ({error}). Work with fewer."
            ) from error
        finally:
            theirs.close()
        self.connection = Connection(ours.detach())
        self.send(self._work)

    def begin(self, number: int, task: Task) -> None:
        """Give it a block."""
        self.queue.append((number, task))
        self.send((number, task.block))

    def send(self, content: Any) -> None:
        """Send something; that it was lost is seen when its answer is awaited."""
        try:
            self.connection.send(content)
        except (BrokenPipeError, ConnectionResetError):
            return

    def end(self) -> int:
        """End the process and return its exit code."""
        self._process.kill()
        code = self._process.wait()
        self.connection.close()
        return code


def serve_blocks(handle: int) -> None:
    """Open the work that comes first, and answer each block that follows; runs in a worker."""
    connection = Connection(handle)
    blocks: SimpleQueue[tuple[int, Any] | None] = SimpleQueue()
    opened = answer(_open, connection)
    # Blocks are read at once: with both ends sending, each would wait for the other.
    Thread(target=_read_on, args=(connection, blocks), daemon=True).start()
    while (asked := blocks.get()) is not None:
        number, block = asked
        answered = opened if opened.kind is not None else answer(opened.result, block)
        try:
            connection.send((number, answered))
        except OSError:  # nobody waits any more
            return
        except Exception as error:  # what cannot be sent is known before anything is
            connection.send((number, answer(_refuse, error)))


def _refuse(error: Exception) -> None:
    raise EngineError(f"the result of a block must be one that can be sent: {error}") from error


def _open(connection: Connection) -> Callable[[Any], Any]:
    try:
        work: Work = connection.recv()
    except (AttributeError, ImportError) as error:
        raise EngineError(
            f"the work must be of a module that other processes can import: {error}. Move it out of"
            " the program that is run."
        ) from error
    return work()


def _read_on(connection: Connection, blocks: SimpleQueue[tuple[int, Any] | None]) -> None:
    try:
        while True:
            blocks.put(connection.recv())
    except (EOFError, OSError):
        blocks.put(None)
