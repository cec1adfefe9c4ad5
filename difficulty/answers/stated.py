"""The answer that a text states in the end: after ``####``, in a box, as JSON, in brackets, in
words, or else its last number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from difficulty.answers.scan import SPACE, numbers, place_numbers

WAYS = ("hash", "box", "json", "bracket", "words", "number", "none")
"""How an answer is stated; the first way that occurs in a text is the one that counts."""
_LONGEST_BOX = 200
_HASH = re.compile(r"####[ \t]*([^\n]+)")
_BOX = "\\boxed{"
_JSON = re.compile(r'"answer"[ \t\n]{0,20}:[ \t\n]{0,20}"?([^"\n}]*)')
_BRACKET = re.compile(r"\[(Yes|No|[A-J])\]")
_WORDS = re.compile(
    r"(?:answer|result)(?: is| would be| should be| =|:)+[ \t]{0,8}\*{0,4}[ \t]{0,8}([^\n]{1,60})"
)


class Stated(NamedTuple):
    """A stated answer."""

    way: str
    text: str
    """As it is written, without white space around it."""
    start: int
    """Where it begins, in code points."""
    different: int
    """How many different answers are stated in this way."""

    @property
    def number(self) -> float | None:
        """The first number in it."""
        return next(iter(numbers(self.text)), None)


def find_stated(text: str, text_lower: str) -> Stated:
    """Return the last answer that a text states in the first way that it uses.

    Parameters
    ----------
    text, text_lower : str
        The text, and the same in small letters.
    """
    for way, read in _READERS:
        if places := list(read(text, text_lower)):
            pieces = [text[start:end].strip(SPACE) for start, end in places]
            return Stated(way, pieces[-1], places[-1][0], len(set(pieces)))
    placed = place_numbers(text)
    if placed:
        start, end, _ = placed[-1]
        return Stated("number", text[start:end], start, 1)
    return Stated("none", "", 0, 0)


Places = Iterator[tuple[int, int]]


def _after_hashes(text: str, text_lower: str) -> Places:
    return (match.span(1) for match in _HASH.finditer(text)) if "####" in text else iter(())


def _in_boxes(text: str, text_lower: str) -> Places:
    start = text.find(_BOX)
    while start >= 0:
        start += len(_BOX)
        end = _closing_brace(text, start)
        if end is not None:
            yield start, end
        start = text.find(_BOX, start)


def _closing_brace(text: str, start: int) -> int | None:
    """Return where the brace closes that was opened just before ``start``; not far from it."""
    depth = 1
    for place in range(start, min(len(text), start + _LONGEST_BOX + 1)):
        depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return place
    return None


def _as_json(text: str, text_lower: str) -> Places:
    return (match.span(1) for match in _JSON.finditer(text)) if '"answer"' in text else iter(())


def _in_brackets(text: str, text_lower: str) -> Places:
    return (match.span(1) for match in _BRACKET.finditer(text)) if "[" in text else iter(())


def _in_words(text: str, text_lower: str) -> Places:
    if "answer" not in text_lower and "result" not in text_lower:
        return iter(())
    return (match.span(1) for match in _WORDS.finditer(text_lower))


_READERS = (
    ("hash", _after_hashes),
    ("box", _in_boxes),
    ("json", _as_json),
    ("bracket", _in_brackets),
    ("words", _in_words),
)
