r"""JSON lines: one object a line, split on ``\n`` only (prompts may hold other line separators),
plain or ``.gz``.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from difficulty.errors import TrafficError
from difficulty.traffic.readers.raw import RawRow

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
