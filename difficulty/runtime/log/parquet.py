"""Parquet files in a folder, for analysis. The one module of the router side that names pyarrow.

A Parquet file cannot be read before it is finished, so events are gathered in memory and written as
whole files, each appearing at once. A crash loses what was gathered: at most ``max_rows`` events or
``max_s`` seconds. Keep JSON lines or SQLite beside it where that matters.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from difficulty.errors import InvalidValueError, MissingExtraError
from difficulty.events import EVENT_FORMAT, DecisionEvent
from difficulty.runtime.log.writer import writer_name

_STRINGS = (
    "id",
    "bundle_version",
    "route",
    "policy_route",
    "reason",
    "task",
    "tokens_source",
    "scored_by",
    "decision_error",
    "fallback",
    "outcome",
)
_FLOATS = (
    "difficulty_score",
    "p_cheap_fails",
    "p_frontier_fails",
    "familiarity",
    "threshold",
    "propensity",
    "latency_ms",
    "decision_ms",
)


class ParquetSink:
    """Gather events and write them as Parquet files.

    Parameters
    ----------
    path : str or Path
        Folder; made when it does not exist.
    max_rows : int, default 5_000
        Events of one file.
    max_s : float, default 60.0
        A file is written after this many seconds even with fewer events.
    """

    def __init__(self, path: str | Path, *, max_rows: int = 5_000, max_s: float = 60.0) -> None:
        if max_rows < 1:
            raise InvalidValueError("max_rows", max_rows, rule="be 1 or more")
        self.schema = schema()
        self.folder = Path(path)
        self.name = f"parquet {str(path)!r}"
        self.max_rows = max_rows
        self.max_s = max_s
        self._waiting: list[DecisionEvent] = []
        self._since = time.monotonic()
        self._prefix = writer_name()
        self._number = 0

    def write(self, events: Sequence[DecisionEvent]) -> None:
        """Gather a batch; on an error while a file is written, the events gathered before stay for
        the next attempt, up to ``max_rows``.
        """
        if not self._waiting:
            self._since = time.monotonic()
        if len(self._waiting) + len(events) > self.max_rows:
            self._write_file()
        self._waiting.extend(events)

    def sync(self, *, now: bool = False) -> None:
        """Write a file when one is due, or at once."""
        if self._waiting and (now or time.monotonic() - self._since >= self.max_s):
            self._write_file()

    def close(self) -> None:
        """Write what was gathered."""
        if self._waiting:
            self._write_file()

    def _write_file(self) -> None:
        if not self._waiting:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{self._prefix}-{self._number + 1:06d}.parquet"
        scratch = path.with_name(f".{path.name}.part")
        pa = _pyarrow()
        table = pa.Table.from_pylist([_row(event) for event in self._waiting], schema=self.schema)
        try:
            pa.parquet.write_table(table, scratch, compression="zstd")
            os.replace(scratch, path)
        except BaseException:
            scratch.unlink(missing_ok=True)
            raise
        self._number += 1
        self._waiting, self._since = [], time.monotonic()


def _row(event: DecisionEvent) -> dict[str, object]:
    messages = None if event.messages is None else json.dumps(list(event.messages), default=str)
    return event.as_dict() | {"time": event.time, "messages": messages}


def schema() -> Any:
    """Return the columns of the files: the fields of an event; ``messages`` as JSON text."""
    pa = _pyarrow()
    check = pa.struct([("name", pa.string()), ("passed", pa.bool_()), ("detail", pa.string())])
    call = [(name, pa.string()) for name in ("role", "side", "model", "error")]
    call += [(name, pa.int64()) for name in ("prompt_tokens", "completion_tokens")]
    call += [(name, pa.float64()) for name in ("cost_usd", "latency_ms")]
    columns = [(name, pa.string()) for name in (*_STRINGS, "group", "writer", "messages")]
    columns += [(name, pa.float64()) for name in _FLOATS]
    columns += [(name, pa.int64()) for name in ("tokens", "seq")]
    columns += [(name, pa.bool_()) for name in ("truncated", "streamed")]
    columns += [
        ("time", pa.timestamp("ms", tz="UTC")),
        ("calls", pa.list_(pa.struct([*call, ("checks", pa.list_(check))]))),
    ]
    return pa.schema(columns, metadata={"difficulty.event_format": str(EVENT_FORMAT)})


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("the Parquet log", package="pyarrow", extra="train") from error
    return pyarrow
