"""Facts about an answer's shape: length, how it ends, repetition, markup and script; about what it
takes from its question; and about token probabilities and further choices, where there are any.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from math import log1p

from difficulty.answers.pair import ANSWER_CHARS, Pair
from difficulty.answers.scan import (
    LETTERS,
    SPACE,
    Stated,
    cut,
    find_stated,
    lower,
    place_numbers,
    plain_digits,
    split_space,
    words,
)

_SHAPE = (
    # length
    "characters",
    "words",
    "lines",
    "numbers",
    "equals",
    "relative",
    "question_characters",
    "is_empty",
    "sentences",
    "word_length",
    "is_short",
    # end
    "no_end",
    "ends_in_digit",
    "ends_in_operator",
    "open_round",
    "open_square",
    "open_curly",
    "open_quote",
    "open_fence",
    "open_dollar",
    "open_angle",
    "space_after",
    "space_before",
    "cut_by_limit",
    # repetition
    "different_words",
    "richness",
    "most_repeated",
    "share_repeated",
    "share_repeated_lines",
    "longest_run",
    # markup and script
    "other_letters",
    "other_letters_gap",
    "east_asian_gap",
    "code",
    "list_items",
    "bold",
    "latex",
    "step_words",
)
_COPYING = (
    "share_from_question",
    "share_of_question",
    "share_of_numbers",
    "unused_numbers",
    "share_new_numbers",
    "question_numbers",
    "share_of_names",
    "names",
    "repeats_question",
    "unused_small_number",
    "asks_for_share",
    "has_share",
)
_LOGPROBS = (
    "mean",
    "least",
    "lowest_tenth",
    "spread",
    "share_unsure",
    "first",
    "tokens",
    "choices",
    "share_same_answer",
    "overlap",
)
NAMES = (
    *(f"shape.{name}" for name in _SHAPE),
    *(f"copying.{name}" for name in _COPYING),
    *(f"logprobs.{name}" for name in _LOGPROBS),
)
_SENTENCE_END = re.compile(r"[.!?](?=[ \t\n\r\f\v]|\Z)")
_ITEM = re.compile(r"(?:[-*]|[0-9]+\.)[ \t]")
_EAST_ASIAN = re.compile("[\u3040-\u9fff\uac00-\ud7af]")
_LETTER = re.compile(f"[{LETTERS}]")
_OTHER_LETTER = re.compile(f"[{LETTERS.removeprefix('A-Za-z')}]")
_NAME = re.compile("[A-Z][a-z]+")
_NAME_INSIDE = re.compile("[A-Z](?<=[a-z,] [A-Z])[a-z]+")
_SPACES = re.compile(f"[{SPACE}]+")
_OPENING_CHARS = 60
_SMALL = frozenset({1.0, 2.0, 3.0})
_SHARES = ("half", "twice", "third", "percent", "%")
_SHARES_TAKEN = (*_SHARES, "/2", "*2", "* 2")
_LEAST = -20.0
_UNSURE = math.log(0.5)
_MOST_TOKENS = 4096
_MOST_OTHERS = 8
_LIMITS = ("length", "max_tokens")
_STOPS = ("stop", "tool_calls", "function_call", "end_turn", "stop_sequence")


def read_shape(pair: Pair) -> list[float]:
    """Return the facts named in ``NAMES``; of probabilities and further choices that are not there,
    nothing is known.
    """
    lines = [line for raw in pair.text.split("\n") if (line := raw.strip(SPACE))]
    return [
        *_read_length(pair),
        *_read_end(pair.text),
        _read_limit(pair.answer.finish_reason),
        *_read_repetition(pair, lines),
        *_read_markup(pair, lines),
        *_read_copying(pair),
        *_read_probabilities(pair.answer.logprobs),
        *_read_agreement(pair),
    ]


def _read_length(pair: Pair) -> list[float]:
    text, words = pair.text, pair.text_words
    stripped = len(text.strip(SPACE))
    return [
        log1p(len(text)),
        log1p(len(words)),
        log1p(text.count("\n")),
        log1p(len(pair.text_numbers)),
        log1p(text.count("=")),
        log1p(len(text)) - log1p(len(pair.question)),
        log1p(len(pair.question)),
        float(not stripped),
        log1p(len(_SENTENCE_END.findall(text))),
        sum(map(len, words)) / max(1, len(words)),
        float(stripped < 4),
    ]


def _read_end(text: str) -> list[float]:
    stripped = text.rstrip(SPACE)
    last = stripped[-1:]
    return [
        float(last == "" or last not in ".!?)}]\"'`0123456789"),
        float(last != "" and last in "0123456789"),
        float(last != "" and last in "+-*/=,:("),
        log1p(abs(text.count("(") - text.count(")"))),
        log1p(abs(text.count("[") - text.count("]"))),
        log1p(abs(text.count("{") - text.count("}"))),
        float(text.count('"') % 2),
        float(text.count("```") % 2),
        float(text.count("$") % 2),
        float(text.count("<<") != text.count(">>")),
        float(len(text) != len(stripped)),
        float(text[:1] != "" and text[:1] in SPACE),
    ]


def _read_limit(finish_reason: object) -> float:
    """Return whether the answer was cut by its limit; ``nan`` where that is not known."""
    if finish_reason in _LIMITS:
        return 1.0
    return 0.0 if finish_reason in _STOPS else math.nan


def _read_repetition(pair: Pair, lines: list[str]) -> list[float]:
    words = pair.text_words
    different = len(set(words))
    n_of = Counter(zip(words, words[1:], words[2:], words[3:], strict=False))
    n_fours = max(0, len(words) - 3)
    return [
        different / max(1, len(words)),
        different / max(1, len(words)) ** 0.7,
        log1p(max(n_of.values(), default=0)),
        1 - len(n_of) / n_fours if n_fours else 0.0,
        1 - len(set(lines)) / len(lines) if lines else 0.0,
        log1p(max(map(len, split_space(pair.text)))),
    ]


def _read_markup(pair: Pair, lines: list[str]) -> list[float]:
    text, question = pair.text, pair.question
    share = _share_of_other_letters(text)
    return [
        share,
        share - _share_of_other_letters(question),
        float(_is_east_asian(text)) - float(_is_east_asian(question)),
        float("```" in text or "def " in text),
        log1p(sum(_ITEM.match(line) is not None for line in lines)),
        log1p(text.count("**")),
        log1p(text.count("\\")),
        log1p(pair.text_words.count("step")),
    ]


def _share_of_other_letters(text: str) -> float:
    """Return the share of the letters that are not ASCII's."""
    if text.isascii():
        return 0.0
    return len(_OTHER_LETTER.findall(text)) / max(1, len(_LETTER.findall(text)))


def _is_east_asian(text: str) -> bool:
    return not text.isascii() and _EAST_ASIAN.search(text) is not None


def _read_copying(pair: Pair) -> list[float]:
    asked, answered = pair.question_content, pair.text_content
    shared = len(asked & answered)
    given, used = set(pair.question_numbers), set(pair.text_numbers)
    unused = given - used
    names = set(_NAME_INSIDE.findall(pair.question))
    return [
        shared / max(1, len(answered)),
        shared / max(1, len(asked)),
        len(given & used) / max(1, len(given)),
        log1p(len(unused)),
        len(used - given) / max(1, len(used)),
        log1p(len(given)),
        len(names & set(_NAME.findall(pair.text))) / max(1, len(names)) if names else 0.0,
        log1p(len(names)),
        float(_repeats_question(pair)),
        float(bool(unused & _SMALL)),
        float(any(word in pair.question for word in _SHARES)),
        float(any(word in pair.text for word in _SHARES_TAKEN)),
    ]


def _repeats_question(pair: Pair) -> bool:
    """Return whether the answer's opening stands in the question, its white space as one space."""
    opening = pair.text_lower.strip(SPACE)[:_OPENING_CHARS]
    if len(opening) < _OPENING_CHARS:
        return False
    return opening in _SPACES.sub(" ", pair.question_lower)


def _read_probabilities(logprobs: tuple[float, ...] | None) -> list[float]:
    values = [min(0.0, max(_LEAST, value)) for value in (logprobs or ())[:_MOST_TOKENS]]
    if not values:
        return [math.nan] * 7
    n = len(values)
    mean = math.fsum(values) / n
    lowest = sorted(values)[: -(-n // 10)]
    return [
        mean,
        lowest[0],
        math.fsum(lowest) / len(lowest),
        math.sqrt(math.fsum((value - mean) ** 2 for value in values) / n),
        sum(value < _UNSURE for value in values) / n,
        values[0],
        log1p(n),
    ]


def _read_agreement(pair: Pair) -> list[float]:
    others = [plain_digits(cut(text, ANSWER_CHARS)) for text in pair.answer.others[:_MOST_OTHERS]]
    if not others:
        return [math.nan] * 3
    same = [
        _is_same(pair.stated, find_stated(text, lower(text), place_numbers(text)))
        for text in others
    ]
    overlaps = [_overlap(set(pair.text_words), set(words(text))) for text in others]
    return [log1p(len(others)), sum(same) / len(others), sum(overlaps) / len(others)]


def _is_same(one: Stated, other: Stated) -> bool:
    """Return whether two stated answers are one number, or else one text."""
    if one.number is not None and other.number is not None:
        return one.number == other.number
    return lower(one.text) == lower(other.text)


def _overlap(one: set[str], other: set[str]) -> float:
    """Return the share of the words of both that are in each of the two; 1 without words."""
    return len(one & other) / len(one | other) if one or other else 1.0
