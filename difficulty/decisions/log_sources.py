"""The files of a log, and how DuckDB is to read them: JSON lines, plain or gzipped, and Parquet.

DuckDB reads a file with ``ignore_errors``: a damaged line becomes a row of nulls. Two things it
refuses as a whole: a gzip file that is cut off, and lines nested too deeply. Of those what can be
read is copied, line by line, and the copy is read in their place.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from difficulty.decisions.event_columns import FIELDS, MESSAGES, field_structure, typed_fields
from difficulty.errors import LogError, TrafficError, TrafficNotFoundError
from difficulty.kinds import PathKind, kind_of, mistaken
from difficulty.traffic.lines import LONGEST_LINE, lines_of

_LINES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
_PARQUET = ".parquet"
_TAIL = 64 * 2**10  # bytes looked at for the end of the last line, at first
_DEEPEST = 100
"""Levels of a line that DuckDB reads, which stops at 128."""


def find_log_files(paths: Iterable[Path]) -> list[Path]:
    """Return the files of logs, folders with all that is in them, each file once, by name.

    Raises
    ------
    TrafficNotFoundError
        If a path does not exist, or a folder holds no file of a log.
    LogError
        If a path is something else that this project writes.
    """
    files: dict[Path, Path] = {}
    for path in paths:
        if not path.exists():
            raise TrafficNotFoundError(
                f"no decision log at {str(path)!r}: expected a folder or a file of JSON lines or"
                " Parquet. Check the path."
            )
        if kind_of(path) in (PathKind.BUNDLE, PathKind.RUN, PathKind.REGISTRY, PathKind.REPORT):
            raise LogError(mistaken(path, PathKind.LOG))
        found = [path] if path.is_file() else sorted(filter(_is_of_a_log, path.rglob("*")))
        if not found:
            raise TrafficNotFoundError(
                f"a decision log must hold files of JSON lines or Parquet: {str(path)!r} has none."
                " Name the folder that the gateway writes to."
            )
        files |= {file.resolve(): file for file in found}
    return list(files.values())


def _is_of_a_log(path: Path) -> bool:
    # Hidden ones are being written, or are another tool's.
    return (
        path.is_file()
        and not path.name.startswith(".")
        and path.name.lower().endswith((*_LINES, _PARQUET))
        and not path.name.endswith((".rejects.jsonl", ".summary.json"))
    )


@dataclass(slots=True)
class Sources:
    """The files of a log as queries.

    Attributes
    ----------
    files : list of Path
    texts : bool
        Whether messages are read too.
    work_dir : Path
        For copies and links.
    """

    files: list[Path]
    texts: bool
    work_dir: Path
    broken: int = 0
    """Files that were copied in part."""
    torn: int = 0
    """Of those, that end within a line."""
    damaged: int = 0
    """Lines of those that are no JSON."""
    torn_ends: int = 0
    """Files that end within a line, of those that were read as they are."""
    _places: dict[Path, Path] = field(default_factory=dict)
    """File to what is read in its place."""

    def __post_init__(self) -> None:
        for number, file in enumerate(self.files):
            # DuckDB takes these for patterns; a link by another name has none of them.
            if set("*?[]{}") & set(str(file)):
                suffix = "".join(file.suffixes[-2:]) if file.suffix == ".gz" else file.suffix
                link = self.work_dir / f"link-{number:06d}{suffix}"
                link.symlink_to(file.resolve())
                self._places[file] = link

    @property
    def lines(self) -> list[Path]:
        """Files of JSON lines."""
        return [file for file in self.files if not file.name.lower().endswith(_PARQUET)]

    @property
    def parquet(self) -> list[Path]:
        """The other files."""
        return [file for file in self.files if file.name.lower().endswith(_PARQUET)]

    def queries(self, connection: Any) -> Iterator[str]:
        """Yield queries in parentheses, with the columns of ``FIELDS``."""
        if self.lines:
            yield f"({self.lines_query(self.lines)})"
        for file in self.parquet:
            yield f"({self._parquet_query(file, connection)})"

    def lines_query(self, files: Sequence[Path]) -> str:
        """Return the query that reads some files of JSON lines."""
        names = ", ".join(quoted(self._place(file)) for file in files)
        return (
            f"SELECT * FROM read_json([{names}], format = 'newline_delimited', ignore_errors ="
            f" true, maximum_object_size = {LONGEST_LINE},"
            f" columns = {typed_fields(texts=self.texts)})"
        )

    def _parquet_query(self, file: Path, connection: Any) -> str:
        read = f"read_parquet({quoted(self._place(file))})"
        kinds = {row[0]: row[1] for row in connection.execute(f"DESCRIBE FROM {read}").fetchall()}
        wanted = [name for name in (*FIELDS, MESSAGES) if name in kinds]
        if not {"id", "time", "route"} <= {*wanted}:
            told = mistaken(file, PathKind.LOG) if kind_of(file) is PathKind.TRAFFIC else ""
            raise LogError(
                told
                or f"{file} must have the columns of decision events: got"
                f" {', '.join(list(kinds)[:12])}. See docs/decision-log.md."
            )
        columns = ", ".join(_as_json(name, kinds[name]) for name in wanted)
        parsed = f"json_transform(to_json(row), '{field_structure(texts=self.texts)}')"
        return (
            f"SELECT unnest(fields) FROM (SELECT {parsed} AS fields FROM (SELECT {columns} FROM"
            f" {read}) AS row)"
        )

    def _place(self, file: Path) -> Path:
        return self._places.get(file, file)

    def mend(self, connection: Any, refusal: type[Exception]) -> bool:
        """Copy what can be read of files that DuckDB refuses; whether there were any."""
        mended = False
        for number, file in enumerate(self.lines):
            if file in self._places and self._places[file].name.startswith("copy-"):
                continue
            try:
                # Everything is parsed, messages too, as the table needs it.
                query = f"SELECT count(id), count(calls) FROM ({self.lines_query([file])})"
                connection.execute(query).fetchall()
            except refusal:
                self._places[file] = self._copy(file, self.work_dir / f"copy-{number:06d}.jsonl")
                mended = True
        return mended

    def _copy(self, file: Path, copy: Path) -> Path:
        self.broken += 1
        names = {*FIELDS, *([MESSAGES] if self.texts else [])}
        with copy.open("w", encoding="ascii") as out:
            try:
                for line in lines_of(file):
                    event = _object(line)
                    if event is None:
                        torn = not line.endswith(b"\n")
                        self.torn += torn
                        self.damaged += bool(line.strip()) and not torn
                        continue
                    fields = {name: event[name] for name in names if name in event}
                    if _depth(fields.get(MESSAGES), 0) > _DEEPEST:
                        fields[MESSAGES] = None
                    out.write(json.dumps(fields) + "\n")
            except (EOFError, zlib.error, OSError, TrafficError):
                self.torn += 1  # the rest cannot be unpacked
        return copy

    def count_torn(self) -> int:
        """Return how many files end within a line that is no event, of those that are read as they
        are.
        """
        return sum(_is_torn(file) for file in self.lines if not self._is_copied(file))

    def _is_copied(self, file: Path) -> bool:
        return file in self._places and self._places[file].name.startswith("copy-")


def quoted(path: Path) -> str:
    """Return a path as a string of SQL."""
    return "'" + str(path).replace("'", "''") + "'"


def _as_json(name: str, kind: str) -> str:
    column = f'"{name}"'
    if kind == "VARCHAR" and name in ("calls", "escalation", MESSAGES):
        return f"try_cast({column} AS JSON) AS {column}"  # nested fields written as text
    if kind.startswith("TIMESTAMP"):
        # Parquet's times are in UTC, whether the file says so or not.
        return f"strftime(CAST({column} AS TIMESTAMP), '%Y-%m-%dT%H:%M:%S.%fZ') AS {column}"
    return column


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line) if len(line) <= LONGEST_LINE else None
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def _depth(value: Any, level: int) -> int:
    """Return how many levels lie below a value, as far as matters."""
    if level > _DEEPEST or not isinstance(value, list | dict):
        return level
    inner = value.values() if isinstance(value, dict) else value
    return max((_depth(part, level + 1) for part in inner), default=level)


def _is_torn(file: Path) -> bool:
    last = _last_line(file)
    return bool(last.strip()) and not last.endswith(b"\n") and _object(last) is None


def _last_line(file: Path) -> bytes:
    if file.suffix.lower() == ".gz":
        with gzip.open(file) as packed:
            last = b""
            # The end is known when all is unpacked, and not before.
            while piece := packed.read(2**20):
                last = (last + piece)[-LONGEST_LINE:]
        return last[last.rstrip(b"\n").rfind(b"\n") + 1 :]
    with file.open("rb") as plain:
        size = plain.seek(0, 2)
        look = _TAIL
        while True:
            plain.seek(max(0, size - look))
            tail = plain.read(min(look, size))
            place = tail.rstrip(b"\n").rfind(b"\n")
            if place >= 0 or look >= min(size, LONGEST_LINE):
                return tail[place + 1 :]
            look *= 8
