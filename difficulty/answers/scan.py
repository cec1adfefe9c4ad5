"""Words and numbers of a text, and the answer that it states: by rules that any language can follow
to the byte.

Nothing here depends on a version of Unicode: letters are stated ranges, case is changed in stated
ranges only, white space is ASCII's. Every function takes time in proportion to the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

LETTERS = (
    "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u1fff\u2c00-\u2dff\u3040-\ud7ff\uf900-\ufdff"
    "\ufe70-\ufefc"
)
"""Letters as the inside of a regular expression's class: all of the basic plane, so that a code
point is one unit in every language.
"""
SPACE = " \t\n\r\f\v"
"""White space."""
_WORD = re.compile(f"[{LETTERS}]+")
_HUMP = re.compile("([a-z])([A-Z])")
NUMBER = (
    r"[.0-9](?:(?<=[0-9])(?:[0-9]{0,2}(?:,[0-9]{3})+(?![0-9])|[0-9]*)(?:\.[0-9]+)?"
    r"|(?<=\.)[0-9]+)"
)
"""A number without its sign: commas only between thousands. Its first character stands first, so
that a search leaps to the next one.
"""
_NUMBER = re.compile(NUMBER)
_BEFORE_OPERATOR = re.compile(rf"[0-9{LETTERS})\]}}]")
_CAPITAL = re.compile("[A-Z\u00c0-\u00d6\u00d8-\u00de\u0391-\u03a9\u0400-\u042f]")
_ZEROS = (0x660, 0x6F0, 0x966, 0x9E6, 0xFF10)
_DIGIT = re.compile("[\u0660-\u0669\u06f0-\u06f9\u0966-\u096f\u09e6-\u09ef\uff10-\uff19]")
LARGEST = 1e15
"""Numbers of this size and above are no quantities: they are left out."""
_LONGEST_NUMBER = 40
_SURELY_SMALLER = 16
"""With fewer characters a number is below ``LARGEST``."""
STEM = 6
"""So many letters of a word are its stem."""
_STOP = frozenset(
    "the a an of to in on for and or is are was were be it that this with as at by from how many"
    " much what which who i you we he she they his her their its do does did can could would if"
    " then than so not no me my your there have has had will one each per all any".split()
)


def cut(text: str, most: int) -> str:
    """Return a text of at most ``most`` code points as it is; of a longer one the first and last
    ``most // 2``, joined by a newline.
    """
    half = most // 2
    return text if len(text) <= most else f"{text[:half]}\n{text[len(text) - half :]}"


def lower(text: str) -> str:
    """Return a text with the capital letters of ASCII, Latin-1, Greek and Cyrillic made small."""
    return text.lower() if text.isascii() else _CAPITAL.sub(_make_small, text)


def _make_small(capital: re.Match[str]) -> str:
    code = ord(capital.group())
    return chr(code + (80 if 0x400 <= code < 0x410 else 32))


def plain_digits(text: str) -> str:
    """Return a text with the decimal digits of other scripts as ASCII's."""
    return text if text.isascii() else _DIGIT.sub(_make_plain, text)


def _make_plain(digit: re.Match[str]) -> str:
    code = ord(digit.group())
    return chr(48 + next(code - zero for zero in _ZEROS if 0 <= code - zero < 10))


def numbers(text: str) -> list[float]:
    """Return the numbers of a text in order: a minus sign counts where it stands behind neither a
    letter, a digit nor a closing bracket; a dollar sign may stand before the digits.
    """
    return [value for _, _, value in place_numbers(text)]


Place = tuple[int, int, float]
"""Where a number begins and ends, in code points, and its value."""


def place_numbers(text: str) -> list[Place]:
    """Return the numbers of a text in order, with their places."""
    placed = []
    for match in _NUMBER.finditer(text):
        value = parse_number(match[0])
        if value is None:
            continue
        start, end = match.span()
        before = text[start - 1] if start else ""
        if before == "$":
            start -= 1
            before = text[start - 1] if start else ""
        if before == "-" and not _ends_operand(text, start - 1):
            start, value = start - 1, -value
        placed.append((start, end, value))
    return placed


def _ends_operand(text: str, place: int) -> bool:
    """Return whether a minus sign at a place would take something from what stands before it."""
    return place > 0 and _BEFORE_OPERATOR.match(text, place - 1) is not None


def parse_number(digits: str) -> float | None:
    """Return the value of digits with commas between thousands; ``None`` for no quantity."""
    n_digits = len(digits)
    if n_digits < _SURELY_SMALLER and "," not in digits:
        return float(digits)
    if n_digits > _LONGEST_NUMBER:
        return None
    value = float(digits.replace(",", ""))
    return value if value < LARGEST else None


def words(text: str) -> list[str]:
    """Return the words of a text in order, in small letters."""
    return words_of(lower(text))


def words_of(text_lower: str) -> list[str]:
    """Return the words of a text that is in small letters already."""
    return _WORD.findall(text_lower)


def content_words(found: Iterable[str]) -> frozenset[str]:
    """Return the stem of each word in small letters that has more than two and says something."""
    return frozenset(word[:STEM] for word in set(found) - _STOP if len(word) > 2)


@lru_cache(maxsize=1_024)
def content_of(text: str) -> frozenset[str]:
    """Return the content words of a text that comes again, such as a function's description."""
    return content_words(words(text))


@lru_cache(maxsize=1_024)
def content_of_name(text: str) -> frozenset[str]:
    """Return the content words of names, in which a capital after a small letter begins a word."""
    return content_words(words(_HUMP.sub(r"\1 \2", text)))


def split_space(text: str) -> list[str]:
    """Return what stands between white space, empty pieces included."""
    for space in SPACE[1:]:
        text = text.replace(space, " ")
    return text.split(" ")


WAYS = ("hash", "box", "json", "bracket", "words", "number", "none")
"""How an answer is stated; the first way that occurs in a text is the one that counts."""
_LONGEST_BOX = 200
_BRACE = re.compile("[{}]")
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


def find_stated(text: str, text_lower: str, places: Sequence[Place]) -> Stated:
    """Return the last answer that a text states in the first way that it uses.

    Parameters
    ----------
    text, text_lower : str
        The text, and the same in small letters.
    places : sequence of Place
        The text's numbers.
    """
    for way, read in _READERS:
        if spans := list(read(text, text_lower)):
            pieces = [text[start:end].strip(SPACE) for start, end in spans]
            return Stated(way, pieces[-1], spans[-1][0], len(set(pieces)))
    if places:
        start, end, _ = places[-1]
        return Stated("number", text[start:end], start, 1)
    return Stated("none", "", 0, 0)


Spans = Iterator[tuple[int, int]]


def _after_hashes(text: str, text_lower: str) -> Spans:
    return (match.span(1) for match in _HASH.finditer(text)) if "####" in text else iter(())


def _in_boxes(text: str, text_lower: str) -> Spans:
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
    for match in _BRACE.finditer(text, start, start + _LONGEST_BOX + 1):
        depth += 1 if match[0] == "{" else -1
        if depth == 0:
            return match.start()
    return None


def _as_json(text: str, text_lower: str) -> Spans:
    return (match.span(1) for match in _JSON.finditer(text)) if '"answer"' in text else iter(())


def _in_brackets(text: str, text_lower: str) -> Spans:
    return (match.span(1) for match in _BRACKET.finditer(text)) if "[" in text else iter(())


def _in_words(text: str, text_lower: str) -> Spans:
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
