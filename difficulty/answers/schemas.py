"""The functions that a request offers, from its ``tools`` or from lines of its system messages.

What is read is bounded: 128 functions, which is as many as OpenAI's API takes, and of each 64
required parameters. What is malformed counts as not given; a schema that holds itself is no
trouble, because nothing is followed further than a few levels.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NoReturn

from difficulty.answers.scan import SPACE

MOST_FUNCTIONS = 128
MOST_REQUIRED = 64
LONGEST_NAME = 128
LONGEST_DESCRIPTION = 1024
LONGEST_LINE = 65_536
DEEPEST = 200
"""Opening brackets in a line; a line with more is not read."""
LONGEST_SYSTEM = 262_144
_DEFINITIONS = ("$defs", "definitions")
_CACHED_SYSTEM = 32_768
_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Function:
    """A function that may be called."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Name of a parameter to its JSON schema."""
    required: tuple[str, ...] = ()
    """Names of parameters that every call must give, each once."""
    definitions: Mapping[str, Any] = field(default_factory=dict)
    """Schemas that ``$ref`` may name, by their own name."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a request offers to call."""

    functions: tuple[Function, ...] = ()
    """The first of each name, at most ``MOST_FUNCTIONS``, in order."""
    prose: str = ""
    """The system messages without the lines that describe functions."""


def read_offer(tools: Sequence[Mapping[str, Any]], system: str) -> Offer:
    """Return the functions of ``tools``, or, where it has none, those of the system messages.

    In ``tools``, ``{"type": "function", "function": {...}}`` is read, and the function's object
    alone. In a system message, each line that is a JSON object with a ``name`` or a ``function``,
    or a list of such, describes functions; ``<tools>`` and ``</tools>`` around them are dropped.
    """
    offered = _distinct(_functions(tools))
    if len(system) > LONGEST_SYSTEM:
        return Offer(offered, system)
    if len(system) > _CACHED_SYSTEM:
        described = _read_system.__wrapped__(system)
    else:
        described = _read_system(system)  # most requests come with the same few
    return Offer(offered, described.prose) if offered else described


def resolve(schema: Any, function: Function) -> Mapping[str, Any]:
    """Return a schema, or the definition that it names by ``$ref``; what is none is ``{}``."""
    if not isinstance(schema, Mapping):
        return _NOTHING
    name = schema.get("$ref")
    if not isinstance(name, str):
        return schema
    target = function.definitions.get(name.rpartition("/")[2])
    return target if isinstance(target, Mapping) else _NOTHING


def as_mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping as it is, anything else as an empty one."""
    return value if isinstance(value, Mapping) else _NOTHING


@lru_cache(maxsize=64)
def _read_system(system: str) -> Offer:
    functions: list[Function] = []
    prose = []
    for line in system.split("\n"):
        described = list(_functions(_read_line(line)))
        functions += described
        if not described:
            prose.append(line)
    return Offer(_distinct(iter(functions)), "\n".join(prose))


def _read_line(line: str) -> list[Any]:
    """Return the objects that a line of a system message holds."""
    text = line.replace("<tools>", "").replace("</tools>", "").strip(SPACE)
    if text[:1] not in ("{", "[") or len(text) > LONGEST_LINE:
        return []
    if text.count("{") + text.count("[") > DEEPEST and _depth(text) > DEEPEST:
        return []
    try:
        value = json.loads(text, parse_constant=_refuse, parse_int=_integer, strict=True)
    except (ValueError, RecursionError):
        return []
    return value if isinstance(value, list) else [value]


def _depth(text: str) -> int:
    """Return how deep brackets are nested, those inside strings counted too."""
    deepest = depth = 0
    for character in text:
        if character in "{[":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "}]":
            depth -= 1
    return deepest


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _integer(digits: str) -> float:
    # As JavaScript has it: no integer is too long to be read.
    return float(digits)


def _functions(forms: Sequence[Any]) -> Iterator[Function]:
    for form in forms:
        if isinstance(form, Mapping):
            inner = form.get("function")
            function = _function(inner if isinstance(inner, Mapping) else form)
            if function is not None:
                yield function


def _distinct(functions: Iterator[Function]) -> tuple[Function, ...]:
    kept: dict[str, Function] = {}
    for function in functions:
        kept.setdefault(function.name, function)
        if len(kept) == MOST_FUNCTIONS:
            break
    return tuple(kept.values())


def _function(form: Mapping[str, Any]) -> Function | None:
    name, description = form.get("name"), form.get("description")
    if not (isinstance(name, str) and name):
        return None
    schema = form.get("parameters")
    if not isinstance(schema, Mapping):
        schema = as_mapping(form.get("input_schema"))
    required = schema.get("required")
    names = required if isinstance(required, list | tuple) else ()
    return Function(
        name[:LONGEST_NAME],
        description[:LONGEST_DESCRIPTION] if isinstance(description, str) else "",
        as_mapping(schema.get("properties")),
        tuple(dict.fromkeys(n for n in names[:MOST_REQUIRED] if isinstance(n, str))),
        as_mapping(next(filter(None, map(as_mapping, map(schema.get, _DEFINITIONS))), None)),
    )
