"""Readers: from a file or folder to raw rows, one at a time, so that a file larger than memory can
be read.

To read another file type, add a function ``path -> iterator of RawRow`` and one line to
``READERS``; another package registers it as an entry point of group ``difficulty.readers``. A row
that cannot be read is a :class:`RawRow` with a ``problem``; a file that cannot be read is a
``TrafficError``.

CSV has a header; quoted fields may hold newlines, an empty cell is unknown. Its encoding and what
stands between its cells are found, or named: see :mod:`difficulty.traffic.reading.dialect`. Text
may be packed: see :mod:`difficulty.kinds`. A ``.log`` or ``.txt`` whose first line is a JSON object
is JSON lines.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from difficulty.errors import TrafficError, TrafficNotFoundError, name_kind, tell_json_fault
from difficulty.kinds import (
    PACKINGS,
    UNNAMED,
    PathKind,
    damage_errors,
    is_packed,
    kind_of,
    plain_name,
)
from difficulty.plugins import known_names, resolve
from difficulty.text import quantity_text
from difficulty.traffic.lines import LONGEST_LINE, MOST_COLUMNS, lines_of, text_lines, too_long
from difficulty.traffic.reading.dialect import (
    AS_FOUND,
    Dialect,
    ReadOptions,
    find_dialect,
    is_sep_line,
    pointed,
)

# Not the escape: a name of colours is odd, and read.
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
"""What no text holds, and every file in a binary format."""
_SHOWN_BYTES = re.compile(r" \(b(['\"]).*\1\)")
"""Bytes as Python shows them."""


class RawRow(NamedTuple):
    """One row of a source as it came, or the reason why it could not be read."""

    source: str
    """File the row is from, as the user wrote it; a split of a saved dataset is
    ``folder:split``.
    """
    line: int
    """Line of a text file where the row begins, or number of the row in a binary one; counted from
    1.
    """
    fields: Mapping[str, Any] | None
    """Column to value, or ``None`` when the row could not be read."""
    problem: str = ""
    """Why the row could not be read, or why a label source refused it: subject, rule, what came."""
    raw: str = ""
    """Beginning of a row that could not be read."""
    left_out: str = ""
    """Why the row is left out on purpose, and is no reject: as a rule of which rows are counted."""


READERS = {
    ".csv": "difficulty.traffic.readers:read_csv",
    ".json": "difficulty.traffic.readers:read_json_lines",
    ".jsonl": "difficulty.traffic.readers:read_json_lines",
    ".ndjson": "difficulty.traffic.readers:read_json_lines",
    ".parquet": "difficulty.traffic.columnar:read_parquet",
    ".tsv": "difficulty.traffic.readers:read_csv",
}
# Text alone: Parquet is compressed inside.
_PACKED = {".csv", ".json", ".jsonl", ".ndjson", ".tsv"}
# What ingest wrote beside its output is no traffic.
_OWN_NOTES = (".rejects.jsonl", ".summary.json")
_OWN_FOLDERS = (PathKind.RUN, PathKind.BUNDLE, PathKind.REPORT)
# What to do with files that people have and that are not read.
_OTHER_TYPES = dict.fromkeys(
    (".xlsx", ".xls", ".ods"), "Save the sheet as CSV in the spreadsheet's own menu. "
) | dict.fromkeys(
    (".txt", ".log", ""),
    "Give it the name of what it holds, .jsonl for an object a line or .csv for a table. ",
)
_DATASET_MARKS = ("state.json", "dataset_dict.json")
_SHOWN = 2_000  # characters of a bad line that go to the rejects
_LARGEST_CELL = 64 * 2**20  # characters; also bounds what a quote that is never closed can swallow
_UNKNOWN_BYTE = "a row must be UTF-8, or --encoding must name what it is"
_UNDECODED = re.compile("[\udc80-\udcff]")


def readable_files(path: Path) -> list[Path]:
    """Return the files and saved datasets to read for ``path``, in a fixed order.

    Parameters
    ----------
    path : Path
        A file, a folder saved by ``datasets``, or a folder that holds such files (hidden files, the
        rejects and summaries of earlier runs, and run, bundle and report folders are passed over;
        a file to which several links lead is read once).

    Raises
    ------
    TrafficNotFoundError
        If nothing is there.
    TrafficError
        If the file type is unknown or the folder holds nothing readable.
    """
    if not path.exists():
        raise TrafficNotFoundError(f"what is read must exist: got {str(path)!r}. Check the path.")
    if not path.is_dir():
        _suffix(path)
        _refuse_device(path)
        return [path]
    # Sorted: the order of rows decides ids, keys of the split and the hash of the data.
    files = sorted(_inside(path))
    if not files:
        raise TrafficError(
            f"a traffic folder must hold files to read: found none in {str(path)!r}."
            f" {_what_is_read()}"
        )
    return files


def read_rows(path: Path, options: ReadOptions = AS_FOUND) -> Iterator[RawRow]:
    """Yield the raw rows of one file or saved dataset of :func:`readable_files`.

    Parameters
    ----------
    path : Path
        The file or folder.
    options : ReadOptions
        What is known of how text files are written; the rest is found.

    Raises
    ------
    TrafficError
        If the file is empty, damaged or cannot be opened.
    """
    rows = 0
    try:
        # Errors come as the rows do, so they are caught here and not where the reader is made.
        for row in _reader(path, options)(path):
            rows += 1
            yield row
    except damage_errors() + (UnicodeError,) as error:
        raise TrafficError(
            f"{path} cannot be read after {quantity_text(rows, 'row')}: {_plain_reason(error)}."
            " Check that the"
            " file is complete."
        ) from error
    if not rows:
        raise TrafficError(
            f"{path} must hold at least one row: it is empty. Export it again, or leave it out."
        )


def _reader(path: Path, options: ReadOptions) -> Callable[[Path], Iterator[RawRow]]:
    if path.is_dir():
        name = "difficulty.traffic.columnar:read_saved_dataset"
        reader = resolve("dataset", {"dataset": name}, kind="reader")
    else:
        reader = resolve(_suffix(path), READERS, kind="reader")
    # Of this package; another's reads a file as it does.
    if reader in (read_csv, read_json_lines):
        return partial(reader, options=options)
    return reader  # type: ignore[no-any-return]


def _inside(folder: Path) -> Iterator[Path]:
    """Yield what can be read in a folder, going into subfolders but not into saved datasets, each
    once: links are followed last, and none in a circle.
    """
    places: list[Path] = [folder]
    links: list[Path] = []
    seen: set[Path] = set()
    while places or links:
        place = places.pop() if places else links.pop(0)
        if (real := place.resolve()) in seen:
            continue
        seen.add(real)
        if not place.is_dir():
            # Not those that must be opened to know: in a folder they are notes as often as traffic.
            if not _is_unnamed(place) and _known_suffix(place) is not None:
                _refuse_device(place)
                yield place
        elif any((place / mark).is_file() for mark in _DATASET_MARKS):
            yield place
        elif place == folder or kind_of(place) not in _OWN_FOLDERS:
            for path in sorted(place.iterdir()):
                # Hidden: also the scratch folder of an ingest that is running.
                if not path.name.startswith(".") and not path.name.endswith(_OWN_NOTES):
                    (links if path.is_symlink() else places).append(path)


def _refuse_device(path: Path) -> None:
    """Refuse what is no plain file: a device or a pipe may have no end."""
    if not path.is_file():
        raise TrafficError(
            f"a traffic file must be a plain file: {str(path)!r} is a device, a pipe or a link to"
            " nothing. Write its rows into a file."
        )


def _suffix(path: Path) -> str:
    suffix = _known_suffix(path)
    if suffix is None:
        known = _OTHER_TYPES.get(path.suffix.lower(), "")
        raise TrafficError(
            f"a traffic file must be of a known type: got {path.name!r}. {known}{_what_is_read()}"
        )
    return suffix


def _known_suffix(path: Path) -> str | None:
    suffix = Path(plain_name(path)).suffix
    return suffix if suffix in _types() and (not is_packed(path) or suffix in _PACKED) else None


def _is_unnamed(path: Path) -> bool:
    return (path.with_suffix("") if is_packed(path) else path).suffix.lower() in UNNAMED


def _what_is_read() -> str:
    return (
        f"Read are {', '.join(_types())} (text also packed: {', '.join(PACKINGS)}), a folder saved"
        " by the datasets library, and a folder of such files."
    )


@cache
def _types() -> list[str]:
    return known_names(READERS, kind="reader")


def read_json_lines(path: Path, options: ReadOptions = AS_FOUND) -> Iterator[RawRow]:
    """Yield one row a line; a line that is no JSON object is a row with a problem."""
    encoding = find_dialect(path, options).encoding
    for number, line in enumerate(lines_of(path, encoding), start=1):
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")  # a byte order mark, as Windows writes it
            _refuse_array(path, line)
        if len(line) > LONGEST_LINE:
            shown = line[:_SHOWN].decode("utf-8", "replace")
            yield RawRow(str(path), number, None, f"a line {too_long()}.", shown)
        elif line.strip():
            yield _row(str(path), number, line)


def _row(source: str, number: int, line: bytes) -> RawRow:
    problem, value = "a line must be one JSON object: got ", None
    try:
        value = json.loads(line.decode("utf-8"))
        problem += f"{name_kind(value)}."
    except UnicodeDecodeError as error:
        position = error.start
        problem = f"{_UNKNOWN_BYTE}: got byte {line[position]:#04x} at position {position}."
    except (ValueError, RecursionError) as error:
        problem = f"a line must be one JSON object: got none, {tell_json_fault(error)}."
    if isinstance(value, dict):
        if len(value) <= MOST_COLUMNS:
            return RawRow(source, number, value)
        problem = f"a row must have at most {MOST_COLUMNS:,} columns: got {len(value):,}."
    return RawRow(source, number, None, problem, line[:_SHOWN].decode("utf-8", "replace"))


def _refuse_array(path: Path, line: bytes) -> None:
    if line.lstrip().startswith(b"["):
        raise TrafficError(
            f"{path} must be JSON lines, one object a line: it begins with '[', a JSON array."
            f" Convert it: jq -c '.[]' {path.name} >"
            f" {Path(plain_name(path)).stem}.jsonl"
        )


def read_csv(path: Path, options: ReadOptions = AS_FOUND) -> Iterator[RawRow]:
    """Yield one row a record; a record with too many or too few cells, or with bytes that its
    encoding does not know, is a row with a problem.

    Cells are strings, or ``None`` when empty: nothing is guessed, so the text ``nan`` stays a text.
    A decimal comma becomes a point in the columns of numbers.
    """
    dialect = find_dialect(path, options)
    records = _records(path, dialect)
    header = _checked_header(path, next(records, None))
    commas = options.numbers.intersection(header) if dialect.decimal == "," else ()
    for line, cells, problem in records:
        # A blank line is no record.
        if not problem and not cells:
            continue
        problem = problem or _problem(cells, header)
        if problem:
            yield RawRow(str(path), line, None, problem, dialect.delimiter.join(cells)[:_SHOWN])
        else:
            fields = {name: cell or None for name, cell in zip(header, cells, strict=True)}
            for name in commas:
                fields[name] = pointed(fields[name] or "") or None
            yield RawRow(str(path), line, fields)


def csv_header(path: Path, options: ReadOptions = AS_FOUND) -> list[str]:
    """Return the column names of a CSV file; none when there is no header that can be read."""
    try:
        return next(_records(path, find_dialect(path, options)), (0, [], ""))[1]
    except damage_errors() + (UnicodeError, TrafficError):
        return []


def _records(path: Path, dialect: Dialect) -> Iterator[tuple[int, list[str], str]]:
    """Yield (first line, cells, problem) of every record, the header included."""
    # The limit is the process's own; it is never lowered for others.
    csv.field_size_limit(max(csv.field_size_limit(), _LARGEST_CELL))
    # Bytes that are not UTF-8 become surrogates, which UTF-8 cannot hold: they mark the one row,
    # and the others go on.
    lines = text_lines(path, dialect.encoding)
    first = next(lines, "")
    passed = is_sep_line(first)
    reader = dialect.records(lines if passed else chain([first] if first else [], lines))
    while True:
        # Where the record begins: a quoted cell may hold many lines.
        line = reader.line_num + 1 + passed
        try:
            yield line, next(reader), ""
        except StopIteration:
            return
        except csv.Error as error:
            yield line, [], f"a row must be CSV: got {str(error)!r}."


def _plain_reason(error: Exception) -> str:
    """Return what a library says of a damaged file without the bytes that it shows of it."""
    return _SHOWN_BYTES.sub("", str(error)).rstrip(".")


def _checked_header(path: Path, record: tuple[int, list[str], str] | None) -> Sequence[str]:
    if record is None:
        return []
    _, header, problem = record
    if any(_CONTROL.search(name) for name in header):
        raise TrafficError(
            f"{path} must be text: its first line is not. Give the file the ending of what it is,"
            " for example .parquet."
        )
    if problem or not any(header):
        raise TrafficError(
            f"{path} must begin with a line of column names: got {problem or 'an empty line'} Add a"
            " header."
        )
    refuse_wide(path, len(header))
    twice = sorted(name for name, times in Counter(header).items() if times > 1)
    if twice:
        raise TrafficError(
            f"{path} must name each column once: got {', '.join(twice)} more than once. Rename one"
            " of them."
        )
    return header


def refuse_wide(source: object, n: int) -> None:
    """Refuse a table of more columns than traffic has."""
    if n > MOST_COLUMNS:
        raise TrafficError(
            f"{source} must have at most {MOST_COLUMNS:,} columns: got {n:,}. Leave out what is no"
            " column of docs/traffic.md."
        )


def _problem(cells: Sequence[str], header: Sequence[str]) -> str:
    if len(cells) != len(header):
        return (
            f"a row must have as many cells as the header: got {len(cells)} instead of"
            f" {len(header)}."
        )
    undecoded = _UNDECODED.search("".join(cell for cell in cells if not cell.isascii()))
    if undecoded is None:
        return ""
    return f"{_UNKNOWN_BYTE}: got byte {ord(undecoded.group()) - 0xDC00:#04x}."
