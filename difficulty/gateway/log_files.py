"""JSON lines in a folder, one file after another: the log's plain form, written and read back.

Every process writes files of its own, ``<writer>-000001.jsonl`` and so on, and never appends to a
file it has not made: a line torn by a crash is the last of its file. Numbers, not times, tell the
order, so a clock that goes back does no harm.

What a crash loses. Each batch is handed to the operating system at once, so the death of the
process loses what was still in the queue: the events of the last moments. A power cut also loses
what was not synced: with ``fsync="always"`` nothing that was written, with ``"interval"`` the last
``interval_s`` seconds, with ``"never"`` what the system had not written by itself, often half a
minute.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

from difficulty.errors import InvalidValueError, LogError, TrafficNotFoundError
from difficulty.events import DecisionEvent
from difficulty.gateway.log import Fsync, writer_name

SUFFIX = ".jsonl"


class JsonLinesSink:
    """Append events to rotating files.

    Parameters
    ----------
    path : str or Path
        Folder; made when it does not exist.
    max_bytes : int
        A file that would grow beyond this is closed, and the next one begun.
    max_files : int
        Most files that the folder keeps, those of other processes included; the oldest are deleted.
        0 keeps all.
    fsync : {"never", "interval", "always"}
        What a power cut may take, see the module.
    interval_s : float
        Seconds between two syncs, for ``"interval"``.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        max_bytes: int = 64 * 2**20,
        max_files: int = 0,
        fsync: Fsync = "interval",
        interval_s: float = 1.0,
    ) -> None:
        if max_bytes < 1:
            raise InvalidValueError("max_bytes", max_bytes, rule="be 1 or more")
        if max_files < 0:
            raise InvalidValueError("max_files", max_files, rule="be 0 or more")
        if fsync not in get_args(Fsync):
            raise InvalidValueError("fsync", fsync, rule=f"be one of {', '.join(get_args(Fsync))}")
        self.folder = Path(path)
        self.name = f"json_lines {str(path)!r}"
        self.max_bytes, self.max_files = max_bytes, max_files
        self.fsync, self.interval_s = fsync, interval_s
        self._file, self._size = -1, 0
        self._name_files()
        self._unsynced = False
        self._synced_at = time.monotonic()

    def write(self, events: Sequence[DecisionEvent]) -> None:
        """Append a batch; on an error the file is as it was, or is given up for the next one."""
        # One write a batch: a process that dies between two leaves no half batch.
        lines = b"".join(map(event_line, events))
        if self._file >= 0 and self._size and self._size + len(lines) > self.max_bytes:
            self._finish()
        self._append(lines)
        if os.fstat(self._file).st_nlink == 0:
            # Deleted underneath, before or while it was written: that went nowhere.
            self._finish()
            self._append(lines)

    def _append(self, lines: bytes) -> None:
        if self._file < 0:
            self._begin()
        try:
            _write_all(self._file, lines)
        except OSError:
            self._take_back()
            raise
        self._size += len(lines)
        self._unsynced = True

    def after_fork(self) -> None:
        """Leave the file to the parent: its lines and ours would stand among each other."""
        if self._file >= 0:
            os.close(self._file)
        self._file, self._unsynced = -1, False
        self._name_files()

    def _name_files(self) -> None:
        self._prefix, self._number = writer_name(), 0

    def sync(self, *, now: bool = False) -> None:
        """Sync by the policy, or at once."""
        if not self._unsynced or (self.fsync == "never" and not now):
            return
        if now or self.fsync == "always" or time.monotonic() - self._synced_at >= self.interval_s:
            os.fsync(self._file)
            self._unsynced, self._synced_at = False, time.monotonic()

    def close(self) -> None:
        """Sync and close the file."""
        if self._file >= 0:
            self._finish()

    def _begin(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._number += 1
        path = self.folder / f"{self._prefix}-{self._number:06d}{SUFFIX}"
        # Not for everyone to read: it may hold texts.
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o640)
        self._size = 0
        if self.max_files:
            self._delete_oldest(keep=path)

    def _finish(self) -> None:
        """Sync and close the file, and forget it even where that fails."""
        # Forgotten first: with a file that cannot be synced every later batch would fail too.
        file, self._file = self._file, -1
        unsynced, self._unsynced = self._unsynced, False
        try:
            if unsynced:
                os.fsync(file)
        finally:
            os.close(file)

    def _take_back(self) -> None:
        """Cut off what was written of a batch; where that fails, leave the file."""
        try:
            os.ftruncate(self._file, self._size)
        except OSError:
            os.close(self._file)
            self._file, self._unsynced = -1, False

    def _delete_oldest(self, *, keep: Path) -> None:
        others = sorted(path for path in self.folder.glob(f"*{SUFFIX}") if path != keep)
        for path in others[: max(0, len(others) + 1 - self.max_files)]:
            path.unlink(missing_ok=True)  # another process may have been first


def event_line(event: DecisionEvent) -> bytes:
    """Return an event as a line of ASCII: lone surrogates survive, and it is one line."""
    return json.dumps(event.as_dict(), separators=(",", ":"), default=str).encode("ascii") + b"\n"


def _write_all(file: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]  # may take only a part, as on a disk that fills up


class LogReader:
    """The events of a log, in the order of their writers, each writer's by number; count what is
    missing.

    Attributes
    ----------
    torn : int
        Files whose last line was cut off, by a crash or because it is being written; that line is
        passed over.
    damaged : int
        Other lines that are no JSON; they are passed over too.
    missing : int
        Gaps between the numbers of a writer: events that were dropped or lost, and those of damaged
        lines. Events lost before the first or after the last that is there leave no gap.
    """

    def __init__(self, path: Path) -> None:
        self.files = log_files(path)
        self.torn = self.damaged = self.missing = 0

    def __iter__(self) -> Iterator[DecisionEvent]:
        self.torn = self.damaged = self.missing = 0
        expected: dict[str, int] = {}  # writer to its next number
        for path in self.files:
            for event in self._events(path):
                if event.writer is not None and event.seq is not None:
                    self.missing += max(0, event.seq - expected.get(event.writer, event.seq))
                    expected[event.writer] = event.seq + 1
                yield event

    def _events(self, path: Path) -> Iterator[DecisionEvent]:
        with path.open("rb") as file:
            for line in file:
                try:
                    entries = json.loads(line)
                except (ValueError, RecursionError):
                    is_whole = line.endswith(b"\n")
                    self.torn += not is_whole
                    self.damaged += is_whole and bool(line.strip())
                    continue
                if not isinstance(entries, dict):
                    raise LogError(
                        f"{path.name} must hold one decision event a line: got"
                        f" {type(entries).__name__}. Check the file."
                    )
                yield DecisionEvent.from_dict(entries)


def read_log(path: str | Path) -> LogReader:
    """Return the events of a log, a folder of JSON lines or one such file, to be iterated over.

    Raises
    ------
    TrafficNotFoundError
        If nothing is there.
    LogError
        While iterating: if a line is JSON but no event, or an event of a newer format.
    """
    return LogReader(Path(path))


def log_files(path: Path) -> list[Path]:
    """Return the files of a log, sorted by name: those of a writer follow each other."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise TrafficNotFoundError(
            f"no decision log at {str(path)!r}: expected a folder or a file of JSON lines. Check"
            " the path."
        )
    return sorted(
        file
        for file in path.iterdir()
        if file.name.endswith(SUFFIX) and not file.name.startswith(".")
    )
