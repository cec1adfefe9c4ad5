"""SQLite: one table ``events`` that can be queried while it is written; several processes may share
the file.

The file is in write-ahead mode. ``fsync`` sets SQLite's ``synchronous``: ``never`` is OFF,
``interval`` NORMAL, ``always`` FULL. A batch is one transaction, so after a crash it is there whole
or not at all; a power cut may take the last transactions unless ``fsync="always"``.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, get_args

from difficulty.errors import InvalidValueError, LogError
from difficulty.events import EVENT_FORMAT, DecisionEvent
from difficulty.runtime.log.sinks import Fsync

COLUMNS = {
    "writer": "TEXT NOT NULL",
    "seq": "INTEGER NOT NULL",
    "id": "TEXT NOT NULL",
    "time": "TEXT NOT NULL",
    "bundle_version": "TEXT NOT NULL",
    "route": "TEXT NOT NULL",
    "policy_route": "TEXT NOT NULL",
    "reason": "TEXT NOT NULL",
    "difficulty_score": "REAL",
    "threshold": "REAL NOT NULL",
    "propensity": "REAL NOT NULL",
    "task": "TEXT",
    "tokens": "INTEGER",
    "fallback": "TEXT",
    "outcome": "TEXT NOT NULL",
    "latency_ms": "REAL",
    "cost_usd": "REAL",
    "event": "TEXT NOT NULL",
}
"""Columns of the table; ``event`` is the whole event as JSON."""

_SYNCHRONOUS = {"never": "OFF", "interval": "NORMAL", "always": "FULL"}
_TABLE = (
    "CREATE TABLE IF NOT EXISTS events"
    f" ({', '.join(f'{name} {kind}' for name, kind in COLUMNS.items())}, PRIMARY KEY (writer, seq))"
)
_INSERT = f"INSERT INTO events ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"


class SqliteSink:
    """Insert events into a SQLite database.

    Parameters
    ----------
    path : str or Path
        Database file; made when it does not exist.
    fsync : {"never", "interval", "always"}, default "interval"
        See the module.
    wait_s : float, default 1.0
        How long to wait for another process that writes.
    """

    def __init__(self, path: str | Path, *, fsync: Fsync = "interval", wait_s: float = 1.0) -> None:
        if fsync not in get_args(Fsync):
            raise InvalidValueError("fsync", fsync, rule=f"be one of {', '.join(get_args(Fsync))}")
        self.path = Path(path)
        self.name = f"sqlite {str(path)!r}"
        self.fsync = fsync
        self.wait_s = wait_s
        self._connection: sqlite3.Connection | None = None

    def write(self, events: Sequence[DecisionEvent]) -> None:
        """Insert a batch in one transaction."""
        try:
            connection = self._connection = self._connection or self._open()
            with connection:
                connection.executemany(_INSERT, [_row(event) for event in events])
        except sqlite3.Error:
            self.close()  # opened again with the next batch: the file may have been replaced
            raise

    def sync(self, *, now: bool = False) -> None:
        """Do nothing: SQLite syncs by itself as it was told."""

    def close(self) -> None:
        """Close the database."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=self.wait_s)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA synchronous={_SYNCHRONOUS[self.fsync]}")
            with closing(connection.execute("PRAGMA user_version")) as cursor:
                found = cursor.fetchone()[0]
            if found not in (0, EVENT_FORMAT):
                raise LogError(
                    f"{self.path.name} must hold events of format {EVENT_FORMAT}: got {found}."
                    " Write to another file."
                )
            with connection:
                connection.execute(_TABLE)
                connection.execute(f"PRAGMA user_version={EVENT_FORMAT}")
        except BaseException:
            connection.close()
            raise
        return connection


def _row(event: DecisionEvent) -> list[Any]:
    form = event.as_dict()
    form |= {
        "cost_usd": event.cost_usd,
        "event": json.dumps(form, separators=(",", ":"), default=str),
    }
    return [form[name] for name in COLUMNS]
