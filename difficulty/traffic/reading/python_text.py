"""Lists that a table holds as Python wrote them: ``"['What is two plus two?']"``.

RouterBench's prompts come so, and every list that pandas writes into a CSV. They are read by
grammar, and nothing is ever run.
"""

from __future__ import annotations

import ast
import re
import warnings
from typing import Any

# One quoted text. Nothing is tried a second time (possessive), so time is linear.
_QUOTED = r"""'(?:[^'\\\n]|\\[\s\S])*+'|"(?:[^"\\\n]|\\[\s\S])*+\""""
_LIST_OF_TEXTS = re.compile(
    rf"\s*+\[\s*+(?:{_QUOTED})(?:\s*+,\s*+(?:{_QUOTED}))*+\s*+(?:,\s*+)?\]\s*+"
)
_ONE = re.compile(_QUOTED)
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[\s\S])")
_PLAIN = {"n": "\n", "r": "\r", "t": "\t", "\n": ""}
_LARGEST = 2**20
"""Characters of a list of other things than texts: the compiler takes 100 times as much memory."""


def texts_of_list(cell: str) -> list[str] | None:
    """Return the texts of a list as Python writes it, such as ``['one', 'two']``; ``None`` where
    the cell is no such list.
    """
    if not cell.lstrip().startswith(("['", '["')) or not _LIST_OF_TEXTS.fullmatch(cell):
        return None
    return [_ESCAPE.sub(_unescaped, quoted[1:-1]) for quoted in _ONE.findall(cell)]


def python_value(cell: str) -> Any:
    """Return the lists, dicts, texts and numbers that Python wrote into a cell.

    Raises
    ------
    ValueError
        If it is anything else, or longer than 1 MiB.
    """
    if len(cell) > _LARGEST:
        raise ValueError("a list of Python of more than 1 MiB")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that Python knows none of
            return ast.literal_eval(cell)
    except (SyntaxError, MemoryError, RecursionError, TypeError) as error:
        raise ValueError("no list of Python") from error


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    if len(code) > 1:
        value = int(code[1:], 16)
        return chr(value) if value <= 0x10FFFF else match[0]
    # Of any other character Python keeps the backslash too.
    return _PLAIN.get(code, code if code in "\\'\"" else match[0])
