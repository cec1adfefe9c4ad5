"""What a bulk job reads, cut into parts that are scored, kept and done again by themselves.

Parquet is cut by row groups, which each worker reads itself, here or behind a URL. Many programs
write a million rows as one group: on this machine such a group is cut into pieces, and whoever
reads one passes over what stands before it, which takes a hundredth of scoring it. Text files and
saved datasets have no such marks: they are read from the beginning, and blocks of their rows are
handed out.
"""

from __future__ import annotations

import glob
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from difficulty.errors import TrafficError, TrafficNotFoundError
from difficulty.kinds import plain_name
from difficulty.request import RequestRow, request_row, unreadable_row
from difficulty.stages.bulk.block_requests import ASKED, MOST_BYTES, READ, too_large
from difficulty.storage import local_copy, read_remote, url_of
from difficulty.text import one_line
from difficulty.traffic.columnar import request_fields
from difficulty.traffic.readers import RawRow, read_rows, readable_files
from difficulty.traffic.table import pa, pq

PART_ROWS = 8_192
"""Rows of a part at most, where its file is cut finely enough; a killed job loses as many."""
_MOST_PIECES = 16  # of a row group: each is read from the group's beginning
_PARQUET = (".parquet", ".pq")
_TEXT = (".jsonl", ".ndjson", ".csv")
_PART_BYTES = 2**28  # of a part of Parquet, unpacked
_WINDOW_BYTES = 16 * 2**20
_WINDOW_ROWS = 8_192
_BLOCK_ROWS = 8_192
_LOOKED_ROWS = 1_000
_BLOCK_CHARS = 8 * 2**20


@dataclass(frozen=True)
class Source:
    """A file to score, or a saved dataset.

    Parameters
    ----------
    place : str
        Path or URL.
    version : str
        What changes when the file does.
    """

    place: str
    version: str

    @property
    def is_parquet(self) -> bool:
        """Whether it is Parquet, by its name."""
        return self.place.lower().endswith(_PARQUET)

    @contextmanager
    def open(self) -> Iterator[Any]:
        """Open a Parquet file.

        Raises
        ------
        TrafficError
            If it is none.
        """
        with ExitStack() as stack:
            url = url_of(self.place)
            opened = self.place if url is None else stack.enter_context(read_remote(url))
            try:
                # Not mapped into memory: a file that is cut meanwhile would end the process.
                file = stack.enter_context(pq.ParquetFile(opened, memory_map=False))
            except pa.ArrowException as error:
                raise TrafficError(
                    f"{self.place} must be a Parquet file: {error!s:.300}. Check that the file is"
                    " complete."
                ) from error
            yield file


@dataclass(frozen=True)
class BulkPart:
    """Some rows of a source, one after the other."""

    source: Source
    first_row: int
    """Rows of the source before it."""
    n_rows: int
    groups: tuple[int, ...] = ()
    """Row groups of a Parquet file."""
    skip: int = 0
    """Rows of the first group before it."""
    rows: tuple[RawRow, ...] = ()
    """Rows of any other."""

    @property
    def name(self) -> str:
        """What errors and the progress call it."""
        last = self.first_row + self.n_rows
        of = f"row groups {self.groups[0]} to {self.groups[-1]}, " if self.groups else ""
        of = f"row group {self.groups[0]}, " if len(self.groups) == 1 else of
        return f"{self.source.place} ({of}rows {self.first_row + 1:,} to {last:,})"

    def requests(self) -> list[RequestRow]:
        """Return the requests of a part that is no Parquet."""
        return [_request_of(row) for row in self.rows]


def windows_of(
    file: Any, group: int, keep: Sequence[str], *, skip: int = 0, n_rows: int | None = None
) -> Iterator[Any]:
    """Yield rows of a row group as tables of a bounded size, with the columns that are needed:
    ``n_rows`` behind the first ``skip``, or all that are left.

    Raises
    ------
    TrafficError
        If the group cannot be read.
    """
    about = file.metadata.row_group(group)
    size = _window_rows(about.num_rows, about.total_byte_size)
    at, end = 0, about.num_rows if n_rows is None else skip + n_rows
    wanted = [name for name in file.schema_arrow.names if name in {*READ, *keep}]
    try:
        for batch in file.iter_batches(batch_size=size, row_groups=[group], columns=wanted):
            rows = batch.slice(max(0, skip - at), max(0, end - max(at, skip)))
            at += len(batch)
            if len(rows):
                yield pa.Table.from_batches([rows])
            if at >= end:
                return
    except (pa.ArrowException, OSError) as error:
        raise TrafficError(
            f"row group {group} (of {file.metadata.num_row_groups:,}) cannot be read:"
            f" {one_line(str(error)).rstrip(' .'):.300}. Write the file again, or pass"
            " --skip-damaged to score the rest."
        ) from error


def _window_rows(n_rows: int, n_bytes: int) -> int:
    """Return how many rows of a row group are read at once."""
    return max(1, min(_WINDOW_ROWS, _WINDOW_BYTES // max(1, n_bytes // max(1, n_rows))))


def _request_of(row: RawRow) -> RequestRow:
    if row.fields is None:
        return unreadable_row(str(row.line), f"row {row.line}: {row.problem}")
    read = request_row(request_fields(row.fields), row.line, noun="row")
    size = _size_of(row)
    if size > MOST_BYTES // 4:  # of characters, which have at most four bytes
        whole = json.dumps(row.fields, ensure_ascii=False, default=str)
        size = len(whole.encode("utf-8", "replace"))
    return read if size <= MOST_BYTES else unreadable_row(read.id, too_large(size))


class BulkSources:
    """What is scored, in order: files, folders, patterns with ``*``, and URLs.

    Parameters
    ----------
    places : sequence of str
    keep : sequence of str
        Columns to keep.

    Raises
    ------
    TrafficNotFoundError
        If nothing lies at one of them.
    TrafficError
        If a Parquet file has no requests or lacks a column to keep, or two have it in different
        types.
    """

    def __init__(self, places: Sequence[str], *, keep: Sequence[str] = ()) -> None:
        self.keep = tuple(keep)
        self.all = tuple(source for place in places for source in _find(place))
        self.kept_fields = self._check_columns()

    @cached_property
    def n_rows(self) -> int | None:
        """Rows of all of them; ``None`` where some do not tell before they are read."""
        if not all(source.is_parquet for source in self.all):
            return None
        return sum(part.n_rows for part in self.parts())

    def parts(self) -> Iterator[BulkPart]:
        """Yield the parts, in order."""
        for source in self.all:
            yield from _parquet_parts(source) if source.is_parquet else _row_parts(source)

    def _check_columns(self) -> list[Any]:
        """Return the fields of the kept columns, the same in every file."""
        fields: dict[str, tuple[Any, Source]] = {}
        for source in self.all:
            if not source.is_parquet:
                types = dict.fromkeys(self.keep, pa.string())
            else:
                with source.open() as file:
                    types = {field.name: field.type for field in file.schema_arrow}
                if not types.keys() & {*ASKED}:
                    raise TrafficError(
                        f"{source.place} must have a column messages or prompt: it has"
                        f" {', '.join(sorted(types)) or 'none'!s:.300}. Rename it, or run"
                        " 'difficulty ingest' on it."
                    )
            for name in self.keep:
                if name not in types:
                    raise TrafficError(
                        f"{source.place} must have the column {name!r}, which is to be kept: it has"
                        f" {', '.join(sorted(types)) or 'none'!s:.300}. Leave --keep {name} out."
                    )
                kind, first = fields.setdefault(name, (types[name], source))
                if types[name] != kind:
                    raise TrafficError(
                        f"column {name!r} must have one type: it is {kind} in {first.place} and"
                        f" {types[name]} in {source.place}. Score them by themselves, or leave"
                        f" --keep {name} out."
                    )
        self._look_for_kept()
        return [pa.field(name, kind) for name, (kind, _) in fields.items()]

    def _look_for_kept(self) -> None:
        """Refuse a column that no text file has in its first rows: a wrong name, most likely."""
        if not self.keep or any(source.is_parquet or url_of(source.place) for source in self.all):
            return
        left, seen = {*self.keep}, set[str]()
        for source in self.all:
            files = readable_files(Path(source.place))
            for row in islice((row for file in files for row in read_rows(file)), _LOOKED_ROWS):
                seen |= {*(row.fields or ())}
            if not (left := left - seen):
                return
        if seen:
            name = min(left)
            raise TrafficError(
                f"rows must have the column {name!r}, which is to be kept: the first"
                f" {_LOOKED_ROWS:,} of {self.all[0].place} have {', '.join(sorted(seen))!s:.300}."
                f" Leave --keep {name} out."
            )


def kept_columns(part: BulkPart, keep: Sequence[str]) -> list[list[str | None]]:
    """Return the kept columns of a part that is no Parquet, as text."""
    return [[_as_text((row.fields or {}).get(name)) for row in part.rows] for name in keep]


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, default=str)


def _find(place: str) -> Iterator[Source]:
    url = url_of(place)
    if url is None:
        yield from _find_here(place)
        return
    from difficulty.storage.remote import Place  # the one module that loads fsspec

    if any(sign in url for sign in "*?["):
        for each in Place(url).matching():
            yield Source(each, Place(each).version())
        return
    found = Place(url)
    if not found.is_folder():
        yield Source(url, found.version())
        return
    names = [name for name in found.files() if not name.rpartition("/")[2].startswith((".", "_"))]
    # What lies beside the Parquet of a log are notes: summaries, rejects, marks.
    tables = [name for name in names if name.lower().endswith(_PARQUET)]
    for name in tables or [name for name in names if plain_name(Path(name)).endswith(_TEXT)]:
        yield Source(f"{url}/{name}", found.child(name).version())


def _find_here(place: str) -> Iterator[Source]:
    paths = [place]
    if not Path(place).exists():
        paths = sorted(glob.glob(place, recursive=True))
        if not paths:
            raise TrafficNotFoundError(f"no request file at {place!r}. Check the path.")
    for path in paths:
        for file in readable_files(Path(path)):
            about = file.stat()
            yield Source(str(file), f"{about.st_size}|{about.st_mtime_ns}")


def _parquet_parts(source: Source) -> Iterator[BulkPart]:
    with source.open() as file:
        about = file.metadata
        groups = [about.row_group(number) for number in range(about.num_row_groups)]
        sizes = [(group.num_rows, group.total_byte_size) for group in groups]
    first = rows = held = 0
    taken: list[int] = []
    can_cut = url_of(source.place) is None  # elsewhere each piece would be fetched with the rest
    for number, (n, n_bytes) in enumerate(sizes):
        if can_cut and n > PART_ROWS:
            if rows:
                yield BulkPart(source, first, rows, tuple(taken))
                first, rows, held, taken = first + rows, 0, 0, []
            yield from _pieces(source, first, number, n, n_bytes)
            first += n
            continue
        if taken and (rows + n > PART_ROWS or held + n_bytes > _PART_BYTES):
            yield BulkPart(source, first, rows, tuple(taken))
            first, rows, held, taken = first + rows, 0, 0, []
        taken, rows, held = [*taken, number], rows + n, held + n_bytes
    if rows:
        yield BulkPart(source, first, rows, tuple(taken))


def _pieces(source: Source, first: int, group: int, n: int, n_bytes: int) -> Iterator[BulkPart]:
    """Yield the pieces of a large row group, cut where windows end."""
    window = _window_rows(n, n_bytes)
    size = -(-max(PART_ROWS, -(-n // _MOST_PIECES)) // window) * window
    for skip in range(0, n, size):
        yield BulkPart(source, first + skip, min(size, n - skip), (group,), skip=skip)


def _row_parts(source: Source) -> Iterator[BulkPart]:
    with local_copy(source.place) as path:
        first = 0
        for rows in _blocks(row for file in readable_files(path) for row in read_rows(file)):
            yield BulkPart(source, first, len(rows), rows=tuple(rows))
            first += len(rows)


def _blocks(rows: Iterator[RawRow]) -> Iterator[list[RawRow]]:
    block: list[RawRow] = []
    chars = 0
    for row in rows:
        block.append(row)
        chars += _size_of(row)
        if len(block) >= _BLOCK_ROWS or chars >= _BLOCK_CHARS:
            yield block
            block, chars = [], 0
    if block:
        yield block


def _size_of(row: RawRow) -> int:
    if row.fields is None:
        return len(row.raw)
    return _chars_of(row.fields)


def _chars_of(value: Any) -> int:
    n, left = 0, [value]
    while left:
        part = left.pop()
        if isinstance(part, str):
            n += len(part)
        elif isinstance(part, dict):
            left.extend(part.values())
        elif isinstance(part, list | tuple):
            left.extend(part)
        else:
            n += 8
    return n
