"""Facts about multiple choice: the option that an answer names, against the text of the options."""

from __future__ import annotations

import math
import re
from math import log1p

from difficulty.answers.pair import Pair
from difficulty.answers.scan import SPACE, content_words, lower, numbers, words

LETTERS_OF_OPTIONS = "ABCDEFGHIJ"
NAMES = (
    "options.offered",
    *(f"options.is_{letter}" for letter in LETTERS_OF_OPTIONS),
    *(
        f"options.{name}"
        for name in (
            "count",
            "is_stated",
            "different",
            "not_offered",
            "overlap",
            "overlap_gap",
            "verbatim",
            "length",
            "length_gap",
            "number_agrees",
            "any_number_agrees",
            "is_none_or_all",
            "place",
            "mentions",
            "share_verbatim",
        )
    ),
)
_OPTION = re.compile(r"[ \t]*\(?([A-J])[.):][ \t]+([^\n]+)")
_NAMED = re.compile(
    r"(?:[Aa]nswer|[Cc]orrect (?:option|choice)|[Oo]ption|[Cc]hoice)"
    r"(?: is|:)?[ \t\n]{0,8}(?:is|:)?[ \t\n]{0,8}\*{0,4}[ \t\n]{0,8}\(?([A-J])(?![A-Za-z0-9_])"
)
_LETTER = re.compile(r"[^A-Za-z0-9_]*([A-J])(?![A-Za-z0-9_])")
_CONCLUSION = re.compile(r"\([A-J]\)|answer is[^\n]*")
_NONE_OR_ALL = re.compile("none|all of|both|cannot")


def read_options(pair: Pair) -> list[float]:
    """Return the facts named in ``NAMES``; without two options all but the first are unknown."""
    options = find_options(pair.question)
    if len(options) < 2:
        return [0.0] + [math.nan] * (len(NAMES) - 1)
    named = _NAMED.findall(pair.text)
    letter = named[-1] if named else _find_letter(pair)
    verbatim = {key for key, text in options.items() if lower(text) in pair.text_lower}
    agreeing = _find_agreeing(pair, options)
    return [
        1.0,
        *(float(letter == other) for other in LETTERS_OF_OPTIONS),
        float(len(options)),
        float(letter is not None),
        float(len(set(named))),
        float(letter is not None and letter not in options),
        *_read_choice(pair, options, letter, verbatim, agreeing),
        len(verbatim) / len(options),
    ]


def find_options(question: str) -> dict[str, str]:
    """Return the options of a question by their letters; of a letter that comes twice the last."""
    found = (_OPTION.match(line) for line in question.split("\n"))
    return {match[1]: match[2].strip(SPACE) for match in found if match}


def _find_letter(pair: Pair) -> str | None:
    match = _LETTER.match(pair.stated.text) or _LETTER.match(pair.text)
    return match[1] if match else None


def _find_agreeing(pair: Pair, options: dict[str, str]) -> set[str]:
    """Return the options whose first number is one of the last three before the conclusion."""
    last = numbers(_CONCLUSION.sub("", pair.text))[-3:]
    first = {key: numbers(text)[:1] for key, text in options.items()}
    return {
        key
        for key, values in first.items()
        if any(
            abs(value - other) <= 1e-3 * max(1.0, abs(other)) for value in values for other in last
        )
    }


def _read_choice(
    pair: Pair, options: dict[str, str], letter: str | None, verbatim: set[str], agreeing: set[str]
) -> list[float]:
    any_number = float(bool(agreeing))
    if letter is None or letter not in options:
        return [0.0] * 6 + [any_number] + [0.0] * 3
    overlap = {key: _overlap(text, pair.text_content) for key, text in options.items()}
    best_other = max(value for key, value in overlap.items() if key != letter)
    lengths = [log1p(len(text)) for text in options.values()]
    text = options[letter]
    return [
        overlap[letter],
        overlap[letter] - best_other,
        float(letter in verbatim),
        log1p(len(text)),
        log1p(len(text)) - sum(lengths) / len(lengths),
        float(letter in agreeing),
        any_number,
        float(_NONE_OR_ALL.search(lower(text)) is not None),
        list(options).index(letter) / len(options),
        log1p(pair.text.count(f"{letter})")),
    ]


def _overlap(text: str, content: frozenset[str]) -> float:
    about = content_words(words(text))
    return len(about & content) / max(1, len(about))
