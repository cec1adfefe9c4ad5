"""Which column is which: a mapping from the columns of a table to those of the traffic contract,
written on the command line or in a TOML file.

    [columns]
    prompt = "User text"
    cheap_quality = "scores.small"    # a dot leads into an object

    [scale]
    cheap_quality = [1, 5]            # the worst and the best score
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

from difficulty.errors import FieldError, InvalidValueError, TrafficError, UnknownNameError
from difficulty.form import Form, read_toml
from difficulty.traffic.losses import LABEL_COLUMNS
from difficulty.traffic.readers import RawRow
from difficulty.traffic.reading.column_names import advice
from difficulty.traffic.reading.dialect import NUMBERS
from difficulty.traffic.reading.named_pair import ModelPair
from difficulty.traffic.rows import FIELDS, Scale, says_something

ROLES = ("system", "user", "assistant")
"""Columns of which messages are made, in the order in which they are named."""
CALL_FIELDS = ("model", "request", "quality", "passed", "answer", "tokens", "cost")
"""What a row says of one call; a pivot turns them into columns of the cheap or frontier model."""
CALL = "a call"
"""Where a mapped row keeps what it says of its call; no column of a table is called so."""
_CALL_NUMBERS = ("quality", "tokens", "cost")
_QUALITIES = ("cheap_quality", "frontier_quality", "quality")
_MAPPED = FIELDS | {"prompt", *ROLES} | {name for names in LABEL_COLUMNS.values() for name in names}
_OF_REQUEST = ("prompt_tokens", "cached_tokens")
_KEYS = frozenset({"prompt", "messages", "id", "timestamp", "task", "group"})
_EARLY = 1_000
"""Rows after which a column that a table does not have is refused."""
_ABSENT = object()


@dataclass(frozen=True, kw_only=True)
class FileSection(Form):
    """How the file is written; what is left out is found."""

    delimiter: str | None = None
    encoding: str | None = None
    decimal: str | None = None


@dataclass(frozen=True, kw_only=True)
class PivotSection(Form):
    """Rows of one call each: which column says what, and which models are the pair."""

    model: str
    request: str | None = None
    """Column that rows of one request share; ``None``: each row is a request of its own."""
    quality: str | None = None
    passed: str | None = None
    answer: str | None = None
    tokens: str | None = None
    cost: str | None = None
    prompt_tokens: str | None = None
    cached_tokens: str | None = None
    cheap: tuple[str, ...] = ()
    frontier: tuple[str, ...] = ()
    duplicates: Literal["last", "first", "mean"] = "last"
    """Which of several calls of one model on one request counts."""

    @classmethod
    def parse_option(cls, written: Sequence[str]) -> PivotSection:
        """Return what ``--pivot request=trace_id,model=model`` says; it may be repeated.

        Raises
        ------
        InvalidValueError
            If it is not written so.
        """
        parts = [part for text in written for part in _split_options(text)]
        named = [part.partition("=") for part in parts]
        example = "Write for example: --pivot request=trace_id,model=model,quality=score."
        if wrong := [name for name, equals, value in named if not equals or not value]:
            raise InvalidValueError(
                "--pivot", wrong[0], rule="be written as field=column", hint=example
            )
        try:
            return cls.parse({name.strip(): value for name, _, value in named})
        except FieldError as error:
            raise InvalidValueError(
                "--pivot", ",".join(parts), rule="name known fields", hint=f"{error} {example}"
            ) from error

    @property
    def columns(self) -> dict[str, str]:
        """Field to column, of what is named."""
        names = (*CALL_FIELDS, *_OF_REQUEST)
        return {name: column for name in names if (column := getattr(self, name)) is not None}


@dataclass(frozen=True, kw_only=True)
class TableMapping(Form):
    """From the columns of a table to those of the contract."""

    columns: dict[str, str | tuple[str, ...]] = field(default_factory=dict)
    """Field to column. Several columns of ``prompt`` are joined by an empty line; ``system``,
    ``user`` and ``assistant`` become messages in the order in which they are named, then the second
    column of each, and so on.
    """
    constants: dict[str, str] = field(default_factory=dict)
    """Field to a value that all rows share, such as ``measured_by``."""
    scale: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Quality to its worst and its best score."""
    words: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Field to what its words mean: ``quality = { pass = 1, fail = 0 }``."""
    times: dict[str, str] = field(default_factory=dict)
    """Form of ``timestamp`` where it is not ISO 8601, as in ``strptime``: ``%d.%m.%Y %H:%M``."""
    pivot: PivotSection | None = None
    file: FileSection = FileSection()

    def __post_init__(self) -> None:
        super().__post_init__()
        known = _MAPPED | ({*CALL_FIELDS} if self.pivot else set())
        for section, names in (("columns", self.columns), ("constants", self.constants)):
            for name in names:
                if name not in _MAPPED:
                    raise UnknownNameError(f"field of [{section}]", name, _MAPPED)
        for name in self.words:
            if name not in known:
                raise UnknownNameError("field of [words]", name, known)
        for name, ends in self.scale.items():
            if name not in _QUALITIES:
                raise UnknownNameError("field of [scale]", name, _QUALITIES)
            Scale.of(ends, example=f"[scale] {name} = [1, 5]")
        if wrong := sorted({*self.times} - {"timestamp"}):
            raise UnknownNameError("field of [times]", wrong[0], ("timestamp",))

    @classmethod
    def read(cls, path: Path) -> TableMapping:
        """Return the mapping in a TOML file.

        Raises
        ------
        TrafficError
            If it holds what no mapping does.
        """
        content = read_toml(path, "mapping file")
        return cls.parse_from(
            str(path), content, error=TrafficError, advice="See docs/traffic.md for its sections"
        )

    def with_columns(self, written: Iterable[str]) -> TableMapping:
        """Return the mapping with what ``--map field=column`` adds; one field may have several."""
        columns: dict[str, tuple[str, ...]] = {}
        for text in written:
            name, equals, column = text.partition("=")
            if not equals or not column:
                hint = 'Write for example: --map prompt="User text".'
                raise InvalidValueError("--map", text, rule="be written as field=column", hint=hint)
            columns[name.strip()] = (*columns.get(name.strip(), ()), column)
        return replace(self, columns={**self.columns, **columns})

    @property
    def is_empty(self) -> bool:
        """Whether nothing is mapped."""
        return not (self.columns or self.constants or self.words or self.times or self.pivot)

    @property
    def number_columns(self) -> frozenset[str]:
        """Columns of the table that hold numbers."""
        named = [*self.sources()]
        numbers = {*NUMBERS, *_CALL_NUMBERS}
        return NUMBERS | {column for name, column in named if name in numbers}

    def sources(self) -> Iterator[tuple[str, str]]:
        """Yield each field with each of its columns."""
        for name, columns in self.columns.items():
            yield from ((name, column) for column in _several(columns))
        if self.pivot:
            yield from self.pivot.columns.items()


def read_mapping(
    path: Path | None, columns: Sequence[str], pivot: Sequence[str]
) -> TableMapping | None:
    """Return the mapping of a file with what options add; ``None`` where nothing is mapped."""
    if path is None and not columns and not pivot:
        return None
    mapping = TableMapping() if path is None else TableMapping.read(path)
    if pivot:
        mapping = replace(mapping, pivot=PivotSection.parse_option(pivot))
    return mapping.with_columns(columns)


class Mapper:
    """Apply a mapping to rows.

    Attributes
    ----------
    columns : dict of str to None
        Columns of the rows that were seen, in order.
    """

    def __init__(self, mapping: TableMapping, pair: ModelPair) -> None:
        self._mapping = mapping
        self._mapped_columns = {
            column for columns in mapping.columns.values() for column in _several(columns)
        }
        # Of a table with one row a request; the rows of a pivot name their models.
        names = {} if mapping.pivot else pair.exact
        self._names = {f"{side}_model": name for side, name in names.items()}
        self._scales = {name: Scale(*ends) for name, ends in mapping.scale.items()}
        self._words = {
            name: {word.strip().lower(): value for word, value in words.items()}
            for name, words in mapping.words.items()
        }
        self._missing = {column: name for name, column in mapping.sources()}
        self.columns: dict[str, None] = {}

    def rows(self, rows: Iterable[RawRow], *, passes: Callable[[RawRow], bool]) -> Iterator[RawRow]:
        """Yield rows of the contract, with what they say of a call under ``CALL``; rows that
        cannot be read, and those for which ``passes``, as they are.

        Raises
        ------
        TrafficError
            If a column that is named is in no row.
        """
        n, uniform, first = 0, True, None
        for row in rows:
            if row.fields is None or row.problem or passes(row):
                yield row
                continue
            if row.fields.keys() != first:
                uniform, first = first is None, row.fields.keys()
                if len(self.columns) < 5_000:
                    self.columns.update(dict.fromkeys(map(str, row.fields)))
            try:
                mapped = row._replace(fields=self._fields(row.fields))
            except InvalidValueError as error:
                mapped = row._replace(problem=str(error))
            n += 1
            if self._missing and uniform and n == _EARLY:
                self.refuse_absent()
            yield mapped
        if n:
            self.refuse_absent()

    def refuse_absent(self) -> None:
        """Refuse a column that no row has."""
        for column, name in self._missing.items():
            option = "--pivot" if name in (*CALL_FIELDS, *_OF_REQUEST) else "--map"
            raise TrafficError(
                f"a column that is mapped must be in the table: no column {column!r:.80}"
                f" (for {name}). {_nearest_advice(name, column, self.columns, option)}"
            )

    def _fields(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        mapping = self._mapping
        read = _Cells(fields, self._converted)
        mapped = dict(mapping.constants) | self._columns_of(read)
        call = {}
        if mapping.pivot:
            call = {name: read(name, column) for name, column in mapping.pivot.columns.items()}
            mapped |= {name: call.pop(name) for name in _OF_REQUEST if name in call}
        for column in read.taken:
            self._missing.pop(column, None)
        # The key of a request may be its text or its id, which are read too.
        kept = _KEYS - {*mapped} - self._mapped_columns
        # A column that only shares its name with a mapped one is kept under another.
        rest = {
            f"{name} (unread)" if name in mapped else name: value
            for name, value in fields.items()
            if name not in read.taken or name in kept
        }
        row = {**self._names, **rest, **mapped}
        return {**row, CALL: call} if mapping.pivot else row

    def _columns_of(self, read: _Cells) -> dict[str, Any]:
        """Return the mapped columns; those of roles become messages."""
        mapped: dict[str, Any] = {}
        turns: dict[str, list[Any]] = {}
        for name, columns in self._mapping.columns.items():
            values = [read(name, column) for column in _several(columns)]
            if name in ROLES:
                turns[name] = values
            elif len(values) == 1:
                mapped[name] = values[0]
            else:
                mapped[name] = "\n\n".join(str(v) for v in values if says_something(v)) or None
        messages = [
            {"role": role, "content": value}
            for turn in zip_longest(*turns.values())
            for role, value in zip(turns, turn, strict=True)
            if says_something(value)
        ]
        return {**mapped, "messages": messages} if messages else mapped

    def _converted(self, name: str, value: Any) -> Any:
        if not says_something(value):
            return None
        words = self._words.get(name)
        if words is not None and isinstance(value, str):
            word = value.strip().lower()
            if word not in words:
                hint = f"Say what it means in [words] {name}."
                raise InvalidValueError(
                    name, value[:80], rule=f"be one of {', '.join(map(repr, words))}", hint=hint
                )
            value = words[word]
        scale = self._scales.get(name)
        if scale is not None and not isinstance(value, bool) and not _is_flag(value):
            return scale.to_unit(value, name)
        if name == "timestamp" and name in self._mapping.times and isinstance(value, str):
            form = self._mapping.times[name]
            try:
                return datetime.strptime(value.strip(), form)
            except ValueError as error:
                raise InvalidValueError(name, value[:80], rule=f"be written as {form!r}") from error
        return value


class _Cells:
    """The cells of a row, and the columns of which one was read."""

    def __init__(self, fields: Mapping[str, Any], convert: Callable[[str, Any], Any]) -> None:
        self._fields, self._convert = fields, convert
        self.taken: set[str] = set()

    def __call__(self, name: str, column: str) -> Any:
        """Return what a column says of a field; ``None`` where the row has no such column."""
        value = _lookup(self._fields, column)
        if value is _ABSENT:
            return None
        self.taken.add(column)
        return self._convert(name, value)


def _lookup(fields: Mapping[str, Any], column: str) -> Any:
    """Return the value of a column, or of a path such as ``scores.small`` into an object, also one
    that is JSON text.
    """
    if column in fields:
        return fields[column]
    head, dot, rest = column.partition(".")
    if not dot or head not in fields:
        return _ABSENT
    inner = fields[head]
    if isinstance(inner, str) and inner[:1] in "{[":
        try:
            inner = json.loads(inner)
        except (ValueError, RecursionError):
            return _ABSENT
    if isinstance(inner, list):
        inner = {str(place): item for place, item in enumerate(inner)}
    return _lookup(inner, rest) if isinstance(inner, Mapping) else _ABSENT


def _several(columns: str | tuple[str, ...]) -> tuple[str, ...]:
    return (columns,) if isinstance(columns, str) else columns


def _is_flag(value: Any) -> bool:
    return isinstance(value, str) and value.strip().lower() in ("true", "false")


def _split_options(text: str) -> list[str]:
    """Return the parts of ``a=x,b=y``; a comma in a column's name is none between parts."""
    parts: list[str] = []
    for piece in text.split(","):
        if "=" in piece or not parts:
            parts.append(piece)
        else:
            parts[-1] += f",{piece}"
    return parts


def _nearest_advice(name: str, column: str, columns: Iterable[str], option: str) -> str:
    """Return what is near to the column that was asked for, else to the field."""
    names = list(columns)
    told = advice(column, names, option=option)
    if told.startswith("Nearest"):
        return told.replace(f'{option} {column}="', f'{option} {name}="')
    return advice(name, names, option=option)
