"""Numbers of a request that its token ids cannot carry: what functions it offers and how well they
fit the question.

A request that offers functions is hard in ways that its text hides: the schema stands in ``tools``
or fills the text before the question is reached, and how many functions look alike, or fit the
question at all, is no word in it. Training, Python and other languages read the same 25 numbers,
each a count or a quotient of two, so that they are equal to the bit; ``docs/bundle.md`` specifies
them. A request that offers no function has none of them: NaN is unknown.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.text import message_text, well_formed

Numbers = NDArray[np.float32]

FEATURES = "features"
"""The graph's input that takes them."""
NUMBERS_VERSION = 1
NUMBERS = (
    "functions",
    "parameters",
    "required",
    "optional_share",
    "schema_characters",
    "enums",
    "nested",
    "fit_best",
    "fit_second",
    "name_fit",
    "best_parameters",
    "best_required",
    "best_parameter_fit",
    "likeness",
    "characters",
    "content_words",
    "question_marks",
    "commas",
    "ands",
    "lists",
    "ors",
    "numbers",
    "quotes",
    "sentences",
    "capitals",
)

_MOST_CHARACTERS = 8_192
"""Of the question; of more, head and tail are read, as by the text view."""
_MOST_FUNCTIONS = 256
_MOST_PARAMETERS = 4_096
"""Of all functions together."""
_MOST_TEXT = 2_048
"""Characters of a name or a description in which words are looked for."""
_MOST_LINE = 65_536
"""Characters of a line of a system message that may be a schema."""
_MOST_OPEN = 100
"""Brackets open at once in such a line."""

# ASCII letters in small, and all from À on but punctuation: the same in every language's library.
_WORD = re.compile("[a-z\u00c0-\u1fff\u2070-\u2fff\u3040-\U0010ffff]+")
_SMALL = {letter: letter + 32 for letter in range(ord("A"), ord("Z") + 1)}
_HUMP = re.compile("([a-z])([A-Z])")
_DIGITS = re.compile("[0-9]+(?:[.,][0-9]+)*")
_SENTENCE = re.compile(r"[.!?](?=[ \n]|\Z)")
_CAPITAL = re.compile("[A-Z][a-z]+")
_BRACKET = re.compile(r"[{}\[\]]")
_STEM = 6
"""Characters of a word that are compared."""
_EMPTY = frozenset(
    "the and for are was were that this with from how many much what which who you they his her"
    " their its does did can could would then than not your there have has had will one each per"
    " all any".split()
)
_ANDS = frozenset(("and", "also", "then", "second", "another", "additionally"))
_LISTS = frozenset(("respectively", "each", "both", "following"))


class Function(NamedTuple):
    """A function that a request offers."""

    name: str
    description: str
    properties: Mapping[str, Any]
    required: frozenset[str]
    """Those of them that a call must give."""


def read_numbers(messages: object, tools: object = None) -> Numbers | None:
    """Return the numbers of a request, of shape (25,); ``None`` where it offers no function.

    Takes time linear in the request, and never raises: what is malformed offers nothing.

    Parameters
    ----------
    messages
        OpenAI-style messages, or a string.
    tools
        Of the request's body. Where they hold no function, system messages are looked at: each of
        their lines that is a JSON object with a name is one.
    """
    functions = offered_functions(tools, messages)
    if not functions:
        return None
    question = _shortened(_text_of(messages, ("user",)))
    small = question.translate(_SMALL)
    words = _WORD.findall(small)
    asked = _stems(words)
    return np.array(
        [*_of_functions(functions, asked), *_of_question(question, small, words, asked)],
        dtype=np.float32,
    )


def offered_functions(tools: object, messages: object = ()) -> list[Function]:
    """Return the functions that a request offers, in order."""
    entries = tools if isinstance(tools, list | tuple) else ()
    found = _bounded(_function(entry) for entry in entries)
    return found or _bounded(map(_function, _system_objects(messages)))


def _bounded(found: Iterable[Function | None]) -> list[Function]:
    functions: list[Function] = []
    parameters = 0
    for function in found:
        if function is None:
            continue
        parameters += len(function.properties)
        if len(functions) == _MOST_FUNCTIONS or parameters > _MOST_PARAMETERS:
            break
        functions.append(function)
    return functions


def _function(entry: object) -> Function | None:
    """Return the function of an entry of ``tools``, or of a line."""
    if not isinstance(entry, Mapping):
        return None
    inner = entry.get("function")
    stated = inner if isinstance(inner, Mapping) else entry
    name, description = stated.get("name"), stated.get("description")
    if not isinstance(name, str):
        return None
    schema = stated.get("parameters")
    schema = schema if isinstance(schema, Mapping) else stated.get("input_schema")
    schema = schema if isinstance(schema, Mapping) else {}
    properties, required = schema.get("properties"), schema.get("required")
    properties = properties if isinstance(properties, Mapping) else {}
    listed = required if isinstance(required, list | tuple) else ()
    return Function(
        name,
        description if isinstance(description, str) else "",
        properties,
        frozenset(each for each in listed if isinstance(each, str) and each in properties),
    )


def _system_objects(messages: object) -> Iterator[Any]:
    """Yield what lines of system messages hold that are JSON objects."""
    text = _text_of(messages, ("system", "developer"))
    if "{" not in text:
        return
    for line in text.split("\n"):
        if not line.startswith("{") or len(line) > _MOST_LINE or _nests_deep(line):
            continue
        try:
            # Numbers are of no interest, however long.
            yield json.loads(line, parse_int=float, parse_constant=_refuse)
        except (ValueError, RecursionError):
            continue


def _nests_deep(line: str) -> bool:
    """Return whether too many brackets are open at once; those in strings count too."""
    open_ones = 0
    for bracket in _BRACKET.findall(line):
        open_ones += 1 if bracket in "{[" else -1
        if open_ones > _MOST_OPEN:
            return True
    return False


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _text_of(messages: object, roles: Sequence[str]) -> str:
    """Return the texts of the messages with some roles, joined by a newline."""
    if isinstance(messages, str):
        return well_formed(messages) if "user" in roles else ""
    if not isinstance(messages, Sequence):
        return ""
    texts = []
    for message in messages:
        if isinstance(message, Mapping) and message.get("role") in roles:
            try:
                texts.append(message_text(message))
            except Exception:  # whatever it holds in place of text, it says nothing here
                continue
    return well_formed("\n".join(filter(None, texts)))


def _shortened(text: str) -> str:
    if len(text) <= _MOST_CHARACTERS:
        return text
    half = _MOST_CHARACTERS // 2
    return f"{text[:half]}\n{text[-half:]}"


def _stems(words: Iterable[str]) -> frozenset[str]:
    """Return the beginnings of the words that say something."""
    return frozenset(word[:_STEM] for word in words if len(word) > 2 and word not in _EMPTY)


# Functions come back with every request: 1,024 texts of at most 2,048 characters are kept.
@lru_cache(maxsize=1_024)
def _stems_of(text: str) -> frozenset[str]:
    return _stems(_WORD.findall(well_formed(text).translate(_SMALL)))


@lru_cache(maxsize=1_024)
def _stems_of_name(name: str) -> frozenset[str]:
    """Return those of a name, in which a capital after a small letter begins a word."""
    return _stems_of(_HUMP.sub(r"\1 \2", name))


def _of_functions(functions: Sequence[Function], asked: frozenset[str]) -> list[float]:
    n, root = len(functions), math.sqrt(max(1, len(asked)))
    parameters = sum(len(each.properties) for each in functions)
    required = sum(len(each.required) for each in functions)
    schemas = [schema for each in functions for schema in each.properties.values()]
    stated = [schema for schema in schemas if isinstance(schema, Mapping)]
    characters = sum(
        len(each.name) + len(each.description) + sum(map(len, map(str, each.properties)))
        for each in functions
    ) + sum(
        len(schema["description"])
        for schema in stated
        if isinstance(schema.get("description"), str)
    )
    names = [_stems_of_name(each.name[:_MOST_TEXT]) for each in functions]
    words = [
        name | _stems_of(each.description[:_MOST_TEXT])
        for name, each in zip(names, functions, strict=True)
    ]
    shared = [len(own & asked) for own in words]
    # the first of those that fit best
    order = sorted(range(n), key=lambda place: -shared[place])
    best, second = order[0], order[1] if n > 1 else None
    parts = [_stems_of_name(str(part)[:_MOST_TEXT]) for part in functions[best].properties]
    both = 0 if second is None else len(words[best] & words[second])
    either = 0 if second is None else len(words[best] | words[second])
    return [
        n,
        parameters / n,
        required / n,
        (parameters - required) / max(1, parameters),
        characters,
        sum(isinstance(schema.get("enum"), list | tuple) for schema in stated),
        sum(schema.get("type") in ("array", "object") for schema in stated),
        shared[best] / root,
        0 if second is None else shared[second] / root,
        max(len(own & asked) / max(1, len(own)) for own in names),
        len(functions[best].properties),
        len(functions[best].required),
        sum(bool(own & asked) for own in parts) / max(1, len(parts)),
        both / max(1, either),
    ]


def _of_question(
    question: str, small: str, words: Sequence[str], asked: frozenset[str]
) -> list[float]:
    return [
        len(question),
        len(asked),
        question.count("?"),
        question.count(","),
        sum(word in _ANDS for word in words),
        sum(word in _LISTS for word in words),
        words.count("or"),
        len(_DIGITS.findall(question)),
        sum(map(question.count, "`'\"")),
        len(_SENTENCE.findall(question)),
        len(_CAPITAL.findall(question)),
    ]


class NumberedIds(list[int]):
    """Token ids of a request, and beside them its numbers."""

    __slots__ = ("numbers",)

    def __init__(self, ids: Iterable[int], numbers: Numbers) -> None:
        super().__init__(ids)
        self.numbers = numbers


def numbered(ids: list[int], numbers: Numbers | None) -> list[int]:
    """Return token ids with the numbers of their request, where it has some."""
    return ids if numbers is None else NumberedIds(ids, numbers)


def numbers_of(rows: Sequence[Sequence[int]]) -> Numbers:
    """Return the numbers that stand beside token ids, of shape (n_requests, 25); NaN where there
    are none.
    """
    found = np.full((len(rows), len(NUMBERS)), np.nan, dtype=np.float32)
    for place, row in enumerate(rows):
        if isinstance(row, NumberedIds):
            found[place] = row.numbers
    return found
