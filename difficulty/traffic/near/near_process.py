"""The search for nearly equal texts in a process of its own, while the first reads on.

Half of what an ingest of millions of rows takes is this search, and it needs of a row its text
alone. Blocks of texts go to the other process as lines of JSON, what it finds comes back in the
same order, so the result is what one process gives.
"""

from __future__ import annotations

import json
import os
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import IO, Protocol

from difficulty.errors import TrafficError
from difficulty.traffic.near.near_index import NearIndex

Found = list[list[int]]
"""Of each text the earlier entries that it is near to, oldest first; entries count from 0."""

_START = (
    "import sys; from difficulty.traffic.near.near_process import serve;"
    " serve(sys.stdin.buffer, sys.stdout.buffer)"
)


class NearSearch(Protocol):
    """Blocks of texts in, and in the same order what was found of each."""

    ahead: int
    """Blocks that may be under way before the first is asked back."""

    def begin(self, texts: Sequence[str]) -> None:
        """Add texts."""

    def finish(self) -> Found:
        """Return what was found of the oldest block that was not asked back yet."""

    def close(self) -> None:
        """End the search."""


class NearHere:
    """The search in this process."""

    ahead = 0

    def __init__(self, folder: Path | None = None) -> None:
        self._index = NearIndex(folder)
        self._found: deque[Found] = deque()

    def begin(self, texts: Sequence[str]) -> None:
        """Add texts."""
        self._found.append(self._index.add_many(texts))

    def finish(self) -> Found:
        """Return what was found of the oldest block."""
        return self._found.popleft()

    def close(self) -> None:
        """Nothing to end."""


class NearProcess:
    """The search in another process.

    Parameters
    ----------
    folder : Path, optional
        Where sketches lie that memory is too small for; by default where temporary files do.

    Raises
    ------
    OSError
        If no process can be started.
    """

    ahead = 2

    def __init__(self, folder: Path | None = None) -> None:
        import subprocess  # here: most programs that import this start no process

        reading, writing = os.pipe()
        pipe = open(reading, "rb")  # the thread below closes it
        with open(writing, "wb") as told:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", _START],
                    stdin=subprocess.PIPE,
                    stdout=told,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                    # Ctrl-C is for the first process, which ends this one.
                    start_new_session=True,
                )
            except OSError:
                pipe.close()
                raise
        assert self._process.stdin is not None
        self._asked: IO[bytes] = self._process.stdin
        self._told: SimpleQueue[bytes] = SimpleQueue()
        # Read at once: with both pipes full, each process would wait for the other.
        self._reader = Thread(target=_forward, args=(pipe, self._told), daemon=True)
        self._reader.start()
        self._send(None if folder is None else str(folder))

    def begin(self, texts: Sequence[str]) -> None:
        """Send texts to the other process."""
        self._send(list(texts))

    def finish(self) -> Found:
        """Wait for what was found of the oldest block.

        Raises
        ------
        TrafficError
            If the other process ended before.
        """
        line = self._told.get()
        if not line.endswith(b"\n"):  # nothing, or what it was writing when it ended
            raise self._lost()
        found: Found = json.loads(line)
        return found

    def close(self) -> None:
        """End the other process, whatever it is at."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        with suppress(OSError):  # what it had not read yet
            self._asked.close()

    def _send(self, content: object) -> None:
        try:
            self._asked.write(json.dumps(content).encode() + b"\n")
            self._asked.flush()
        except BrokenPipeError as error:
            raise self._lost() from error

    def _lost(self) -> TrafficError:
        code = self._process.wait()
        return TrafficError(
            "the search for nearly equal texts must run to the end of the rows: its process was"
            f" ended before, with code {code}. Run it again, with more memory free if that was"
            " short, or leave the search out with --no-near-duplicates."
        )


def _forward(pipe: IO[bytes], lines: SimpleQueue[bytes]) -> None:
    with pipe:
        for line in pipe:
            lines.put(line)
    lines.put(b"")


def serve(asked: IO[bytes], told: IO[bytes]) -> None:
    """Answer what is asked, a line a block; runs in the other process."""
    blocks = map(json.loads, asked)
    folder = next(blocks)
    index = NearIndex(None if folder is None else Path(folder))
    for texts in blocks:
        told.write(json.dumps(index.add_many(texts), separators=(",", ":")).encode() + b"\n")
        told.flush()
