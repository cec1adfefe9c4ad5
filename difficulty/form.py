"""Forms: frozen records read from a file, whose fields are checked against their annotations.

One way to check what people and other programs write: recipes, settings, price lists, policies,
manifests, journals. Stricter than what JSON and TOML readers usually are: a number is not read from
a string, nor a truth value as a number.

    @dataclass(frozen=True, kw_only=True)
    class Ticket(Form):
        price: Annotated[float, at_least(0)]
        stops: tuple[str, ...] = ()

    Ticket.parse({"price": 2, "stops": ["Lyon"]})  # Ticket(price=2.0, stops=('Lyon',))
    Ticket.parse({"price": -1})                    # FieldError: price must be at least 0: got -1.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import MISSING, fields
from datetime import date, datetime
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    Self,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from difficulty.errors import DifficultyError, FieldError, InvalidValueError
from difficulty.storage import read_bounded

_DEEPEST = 100
_LONGEST_REPR = 200
_LONG_NUMBER = "it holds a whole number of more digits than any reader takes"
_TOO_DEEP = f"it nests deeper than {_DEEPEST} levels"
_LARGEST_TOML = 1 << 20  # bytes
_TOML_TOO_DEEP = "it nests too deeply"
_KEY_PART = r"(?:[A-Za-z0-9_-]++|\"[^\"\n]*+\"|'[^'\n]*+')"
_LONG_KEY = re.compile(rf"(?:^|[\[{{,])[ \t]*+(?:{_KEY_PART}[ \t]*+\.[ \t]*+){{{_DEEPEST}}}", re.M)
"""A dotted key of more parts than anything nests; without a loop that goes back."""

_Reader = Callable[[Any], Any]
"""From what stands in the file to the field's value; raises ``FieldError``."""


class Rule(NamedTuple):
    """What the value of a field must keep, beside its type."""

    text: str
    """Ends the sentence "the field must ..."."""
    holds: Callable[[Any], bool]


def at_least(low: float) -> Rule:
    """Return the rule of a smallest number."""
    return Rule(f"be at least {low}", lambda value: value >= low)


def at_most(high: float) -> Rule:
    """Return the rule of a largest number."""
    return Rule(f"be at most {high}", lambda value: value <= high)


def above(low: float) -> Rule:
    """Return the rule of a number that must be exceeded."""
    return Rule(f"be above {low}", lambda value: value > low)


def below(high: float) -> Rule:
    """Return the rule of a number that must not be reached."""
    return Rule(f"be below {high}", lambda value: value < high)


def between(low: float, high: float) -> Rule:
    """Return the rule of a range, both ends in it."""
    return Rule(f"be in [{low}, {high}]", lambda value: low <= value <= high)


def matching(pattern: str, *, text: str) -> Rule:
    """Return the rule of a string of which all fits a regular expression."""
    return Rule(text, re.compile(pattern).fullmatch)  # type: ignore[arg-type]


finite = Rule("be a finite number", math.isfinite)
unbounded = Rule("be a number", lambda _: True)
non_empty = Rule("be a non-empty string", bool)

Share = Annotated[float, between(0, 1)]
Undefinable = Annotated[float, unbounded]
"""A figure that is NaN where it is not defined; for forms of our own, as no file holds NaN."""
Sha256 = Annotated[str, matching("[0-9a-f]{64}", text="be a sha256 as 64 hexadecimal digits")]


class _RuleError(FieldError):
    """A value breaks a rule by itself, rather than in one of its parts."""

    def __init__(self, rule: str, value: object) -> None:
        super().__init__(f"must {rule}: got {_shown(value)}")
        self.rule = rule


def _shown(value: object) -> str:
    try:
        return f"{value!r:.80}"
    except ValueError:  # Python spells no whole number of more than 4,300 digits
        return "a number of thousands of digits"
    except RecursionError:
        return "something nested too deeply to show"


class Record:
    """Base of a dataclass whose JSON form comes from its fields."""

    __slots__ = ()
    _also: ClassVar[tuple[str, ...]] = ()
    """Attributes that follow the fields in the JSON form, such as sentences for people."""

    def __repr__(self) -> str:
        """Return one line of at most 200 characters, of records that have no ``repr`` of their
        own: what stands at a prompt and in a traceback is to be read.
        """
        parts = (f"{field.name}={getattr(self, field.name)!r}" for field in fields(self))  # type: ignore[arg-type]
        line = f"{type(self).__name__}({', '.join(parts)})"
        return line if len(line) <= _LONGEST_REPR else f"{line[: _LONGEST_REPR - 4]}...)"

    def as_dict(self, *, without: Container[str] = ()) -> dict[str, Any]:
        """Return the JSON form, fields in the order of the class, perhaps without some."""
        names = [*(field.name for field in fields(self)), *self._also]  # type: ignore[arg-type]
        return {name: _plain(getattr(self, name)) for name in names if name not in without}


class Form(Record):
    """Base of a form; a subclass is a frozen dataclass of keyword-only fields.

    Building one checks every field, also with :func:`dataclasses.replace`, and turns what JSON and
    TOML hold into what the annotation says: lists into tuples, ISO 8601 strings into dates, strings
    into paths, objects into forms. A subclass checks fields against each other in its own
    ``__post_init__``, after this one.
    """

    _passes_over_unknown: ClassVar[bool] = False

    def __post_init__(self) -> None:
        readers = _readers(type(self))  # type: ignore[arg-type]  # mypy: a class, no instance
        for name, read in readers.items():
            # Frozen, so that only this may put the checked value in place of the given one.
            object.__setattr__(self, name, _within(name, read, getattr(self, name)))

    @classmethod
    def parse(cls, content: object) -> Self:
        """Return the form that an object of a file holds.

        Raises
        ------
        FieldError
            If a field is missing, unknown, or of a value that is not allowed.
        """
        # Records that were built in Python, and checked then, may stand among what a file holds.
        if isinstance(content, cls):
            return content
        if not isinstance(content, Mapping):
            raise _RuleError("be a section", content)
        # Subclasses are dataclasses.
        own = {field.name: field for field in fields(cls)}  # type: ignore[arg-type]
        if cls._passes_over_unknown:
            content = {name: content[name] for name in own if name in content}
        for name, value in content.items():
            if name not in own:
                problem = f"is not a field that this version knows: got {_shown(value)}"
                raise FieldError(f"{problem}. {_nearest(str(name), own)}", where=(str(name),))
        for name, field in own.items():
            if name not in content and field.default is field.default_factory is MISSING:
                raise FieldError("is missing", where=(name,))
        return cls(**content)

    @classmethod
    def parse_from(
        cls,
        source: str,
        content: object,
        *,
        error: type[DifficultyError] | None = None,
        advice: str = "",
    ) -> Self:
        """Return the form that a file holds; where it is refused, the message names the file.

        Parameters
        ----------
        source : str
            What the content stands in, as messages call it.
        content : object
        error : type, optional
            What callers expect to be raised; default: ``FieldError``.
        advice : str
            Ends the message: what to do about the file.
        """
        try:
            return cls.parse(content)
        except FieldError as refusal:
            named = FieldError(refusal.problem, where=refusal.where, file=source, advice=advice)
            raise (error(str(named)) if error else named) from refusal


class SavedForm(Form):
    """Base of a form that this package writes: what a later version adds to it is passed over."""

    _passes_over_unknown = True


def read_json(content: bytes) -> Any:
    """Return what JSON that anybody may have written holds.

    Raises
    ------
    ValueError
        If it is no JSON, names a field twice, or nests deeper than 100 levels.
    """
    try:
        value = json.loads(content, object_pairs_hook=_once_each)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    except ValueError as error:
        if _is_long_number(error):
            raise ValueError(_LONG_NUMBER) from error
        raise
    level = [value]
    for _ in range(_DEEPEST):
        inner = (part for part in level if isinstance(part, dict | list))
        level = [
            item for part in inner for item in (part.values() if isinstance(part, dict) else part)
        ]
        if not level:
            return value
    raise ValueError(_TOO_DEEP)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; of two values of one field readers take the first or the last."""
    fields_ = dict(pairs)
    if len(fields_) < len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"field {twice!r:.80} stands there twice")
    return fields_


def load_toml(path: Path) -> dict[str, Any]:
    """Return what a TOML file of at most a megabyte holds.

    Raises
    ------
    ValueError
        If it is no TOML, or larger.
    OSError
        If it cannot be read.
    """
    # Bytes that are no UTF-8 are a ValueError too.
    return parse_toml(read_bounded(path, most=_LARGEST_TOML).decode("utf-8"))


def parse_toml(text: str) -> dict[str, Any]:
    """Return what TOML holds.

    Raises
    ------
    ValueError
        If it is no TOML, or nests too deeply.
    """
    import tomllib  # here, because a router has no TOML to read and need not wait for it

    # For every part of a key the reader goes through all parts before it.
    if _LONG_KEY.search(text):
        raise ValueError(_TOML_TOO_DEEP)
    try:
        # The reader's own error is a ValueError, as are those of huge numbers.
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError(_TOML_TOO_DEEP) from error
    except ValueError as error:
        if _is_long_number(error):
            raise ValueError(_LONG_NUMBER) from error
        raise


def _is_long_number(error: ValueError) -> bool:
    """Return whether a number is longer than Python reads, which it tells in words of its own."""
    return "set_int_max_str_digits" in str(error)


def read_toml(path: Path, subject: str) -> dict[str, Any]:
    """Read a TOML file; ``subject`` is how messages call it.

    Raises
    ------
    InvalidValueError
        If it is missing, no TOML, or larger than a megabyte.
    """
    rule = "be a readable TOML file"
    try:
        return load_toml(path)
    except FileNotFoundError as error:
        raise InvalidValueError(subject, str(path), rule="exist", hint="Check the path.") from error
    except OSError as error:
        hint = f"{error.strerror or error}."
        raise InvalidValueError(subject, str(path), rule=rule, hint=hint) from error
    except UnicodeDecodeError as error:
        hint = "It is no text in UTF-8."
        raise InvalidValueError(subject, str(path), rule=rule, hint=hint) from error
    except ValueError as error:
        raise InvalidValueError(subject, str(path), rule=rule, hint=f"{error}.") from error


def _nearest(name: str, names: Iterable[str]) -> str:
    """Name the field that was probably meant, or else all there are."""
    from difflib import get_close_matches  # here, as only a refusal needs it

    near = get_close_matches(name, names, n=1)
    return f"Perhaps {near[0]!r} is meant" if near else f"Known: {', '.join(sorted(names))}"


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
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


def _reader(hint: Any) -> _Reader:
    """Return what reads the values of an annotation."""
    kind, parts = get_origin(hint), get_args(hint)
    if hint in _PLAIN:
        return _PLAIN[hint]
    if kind is Annotated:
        # JSON has 1e400, TOML inf and nan; the field's own rule says it better where it can.
        return (
            _ruled(_number, parts[1:] if unbounded in parts else (*parts[1:], finite))
            if parts[0] is float
            else _ruled(_reader(parts[0]), parts[1:])
        )
    if kind is Literal:
        return _one_of(parts)
    if kind in (Union, UnionType):
        readers = [_reader(part) for part in parts if part is not NoneType]
        return _either(readers, optional=NoneType in parts)
    if kind is tuple:
        return _items(_reader(parts[0]), n=None if parts[-1] is Ellipsis else len(parts))
    if kind is dict:
        return _entries(_reader(parts[1]))
    return hint.parse  # type: ignore[no-any-return]  # of another form


def _ruled(read: _Reader, rules: tuple[Rule, ...]) -> _Reader:
    def ruled(value: Any) -> Any:
        result = read(value)
        for rule in rules:
            if not rule.holds(result):
                raise _RuleError(rule.text, value)
        return result

    return ruled


def _one_of(choices: tuple[Any, ...]) -> _Reader:
    texts = ("false" if choice is False else repr(choice) for choice in choices)
    rule = f"be {' or '.join(texts)}"

    def one_of(value: Any) -> Any:
        # the type as well, because 0 == False
        if not any(value == choice and type(value) is type(choice) for choice in choices):
            raise _RuleError(rule, value)
        return value

    return one_of


def _either(readers: Sequence[_Reader], *, optional: bool) -> _Reader:
    def either(value: Any) -> Any:
        if optional and value is None:
            return None
        refusals: list[FieldError] = []
        for read in readers:
            try:
                return read(value)
            except FieldError as refusal:
                refusals.append(refusal)
        # A value that is of the right kind as a whole, with something wrong in it, was meant so.
        inner = [refusal for refusal in refusals if not isinstance(refusal, _RuleError)]
        if inner:
            raise inner[0]
        rules = [refusal.rule for refusal in refusals if isinstance(refusal, _RuleError)]
        raise _RuleError(" or ".join(rules), value)

    return either


def _items(read: _Reader, *, n: int | None) -> _Reader:
    rule = "be a list" if n is None else f"be a list of {n}"

    def items(value: Any) -> Any:
        if not isinstance(value, list | tuple) or n not in (None, len(value)):
            raise _RuleError(rule, value)
        return tuple(_within(index, read, item) for index, item in enumerate(value))

    return items


def _entries(read: _Reader) -> _Reader:
    def entries(value: Any) -> Any:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise _RuleError("be a section", value)
        return {key: _within(key, read, item) for key, item in value.items()}

    return entries


def _typed(rule: str, *kinds: type) -> _Reader:
    def typed(value: Any) -> Any:
        # To Python a truth value is a whole number; in a file it is a mistake.
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise _RuleError(rule, value)
        return value

    return typed


def _iso(rule: str, kind: type[date]) -> _Reader:
    def iso(value: Any) -> Any:
        try:
            day = kind.fromisoformat(value) if isinstance(value, str) else value
        except ValueError as error:
            raise _RuleError(rule, value) from error
        if type(day) is not kind:  # exactly: a datetime is a date too
            raise _RuleError(rule, value)
        return day

    return iso


def _number(value: Any) -> float:
    rule = "be a number"
    try:
        return float(_typed(rule, int, float)(value))
    except OverflowError as error:  # a whole number of hundreds of digits
        raise _RuleError(rule, value) from error


def _whole(value: Any) -> int:
    number: int = _typed("be a whole number", int)(value)
    if not -(2**63) <= number < 2**63:  # no JSON, no database and no array takes such a number
        raise _RuleError("be a whole number of at most 64 bits", value)
    return number


def _path(value: Any) -> Path:
    return Path(_typed("be a path", str, Path)(value))


_PLAIN: dict[Any, _Reader] = {
    Any: lambda value: value,
    str: _typed("be a string", str),
    int: _whole,
    float: _ruled(_number, (finite,)),
    bool: _typed("be true or false", bool),
    date: _iso("be a date as 2026-11-27", date),
    datetime: _iso("be a time as 2026-11-27T09:30:00Z", datetime),
    Path: _path,
}
