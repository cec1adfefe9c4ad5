"""Facts about the answer that a text states in the end, and about its JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from math import log1p
from typing import Any, NoReturn

from difficulty.answers.pair import Pair
from difficulty.answers.scan import WAYS, Stated, lower, numbers

NAMES = (
    *(f"final.way_{way}" for way in WAYS),
    *(
        f"final.{name}"
        for name in (
            "different",
            "position",
            "length",
            "is_number",
            "is_whole",
            "is_negative",
            "size",
            "is_small",
            "is_zero",
            "is_multiple_of_ten",
            "in_question",
            "times_before",
            "is_new",
            "has_fraction",
            "has_root",
            "has_letter",
            "above_question",
            "below_question",
            "is_yes",
            "is_no",
            "comes_first",
            "is_empty",
            "has_brace",
            "is_json",
            "is_broken_json",
            "reasoning_agrees",
            "in_reasoning",
            "reasoning_length",
        )
    ),
)
_DEEPEST = 100
_COMMAND = re.compile(r"\\[a-z]+|text")
_SMALL_LETTER = re.compile("[a-z]")
_OPENING = re.compile(r"[ \t\n\r]*\[?\(?(?:yes|no|[a-j])(?![a-z0-9_])")
_OPENS_JSON = re.compile(r"[ \t\n\r]*(?:```json)?[ \t\n\r]{0,20}\{")
_OBJECT = re.compile(r"\{[ \x00-\x1f]*[\"}]")
"""How every object of JSON begins."""
_CONTROL = re.compile("[\x00-\x1f]")


def read_final(pair: Pair) -> list[float]:
    """Return the facts named in ``NAMES``."""
    stated = pair.stated
    return [
        *(float(stated.way == way) for way in WAYS),
        log1p(stated.different),
        stated.start / max(1, len(pair.text)),
        log1p(len(stated.text)),
        *_read_number(pair, stated),
        *_read_text(pair, stated),
        *_read_json(pair),
    ]


def _read_number(pair: Pair, stated: Stated) -> list[float]:
    value = stated.number
    if value is None:
        return [0.0] * 10
    asked = pair.question_numbers
    before = [number for _, end, number in pair.text_places if end <= stated.start]
    return [
        1.0,
        float(value % 1 == 0),
        float(value < 0),
        log1p(min(abs(value), 1e9)),
        float(0 <= value <= 12),
        float(value == 0),
        float(value != 0 and value % 10 == 0),
        float(value in asked),
        log1p(before.count(value)),
        float(value not in before),
    ]


def _read_text(pair: Pair, stated: Stated) -> list[float]:
    text, value = stated.text, stated.number
    sizes = [abs(number) for number in pair.question_numbers]
    start = lower(text[:3])
    return [
        float("/" in text or "frac" in text),
        float("sqrt" in text or "\\pi" in text or "\u03c0" in text),
        float(_SMALL_LETTER.search(_COMMAND.sub("", text)) is not None),
        float(value is not None and bool(sizes) and abs(value) > 10 * max(sizes)),
        float(value is not None and bool(sizes) and abs(value) < min(sizes)),
        float(start == "yes"),
        float(start[:2] == "no"),
        float(_OPENING.match(pair.text_lower) is not None),
        float(not text),
    ]


def _read_json(pair: Pair) -> list[float]:
    text = pair.text
    start, end = text.find("{"), text.rfind("}") + 1
    value = read_json(text[start:end]) if 0 <= start < end else None
    reasoning, answer = _read_reasoning(value)
    last = reasoning and next(reversed(numbers(reasoning)), None)
    first = answer and next(iter(numbers(answer)), None)
    return [
        float(start >= 0),
        float(value is not None),
        float(value is None and _OPENS_JSON.match(text) is not None),
        float(bool(reasoning and answer) and last is not None and last == first),
        float(bool(reasoning and answer) and answer in reasoning),
        log1p(len(reasoning)),
    ]


def _read_reasoning(value: Mapping[str, Any] | None) -> tuple[str, str]:
    """Return the reasoning and the answer that JSON holds as texts, empty where it has none."""
    if value is None or not isinstance(value.get("answer"), str):
        return "", ""
    reasoning = value.get("reasoning")
    return (reasoning if isinstance(reasoning, str) else ""), value["answer"]


def read_json(text: str) -> Mapping[str, Any] | None:
    """Return the object that a text is in JSON, control characters taken as spaces; ``None`` for
    anything else, and for more than 100 brackets open at once, counted over all characters.
    """
    if not _OBJECT.match(text) or _depth(text) > _DEEPEST:
        return None
    try:
        # As numbers of any length, and none of the words that are not JSON.
        value = json.loads(_CONTROL.sub(" ", text), parse_int=float, parse_constant=_refuse)
    except ValueError:
        return None
    return value if isinstance(value, Mapping) else None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_BRACKETS = re.compile(r"[\[\]{}]")


def _depth(text: str) -> int:
    depth = deepest = 0
    for bracket in _BRACKETS.findall(text):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest
