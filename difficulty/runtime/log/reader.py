"""Reading a decision log back: JSON lines of one or many processes, also while they are being
written or after a crash.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from difficulty.errors import LogError, TrafficNotFoundError
from difficulty.events import DecisionEvent
from difficulty.runtime.log.json_lines import SUFFIX


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
        self.torn = 0
        self.damaged = 0
        self.missing = 0

    def __iter__(self) -> Iterator[DecisionEvent]:
        self.torn = self.damaged = self.missing = 0
        expected: dict[str, int] = {}
        for path in self.files:
            for event in self._of(path):
                if event.writer is not None and event.seq is not None:
                    self.missing += max(0, event.seq - expected.get(event.writer, event.seq))
                    expected[event.writer] = event.seq + 1
                yield event

    def _of(self, path: Path) -> Iterator[DecisionEvent]:
        with path.open("rb") as file:
            for line in file:
                try:
                    form = json.loads(line)
                except (ValueError, RecursionError):
                    self._count(line)
                    continue
                if not isinstance(form, dict):
                    raise LogError(
                        f"{path.name} must hold one decision event a line: got"
                        f" {type(form).__name__}. Check the file."
                    )
                yield DecisionEvent.from_dict(form)

    def _count(self, line: bytes) -> None:
        if line.endswith(b"\n"):
            self.damaged += bool(line.strip())
        else:
            self.torn += 1


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
