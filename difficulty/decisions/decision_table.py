"""Decision logs as one table, one row an event, in a DuckDB file: ten million events fit a gigabyte
of memory, and who knows SQL can ask it anything.

Events that are there twice count once; what cannot be read is passed over and counted. Times are
UTC, unknown numbers are NaN and never zero.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from difficulty.decisions.event_columns import (
    LABELS,
    MESSAGES,
    NUMBERS,
    TEXTS,
    Problem,
    event_query,
)
from difficulty.decisions.late_labels import LabelCounts, join_labels
from difficulty.decisions.log_reading import LogReading
from difficulty.decisions.log_sources import Sources, find_log_files, quoted
from difficulty.errors import InvalidValueError, LogError, MissingExtraError, UnknownNameError
from difficulty.kinds import PathKind, mistaken
from difficulty.text import quantity_text

_DAMAGED = ("line that holds no JSON object", "lines that hold no JSON object")
_CLOCK_SLACK = "INTERVAL 1 MINUTE"
"""Requests are logged when they end, so a minute's disorder is no clock's."""
ORDER = ("time", "writer", "seq", "id")
"""Columns by which decisions are ordered: as they were made."""
_UNIT = float(1 << 60)
"""Parts of 1 that exact sums are made of: a power of two, so that only rounding to whole ones loses
something, 4e-19.
"""
_MOST = 1e12
"""Of one value of an exact sum: a hundred million such still fit."""


def read_decisions(
    paths: Sequence[str | Path] | str | Path,
    *,
    outcomes: Sequence[str | Path] = (),
    bundle_versions: Sequence[str] | None = None,
    texts: bool = False,
    work_dir: str | Path | None = None,
    memory_gb: float = 1.0,
    threads: int | None = None,
) -> DecisionTable:
    """Read decision logs into a table.

    Parameters
    ----------
    paths : path or sequence of paths
        Folders and files of logs: JSON lines, also gzipped, and Parquet with the same fields. A log
        may be read while it is written.
    outcomes : sequence of paths
        Late outcomes: feedback as ``difficulty outcomes`` reads it, or labelled traffic.
    bundle_versions : sequence of str, optional
        Versions whose events are expected; others are counted as foreign, and stay in the table.
    texts : bool
        Whether the column ``messages`` (JSON text) is kept, where the log holds texts.
    work_dir : path, optional
        Where the table's file is made, in a folder of its own that is removed with the table;
        default: the system's folder for temporary files. It takes about a tenth of the log's size.
    memory_gb : float
        Most memory that DuckDB takes; what does not fit waits on the disk.
    threads : int, optional
        Most processors that are used; default: all.

    Returns
    -------
    DecisionTable
        To be closed, or used in a ``with`` block.

    Raises
    ------
    MissingExtraError
        If DuckDB is not installed.
    TrafficNotFoundError
        If a path does not exist or holds no files.
    LogError
        If no file holds a decision event.
    TrafficError
        If late outcomes cannot be read.
    """
    table = DecisionTable(work_dir, memory_gb=memory_gb, threads=threads, texts=texts)
    return table.filled(paths, outcomes, bundle_versions)


def backwards_query(events: str = "events") -> str:
    """Return SQL that counts how often a writer's clock went back, by its numbers."""
    return (
        "SELECT count(*) AS n FROM (SELECT time, lag(time) OVER (PARTITION BY writer ORDER BY seq)"
        f" AS earlier FROM {events} WHERE writer IS NOT NULL AND seq IS NOT NULL)"
        f" WHERE time < earlier - {_CLOCK_SLACK}"
    )


def exact_sum(value: str, kept: str = "TRUE") -> str:
    """Return SQL that adds up a number of the rows where a condition holds, in whole parts that
    :func:`plain_sum` brings back. Whole numbers add up to the same in any order, and floats do not:
    with those a report would not be the same twice, nor with other threads, files or machines.
    """
    within = f"greatest(least({value}, {_MOST}), -{_MOST})"
    # A null of these would be the least of them.
    whole = f"CASE WHEN ({value}) IS NOT NULL THEN CAST({within} * {_UNIT!r} AS HUGEINT) END"
    return f"sum({whole}) FILTER ({kept})"


def plain_sum(total: str) -> str:
    """Return SQL for the number that an exact sum, or the sum of some, is."""
    return f"(CAST({total} AS DOUBLE) / {_UNIT!r})"


class DecisionTable:
    """The events of decision logs; made by :func:`read_decisions`.

    Attributes
    ----------
    reading : LogReading
        What was in the log, and what was wrong with it.
    columns : tuple of str
        The columns that :meth:`arrays` gives.
    connection : duckdb.DuckDBPyConnection
        With the view ``decisions``, for SQL of one's own.
    """

    def __init__(
        self,
        work_dir: str | Path | None = None,
        *,
        memory_gb: float = 1.0,
        threads: int | None = None,
        texts: bool = False,
    ) -> None:
        if not 0.1 <= memory_gb < float("inf"):
            raise InvalidValueError("memory_gb", memory_gb, rule="be 0.1 or more")
        duckdb = _import_duckdb()
        self._failures: type[Exception] = duckdb.Error
        self._texts = texts
        if work_dir is not None:
            Path(work_dir).mkdir(parents=True, exist_ok=True)
        self._folder = tempfile.TemporaryDirectory(prefix="difficulty-log-", dir=work_dir)
        self._place = Path(self._folder.name)
        self.connection = duckdb.connect(str(self._place / "decisions.duckdb"))
        self.reading = LogReading()
        self.columns: tuple[str, ...] = ("day", "time", *TEXTS, *NUMBERS)
        self.columns += (MESSAGES,) if texts else ()
        for setting, value in {
            "TimeZone": "'UTC'",
            "memory_limit": f"'{int(memory_gb * 1000)}MB'",
            "temp_directory": quoted(self._place / "spilled"),
            # Rows are ordered when they are asked for; this way nothing has to wait in memory.
            "preserve_insertion_order": "false",
            "enable_progress_bar": "false",
            **({} if threads is None else {"threads": str(threads)}),
        }.items():
            self.connection.execute(f"SET {setting} = {value}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return self.reading.events

    def close(self) -> None:
        """Let go of the table and remove its file."""
        self.connection.close()
        self._folder.cleanup()

    def arrays(self, columns: Sequence[str], where: str | None = None) -> dict[str, NDArray[Any]]:
        """Return columns as arrays of shape (n_events,), ordered by time, writer and number.

        Parameters
        ----------
        columns : sequence of str
            Names of ``self.columns``.
        where : str, optional
            A condition in SQL: ``"route = 'cheap' AND day >= DATE '2026-07-01'"``.

        Returns
        -------
        dict of str to ndarray
            Floats, NaN where unknown; strings as objects, None where unknown; ``time`` as
            datetime64[us] and ``day`` as datetime64[D], both UTC.
        """
        if unknown := [name for name in columns if name not in self.columns]:
            raise UnknownNameError("column of decisions", unknown[0], self.columns)
        selected = ", ".join(f'"{name}"' for name in columns)
        condition = f" WHERE {where}" if where else ""
        arrays = self.query(
            f"SELECT {selected} FROM decisions{condition} ORDER BY {', '.join(ORDER)}"
        )
        if "day" in arrays:
            arrays["day"] = arrays["day"].astype("datetime64[D]")
        return arrays

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> dict[str, NDArray[Any]]:
        """Return the columns of a query on the view ``decisions`` as arrays: numbers as floats,
        NaN where null, strings as objects, None where null.
        """
        fetched = self.connection.execute(sql, list(parameters)).fetchnumpy()
        return {name: _plain(column) for name, column in fetched.items()}

    def run(self, sql: str) -> None:
        """Run a statement where the events are, on the tables and views that are there: ``events``,
        ``decisions``, and what was made before.
        """
        self.connection.execute(sql)

    def gather(self, name: str, sql: str) -> None:
        """Make a temporary table here of what a query gives where the events are.

        Where these are in several places, each answers for its own, one after the other: a query
        that adds up gives parts, which are added up here.
        """
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {sql}")

    def share(self, name: str, sql: str) -> None:
        """Make a temporary table where the events are of what a query gives here."""
        self.gather(name, sql)

    def map_rows(
        self,
        function: Callable[[dict[str, NDArray[Any]]], Any],
        columns: Sequence[str],
        conditions: Sequence[str],
    ) -> Iterator[Any]:
        """Yield what a function makes of the decisions that meet each condition, in order.

        Parameters
        ----------
        function : callable
            Of a module, called with columns as :meth:`query` gives them, ordered by time, writer
            and number.
        columns : sequence of str
            SQL, each with its name.
        conditions : sequence of str
            SQL; no two are met by the same decision.
        """
        for condition in conditions:
            rows = f"SELECT {', '.join(columns)} FROM decisions WHERE {condition}"
            yield function(self.query(f"{rows} ORDER BY {', '.join(ORDER)}"))

    def filled(
        self,
        paths: Sequence[str | Path] | str | Path,
        outcomes: Sequence[str | Path],
        bundle_versions: Sequence[str] | None,
    ) -> Self:
        """Read logs into this table, which is closed where that fails; see
        :func:`read_decisions`.
        """
        try:
            listed = [paths] if isinstance(paths, str | Path) else paths
            files = find_log_files(map(Path, listed))
            self._read(files, [Path(path) for path in outcomes], bundle_versions)
        except BaseException:
            self.close()
            raise
        return self

    def _read(
        self, files: list[Path], outcomes: list[Path], bundle_versions: Sequence[str] | None
    ) -> None:
        sources = Sources(files, self._texts, self._place)
        self._load(sources)
        problems = self._drop_problems()
        if not problems[Problem.NONE]:
            # Whole objects that are no events: most often requests are named in place of the log.
            others = problems[Problem.REFUSED]
            whole = others and not (problems[Problem.DAMAGED] or problems[Problem.NEWER])
            kinds = (mistaken(file, PathKind.LOG) for file in files) if whole else ()
            told = next(filter(None, kinds), "")
            raise LogError(
                told
                or "a decision log must hold decision events: got none in"
                f" {quantity_text(len(files), 'file')},"
                f" {quantity_text(problems[Problem.DAMAGED], *_DAMAGED)},"
                f" {quantity_text(problems[Problem.NEWER], 'event')} of a newer format and"
                f" {others:,} other objects. Check the path."
            )
        # A damaged line counts as torn where it is the last of its file and has no end.
        torn = min(sources.torn_ends, problems[Problem.DAMAGED]) if sources.lines else 0
        before = self._count_events()
        self._drop_doubled()
        doubled = before - self._count_events()
        self._find_shared_ids()
        labels = self._join_labels(outcomes) if outcomes else None
        self._make_view(labelled=labels is not None)
        self.reading = replace(
            self._look(bundle_versions),
            files=len(files),
            torn=torn + sources.torn,
            broken_files=sources.broken,
            damaged=problems[Problem.DAMAGED] - torn + sources.damaged,
            newer=problems[Problem.NEWER],
            refused=problems[Problem.REFUSED],
            without_zone=problems[Problem.WITHOUT_ZONE],
            doubled=doubled,
            **({} if labels is None else asdict(labels)),
        )

    def _load(self, sources: Sources) -> None:
        """Fill the table ``events``; files that DuckDB refuses are read again from a copy."""
        try:
            self._fill(sources)
        except self._failures as error:
            self.connection.execute("DROP TABLE IF EXISTS events")
            try:
                if not sources.mend(self.connection, self._failures):
                    raise self._refusal(error) from error
                self._fill(sources)
            except self._failures as again:
                raise self._refusal(again) from again
        sources.torn_ends = sources.count_torn()

    def _fill(self, sources: Sources) -> None:
        for number, source in enumerate(sources.queries(self.connection)):
            made = "INSERT INTO events" if number else "CREATE TABLE events AS"
            self.connection.execute(f"{made} {event_query(source, texts=self._texts)}")

    def _refusal(self, error: Exception | str) -> LogError:
        # The first line names a file and a reason; what follows may quote what is in it.
        reason = str(error).partition("\n")[0][:300]
        return LogError(
            f"a decision log must be JSON lines or Parquet that can be read: {reason}. Check the"
            " files."
        )

    def _drop_problems(self) -> dict[Problem, int]:
        self.gather("problems", "SELECT problem, count(*) AS n FROM events GROUP BY problem")
        rows = self.connection.execute(
            "SELECT problem, CAST(sum(n) AS BIGINT) FROM problems GROUP BY problem"
        ).fetchall()
        counts = dict.fromkeys(Problem, 0) | {Problem(problem): n for problem, n in rows}
        if sum(counts.values()) > counts[Problem.NONE]:
            self.run("DELETE FROM events WHERE problem <> 0")
        return counts

    def _count_events(self) -> int:
        self.gather("sizes", "SELECT count(*) AS n FROM events")
        return self._count("SELECT sum(n) FROM sizes")

    def _drop_doubled(self) -> None:
        """Leave each event once."""
        self.run(
            "CREATE TEMP TABLE doubled AS SELECT event FROM events GROUP BY event"
            " HAVING count(*) > 1"
        )
        self.run(
            "DELETE FROM events WHERE rowid IN (SELECT row FROM (SELECT e.rowid AS row,"
            " row_number() OVER (PARTITION BY e.event ORDER BY e.rowid) AS place"
            " FROM events e SEMI JOIN doubled USING (event)) WHERE place > 1)"
        )
        self.run("DROP TABLE doubled")

    def _find_shared_ids(self) -> None:
        # By their hashes first: ten million texts would not fit the memory.
        self.connection.execute(
            "CREATE TABLE shared_ids AS SELECT id FROM events WHERE hash(id) IN"
            " (SELECT hash(id) FROM events GROUP BY hash(id) HAVING count(*) > 1)"
            " GROUP BY id HAVING count(*) > 1"
        )

    def _join_labels(self, outcomes: list[Path]) -> LabelCounts:
        """Make the table ``labels`` where the events are."""
        return join_labels(self.connection, outcomes, self._place)

    def _make_view(self, *, labelled: bool) -> None:
        """Make the view ``decisions``: events with their late outcomes."""
        kept = [name for name in TEXTS if name not in LABELS]
        texts = [f'e."{name}"' for name in kept] + ([f"e.{MESSAGES}"] if self._texts else [])
        numbers = [
            f'CAST(e."{name}" AS DOUBLE) AS "{name}"'
            for name in NUMBERS
            if name not in (*LABELS, "cheap_passed")
        ]
        if labelled:
            # What validators said at the time counts before what was said later of the form.
            passed = "coalesce(CAST(e.cheap_passed AS DOUBLE), l.late_passed)"
            said = [
                "l.cheap_quality",
                "l.frontier_quality",
                "CASE WHEN l.preference < 0 THEN 'cheap' WHEN l.preference = 0 THEN 'tie'"
                " WHEN l.preference > 0 THEN 'frontier' END AS preference",
                "l.measured_by",
            ]
            source = "events e LEFT JOIN labels l USING (event)"
        else:
            passed, source = "CAST(e.cheap_passed AS DOUBLE)", "events e"
            kinds = ("DOUBLE", "DOUBLE", "VARCHAR", "VARCHAR")
            said = [
                f"CAST(NULL AS {kind}) AS {name}" for name, kind in zip(LABELS, kinds, strict=True)
            ]
        columns = [
            "e.time",
            "CAST(e.time AS DATE) AS day",
            *texts,
            *numbers,
            f"{passed} AS cheap_passed",
            *said,
        ]
        self.run(f"CREATE VIEW decisions AS SELECT {', '.join(columns)} FROM {source}")

    def _look(self, bundle_versions: Sequence[str] | None) -> LogReading:
        """Count what is in the table."""
        counts = {
            "other_zones": "other_zone",
            "from_future": "time > CAST(now() AS TIMESTAMP) + INTERVAL 1 DAY",
            "without_propensity": "propensity IS NULL AND NOT bad_propensity",
            "bad_propensity": "bad_propensity OR bad_escalation_propensity",
            "bad_numbers": "bad_number",
            "with_texts": f"coalesce({MESSAGES} <> 'null', FALSE)" if self._texts else "FALSE",
            "shared_ids": "id IN (SELECT id FROM shared_ids)",
        }
        counted = ", ".join(f"count(*) FILTER ({of}) AS {name}" for name, of in counts.items())
        self.gather(
            "counts",
            "SELECT bundle_version, count(*) AS n, min(time) AS first, max(time) AS last,"
            f" {counted} FROM events GROUP BY bundle_version",
        )
        self.gather(
            "writers",
            "SELECT writer, max(seq) AS last, min(seq) AS first, count(seq) AS n FROM events"
            " WHERE writer IS NOT NULL GROUP BY writer",
        )
        versions = dict(
            self.connection.execute(
                "SELECT bundle_version, CAST(sum(n) AS BIGINT) AS n FROM counts"
                " GROUP BY bundle_version ORDER BY n DESC, bundle_version"
            ).fetchall()
        )
        expected = versions if bundle_versions is None else {*bundle_versions}
        first, last, *sums = self.connection.execute(
            "SELECT min(first), max(last),"
            f" {', '.join(f'CAST(sum({name}) AS BIGINT)' for name in counts)} FROM counts"
        ).fetchone()
        writers, missing = self.connection.execute(
            "SELECT count(*), CAST(coalesce(sum(greatest(lost, 0)), 0) AS BIGINT) FROM"
            " (SELECT max(last) - min(first) + 1 - sum(n) AS lost FROM writers GROUP BY writer)"
        ).fetchone()
        return LogReading(
            events=sum(versions.values()),
            first=first.isoformat(timespec="milliseconds") + "+00:00",
            last=last.isoformat(timespec="milliseconds") + "+00:00",
            writers=writers,
            missing=missing,
            out_of_order=self._count_backwards(),
            foreign_bundle=sum(n for name, n in versions.items() if name not in expected),
            bundle_versions=versions,
            **dict(zip(counts, sums, strict=True)),
        )

    def _count_backwards(self) -> int:
        """Return how often a writer's clock went back."""
        return self._count(backwards_query())

    def _count(self, sql: str) -> int:
        return int(self.connection.execute(sql).fetchone()[0])


def _plain(column: NDArray[Any]) -> NDArray[Any]:
    """Return a column of a result without its mask."""
    values, unknown = np.ma.getdata(column), np.ma.getmaskarray(column)
    if values.dtype.kind == "M":
        # As SQL gives them; a day has no hours.
        values = values.copy()
        values[unknown] = np.datetime64("NaT")
        return values
    if values.dtype == object:
        values = values.copy()
        values[unknown] = None
        return values
    numbers = values.astype(np.float64)
    numbers[unknown] = np.nan
    return numbers


def _import_duckdb() -> Any:
    try:
        import duckdb
    except ImportError as error:
        raise MissingExtraError(
            "reading a decision log", package="duckdb", extra="monitor"
        ) from error
    return duckdb
