"""A part of a log that a worker of an engine holds: some of its files as a table, asked from afar.

What a shard is asked is SQL, and what it answers is Parquet, so that a log is read, kept and added
up where the workers are; sums of all parts are made elsewhere.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from difficulty.decisions.decision_table import ORDER, DecisionTable
from difficulty.decisions.log_sources import Sources, quoted
from difficulty.errors import EngineError, LogError

PART_BYTES = 256 * 2**20
"""Of the files of a shard, where it has more than one."""
_HEAD = 64 * 2**10  # bytes by which a file is known


class LogFile(NamedTuple):
    """A file of a log, for a worker that may see it."""

    path: Path
    size: int
    head_sha256: str
    content: bytes | None = None
    """The whole of it, for one that does not."""

    @classmethod
    def of(cls, path: Path) -> LogFile:
        """Return how a file is known elsewhere."""
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(min(_HEAD, size))
        return cls(path.absolute(), size, hashlib.sha256(head).hexdigest())

    def with_content(self) -> LogFile:
        """Return it with all that is in it."""
        return self._replace(content=self.path.read_bytes())


class LogPart(NamedTuple):
    """Files of a log, and how they are held."""

    number: int
    files: Sequence[LogFile]
    texts: bool
    memory_gb: float
    place: Path | None
    """Where a worker keeps its table; None: among its own temporary files."""
    duckdb_version: str
    """Its hashes say which events belong together."""


class LogParts(Sequence[LogPart]):
    """Parts of a log, each made when it is asked for: only one has its files' content at a time."""

    def __init__(self, parts: Sequence[LogPart], *, with_content: bool) -> None:
        self._parts, self._with_content = parts, with_content

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, number: Any) -> Any:
        part = self._parts[number]
        if not self._with_content:
            return part
        return part._replace(files=[file.with_content() for file in part.files])


class LogNotSeenError(EngineError):
    """A worker does not see a file of the log."""


class ShardBehindError(EngineError):
    """A shard was opened again elsewhere, and what was done in it has to be done again."""


class ShardStep(NamedTuple):
    """What changes a shard: a statement, or the name of a table that it is given."""

    sql: str
    table: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardQuestion:
    """What is asked of a shard; with nothing that is asked it says what it read."""

    first: int = 0
    """Number of steps that came before ``steps``."""
    steps: Sequence[ShardStep] = ()
    events: Mapping[int, int] = field(default_factory=dict)
    """Rows that each shard had when it was opened first."""
    queries: Mapping[str, str] = field(default_factory=dict)
    """To be answered, by name."""
    pieces: Sequence[str | None] = ()
    """A query for each shard: what it is sent by all of them, if anything."""
    function: Callable[[dict[str, Any]], Any] | None = None
    """Applied to the decisions that were sent, in their order."""
    is_over: bool = False


def split_files(files: Sequence[LogFile], workers: int) -> list[list[LogFile]]:
    """Return files in parts, neighbours together: some for each worker, none of them large."""
    total = sum(file.size for file in files)
    most = min(PART_BYTES, -(-total // workers))
    parts: list[list[LogFile]] = []
    size = 0
    for file in files:
        # Half a file more is as good as half a file less.
        if not parts or (size and size + file.size / 2 > most):
            parts.append([])
            size = 0
        parts[-1].append(file)
        size += file.size
    return parts


class LogShard:
    """The events of some files of a log.

    Raises
    ------
    LogNotSeenError
        If a file is not there as it should be.
    LogError
        If one cannot be read.
    EngineError
        If the worker has another DuckDB.
    """

    def __init__(self, part: LogPart) -> None:
        if (own := version("duckdb")) != part.duckdb_version:
            raise EngineError(
                f"a worker must have the DuckDB that this program has, {part.duckdb_version}: it"
                f" has {own}. Install the same on both."
            )
        folder = tempfile.mkdtemp(prefix=f"shard-{part.number:04d}-", dir=part.place)
        self._place = Path(folder)
        self._number, self._n_steps = part.number, 0
        self._table = DecisionTable(
            self._place, memory_gb=part.memory_gb, threads=1, texts=part.texts
        )
        # Also where another part of the same worker cannot be opened, and nobody ends this one.
        self._end = weakref.finalize(self, _clear, self._table, folder)
        self.connection = self._table.connection
        sources = Sources(
            [_seen(file, self._place) for file in part.files], part.texts, self._place
        )
        self._table._load(sources)
        self._sources = sources
        self._n_read = int(self.connection.execute("SELECT count(*) FROM events").fetchone()[0])
        self.connection.execute(f"CREATE TEMP MACRO this_shard() AS {part.number}")

    def __call__(self, asked: ShardQuestion, pieces: Sequence[bytes] | None = None) -> Any:
        """Do what has to be done before, and answer."""
        if asked.is_over:
            self._end()
            return None
        self._catch_up(asked)
        if asked.pieces:
            return [
                b"" if query is None else carry(self.connection, query, self._place)
                for query in asked.pieces
            ]
        if pieces is not None:
            sent = [piece for piece in pieces if piece]
            if not sent:
                return None
            receive(self.connection, "pieces", sent, self._place)
            if asked.function is not None:
                return asked.function(self._table.query(_ORDERED))
        if asked.queries:
            return {
                name: carry(self.connection, sql, self._place)
                for name, sql in asked.queries.items()
            }
        return self._reading()

    def _catch_up(self, asked: ShardQuestion) -> None:
        if asked.first > self._n_steps:
            raise ShardBehindError("a part of the log has to be read again: its worker was lost.")
        if asked.events.get(self._number, self._n_read) != self._n_read:
            raise LogError(
                "a log must stay as it is while it is read on an engine: a worker was lost, and"
                " what it read has changed since. Run it again."
            )
        for step in asked.steps[self._n_steps - asked.first :]:
            if step.table is None:
                self.connection.execute(step.sql)
            else:
                receive(self.connection, step.sql, [step.table], self._place)
            self._n_steps += 1

    def _reading(self) -> ShardReading:
        sources = self._sources
        return ShardReading(
            self._n_read,
            bool(sources.lines),
            sources.broken,
            sources.torn,
            sources.damaged,
            sources.torn_ends,
        )


class ShardReading(NamedTuple):
    """What a shard read."""

    events: int
    has_lines: bool
    broken: int
    torn: int
    damaged: int
    torn_ends: int


def _clear(table: DecisionTable, folder: str) -> None:
    table.close()
    shutil.rmtree(folder, ignore_errors=True)


def rows_query(columns: Sequence[str], condition: str) -> str:
    """Return the query for decisions that are ordered where they are sent."""
    order = [f"{name} AS {_ORDER_PREFIX}{name}" for name in ORDER]
    return f"SELECT {', '.join([*columns, *order])} FROM decisions WHERE {condition}"


_ORDER_PREFIX = "order_by_"
_ORDER_COLUMNS = ", ".join(f"{_ORDER_PREFIX}{name}" for name in ORDER)
_ORDERED = f"SELECT * EXCLUDE ({_ORDER_COLUMNS}) FROM pieces ORDER BY {_ORDER_COLUMNS}"
_WHOLE = "whole number: "
"""Before the name of a column of whole numbers of 128 bits, which Parquet has as text alone."""


def carry(connection: Any, sql: str, place: Path) -> bytes:
    """Return what a query gives as a Parquet file."""
    connection.execute(f"CREATE OR REPLACE TEMP VIEW carried AS {sql}")
    kinds = connection.execute("DESCRIBE carried").fetchall()
    columns = ", ".join(
        f'CAST("{name}" AS VARCHAR) AS "{_WHOLE}{name}"' if kind == "HUGEINT" else f'"{name}"'
        for name, kind, *_ in kinds
    )
    path = place / "carried.parquet"
    rows = f"SELECT {columns} FROM carried"
    connection.execute(f"COPY ({rows}) TO {quoted(path)} (FORMAT parquet, COMPRESSION zstd)")
    content = path.read_bytes()
    path.unlink()
    return content


def receive(connection: Any, name: str, contents: Sequence[bytes], place: Path) -> None:
    """Make a temporary table of what :func:`carry` gave, of all contents one after the other."""
    with tempfile.TemporaryDirectory(dir=place) as folder:
        paths = [Path(folder) / f"{number:06d}.parquet" for number in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        read = f"read_parquet([{', '.join(map(quoted, paths))}])"
        kinds = connection.execute(f"DESCRIBE SELECT * FROM {read}").fetchall()
        columns = ", ".join(
            f'CAST("{column}" AS HUGEINT) AS "{column.removeprefix(_WHOLE)}"'
            if column.startswith(_WHOLE)
            else f'"{column}"'
            for column, *_ in kinds
        )
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT {columns} FROM {read}")


def _seen(file: LogFile, place: Path) -> Path:
    """Return where a file is read: where it lies, if it is seen from here, or from a copy."""
    if file.content is not None:
        # By its own name, which an error says; no two of a part are in one folder.
        folder = Path(tempfile.mkdtemp(dir=place))
        path = folder / file.path.name
        path.write_bytes(file.content)
        return path
    try:
        # It may have grown since, as a log does.
        if file.path.stat().st_size >= file.size and _grown_from(file):
            return file.path
    except OSError:
        pass
    raise LogNotSeenError("a file of the log is not seen by a worker.")


def _grown_from(file: LogFile) -> bool:
    with file.path.open("rb") as opened:
        head = opened.read(min(_HEAD, file.size))
    return hashlib.sha256(head).hexdigest() == file.head_sha256
