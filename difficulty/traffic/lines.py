"""The lines of a plain or packed text file, in bounded memory and time whatever the file is."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, cast

from difficulty.errors import TrafficError
from difficulty.kinds import is_packed, unpacked

LONGEST_LINE = 32 * 2**20
"""Bytes; of a longer line one byte more than this is kept, and the rest passed over."""
MOST_COLUMNS = 2_000
"""Of a table or a row; what has more is no traffic."""
# Text is packed 3 to 100 times, the same few bytes over and over 1,030 times.
LARGEST_RATIO = 300
_HARMLESS = 32 * 2**20  # bytes that may come out of any archive
_MANY_LINES = 1_000_000  # that may be blank
_ENDLESS = 256 * 2**20  # bytes of one line from which on the file is no text


def lines_of(path: Path, encoding: str = "utf-8") -> Iterator[bytes]:
    """Yield the lines of a file as UTF-8, each with its line feed. Bytes that the encoding does not
    know stay as they are.

    Raises
    ------
    TrafficError
        If a line has no end for 256 MiB, or an archive holds over 32 MiB, packed more than 300
        times: nobody's traffic.
    """
    with ExitStack() as stack:
        file, packed = stack.enter_context(unpacked(path))
        zipped = is_packed(path)
        if encoding != "utf-8":
            file = cast(IO[bytes], _InUtf8(file, encoding))
        read, checked, number = 0, 0, 0
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            read += len(line)
            if len(line) > LONGEST_LINE and not line.endswith(b"\n"):
                length = len(line)
                for passed in _rest_of_line(file):
                    read, length = read + passed, length + passed
                    if zipped and read > _HARMLESS:
                        _refuse_bomb(path, read, packed.tell())
                    _refuse_endless(path, number, length)
            if zipped and (read > checked + _HARMLESS or number % _MANY_LINES == 0):
                checked = read
                _refuse_bomb(path, read, packed.tell())
            yield line


class _InUtf8:
    """The lines of a file in another encoding, as UTF-8."""

    def __init__(self, file: IO[bytes], encoding: str) -> None:
        self._text = io.TextIOWrapper(file, encoding, errors="surrogateescape", newline="\n")

    def readline(self, limit: int) -> bytes:
        """Return a line, or the beginning of one; the limit is of characters."""
        return self._text.readline(limit).encode("utf-8", "surrogateescape")


def head_of(path: Path, size: int) -> bytes:
    """Return the first bytes of a file, unpacked."""
    with unpacked(path) as (file, _):
        return file.read(size)


def pieces_of(path: Path, encoding: str = "utf-8") -> Iterator[str]:
    """Yield a text file in pieces of about a megabyte, whatever its lines are.

    Raises
    ------
    TrafficError
        As :func:`lines_of` does of an archive.
    UnicodeError
        If the file is not of this encoding.
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig" if encoding == "utf-8" else encoding)()
    with ExitStack() as stack:
        file, packed = stack.enter_context(unpacked(path))
        zipped = is_packed(path)
        read = 0
        while piece := file.read(2**20):
            read += len(piece)
            if zipped and read > _HARMLESS:
                _refuse_bomb(path, read, packed.tell())
            yield decoder.decode(piece)
        yield decoder.decode(b"", final=True)


def text_lines(path: Path, encoding: str = "utf-8") -> Iterator[str]:
    """Yield the lines of a file as the ``csv`` module wants them: with their ends, be it of
    Windows or of an old Mac; bytes that are not UTF-8 are surrogates.

    Raises
    ------
    TrafficError
        Also if a line is longer than ``LONGEST_LINE``.
    """
    for number, line in enumerate(lines_of(path, encoding), start=1):
        if len(line) > LONGEST_LINE:
            raise TrafficError(f"line {number:,} of {path} {too_long()}. Check the file.")
        text = line.decode("utf-8-sig" if number == 1 else "utf-8", errors="surrogateescape")
        if "\r" in text:
            yield from io.StringIO(text, newline="")
        else:
            yield text


def too_long() -> str:
    """Return the rule that a line of more than ``LONGEST_LINE`` bytes breaks."""
    return f"must be of at most {LONGEST_LINE // 2**20} MiB: got more"


def _rest_of_line(file: IO[bytes]) -> Iterator[int]:
    """Yield how much was passed over, up to the end of the line."""
    while piece := file.readline(2**20):
        yield len(piece)
        if piece.endswith(b"\n"):
            return


def _refuse_bomb(path: Path, unpacked: int, packed: int) -> None:
    if unpacked > LARGEST_RATIO * packed:
        raise TrafficError(
            f"{path} must be packed text: got over {unpacked / 2**20:,.1f} MiB out of"
            f" {packed / 2**20:,.1f} MiB, {unpacked // max(packed, 1):,} times as much; text is"
            f" packed up to {LARGEST_RATIO} times. Check where the file comes from."
        )


def _refuse_endless(path: Path, number: int, length: int) -> None:
    if length > _ENDLESS:
        raise TrafficError(
            f"line {number:,} of {path} must end: got over {length // 2**20:,} MiB without a line"
            " feed. Check that the file is text."
        )
