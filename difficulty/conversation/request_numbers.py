"""Numbers of a request that its token ids cannot carry: what functions it offers and how well they
fit the question.

A request that offers functions is hard in ways that its text hides: the schema stands in ``tools``
or fills the text before the question is reached, and how many functions look alike, or fit the
question at all, is no word in it. Training, Python and other languages read the same 25 numbers,
each a count or a quotient of two, so that they are equal to the bit; ``docs/bundle.md`` specifies
them. A request that offers no function has none of them: NaN is unknown.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from difficulty.answers.answer import Asked
from difficulty.answers.scan import content_of, content_of_name, content_words, words
from difficulty.answers.schemas import Function, read_offer
from difficulty.text import TextView
from difficulty.tokens import NumberedIds as NumberedIds
from difficulty.tokens import Numbers, TokenRows

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

_VIEW = TextView()
_MOST_PARAMETERS = 4_096
"""Of all functions together."""
_LONGEST_NAME = 128
"""Characters of a parameter's name in which words are looked for."""
_SYSTEM = ("system", "developer")
_DIGITS = re.compile("[0-9]+(?:[.,][0-9]+)*")
_SENTENCE = re.compile(r"[.!?](?=[ \n]|\Z)")
_CAPITAL = re.compile("[A-Z][a-z]+")
_ANDS = frozenset(("and", "also", "then", "second", "another", "additionally"))
_LISTS = frozenset(("respectively", "each", "both", "following"))


def numbered(ids: list[int], numbers: Numbers | None) -> list[int]:
    """Return token ids with the numbers of their request, where it has some."""
    return ids if numbers is None else NumberedIds(ids, numbers)


def with_first(first: int, ids: list[int]) -> list[int]:
    """Return token ids with another one before them, and with their numbers."""
    return numbered([first, *ids], ids.numbers if isinstance(ids, NumberedIds) else None)


def numbers_of(rows: Sequence[Sequence[int]]) -> Numbers:
    """Return the numbers that stand beside token ids, of shape (n_requests, 25); NaN where there
    are none.
    """
    found = np.full((len(rows), len(NUMBERS)), np.nan, dtype=np.float32)
    if isinstance(rows, TokenRows):
        for place, numbers in rows.numbers.items():
            found[place] = numbers
        return found
    for place, row in enumerate(rows):
        if isinstance(row, NumberedIds):
            found[place] = row.numbers
    return found


def read_numbers(
    messages: object, tools: object = None, question: str | None = None
) -> Numbers | None:
    """Return the numbers of a request, of shape (25,); ``None`` where it offers no function, or
    functions with more than 4,096 parameters together.

    Takes time linear in the request, and never raises: what is malformed offers nothing.

    Parameters
    ----------
    messages
        OpenAI-style messages, or a string.
    tools
        Of the request's body. Where they hold no function, system messages are looked at.
    question : str, optional
        What is asked, as text view 2 tells it from what stands around it; by default all that the
        user says.
    """
    if not tools and not _may_describe(messages):
        return None
    asked = Asked.of({"messages": messages, "tools": tools})
    functions = read_offer(asked.tools, asked.system).functions
    if not functions or sum(len(each.parameters) for each in functions) > _MOST_PARAMETERS:
        return None
    text = asked.text if question is None else _VIEW.plain(question).text
    said = words(text)
    content = content_words(said)
    return np.array(
        [*_of_functions(functions, content), *_of_question(text, said, content)], dtype=np.float32
    )


def _may_describe(messages: object) -> bool:
    """Return whether messages may describe functions: only a system's does."""
    if not isinstance(messages, list | tuple):
        return not isinstance(messages, str)
    return any(
        message.get("role") in _SYSTEM and not _is_prose(message)
        if isinstance(message, dict)
        else True
        for message in messages
    )


def _is_prose(message: dict[Any, Any]) -> bool:
    """Return whether a message holds no object of JSON, and so no function, at a glance."""
    content = message.get("content")
    return type(content) is str and "{" not in content and "tool_calls" not in message


def _of_functions(functions: Sequence[Function], asked: frozenset[str]) -> list[float]:
    n, root = len(functions), math.sqrt(max(1, len(asked)))
    required = [sum(name in each.parameters for name in each.required) for each in functions]
    parameters = [len(each.parameters) for each in functions]
    schemas = [
        schema
        for each in functions
        for schema in each.parameters.values()
        if isinstance(schema, Mapping)
    ]
    texts = [text for each in functions for text in (each.name, each.description)]
    texts += [str(name) for each in functions for name in each.parameters]
    described = [schema.get("description") for schema in schemas]
    texts += [text for text in described if isinstance(text, str)]
    names = [content_of_name(each.name) for each in functions]
    content = [
        name | content_of(each.description) for name, each in zip(names, functions, strict=True)
    ]
    shared = [len(own & asked) for own in content]
    # the first of those that fit best
    best, *others = sorted(range(n), key=lambda place: -shared[place])
    chosen, second = functions[best], others[0] if others else None
    parts = [content_of_name(str(name)[:_LONGEST_NAME]) for name in chosen.parameters]
    both = 0 if second is None else len(content[best] & content[second])
    either = 0 if second is None else len(content[best] | content[second])
    return [
        n,
        sum(parameters) / n,
        sum(required) / n,
        (sum(parameters) - sum(required)) / max(1, sum(parameters)),
        sum(map(len, texts)),
        sum(isinstance(schema.get("enum"), list | tuple) for schema in schemas),
        sum(schema.get("type") in ("array", "object") for schema in schemas),
        shared[best] / root,
        0 if second is None else shared[second] / root,
        max(len(own & asked) / max(1, len(own)) for own in names),
        parameters[best],
        required[best],
        sum(bool(own & asked) for own in parts) / max(1, len(parts)),
        both / max(1, either),
    ]


def _of_question(question: str, said: Sequence[str], content: frozenset[str]) -> list[float]:
    return [
        len(question),
        len(content),
        question.count("?"),
        question.count(","),
        sum(word in _ANDS for word in said),
        sum(word in _LISTS for word in said),
        said.count("or"),
        len(_DIGITS.findall(question)),
        sum(map(question.count, "`'\"")),
        len(_SENTENCE.findall(question)),
        len(_CAPITAL.findall(question)),
    ]
