"""How many tokens a prompt has at most, by its characters: for models whose tokenizer is not at
hand, on the safe side.

The scorer's tokenizer is not the model's, reads head and tail of a long text only, and makes one
token of a word of a thousand letters. So the characters count, each by its kind, in sixtieths of a
token:

    ASCII letters, spaces and line ends   20        digits                   60
    other ASCII                           45        bytes beyond ASCII       40  (of UTF-8)
    runs of 33 or more ASCII characters without a space between them: 48 each, whatever they are

Measured against cl100k, o200k, p50k and Anthropic's published tokenizer on prose, code, JSON, tool
schemas, tables, base64 and thirteen languages, the largest of the four counts as the truth: 1.2 to
1.7 times the true count on English, code and JSON, 0.9 to 4 elsewhere. Below 1 are single digits
with spaces between them, and scripts that a tokenizer does not know (Amharic, Tamil by the oldest
one). The larger of this and 3/2 of the scorer's count is what the rule takes.
"""

from __future__ import annotations

import re

UNIT = 60
"""Parts of a token in which is counted."""
_SHORTEST_RUN = 33
_RUN = re.compile(rb"[!-~]{%d,}" % _SHORTEST_RUN)
_ASCII = bytes(range(128))
_LETTERS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ \t\n\r"
_DIGITS = b"0123456789"
_PER_LETTER, _PER_DIGIT, _PER_MARK, _PER_BYTE, _PER_RUN = 20, 60, 45, 40, 48


def count_units(text: str) -> int:
    """Return the tokens of a text, in sixtieths; takes time linear in it."""
    content = text.encode("utf-8", "surrogatepass")
    in_runs = 0
    # Splitting is faster than the expression, which looks at each place of each word.
    if len(content) >= _SHORTEST_RUN and max(map(len, content.split()), default=0) >= _SHORTEST_RUN:
        rest = _RUN.sub(b"", content)
        in_runs, content = len(content) - len(rest), rest
    ascii_ = len(content)
    if not text.isascii():
        ascii_ -= len(content.translate(None, _ASCII))
    letters = len(content) - len(content.translate(None, _LETTERS))
    digits = len(content) - len(content.translate(None, _DIGITS))
    return (
        in_runs * _PER_RUN
        + letters * _PER_LETTER
        + digits * _PER_DIGIT
        + (ascii_ - letters - digits) * _PER_MARK
        + (len(content) - ascii_) * _PER_BYTE
    )


def most_units(chars: int, *, is_ascii: bool = False) -> int:
    """Return what :func:`count_units` gives at most for texts of so many characters."""
    return chars * (UNIT if is_ascii else 4 * _PER_BYTE)


def least_units(chars: int) -> int:
    """Return what :func:`count_units` gives at least for texts of so many characters."""
    return chars * _PER_LETTER
