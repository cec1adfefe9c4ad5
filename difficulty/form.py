"""Forms: frozen records read from a file, whose fields are checked against their annotations.

A small part of what pydantic does for recipes and settings, for the few records that every router
reads when it starts: importing pydantic and building its classes takes longer than all the rest
that this package adds to such a start. Stricter too: a number is not read from a string, nor a
truth value as a number.

    @dataclass(frozen=True, kw_only=True)
    class Ticket(Form):
        price: Annotated[float, at_least(0)]
        stops: tuple[str, ...] = ()

    Ticket.parse({"price": 2, "stops": ["Lyon"]})  # Ticket(price=2.0, stops=('Lyon',))
    Ticket.parse({"price": -1})                    # FieldError: price must be at least 0: got -1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping
from dataclasses import MISSING, fields
from datetime import date, datetime
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    Self,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from difficulty.errors import FieldError

_Reader = Callable[[Any], Any]
"""From what stands in the file to the field's value; raises ``FieldError``."""


class Rule(NamedTuple):
    """What the value of a field must keep, beside its type."""

    text: str
    """Ends the sentence "the field must ..."."""
    holds: Callable[[Any], bool]


def at_least(low: float) -> Rule:
    """Return the rule of a smallest number."""
    return Rule(f"be at least {low:g}", lambda value: value >= low)


def above(low: float) -> Rule:
    """Return the rule of a number that must be exceeded."""
    return Rule(f"be above {low:g}", lambda value: value > low)


def between(low: float, high: float) -> Rule:
    """Return the rule of a range, both ends in it."""
    return Rule(f"be in [{low:g}, {high:g}]", lambda value: low <= value <= high)


def matching(pattern: str, *, text: str) -> Rule:
    """Return the rule of a string of which all fits a regular expression."""
    return Rule(text, re.compile(pattern).fullmatch)  # type: ignore[arg-type]


non_empty = Rule("be a non-empty string", bool)


class Form:
    """Base of a form; a subclass is a frozen dataclass of keyword-only fields.

    Building one checks every field, also with :func:`dataclasses.replace`, and turns what JSON and
    TOML hold into what the annotation says: lists into tuples, ISO 8601 strings into dates, strings
    into paths, objects into forms.
    """

    def __post_init__(self) -> None:
        for name, read in _readers(type(self)).items():  # type: ignore[arg-type]  # mypy takes the class for an instance
            object.__setattr__(self, name, _within(name, read, getattr(self, name)))

    @classmethod
    def parse(cls, content: object) -> Self:
        """Return the form that an object of a file holds.

        Raises
        ------
        FieldError
            If a field is missing, unknown, or of a value that is not allowed.
        """
        if isinstance(content, cls):
            return content
        if not isinstance(content, Mapping):
            raise _refusal("be an object", content)
        known = {field.name: field for field in fields(cls)}  # type: ignore[arg-type]  # subclasses are dataclasses
        for name, value in content.items():
            if name not in known:
                raise FieldError(
                    f"is not a field that this version knows: got {value!r:.80}", where=(str(name),)
                )
        for name, field in known.items():
            if (
                name not in content
                and field.default is MISSING
                and field.default_factory is MISSING
            ):
                raise FieldError("is missing", where=(name,))
        return cls(**content)

    def as_dict(self, *, without: Container[str] = ()) -> dict[str, Any]:
        """Return the JSON form, fields in the order of the class, perhaps without some."""
        names = [field.name for field in fields(self) if field.name not in without]  # type: ignore[arg-type]
        return {name: _plain(getattr(self, name)) for name in names}


def _plain(value: Any) -> Any:
    if isinstance(value, Form):
        return value.as_dict()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return (
        value.isoformat()
        if isinstance(value, date)
        else str(value)
        if isinstance(value, Path)
        else value
    )


@cache
def _readers(form: type[Any]) -> dict[str, _Reader]:
    hints = get_type_hints(form, include_extras=True)
    return {field.name: _reader(hints[field.name]) for field in fields(form)}


def _within(name: object, read: _Reader, value: Any) -> Any:
    """Read one part of a value; an error names the part."""
    try:
        return read(value)
    except FieldError as error:
        raise error.inside(name) from error.__cause__


def _refusal(rule: str, value: object) -> FieldError:
    return FieldError(f"must {rule}: got {value!r:.80}")


def _reader(hint: Any) -> _Reader:
    """Return what reads the values of an annotation."""
    kind, parts = get_origin(hint), get_args(hint)
    if hint in _PLAIN:
        return _PLAIN[hint]
    if kind is Annotated:
        return _ruled(_reader(parts[0]), parts[1:])
    if kind is Literal:
        return _one_of(parts)
    if kind in (Union, UnionType):
        (some,) = (part for part in parts if part is not NoneType)
        return _optional(_reader(some))
    if kind is tuple:
        return _items(_reader(parts[0]))
    if kind is dict:
        return _entries(_reader(parts[1]))
    return hint.parse  # type: ignore[no-any-return]  # of another form


def _ruled(read: _Reader, rules: tuple[Rule, ...]) -> _Reader:
    def ruled(value: Any) -> Any:
        found = read(value)
        for rule in rules:
            if not rule.holds(found):
                raise _refusal(rule.text, value)
        return found

    return ruled


def _one_of(choices: tuple[Any, ...]) -> _Reader:
    def one_of(value: Any) -> Any:
        if value not in choices:
            raise _refusal(f"be {' or '.join(map(repr, choices))}", value)
        return value

    return one_of


def _optional(read: _Reader) -> _Reader:
    return lambda value: None if value is None else read(value)


def _items(read: _Reader) -> _Reader:
    def items(value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise _refusal("be a list", value)
        return tuple(_within(index, read, item) for index, item in enumerate(value))

    return items


def _entries(read: _Reader) -> _Reader:
    def entries(value: Any) -> Any:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise _refusal("be an object", value)
        return {key: _within(key, read, item) for key, item in value.items()}

    return entries


def _typed(rule: str, *kinds: type) -> _Reader:
    def typed(value: Any) -> Any:
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise _refusal(rule, value)
        return value

    return typed


def _iso(rule: str, kind: type[date]) -> _Reader:
    def iso(value: Any) -> Any:
        try:
            return (
                kind.fromisoformat(value) if isinstance(value, str) else _typed(rule, kind)(value)
            )
        except ValueError as error:
            raise _refusal(rule, value) from error

    return iso


def _number(value: Any) -> float:
    return float(_typed("be a number", int, float)(value))


def _path(value: Any) -> Path:
    return Path(_typed("be a path", str, Path)(value))


_PLAIN: dict[Any, _Reader] = {
    Any: lambda value: value,
    str: _typed("be a string", str),
    int: _typed("be a whole number", int),
    float: _number,
    bool: _typed("be true or false", bool),
    date: _iso("be a date as 2026-11-27", date),
    datetime: _iso("be a time as 2026-11-27T09:30:00Z", datetime),
    Path: _path,
}
