"""The calls of functions that an answer makes, however it writes them.

First those of the API's own field. An answer without them may carry calls in its text: between
``<tool_call>`` and ``</tool_call>``, as JSON objects with a name and arguments, or as Python calls.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from difficulty.answers.answer import ToolCall
from difficulty.answers.literals import Reader, UnreadableError, is_name
from difficulty.answers.pair import Pair
from difficulty.answers.scan import SPACE

MOST_CALLS = 64
MOST_ARGUMENTS = 65_536
"""Code points of all calls' arguments; the call that goes beyond and those after it are not read.
"""
_MOST_TRIES = 8
_OPENERS = ("{", "[")
_MARK, _END_MARK = "<tool_call>", "</tool_call>"
_NAME = r"[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_.\u0080-\U0010ffff]*"
_SPACES = r"[ \t\n\r\f\v]*"
_LISTED = re.compile(rf"\[{_SPACES}{_NAME}\(")
_BEGINNING = re.compile(
    rf"(?P<list>\[){_SPACES}(?P<first>{_NAME})\("
    rf"|^[ \t`]*(?P<line>{_NAME})\("
    rf"|(?P<object>\{{){_SPACES}\"(?:name|arguments|parameters|function|tool_calls|type)\"",
    re.MULTILINE,
)
_ENDS = re.compile(r"[ \t`;]*(?:\n|\Z)")
_OPENING = re.compile(rf"{_SPACES}(?:```[A-Za-z]*{_SPACES})?")
_FENCE = re.compile("```[A-Za-z]*")
_WORDLESS = re.compile("[^A-Za-z0-9]")


class WrittenCall(NamedTuple):
    """A call that was read."""

    name: str
    arguments: dict[str, Any] | None
    """``None`` where they are no object."""
    is_strict: bool = True
    """Whether its JSON is JSON to the letter."""
    expressions: int = 0
    """Arguments, or parts of them, that are no literals."""
    nested_calls: int = 0


class WrittenCalls(NamedTuple):
    """The calls of an answer."""

    read: tuple[WrittenCall, ...] = ()
    """The first ones."""
    failed: int = 0
    """What began like a call and could not be read."""
    prose: int = 0
    """Code points outside of the calls."""


def read_calls(pair: Pair, offered: Collection[str]) -> WrittenCalls:
    """Return the calls of an answer.

    Parameters
    ----------
    pair : Pair
    offered : collection of str
        The offered functions' names as :func:`plain_name` has them.
    """
    text = pair.text
    if pair.answer.tool_calls:
        calls = tuple(map(_read_tool_call, _first(pair.answer.tool_calls)))
        return WrittenCalls(calls, 0, len(text.strip(SPACE)))
    return _read_marked(text) if _MARK in text else _read_prose(text, offered)


def plain_name(name: str) -> str:
    """Return a name with every mark made an underscore: models write ``a.b`` for ``a_b``."""
    return _WORDLESS.sub("_", name)


def _first(calls: Sequence[ToolCall]) -> Iterator[ToolCall]:
    left = MOST_ARGUMENTS
    for call in calls[:MOST_CALLS]:
        left -= len(call.arguments)
        if left < 0:
            return
        yield call


def _read_tool_call(call: ToolCall) -> WrittenCall:
    text = call.arguments
    if not text.strip(SPACE):
        return WrittenCall(call.name, {})  # as some servers write a call without arguments
    return _read_arguments(call.name, text)


def _read_arguments(name: str, text: str) -> WrittenCall:
    reader = Reader(text)
    try:
        value = reader.value()
    except UnreadableError:
        return WrittenCall(name, None, False)
    if not isinstance(value, dict) or reader.token:
        return WrittenCall(name, None, False)
    return WrittenCall(name, value, reader.is_strict, reader.expressions, reader.nested_calls)


def _read_marked(text: str) -> WrittenCalls:
    before, *parts = text.split(_MARK)
    calls: list[WrittenCall] = []
    failed, prose = 0, len(before.strip(SPACE))
    for part in parts:
        inside, _, after = part.partition(_END_MARK)
        prose += len(after.strip(SPACE))
        found, is_whole = _read_segment(inside)
        calls += found
        failed += not is_whole
    return WrittenCalls(tuple(calls[:MOST_CALLS]), failed, prose)


def _read_segment(text: str) -> tuple[list[WrittenCall], bool]:
    """Return the calls between two marks, and whether all that stands there is calls."""
    calls: list[WrittenCall] = []
    try:
        reader = Reader(text)
        while reader.token:
            if reader.token not in _OPENERS or _LISTED.match(text.lstrip(SPACE)):
                _read_invocations(reader, calls)
            else:
                calls += (found := _read_json(reader))
                if not found:
                    return calls, False
            if reader.token == ",":
                reader.advance()
    except UnreadableError:
        return calls, False
    return calls, bool(calls)


def _read_prose(text: str, offered: Collection[str]) -> WrittenCalls:
    """Return the calls that stand somewhere in a text."""
    calls: list[WrittenCall] = []
    failed = prose = tries = end = 0
    opening = _OPENING.match(text)
    first = opening.end() if opening else 0
    for match in _BEGINNING.finditer(text):
        begin = max(map(match.start, ("list", "line", "object")))
        name = match["first"] or match["line"]
        is_known = not name or plain_name(name) in offered
        # A text may open with any call; further on, parentheses behind a word are mostly prose.
        is_call = is_known or begin == first
        if begin < end or not is_call or tries == _MOST_TRIES:
            continue
        tries += 1
        reader, known = Reader(text, begin), len(calls)
        is_read = _read_one(reader, calls, is_json=not name)
        if not (is_known or match["list"] or (is_read and _ENDS.match(text, reader.position))):
            del calls[known:]
            continue
        if is_read and len(calls) == known:
            continue
        failed += not is_read
        prose += _outside(text[end:begin])
        end = reader.position
    return WrittenCalls(tuple(calls[:MOST_CALLS]), failed, prose + _outside(text[end:]))


def _read_one(reader: Reader, calls: list[WrittenCall], *, is_json: bool) -> bool:
    """Read what comes next into ``calls``; return whether it could be read."""
    try:
        if is_json:
            calls += _read_json(reader)
        else:
            _read_invocations(reader, calls)
    except UnreadableError:
        return False
    return True


def _outside(text: str) -> int:
    return len(_FENCE.sub("", text).strip(SPACE))


def _read_invocations(reader: Reader, calls: list[WrittenCall]) -> None:
    """Read Python calls, a list of them or some with commas between, into ``calls``; the list's end
    may be missing.
    """
    is_list = reader.token == "["
    if is_list:
        reader.advance()
    while True:
        expressions, nested = reader.expressions, reader.nested_calls
        name, arguments = reader.invocation()
        expressions, nested = reader.expressions - expressions, reader.nested_calls - nested
        calls.append(WrittenCall(name, arguments, True, expressions, nested))
        goes_on = is_list or reader.token == ","
        if reader.token == ",":
            reader.advance()
        if is_list and reader.token == "]":
            reader.advance()
            return
        if not (goes_on and is_name(reader.token)):
            return


def _read_json(reader: Reader) -> list[WrittenCall]:
    """Return the calls that the next object or list describes."""
    expressions, nested = reader.expressions, reader.nested_calls
    value = reader.container()
    return [
        call._replace(
            is_strict=call.is_strict and reader.is_strict,
            expressions=call.expressions + reader.expressions - expressions,
            nested_calls=call.nested_calls + reader.nested_calls - nested,
        )
        for call in _of_json(value)
    ]


def _of_json(value: Any) -> Iterator[WrittenCall]:
    """Yield the calls that a JSON value describes."""
    for form in value if isinstance(value, list) else [value]:
        if not isinstance(form, dict):
            continue
        if isinstance(form.get("tool_calls"), list):
            inside = (part for part in form["tool_calls"] if isinstance(part, dict))
            yield from _of_json([part for part in inside if "tool_calls" not in part])
            continue
        inner = form.get("function")
        form = inner if isinstance(inner, dict) else form
        name = form.get("name", inner)
        given = [form[key] for key in ("arguments", "parameters") if key in form]
        if isinstance(name, str) and (given or isinstance(inner, dict)):
            yield _of_arguments(name, given[0] if given else None)


def _of_arguments(name: str, arguments: Any) -> WrittenCall:
    if isinstance(arguments, str):
        return _read_arguments(name, arguments)
    if arguments is None:
        return WrittenCall(name, {})
    return WrittenCall(name, arguments if isinstance(arguments, dict) else None)
