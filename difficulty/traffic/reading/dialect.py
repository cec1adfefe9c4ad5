"""What a text file is written in: its encoding, what stands between the cells of a table, the sign
before decimals. Found from the beginning of the file, or named.

- Encoding: byte order marks; UTF-16 without one by its zeros; UTF-8 where the bytes are; cp1252
  where they are not, and high bytes stand alone between letters or are its quotes and dashes. Other
  encodings are never guessed: they are named.
- Delimiter, quotes and escapes: those by which most lines are records as long as the header.
- Decimal comma: where more cells can only be read so (``0,75``) than have a point (``0.75``).
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

from difficulty.errors import InvalidValueError
from difficulty.kinds import plain_name
from difficulty.traffic.lines import head_of
from difficulty.traffic.reading.named_pair import ModelPair

_TABLES = (".csv", ".tsv")
_HEAD = 2**20  # bytes that tell the encoding
_TABLE_HEAD = 2**18  # characters that tell the rest
_MOST_RECORDS = 300
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MANY_ZEROS = 0.2  # of the bytes at odd, or even, places
_ALIKE = 0.8  # share of high bytes that look like cp1252
_DELIMITERS = (",", ";", "\t", "|")
_MUCH_BETTER = 0.1  # share of the lines, before unusual quotes are believed
_SEP_LINE = re.compile(r'"?sep=(.)"?\r?\n?', re.IGNORECASE)
"""As Excel says what stands between the cells."""
_COMMA = re.compile(r"[-+]?(?:0,\d+|\d+,\d{1,2}|\d+,\d{4,})")
"""Numbers that have a decimal comma and no thousands."""
_POINT = re.compile(r"[-+]?\d*\.\d+")
_WITH_COMMA = re.compile(r"\s*[-+]?(?:[1-9]\d{0,2}(?:\.\d{3})+|\d+)(?:,\d+)?(?:[eE][-+]?\d+)?\s*")
_NAMES = {"utf-8": "UTF-8", "utf-16": "UTF-16", "utf-32": "UTF-32"}
_SPELT = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "bar"}
NUMBERS = frozenset(
    {"cheap_quality", "frontier_quality", "propensity", "inclusion", "weight"}
    | {"prompt_tokens", "cached_tokens", "cheap_tokens", "frontier_tokens"}
    | {"cheap_cost_usd", "frontier_cost_usd", "cheap_score", "frontier_score"}
)
"""Columns of the contract and of label sources that hold numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What the user said of the files; what was left out is found."""

    delimiter: str | None = None
    """One character between the cells of CSV; ``tab`` is one too."""
    encoding: str | None = None
    decimal: str | None = None
    """``.`` or ``,``."""
    pair: ModelPair = ModelPair()
    numbers: frozenset[str] = NUMBERS
    """Columns that hold numbers: a decimal comma is read there alone, never in a text."""

    def __post_init__(self) -> None:
        if self.delimiter is not None:
            spelt = {name: mark for mark, name in _SPELT.items()} | {"\\t": "\t"}
            mark = spelt.get(self.delimiter.lower(), self.delimiter)
            if len(mark) != 1 or mark in '"\r\n':
                hint = "Pass --csv-delimiter ';', or tab."
                raise InvalidValueError("delimiter", mark, rule="be one character", hint=hint)
            object.__setattr__(self, "delimiter", mark)
        if self.encoding is not None:
            object.__setattr__(self, "encoding", _known_encoding(self.encoding))
        if self.decimal not in (None, ".", ","):
            raise InvalidValueError("decimal", self.decimal, rule="be '.' or ','")


AS_FOUND = ReadOptions()
"""Nothing was said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What a file is written in."""

    encoding: str = "utf-8"
    marked: bool = False
    """Whether the file begins with a byte order mark."""
    delimiter: str = ","
    decimal: str = "."
    escape: str | None = None
    """What stands before a quote inside quotes; ``None``: another quote."""
    quoted: bool = True
    """Whether cells may be quoted."""
    table: bool = False

    def describe(self) -> str:
        """Return what was found, for a summary."""
        name = _NAMES.get(self.encoding.removesuffix("-le").removesuffix("-be"), self.encoding)
        parts = [f"{name} with a byte order mark" if self.marked else name]
        if self.table:
            spelt = _SPELT.get(self.delimiter, repr(self.delimiter))
            parts.append(f"{spelt} between cells")
            parts += ["quotes escaped by a backslash"] if self.escape else []
            parts += [] if self.quoted else ["quotes are text"]
            parts += ["decimal comma"] if self.decimal == "," else []
        return ", ".join(parts)

    @property
    def usual(self) -> bool:
        """Whether there is nothing to tell: UTF-8, commas, points."""
        return self in (Dialect(), Dialect(table=True))

    def records(self, lines: Iterable[str]) -> Any:
        """Return a reader of the ``csv`` module over lines with their ends."""
        return csv.reader(
            lines,
            strict=True,
            delimiter=self.delimiter,
            escapechar=self.escape,
            doublequote=self.escape is None,
            quoting=csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE,
        )


def find_dialect(path: Path, options: ReadOptions = AS_FOUND) -> Dialect:
    """Return what a text file is written in.

    Raises
    ------
    OSError, EOFError, zlib.error
        If it cannot be read.
    """
    stat = path.stat()
    return _found(path, (stat.st_size, stat.st_mtime_ns), options)


def described_dialects(files: Iterable[Path], options: ReadOptions) -> Mapping[str, int]:
    """Return what text files are written in, where that is unusual, with the number of files."""
    counts: dict[str, int] = {}
    for path in files:
        if path.is_file() and not path.name.lower().endswith(".parquet"):
            try:
                dialect = find_dialect(path, options)
            except (OSError, EOFError, zlib.error, UnicodeError):
                continue  # for the reader to say
            if not dialect.usual:
                counts[dialect.describe()] = counts.get(dialect.describe(), 0) + 1
    return counts


def is_sep_line(line: str) -> bool:
    """Return whether a first line says what stands between the cells, as Excel writes it."""
    return _SEP_LINE.fullmatch(line) is not None


def pointed(cell: str) -> str:
    """Return a number with a decimal comma as Python spells it: ``1.234,5`` is 1234.5; any other
    text as it is.
    """
    return cell.replace(".", "").replace(",", ".") if _WITH_COMMA.fullmatch(cell) else cell


@lru_cache(maxsize=256)
def _found(path: Path, version: tuple[int, int], options: ReadOptions) -> Dialect:
    """Return the dialect of one version of a file."""
    head = head_of(path, _HEAD)
    encoding, marked = options.encoding, False
    for mark, name in _MARKS:
        if head.startswith(mark):
            encoding, marked = encoding or name, True
            break
    encoding = encoding or _encoding(head)
    name = plain_name(path)
    if not name.endswith(_TABLES):
        return Dialect(encoding=encoding, marked=marked)
    codec = "utf-8-sig" if encoding == "utf-8" else encoding
    text = head.decode(codec, "replace")[:_TABLE_HEAD]
    usual = "\t" if name.endswith(".tsv") else ","
    return _table(text, Dialect(encoding=encoding, marked=marked, table=True), options, usual)


def _encoding(head: bytes) -> str:
    for start, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        places = head[start:4096:2]
        if len(places) > 1 and places.count(0) > _MANY_ZEROS * len(places):
            return name
    try:
        # Not the end of the file: a character may be cut in two.
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "cp1252" if _is_western(head) else "utf-8"
    return "utf-8"


_SEQUENCE = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)
_RUN = re.compile(rb"([A-Za-z]?)([\x80-\xff]+)(?=([A-Za-z]?))")
# Euro sign, quotes, dashes, dots, bullet, no-break space, and signs of Latin-1.
_SIGNS = frozenset(
    b"\x80\x84\x85\x8b\x91\x92\x93\x94\x95\x96\x97\x99\x9b\xa0\xa3\xa7\xab\xb0\xb1\xb5\xb7\xbb\xd7\xbf\xa1"
)


def _is_western(head: bytes) -> bool:
    """Return whether bytes that are no UTF-8 look like cp1252."""
    runs = _RUN.findall(head)
    high = sum(len(run) for _, run, _ in runs)
    # A file in UTF-8 with a few broken rows is no other encoding.
    if 10 * sum(map(len, _SEQUENCE.findall(head))) > high:
        return False
    alike = sum(
        len(run)
        for before, run, after in runs
        if (len(run) <= 2 and (before or after)) or _SIGNS.issuperset(run)
    )
    return alike >= _ALIKE * high


def _table(text: str, dialect: Dialect, options: ReadOptions, usual: str) -> Dialect:
    lines = list(io.StringIO(text, newline=""))
    # The last line of the beginning may be cut.
    lines = lines[:-1] if len(lines) > 2 and len(text) >= _TABLE_HEAD - 8 else lines
    said = _SEP_LINE.fullmatch(lines[0]) if lines else None
    marks = [options.delimiter] if options.delimiter else [said[1]] if said else _DELIMITERS
    lines = lines[1:] if said else lines
    best, best_key = replace(dialect, delimiter=marks[0] if len(marks) == 1 else usual), None
    tries = [
        *(replace(dialect, delimiter=mark) for mark in marks),
        *(replace(dialect, delimiter=mark, escape="\\") for mark in marks if '\\"' in text),
        *(replace(dialect, delimiter=mark, quoted=False) for mark in marks if mark == "\t"),
    ]
    for attempt in tries:
        fit, header = _fit(attempt, lines)
        if len(header) < 2:
            continue
        odd = attempt.escape is not None or not attempt.quoted
        clean = not any(mark in cell for cell in header for mark in _DELIMITERS)
        key = (fit - _MUCH_BETTER * odd - _MUCH_BETTER * (not clean), len(header))
        if best_key is None or key > best_key:
            best, best_key = attempt, key
    if options.decimal:
        return replace(best, decimal=options.decimal)
    cells = chain.from_iterable(_records(best, lines))
    return replace(best, decimal="," if _has_commas(cells) else ".")


def _fit(dialect: Dialect, lines: list[str]) -> tuple[float, list[str]]:
    """Return the share of the lines in records as long as the header, and the header."""
    reader = dialect.records(lines)
    header: list[str] = []
    good, before = 0, 0
    for number in range(_MOST_RECORDS):
        try:
            record = next(reader)
        except StopIteration:
            break
        except csv.Error:
            record = []
        if number == 0:
            header = record
        if record and len(record) == len(header):
            good += reader.line_num - before
        before = reader.line_num
    return good / max(before, 1), header


def _records(dialect: Dialect, lines: list[str]) -> Iterator[list[str]]:
    reader = dialect.records(lines)
    try:
        yield from islice(reader, _MOST_RECORDS)
    except csv.Error:
        return


def _has_commas(cells: Iterable[str]) -> bool:
    commas = points = 0
    for cell in cells:
        if len(cell) < 32:
            bare = cell.strip()
            commas += bool(_COMMA.fullmatch(bare))
            points += bool(_POINT.fullmatch(bare))
    return commas > points


def _known_encoding(name: str) -> str:
    try:
        info = codecs.lookup(name)
        # Those that turn bytes into bytes, as base64 does, are no encodings of text.
        "".encode(name)
    except (LookupError, ValueError) as error:
        hint = "Pass for example utf-8, utf-16 or cp1252."
        raise InvalidValueError(
            "encoding", name[:80], rule="be one that Python knows", hint=hint
        ) from error
    return "utf-8" if info.name in ("utf-8-sig", "ascii") else info.name
