"""The records of an export, whichever way its tool wrote them: JSON lines, a JSON array, one JSON
document, CSV with JSON in its cells, Parquet.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from difficulty.errors import TrafficError
from difficulty.traffic.lines import lines_of
from difficulty.traffic.readers import RawRow, read_rows, readable_files
from difficulty.traffic.reading.dialect import AS_FOUND, ReadOptions

_JSON = (".json", ".jsonl", ".ndjson")
_LARGEST_DOCUMENT = 256 * 2**20  # characters of one JSON document, which is held whole
_LARGEST_RECORD = 32 * 2**20  # characters of one element of an array
_CHUNK = 2**20
_SHOWN = 2_000
_SPACE = " \t\r\n"
_UNREADABLE = (OSError, EOFError, zlib.error, TrafficError, ValueError, RecursionError)


def read_records(file: Path, options: ReadOptions = AS_FOUND) -> Iterator[RawRow]:
    """Yield one row a record; elements of an array are numbered as lines are.

    Raises
    ------
    TrafficError
        If the file is empty, damaged or cannot be opened.
    """
    layout = _layout(file)
    if layout == "lines":
        yield from read_rows(file, options)
        return
    n = 0
    for n, value in enumerate(_elements(file) if layout == "array" else _whole(file), start=1):
        if isinstance(value, dict):
            yield RawRow(str(file), n, value)
        else:
            problem = f"an element must be one JSON object: got {type(value).__name__}."
            yield RawRow(str(file), n, None, problem, repr(value)[:_SHOWN])
    if not n:
        raise TrafficError(
            f"{file} must hold at least one row: it is empty. Export it again, or leave it out."
        )


def files_like(
    path: Path, fits: Callable[[Mapping[str, Any]], bool], options: ReadOptions = AS_FOUND
) -> list[Path]:
    """Return the files below ``path`` where the first record of every one fits; none otherwise."""
    try:
        files = readable_files(path)
    except TrafficError:
        return []
    return files if files and all(fits(first_record(file, options)) for file in files) else []


def first_record(file: Path, options: ReadOptions = AS_FOUND) -> Mapping[str, Any]:
    """Return the first record of a file, with no column where there is none that can be read."""
    stat = file.stat()
    return _first(file, (stat.st_size, stat.st_mtime_ns), options)


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
def _first(file: Path, version: tuple[int, int], options: ReadOptions) -> Mapping[str, Any]:
    try:
        return next(read_records(file, options)).fields or {}
    except (*_UNREADABLE, StopIteration):
        return {}


def _layout(file: Path) -> str:
    """Return ``lines``, which tables are too, ``array`` or ``document``."""
    if not file.is_file() or not file.name.lower().removesuffix(".gz").endswith(_JSON):
        return "lines"
    try:
        first = next((line for line in lines_of(file) if line.strip()), b"")
    except _UNREADABLE:
        return "lines"  # for the reader to say why
    start = first.removeprefix(b"\xef\xbb\xbf").lstrip()
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


def _text(file: Path) -> Iterator[str]:
    for number, line in enumerate(lines_of(file)):
        yield (line.removeprefix(b"\xef\xbb\xbf") if not number else line).decode("utf-8")


def _whole(file: Path) -> Iterator[Any]:
    parts, size = [], 0
    try:
        for line in _text(file):
            parts.append(line)
            size += len(line)
            if size > _LARGEST_DOCUMENT:
                raise TrafficError(
                    f"{file} must be at most {_LARGEST_DOCUMENT // 2**20} MiB as one JSON document:"
                    " got more. Export it as JSON lines."
                )
        yield json.loads("".join(parts))
    except (ValueError, RecursionError, OSError, EOFError, zlib.error) as error:
        raise _damaged(file, str(error)) from error


def _elements(file: Path) -> Iterator[Any]:
    """Yield the elements of an array one at a time, whatever its size."""
    decode = json.JSONDecoder().raw_decode
    source = _text(file)
    buffer = ""
    started = False
    tried = 0  # characters that were no whole element
    try:
        for line in source:
            buffer += line
            while True:
                buffer = buffer.lstrip(_SPACE + ("," if started else ""))
                if not started and buffer:
                    buffer, started = buffer[1:].lstrip(_SPACE), True
                if not buffer or len(buffer) < 2 * tried:
                    break
                if buffer[0] == "]":
                    return
                try:
                    value, end = decode(buffer)
                except ValueError:
                    if len(buffer) > _LARGEST_RECORD:
                        raise
                    # Doubled before it is tried again, so that time stays in proportion.
                    tried = max(len(buffer), 64)
                    break
                if end == len(buffer) and buffer[-1] not in '}]"':
                    break  # a number may go on
                buffer, tried = buffer[end:], 0
                yield value
        yield from _rest(buffer)
    except (ValueError, RecursionError, OSError, EOFError, zlib.error) as error:
        raise _damaged(file, str(error)) from error


def _rest(buffer: str) -> Iterator[Any]:
    """Yield what is left in memory when the file ends."""
    decode = json.JSONDecoder().raw_decode
    while (buffer := buffer.lstrip(_SPACE + ",")) and buffer[0] != "]":
        value, end = decode(buffer)
        buffer = buffer[end:]
        yield value
    if not buffer:
        raise ValueError("the array does not end")


def _damaged(file: Path, problem: str) -> TrafficError:
    return TrafficError(
        f"{file} must be JSON: got {problem[:200]}. Check that the file is complete."
    )
