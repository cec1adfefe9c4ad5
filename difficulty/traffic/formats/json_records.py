"""The records of an export, whichever way its tool wrote them: JSON lines, a JSON array, one JSON
document, CSV with JSON in its cells, Parquet.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

from difficulty.errors import TrafficError, name_kind
from difficulty.kinds import damage_errors, plain_name
from difficulty.traffic.lines import lines_of, pieces_of
from difficulty.traffic.readers import RawRow, read_rows, readable_files
from difficulty.traffic.reading.dialect import AS_FOUND, ReadOptions, find_dialect

_JSON = (".json", ".jsonl", ".ndjson")
_LARGEST_DOCUMENT = 256 * 2**20  # characters of one JSON document, which is held whole
_LARGEST_RECORD = 32 * 2**20  # characters of one element of an array
_MOST_BROKEN = 100  # rows at the beginning
_SHOWN = 2_000
_BETWEEN = re.compile(r"[ \t\r\n,\ufeff]*")
"""What stands between the elements of an array."""
_UNREADABLE = damage_errors() + (TrafficError, ValueError, RecursionError)


def read_records(file: Path, options: ReadOptions = AS_FOUND) -> Iterator[RawRow]:
    """Yield one row a record; elements of an array are numbered as lines are.

    Raises
    ------
    TrafficError
        If the file is empty, damaged or cannot be opened.
    """
    layout, encoding = _layout(file, options)
    if layout == "lines":
        yield from read_rows(file, options)
        return
    n, read = 0, _elements if layout == "array" else _whole
    for n, value in enumerate(read(file, encoding), start=1):
        if isinstance(value, dict):
            yield RawRow(str(file), n, value)
        else:
            problem = f"an element must be one JSON object: got {name_kind(value)}."
            yield RawRow(str(file), n, None, problem, repr(value)[:_SHOWN])
    if not n:
        raise TrafficError(
            f"{file} must hold at least one row: it is empty. Export it again, or leave it out."
        )


def read_table(file: Path, options: ReadOptions = AS_FOUND) -> Iterator[RawRow]:
    """Yield one row a record as :func:`read_records` does; of a document that is about a list, as
    in ``{"results": [{...}, ...]}``, its elements.
    """
    rows = read_records(file, options)
    if not plain_name(file).endswith(".json"):
        yield from rows
        return
    first, second = next(rows, None), next(rows, None)
    if first and second is None and (inner := _listed(first.fields or {})):
        yield from (RawRow(str(file), n, element) for n, element in enumerate(inner, start=1))
        return
    yield from (row for row in (first, second) if row is not None)
    yield from rows


def _listed(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the longest list of objects in a document; none where it is a request itself."""
    if {"prompt", "messages"} & document.keys():
        return []
    lists = (
        value
        for value in document.values()
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value)
    )
    return max(lists, key=len, default=[])


def files_like(
    path: Path,
    fits: Callable[[Mapping[str, Any]], bool],
    options: ReadOptions = AS_FOUND,
    *,
    listed: bool = False,
) -> list[Path]:
    """Return the files below ``path`` where the first record of every one fits; none otherwise.

    With ``listed`` the records of a document about a list are its elements, as
    :func:`read_table` reads them.
    """
    try:
        files = readable_files(path)
    except TrafficError:
        return []
    all_fit = all(fits(first_record(file, options, listed=listed)) for file in files)
    return files if files and all_fit else []


def first_record(
    file: Path, options: ReadOptions = AS_FOUND, *, listed: bool = False
) -> Mapping[str, Any]:
    """Return the first record of a file, with no column where there is none that can be read."""
    stat = file.stat()
    first, alone = _first(file, (stat.st_size, stat.st_mtime_ns), options)
    if listed and alone and plain_name(file).endswith(".json"):
        return next(iter(_listed(first)), first)
    return first


def parsed(value: Any) -> Any:
    """Return a value of which a CSV cell, or a database's text, holds the JSON; any other as it
    is.
    """
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def mapping(value: Any) -> Mapping[str, Any]:
    """Return an object that may be written as JSON text; nothing where it is none."""
    if type(value) is dict:  # nearly always, and by far the fastest to ask
        return value
    found = parsed(value)
    return found if isinstance(found, Mapping) else {}


@lru_cache(maxsize=64)
def _first(
    file: Path, version: tuple[int, int], options: ReadOptions
) -> tuple[Mapping[str, Any], bool]:
    """Return the first record of one version of a file that can be read, and whether there is no
    other. One row that is broken, or of 32 MiB, does not say what the others are.
    """
    first: Mapping[str, Any] = {}
    try:
        for number, row in enumerate(read_records(file, options)):
            if first or number == _MOST_BROKEN:
                return first, False
            first = row.fields or {}
    except _UNREADABLE:
        pass  # for the reader to say
    return first, True


def _layout(file: Path, options: ReadOptions) -> tuple[str, str]:
    """Return ``lines``, which tables are too, ``array`` or ``document``; and the encoding."""
    if not file.is_file() or not plain_name(file).endswith(_JSON):
        return "lines", "utf-8"
    try:
        encoding = find_dialect(file, options).encoding
        first = next((line for line in lines_of(file, encoding) if line.strip()), b"")
    except _UNREADABLE:
        return "lines", "utf-8"  # for the reader to say why
    return _layout_of(first.removeprefix(b"\xef\xbb\xbf").lstrip()), encoding


def _layout_of(start: bytes) -> str:
    if start.startswith(b"["):
        return "array"
    if not start.startswith(b"{"):
        return "lines"
    try:
        json.loads(start)
    except (ValueError, RecursionError):
        # Spread over lines, as a person likes to read it: its first line is no JSON.
        return "document" if start.strip() == b"{" else "lines"
    return "lines"


def _whole(file: Path, encoding: str) -> Iterator[Any]:
    parts, size = [], 0
    try:
        for piece in pieces_of(file, encoding):
            parts.append(piece)
            size += len(piece)
            if size > _LARGEST_DOCUMENT:
                raise TrafficError(
                    f"{file} must be at most {_LARGEST_DOCUMENT // 2**20} MiB as one JSON document:"
                    " got more. Export it as JSON lines."
                )
        yield json.loads("".join(parts))
    except damage_errors() + (ValueError, RecursionError) as error:
        raise _damaged(file, error) from error


def _elements(file: Path, encoding: str) -> Iterator[Any]:
    """Yield the elements of an array one at a time, whatever its size, also on one line."""
    decode = json.JSONDecoder().raw_decode
    buffer, started = "", False
    tried = 0  # characters that were no whole element
    try:
        for piece in chain(pieces_of(file, encoding), ("",)):
            buffer += piece
            # Doubled before it is tried again, so that time stays in proportion.
            if piece and len(buffer) < 2 * tried:
                continue
            at, tried = 0, 0
            while (at := _BETWEEN.match(buffer, at).end()) < len(buffer):  # type: ignore[union-attr]
                if not started:
                    at, started = at + 1, True
                    continue
                if buffer[at] == "]":
                    return
                try:
                    value, end = decode(buffer, at)
                except ValueError:
                    tried = len(buffer) - at
                    if tried > _LARGEST_RECORD:
                        raise
                    break
                if end == len(buffer) and buffer[-1] not in '}]"':
                    break  # a number may go on
                at = end
                yield value
            buffer = buffer[at:]
        raise ValueError("the array does not end")
    except damage_errors() + (ValueError, RecursionError) as error:
        raise _damaged(file, error) from error


def _damaged(file: Path, problem: Exception) -> TrafficError:
    if isinstance(problem, TrafficError):
        return problem
    return TrafficError(
        f"{file} must be JSON: got {str(problem)[:200]}. Check that the file is complete."
    )
