"""A reader of what models write as arguments: JSON, Python literals, and calls of functions.

One grammar reads all of it, in one pass and never deeper than ``DEEPEST``, and says beside the
value whether it was JSON to the letter. Nothing is evaluated: what is no literal, such as
``5 / 100`` or a variable, is an :class:`Expression`, its text. ``docs/answers.md`` has the grammar.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from difficulty.answers.scan import SPACE

DEEPEST = 32
"""Lists and objects inside each other."""
_TOKEN = re.compile(
    r"[ \t\n\r\f\v]*(?:"
    # A text that is never closed goes to the end, so that no quote is looked for twice.
    r'"[^"\\]*(?:\\(?:.|\Z)[^"\\]*)*("|\Z)'
    r"|'[^'\\]*(?:\\(?:.|\Z)[^'\\]*)*('|\Z)"
    r"|[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
    r"|[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_.\u0080-\U0010ffff]*"
    r"|.)",
    re.DOTALL,
)
_NAME = re.compile(r"[A-Za-z_\u0080-\U0010ffff]")
_NUMBER = re.compile(r"[-+]?\.?[0-9]")
_STRICT_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_ESCAPED = {
    **{mark: mark for mark in "\"'\\/"},
    **{"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"},
}
_ASSIGNED = re.compile(r"[ \t\n\r\f\v]*=(?!=)")
_CONTROL = re.compile("[\x00-\x1f]")
_CONSTANTS = {"true": True, "false": False, "null": None}
_PYTHON_CONSTANTS = {"True": True, "False": False, "None": None}
_CLOSERS = {"[": "]", "(": ")", "{": "}"}


class Expression(str):
    """The text of something that is no literal."""

    __slots__ = ()


class Invocation(NamedTuple):
    """A call as it is written in Python."""

    name: str
    arguments: dict[str, Any]
    """Those without a name are called by their place: ``0``, ``1``, ..."""


class UnreadableError(ValueError):
    """What is written is neither JSON, nor a Python literal or call."""


_NO_LITERAL = object()


def is_name(token: str) -> bool:
    """Return whether a token is a name."""
    return _NAME.match(token) is not None


class Reader:
    """Read values from a text, one after the other.

    All numbers are floats, as in JavaScript, so that one reader equals the other.

    Parameters
    ----------
    text : str
    start : int
        Where the first token may begin.

    Attributes
    ----------
    token : str
        The next token; empty at the end.
    position : int
        Where the last token that was read ends.
    is_strict : bool
        Whether all that was read is JSON to the letter.
    expressions, nested_calls : int
        Values so far that are no literals; those of them that call a function.
    """

    def __init__(self, text: str, start: int = 0) -> None:
        self.is_strict = True
        self.expressions = self.nested_calls = 0
        self._text = text
        self._closes = False
        self._end = start
        self._depth = 0
        self.token = ""
        self.advance()

    def advance(self) -> str:
        """Return the next token and go to the one after it."""
        token, self.position = self.token, self._end
        match = _TOKEN.match(self._text, self._end)
        if match is None:
            self.token = ""
        else:
            self.token = match.group().lstrip(SPACE)
            self._closes = bool(match.lastindex and match.group(match.lastindex))
            self._end = match.end()
        return token

    def value(self) -> Any:
        """Return the next value, whatever stands behind it up to a comma or a closing bracket
        counted in.

        Raises
        ------
        UnreadableError
            If there is none, or it is nested too deeply.
        """
        if self.token in (",", ":", "", "]", ")", "}", "="):
            raise UnreadableError
        begin, calls = self._end - len(self.token), self.nested_calls
        value = self._literal()
        if value is not _NO_LITERAL and self.token in (",", "", "]", ")", "}"):
            return value
        self.nested_calls = calls + self._skip()
        self.expressions += 1
        self.is_strict = False
        return Expression(self._text[begin : self.position])

    def container(self) -> Any:
        """Return a list or an object; nothing is read behind it.

        Raises
        ------
        UnreadableError
            If there is none, or it is not closed, or nested too deeply.
        """
        opener = self.advance()
        if opener not in _CLOSERS or self._depth == DEEPEST:
            raise UnreadableError
        self._depth += 1
        value = self._object() if opener == "{" else self._list(_CLOSERS[opener])
        self._depth -= 1
        return value

    def invocation(self) -> Invocation:
        """Return a call; nothing is read behind it.

        Raises
        ------
        UnreadableError
            If there is none, or it is not closed.
        """
        if not is_name(self.token):
            raise UnreadableError
        name = self.advance()
        if self.advance() != "(":
            raise UnreadableError
        arguments: dict[str, Any] = {}
        while self.token != ")":
            key = str(len(arguments))
            if is_name(self.token) and _ASSIGNED.match(self._text, self._end):
                key = self.advance()
                self.advance()
            arguments[key] = self.value()
            if self.token == ",":
                self.advance()
            elif self.token != ")":
                raise UnreadableError
        self.advance()
        return Invocation(name, arguments)

    def _literal(self) -> Any:
        token = self.token
        if token[0] in "\"'":
            return self._string()
        if token in _CLOSERS:
            return self.container()
        if _NUMBER.match(token):
            return self._number()
        if token in _CONSTANTS:
            return _CONSTANTS[self.advance()]
        if token in _PYTHON_CONSTANTS:
            self.is_strict = False
            return _PYTHON_CONSTANTS[self.advance()]
        return _NO_LITERAL

    def _object(self) -> dict[str, Any]:
        parts: dict[str, Any] = {}
        while self.token != "}":
            key = self._key()
            if self.advance() != ":":
                raise UnreadableError
            parts[key] = self.value()
            self._separate("}")
        self.advance()
        return parts

    def _key(self) -> str:
        if self.token[:1] in ('"', "'"):
            return self._string()
        self.is_strict = False
        if is_name(self.token) or _NUMBER.match(self.token):
            return self.advance()
        raise UnreadableError

    def _list(self, closer: str) -> Any:
        self.is_strict &= closer == "]"
        parts: list[Any] = []
        ends_with_comma = False
        while self.token != closer:
            parts.append(self.value())
            ends_with_comma = self._separate(closer)
        self.advance()
        # Parentheses around one value only group.
        return parts[0] if closer == ")" and len(parts) == 1 and not ends_with_comma else parts

    def _separate(self, closer: str) -> bool:
        """Step over the comma between two parts; return whether there was one."""
        if self.token == closer:
            return False
        if self.advance() != ",":
            raise UnreadableError
        self.is_strict &= self.token != closer
        return True

    def _string(self) -> str:
        parts: list[str] = []
        while self.token[:1] in ('"', "'") and self.token:
            if not self._closes:
                raise UnreadableError
            self.is_strict &= not parts and self.token[0] == '"'
            parts.append(self._unescape(self.advance()[1:-1]))
        return "".join(parts)

    def _unescape(self, text: str) -> str:
        if self.is_strict and _CONTROL.search(text):
            self.is_strict = False
        if "\\" not in text:
            return text
        plain = _ESCAPE.sub(self._escaped, text)
        # Two halves of a character, each written by its number, are one; a lone half is none.
        return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _escaped(self, match: re.Match[str]) -> str:
        mark = match.group(1)
        if len(mark) == 5:
            return chr(int(mark[1:], 16))
        self.is_strict &= mark in _ESCAPED and mark != "'"
        return _ESCAPED.get(mark, match.group())

    def _number(self) -> float:
        token = self.advance()
        self.is_strict &= _STRICT_NUMBER.fullmatch(token) is not None
        return float(token)

    def _skip(self) -> bool:
        """Step to the comma or bracket that ends a value; return whether a call stands there."""
        depth, before, has_call = 0, "", False
        while self.token and not (depth == 0 and self.token in (",", ")", "]", "}")):
            if self.token in _CLOSERS:
                has_call |= self.token == "(" and is_name(before)
                depth += 1
            elif self.token in (")", "]", "}"):
                depth -= 1
            before = self.advance()
        return has_call
