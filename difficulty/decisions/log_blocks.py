"""Files of a log read on an engine: each file by some worker, into rows of the table's events,
which come back as a Parquet file in the order of its lines.

Reading the lines is what grows with a log and needs nothing of other files. What comes after it,
events that are there twice, late outcomes and sums, looks at all rows and stays where the table is.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from difficulty.decisions.event_columns import event_query
from difficulty.decisions.log_sources import Sources, quoted
from difficulty.engine import Engine


class LogFile(NamedTuple):
    """A file of a log, where a worker finds it or as it is, and where its events are written."""

    path: Path
    content: bytes | None
    target: Path | None


class LogPart(NamedTuple):
    """What became of a file: its events, or why it cannot be read, and what was wrong with it."""

    content: bytes | None
    """Its events, unless they were written to the target."""
    refusal: str | None
    broken: int = 0
    torn: int = 0
    damaged: int = 0
    torn_ends: int = 0


def read_on(
    engine: Engine, files: Iterable[Path], folder: Path, *, texts: bool
) -> Iterator[tuple[Path, LogPart]]:
    """Yield the events of each file, as a Parquet file that is gone when the next is asked for, in
    the order of the files.

    Parameters
    ----------
    engine : Engine
    files : iterable of Path
    folder : Path
        Where the Parquet files stand meanwhile.
    texts : bool
        Whether messages are read too.
    """
    targets: list[Path] = []

    def blocks() -> Iterator[LogFile]:
        for number, path in enumerate(files):
            targets.append(folder / f"events-{number:06d}.parquet")
            if engine.shares_files:
                yield LogFile(path.resolve(), None, targets[-1])
            else:
                yield LogFile(path, path.read_bytes(), None)

    parts = engine.map_blocks(partial(_open_reading, texts), blocks())
    for number, part in enumerate(parts):
        target = targets[number]
        if part.content is not None:
            target.write_bytes(part.content)
        yield target, part
        target.unlink(missing_ok=True)


def _open_reading(texts: bool) -> Callable[[LogFile], LogPart]:
    return partial(_read_file, texts)


def _read_file(texts: bool, file: LogFile) -> LogPart:
    import duckdb

    with tempfile.TemporaryDirectory(prefix="difficulty-log-") as name:
        folder = Path(name)
        path = file.path
        if file.content is not None:
            path = folder / f"log{''.join(file.path.suffixes[-2:])}"
            path.write_bytes(file.content)
        target = file.target or folder / "events.parquet"
        sources = Sources([path], texts, folder)
        with duckdb.connect() as connection:
            # One worker is one processor; so its rows stay in order too.
            connection.execute("SET TimeZone = 'UTC'; SET threads = 1")
            try:
                _write(connection, sources, target)
            except duckdb.Error as error:
                refusal = error
                if not sources.mend(connection, duckdb.Error):
                    return LogPart(None, str(refusal))
                try:
                    _write(connection, sources, target)
                except duckdb.Error as again:
                    return LogPart(None, str(again))
        ends = sources.count_torn()
        content = None if file.target else target.read_bytes()
        return LogPart(content, None, sources.broken, sources.torn, sources.damaged, ends)


def _write(connection: Any, sources: Sources, target: Path) -> None:
    (source,) = sources.queries(connection)
    events = event_query(source, texts=sources.texts)
    connection.execute(f"COPY ({events}) TO {quoted(target)} (FORMAT parquet, COMPRESSION zstd)")
