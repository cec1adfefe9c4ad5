"""CSV with a header: UTF-8, quoted fields may hold newlines, plain or ``.gz``. An empty cell is
unknown.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, cast

from difficulty.errors import TrafficError
from difficulty.traffic.readers import RawRow

_SHOWN = 2_000  # characters of a bad line that go to the rejects


def read_json_lines(path: Path) -> Iterator[RawRow]:
    """Yield one row a line; a line that is no JSON object is a row with a problem."""
    with open_bytes(path) as file:
        for number, line in enumerate(file, start=1):
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
                _refuse_array(path, line)
            if line.strip():
                yield _row(str(path), number, line)


def open_bytes(path: Path) -> IO[bytes]:
    """Open a plain or gzipped file for reading."""
    return (
        cast(IO[bytes], gzip.open(path, "rb")) if path.suffix.lower() == ".gz" else path.open("rb")
    )


def _row(source: str, number: int, line: bytes) -> RawRow:
    try:
        value = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        return _bad(
            source,
            number,
            line,
            f"a line must be UTF-8: got byte {line[error.start]:#04x} at position {error.start}.",
        )
    except json.JSONDecodeError as error:
        return _bad(
            source,
            number,
            line,
            f"a line must be one JSON object: got {error.msg!r} at character {error.pos}.",
        )
    except (ValueError, RecursionError) as error:
        return _bad(
            source, number, line, f"a line must be one JSON object: got {str(error)[:100]!r}."
        )
    if not isinstance(value, dict):
        return _bad(
            source, number, line, f"a line must be one JSON object: got {type(value).__name__}."
        )
    return RawRow(source, number, value)


def _bad(source: str, number: int, line: bytes, problem: str) -> RawRow:
    return RawRow(source, number, None, problem, line[:_SHOWN].decode("utf-8", "replace"))


def _refuse_array(path: Path, line: bytes) -> None:
    if line.lstrip().startswith(b"["):
        raise TrafficError(
            f"{path} must be JSON lines, one object a line: it begins with '[', a JSON array."
            f" Convert it: jq -c '.[]' {path.name} >"
            f" {path.name.removesuffix('.gz').rpartition('.')[0]}.jsonl"
        )


_LARGEST_CELL = 64 * 2**20  # characters; also bounds what a quote that is never closed can swallow
_UNDECODED = re.compile("[\udc80-\udcff]")


def read_csv(path: Path) -> Iterator[RawRow]:
    """Yield one row a record; a record with too many or too few cells, or that is not UTF-8, is a
    row with a problem.

    Cells are strings, or ``None`` when empty: nothing is guessed, so the text ``nan`` stays a text.
    """
    records = _records(path)
    header = _checked_header(path, next(records, None))
    for line, cells, problem in records:
        if not problem and not cells:
            continue
        problem = problem or _problem(cells, header)
        if problem:
            yield RawRow(str(path), line, None, problem, ",".join(cells)[:_SHOWN])
        else:
            yield RawRow(
                str(path),
                line,
                {name: cell or None for name, cell in zip(header, cells, strict=True)},
            )


def csv_header(path: Path) -> list[str]:
    """Return the column names of a CSV file; an empty list when there is no header that can be
    read.
    """
    try:
        return next(_records(path), (0, [], ""))[1]
    except (OSError, EOFError):
        return []


def _records(path: Path) -> Iterator[tuple[int, list[str], str]]:
    """Yield (first line, cells, problem) of every record, the header included."""
    csv.field_size_limit(max(csv.field_size_limit(), _LARGEST_CELL))
    # Bytes that are not UTF-8 become surrogates, which UTF-8 cannot hold: they mark the one row,
    # and the others go on.
    with io.TextIOWrapper(
        open_bytes(path), encoding="utf-8-sig", errors="surrogateescape", newline=""
    ) as file:
        reader = csv.reader(file, strict=True)
        while True:
            line = reader.line_num + 1
            try:
                yield line, next(reader), ""
            except StopIteration:
                return
            except csv.Error as error:
                yield line, [], f"a row must be CSV: got {str(error)!r}."


def _checked_header(path: Path, record: tuple[int, list[str], str] | None) -> Sequence[str]:
    if record is None:
        return []
    _, header, problem = record
    if problem or not any(header):
        raise TrafficError(
            f"{path} must begin with a line of column names: got {problem or 'an empty line'} Add a"
            " header."
        )
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise TrafficError(
            f"{path} must name each column once: got {twice} more than once. Rename one of them."
        )
    return header


def _problem(cells: Sequence[str], header: Sequence[str]) -> str:
    if len(cells) != len(header):
        return (
            f"a row must have as many cells as the header: got {len(cells)} instead of"
            f" {len(header)}."
        )
    bad = next(
        (match for cell in cells if not cell.isascii() and (match := _UNDECODED.search(cell))), None
    )
    return f"a row must be UTF-8: got byte {ord(bad.group()) - 0xDC00:#04x}." if bad else ""
