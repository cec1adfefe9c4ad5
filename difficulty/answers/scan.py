"""Words and numbers of a text, by rules that any language can follow to the byte.

Nothing here depends on a version of Unicode: letters are stated ranges, case is changed in stated
ranges only, white space is ASCII's. Every function takes time in proportion to the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

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
_NUMBER = re.compile(
    r"(?:(?<![A-Za-z0-9)])-)?"  # what joins two words or subtracts is no sign
    r"\$?(?:(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)"
)
_CASE = {
    **{upper: upper + 32 for upper in [*range(0xC0, 0xDF), *range(0x391, 0x3AA)] if upper != 0xD7},
    **{upper: upper + 32 for upper in range(0x410, 0x430)},
    **{upper: upper + 80 for upper in range(0x400, 0x410)},
    **{upper: upper + 32 for upper in range(0x41, 0x5B)},
}
LARGEST = 1e15
"""Numbers of this size and above are no quantities: they are left out."""
_LONGEST_NUMBER = 40
_STEM = 6
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
    return text.lower() if text.isascii() else text.translate(_CASE)


def numbers(text: str) -> list[float]:
    """Return the numbers of a text in order: digits, with commas between thousands and a decimal
    part, and a minus sign unless it follows a letter, a digit or a closing parenthesis.
    """
    found = (
        float(match.replace(",", "").replace("$", ""))
        for match in _NUMBER.findall(text)
        if len(match) <= _LONGEST_NUMBER
    )
    return [value for value in found if abs(value) < LARGEST]


def words(text: str) -> list[str]:
    """Return the words of a text in order, in small letters."""
    return _WORD.findall(lower(text))


def content_words(found: Iterable[str]) -> frozenset[str]:
    """Return the first six letters of each word that has more than two and says something."""
    return frozenset(word[:_STEM] for word in found if len(word) > 2 and word not in _STOP)
