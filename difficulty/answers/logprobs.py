"""Facts from token probabilities and from further choices, where the gateway has them."""

from __future__ import annotations

import math
from math import log1p

from difficulty.answers.pair import ANSWER_CHARS, Pair
from difficulty.answers.scan import cut, lower, plain_digits, words
from difficulty.answers.stated import Stated, find_stated

NAMES = tuple(
    f"logprobs.{name}"
    for name in (
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
)
_LEAST = -20.0
_UNSURE = math.log(0.5)
_MOST_TOKENS = 4096
_MOST_OTHERS = 8


def read_logprobs(pair: Pair) -> list[float]:
    """Return the facts named in ``NAMES``; without probabilities, or with one choice alone, those
    about them are unknown.
    """
    return [*_read_probabilities(pair.answer.logprobs), *_read_agreement(pair)]


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
    same = [_is_same(pair.stated, find_stated(text, lower(text))) for text in others]
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
