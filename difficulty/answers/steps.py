"""Steps of worked maths, ``a op b = c``, read from a text in one scan, without regular expressions
over expressions (they backtrack) and without ``eval``.

A *side* is what stands between two equals signs: numbers, ``+ - * /`` and brackets, in the spelling
of plain text or of LaTeX. Up to three words after a number are its unit. What cannot be read (a
power, a root, a letter that stands for a number) makes the side unknown, and nothing is said of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from difficulty.answers.scan import LARGEST, LETTERS, NUMBER, parse_number

Part = float | str
"""A number, one of ``+ - * / ( )``, or ``~``, the minus sign of one number."""

_SKIPPED = "$\u20ac\u00a3&~`\u00a0\u202f"
"""What stands in an expression without a meaning of its own."""
_TOKEN = re.compile(
    rf"{NUMBER}|[{LETTERS}]+|\\[A-Za-z]+|\*\*|\\[{_SKIPPED}]|\\?[^ \t\r\f\v{_SKIPPED}]"
)
_LETTER = re.compile(f"[{LETTERS}]")
_PIECE_END = re.compile(
    r"[.,;:?!\n\\](?:(?<=[.,;:?!])(?=[ \n])|(?<=\n)|(?<=\\)(?:n(?![a-z])|\\(?![A-Za-z])))"
)
"""Ends of lines, also as JSON and LaTeX write them, and punctuation before white space. What each
begins with stands first, so that a search leaps to it.
"""
_ESCAPED = re.compile(r"\\(?=\\[A-Za-z])")
"""What JSON puts before a command of LaTeX."""
_CONTINUED = re.compile(r"(?:\\\\[ \t]{0,8})?\n[ \t&]*(?=[=\u2248])")
"""The end of a line before one that begins with an equals sign."""
_IS_CONTINUED = re.compile(r"\n[ \t&]*[=\u2248]")
"""Whether there is such an end; most texts have none, and this is found sooner."""
_DIGIT = re.compile("[0-9]")
_MAY_OPERATE = re.compile(
    r"[-+*/(){}\u2212\u2013\u00d7\u00b7\u00f7xXo\\](?:(?<![o\\])|(?<=o)f|(?<=\\)[tcdf])"
)
"""What makes an operator of a side, or closes what does; more than that is found too."""
_MOST_UNIT_WORDS = 3
_VARIABLES = frozenset("abcdefijknopqrtuvwyz")
_ROLES = {
    **dict.fromkeys(["+"], "+"),
    **dict.fromkeys(["-", "\u2212", "\u2013"], "-"),
    **dict.fromkeys(["*", "\\*", "\u00d7", "\u00b7", "\\times", "\\cdot"], "*"),
    **dict.fromkeys(["/", "\u00f7", "\\div"], "/"),
    **dict.fromkeys(["(", "{"], "("),
    **dict.fromkeys([")", "}"], ")"),
    **dict.fromkeys(["=", "\u2248", "\\approx"], "="),
    **dict.fromkeys(["%", "\\%"], "%"),
    **dict.fromkeys(["\\frac", "\\dfrac", "\\tfrac"], "fraction"),
    **dict.fromkeys(
        "\\$ \\& \\, \\! \\; \\: \\( \\) \\[ \\] \\left \\right \\quad \\text \\mathrm"
        " \\mathbf \\displaystyle".split(),
        "skip",
    ),
    **dict.fromkeys(["^", "_", "!", "\u221a", "|"], "unreadable"),
    "**": "bold",
}
_STRENGTH = {"+": 1, "-": 1, "*": 2, "/": 2, "~": 3}


class Step(NamedTuple):
    """Two sides of an equals sign, the left one with an operator."""

    value: float
    """What stands behind the equals sign."""
    is_right: bool
    error: float
    """Relative difference of the two sides."""
    is_whole: bool
    """Whether the left side is a whole number."""
    operands: tuple[float, ...]
    """The numbers of the left side, as they are written."""


def read_steps(text: str) -> list[Step]:
    """Return the steps of a text in order."""
    if "=" not in text and "\u2248" not in text and "\\approx" not in text:
        return []
    steps: list[Step] = []
    if "\\\\" in text:
        text = _ESCAPED.sub("", text)
    if _IS_CONTINUED.search(text):
        text = _CONTINUED.sub(" ", text)
    for piece in _PIECE_END.split(text):
        if _may_hold_step(piece):
            reader = _Reader(steps)
            reader.read(_TOKEN.findall(piece))
            reader.end()
    return steps


def _may_hold_step(piece: str) -> bool:
    """Return whether a piece has an equals sign, and before the last one a digit and then what may
    be an operator; most pieces have not, and are not read.
    """
    end = piece.rfind("=")
    if not piece.isascii():
        end = max(end, piece.rfind("\u2248"))
    if "\\" in piece:
        end = max(end, piece.rfind("\\approx"))
    if end < 0:
        return False
    digit = _DIGIT.search(piece, 0, end)
    return digit is not None and _MAY_OPERATE.search(piece, digit.end(), end) is not None


def evaluate(parts: Sequence[Part]) -> float | None:
    """Return the value of an expression by precedence, from left to right; an open bracket that
    nothing closes, or the other way round, is passed over.

    Returns
    -------
    float or None
        ``None`` for what is no expression, divides by zero or is 1e15 or more on the way.
    """
    values: list[float] = []
    waiting: list[str] = []
    for part in parts:
        if isinstance(part, float):
            values.append(part)
        elif part in "(~":
            waiting.append(part)
        else:
            # What binds at least as strongly, or stands inside of the bracket that closes.
            least = _STRENGTH.get(part, 1)
            while waiting and _STRENGTH.get(waiting[-1], 0) >= least:
                if not _apply(waiting.pop(), values):
                    return None
            if part != ")":
                waiting.append(part)
            elif waiting:
                waiting.pop()
    while waiting:
        operator = waiting.pop()
        if operator != "(" and not _apply(operator, values):
            return None
    return values[0] if len(values) == 1 else None


def _apply(operator: str, values: list[float]) -> bool:
    """Put the result in place of its operands; ``False`` where there is none."""
    if operator == "~":
        if values:
            values[-1] = -values[-1]
        return bool(values)
    if len(values) < 2:
        return False
    right = values.pop()
    left = values[-1]
    if operator == "/":
        if right == 0:
            return False
        result = left / right
    elif operator == "*":
        result = left * right
    else:
        result = left + right if operator == "+" else left - right
    values[-1] = result
    return abs(result) < LARGEST


class _Side:
    """A side as far as it was read."""

    __slots__ = (
        "decimals",
        "depth",
        "has_operator",
        "has_percent",
        "is_readable",
        "numbers",
        "parts",
    )

    def __init__(self, *, is_readable: bool = True) -> None:
        self.parts: list[Part] = []
        self.numbers: list[float] = []
        """As they are written: 20 for 20 %."""
        self.has_operator = False
        self.has_percent = False
        self.depth = 0
        """Brackets that are open."""
        self.decimals = 0
        """Of the number that was written first."""
        self.is_readable = is_readable

    def value(self) -> float | None:
        """Return the value of the side; ``None`` where it has none."""
        return evaluate(self.parts) if self.parts and self.is_readable else None

    def first(self) -> float | None:
        """Return the number that the side begins with, and its sign."""
        if not self.is_readable:
            return None
        sign = 1.0
        for part in self.parts[:4]:
            if isinstance(part, float):
                return sign * part
            if part == "~":
                sign = -sign
            elif part != "(":
                return None
        return None


class _Reader:
    """Takes the tokens of a text one by one."""

    __slots__ = ("_braces", "_is_after_word", "_left", "_side", "_unit_words", "steps")

    def __init__(self, steps: list[Step]) -> None:
        self.steps = steps
        self._left: _Side | None = None
        self._side = _Side()
        self._unit_words = 0
        self._is_after_word = False
        self._braces: list[str] = []

    def read(self, tokens: Sequence[str]) -> None:
        """Take the next tokens."""
        known, by_first, word = _HANDLER_OF.get, _HANDLER_BY_FIRST.get, _Reader._word
        for token in tokens:
            handle = known(token) or by_first(token[0]) or _HANDLERS[_role_of(token)]
            handle(self, token)
            self._is_after_word = handle is word

    def end(self) -> None:
        """Finish the side that is being read, and compare it with the one to the left."""
        side, left = self._side, self._left
        if left is not None and side.parts:
            step = _compare(left, side)
            if step is not None:
                self.steps.append(step)

    def _break(self, *, is_readable: bool = True) -> None:
        if self._left is None and not self._side.parts:
            self._side.is_readable = is_readable
            self._braces.clear()
            return
        self.end()
        self._left = None
        self._side = _Side(is_readable=is_readable)
        self._unit_words = 0
        self._braces.clear()

    def _ends_with_value(self) -> bool:
        parts = self._side.parts
        return bool(parts) and (parts[-1].__class__ is float or parts[-1] == ")")

    def _number(self, token: str) -> None:
        value = parse_number(token)
        if value is None:
            self._unreadable(token)
            return
        side = self._side
        if side.parts and self._ends_with_value():
            self._break()
            side = self._side
        if not side.numbers and "." in token:
            side.decimals = len(token) - 1 - token.find(".")
        side.parts.append(value)
        side.numbers.append(value)
        self._unit_words = 0

    def _operator(self, token: str) -> None:
        role, side = _ROLES.get(token, "*"), self._side
        if self._ends_with_value():
            side.parts.append(role)
            side.has_operator = True
        elif role == "-" and not (self._is_after_word and not side.parts):
            side.parts.append("~")
        elif not side.parts:
            side.is_readable = False  # what it operates on could not be read
        else:
            self._break(is_readable=False)
        self._unit_words = 0

    def _open(self, token: str) -> None:
        side = self._side
        if token == "{":
            if self._braces and self._braces[-1] == "fraction":
                self._braces[-1] = "numerator"
                side.parts += ["(", "("]
                side.depth += 2
                return
            if self._braces and self._braces[-1] == "divided":
                self._braces[-1] = "denominator"
                side.parts.append("(")
                side.depth += 1
                return
            self._braces.append("")
        if self._ends_with_value():
            if self._unit_words or self._is_after_word:
                self._break()
            else:
                side.parts.append("*")
                side.has_operator = True
        self._side.parts.append("(")
        self._side.depth += 1
        self._unit_words = 0

    def _close(self, token: str) -> None:
        side = self._side
        kind = self._braces.pop() if token == "}" and self._braces else ""
        if not side.parts:
            return
        if not side.depth or not self._ends_with_value():
            self._break()
            return
        side.parts.append(")")
        side.depth -= 1
        if kind == "numerator":
            side.parts.append("/")
            side.has_operator = True
            self._braces.append("divided")
        elif kind == "denominator":
            side.parts.append(")")
            side.depth -= 1
        self._unit_words = 0

    def _fraction(self, token: str) -> None:
        if self._ends_with_value():
            self._operator("*")
        self._braces.append("fraction")

    def _equals(self, token: str) -> None:
        side = self._side
        if not side.parts and side.is_readable:
            return  # nothing between two equals signs
        self.end()
        self._left = side
        self._side = _Side()
        self._unit_words = 0

    def _percent(self, token: str) -> None:
        parts = self._side.parts
        if parts and isinstance(parts[-1], float):
            parts[-1] /= 100
            self._side.has_percent = True

    def _word(self, token: str) -> None:
        if token in ("x", "X") and self._ends_with_value() and not self._unit_words:
            self._operator("*")
        elif token == "of" and self._is_share():
            self._operator("*")
        elif token in _VARIABLES:
            self._unreadable(token)
        elif not self._ends_with_value() or self._unit_words == _MOST_UNIT_WORDS:
            if self._side.parts or self._left is None:
                self._break()
        else:
            self._unit_words += 1

    def _is_share(self) -> bool:
        """Return whether ``of`` multiplies here: 20 % of, 3/4 of."""
        side = self._side
        return self._ends_with_value() and (side.has_percent or "/" in side.parts[-6:])

    def _bold(self, token: str) -> None:
        if self._side.parts:
            self._break(is_readable=not self._ends_with_value())

    def _unreadable(self, token: str) -> None:
        if self._left is not None:
            self._left = None
        self._side = _Side(is_readable=False)
        self._unit_words = 0

    def _stop(self, token: str) -> None:
        self._break()

    def _skip(self, token: str) -> None:
        pass


_HANDLERS = {
    "number": _Reader._number,
    "word": _Reader._word,
    "+": _Reader._operator,
    "-": _Reader._operator,
    "*": _Reader._operator,
    "/": _Reader._operator,
    "(": _Reader._open,
    ")": _Reader._close,
    "=": _Reader._equals,
    "%": _Reader._percent,
    "fraction": _Reader._fraction,
    "bold": _Reader._bold,
    "unreadable": _Reader._unreadable,
    "stop": _Reader._stop,
    "skip": _Reader._skip,
}
_HANDLER_OF = {token: _HANDLERS[role] for token, role in _ROLES.items()}
_HANDLER_BY_FIRST = {
    **dict.fromkeys("0123456789", _Reader._number),
    **dict.fromkeys("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", _Reader._word),
}
"""Of most other tokens the first character says enough."""


def _role_of(token: str) -> str:
    first = token[0]
    if "0" <= first <= "9" or (first == "." and len(token) > 1):
        return "number"
    if first == "\\":
        return "unreadable" if len(token) > 2 else "stop"
    return "word" if _LETTER.match(first) else "stop"


def _compare(left: _Side, right: _Side) -> Step | None:
    """Return the step from one side to the other; ``None`` where there is nothing to compare."""
    written = right.first()
    if written is None or not left.has_operator:
        return None
    value = left.value()
    if value is None:
        return None
    whole = _is_whole(value)
    is_right = _is_near(value, written, right.decimals, is_whole=whole)
    if not is_right and right.has_operator:
        result = right.value()
        if result is None:
            return None
        written, is_right = result, abs(value - result) <= max(1e-6, 5e-3 * abs(value))
    if not is_right:  # a percentage on one side, a share on the other
        is_right = abs(value * 100 - written) < 0.51 or abs(value / 100 - written) < 0.01
    return Step(
        value=written,
        is_right=is_right,
        error=abs(value - written) / (abs(value) + 1e-9),
        is_whole=whole,
        operands=tuple(left.numbers),
    )


def _is_near(value: float, written: float, decimals: int, *, is_whole: bool) -> bool:
    """Return whether a number may be the rounded value: half of its last digit, or 0.5 %."""
    rounding = 1e-6 if is_whole and not decimals else 0.51 * float(f"1e-{decimals}")
    return abs(value - written) <= max(rounding, 5e-3 * abs(value) if decimals else 0.0)


def _is_whole(value: float) -> bool:
    return abs(value - math.floor(value + 0.5)) < 1e-9
