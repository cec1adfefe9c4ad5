"""Readers: from a file or folder to raw rows, one at a time, so that a file larger than memory can
be read.

To read another file type, add a module with a function ``path -> iterator of RawRow`` and one line
to ``READERS``. A row that cannot be read is a :class:`RawRow` with a ``problem``; a file that
cannot be read is a ``TrafficError``.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from difficulty.errors import TrafficError, TrafficNotFoundError
from difficulty.plugins import known_names, resolve


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


READERS = {
    ".csv": "difficulty.traffic.readers.text_files:read_csv",
    ".json": "difficulty.traffic.readers.text_files:read_json_lines",
    ".jsonl": "difficulty.traffic.readers.text_files:read_json_lines",
    ".ndjson": "difficulty.traffic.readers.text_files:read_json_lines",
    ".parquet": "difficulty.traffic.readers.columnar:read_parquet",
}
_GZIPPED = {".csv", ".json", ".jsonl", ".ndjson"}
_OWN_NOTES = (".rejects.jsonl", ".summary.json")
_DATASET_MARKS = ("state.json", "dataset_dict.json")


def readable_files(path: Path) -> list[Path]:
    """Return the files and saved datasets to read for ``path``, in a fixed order.

    Parameters
    ----------
    path : Path
        A file, a folder saved by ``datasets``, or a folder that holds such files (hidden files and
        the rejects and summaries of earlier runs are passed over).

    Raises
    ------
    TrafficNotFoundError
        If nothing is there.
    TrafficError
        If the file type is unknown or the folder holds nothing readable.
    """
    if not path.exists():
        raise TrafficNotFoundError(f"traffic source must exist: got {str(path)!r}. Check the path.")
    if not path.is_dir():
        _suffix(path)
        return [path]
    found = sorted(_inside(path))
    if not found:
        raise TrafficError(
            f"a traffic folder must hold files to read: found none in {str(path)!r}."
            f" {_what_is_read()}"
        )
    return found


def read_rows(path: Path) -> Iterator[RawRow]:
    """Yield the raw rows of one file or saved dataset of :func:`readable_files`.

    Raises
    ------
    TrafficError
        If the file is empty, damaged or cannot be opened.
    """
    rows = 0
    try:
        for row in _reader(path)(path):
            rows += 1
            yield row
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise TrafficError(
            f"{path} cannot be read after {rows:,} rows: {error}. Check that the file is complete."
        ) from error
    if not rows:
        raise TrafficError(
            f"{path} must hold at least one row: it is empty. Export it again, or leave it out."
        )


def _reader(path: Path) -> Callable[[Path], Iterator[RawRow]]:
    if path.is_dir():
        name = "difficulty.traffic.readers.columnar:read_saved_dataset"
        reader = resolve("dataset", {"dataset": name}, kind="reader")
    else:
        reader = resolve(_suffix(path), READERS, kind="reader")
    return reader  # type: ignore[no-any-return]


def _inside(folder: Path) -> Iterator[Path]:
    """Yield what can be read in a folder, going into subfolders but not into saved datasets."""
    if any((folder / mark).is_file() for mark in _DATASET_MARKS):
        yield folder
        return
    for path in folder.iterdir():
        if path.name.startswith(".") or path.name.endswith(_OWN_NOTES):
            continue
        if path.is_dir():
            yield from _inside(path)
        elif _known_suffix(path) is not None:
            yield path


def _suffix(path: Path) -> str:
    suffix = _known_suffix(path)
    if suffix is None:
        raise TrafficError(
            f"a traffic file must be of a known type: got {path.name!r}. {_what_is_read()}"
        )
    return suffix


def _known_suffix(path: Path) -> str | None:
    name = path.name.lower()
    plain = name.removesuffix(".gz")
    suffix = Path(plain).suffix
    zipped = plain != name
    return suffix if suffix in _types() and (not zipped or suffix in _GZIPPED) else None


def _what_is_read() -> str:
    return (
        f"Read are {', '.join(_types())} (text also as .gz), a folder saved by the datasets"
        " library, and a folder of such files."
    )


@cache
def _types() -> list[str]:
    return known_names(READERS, kind="reader")
