"""Requests to decide on, and the JSON lines they are read from.

The router side decides them, and in the lab a teacher is asked about them, so both read them here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from numbers import Integral, Real
from pathlib import Path
from typing import IO, Any, NamedTuple, get_args

from difficulty.conversation import messages_of, tools_of
from difficulty.errors import (
    InvalidValueError,
    RequestError,
    TrafficNotFoundError,
    name_kind,
    tell_json_fault,
)
from difficulty.kinds import PACKINGS, PathKind, damage_errors, kind_of, plain_name, unpacked
from difficulty.needs.request_needs import BODY_FIELDS, Needs
from difficulty.routes import Held, Route

Messages = str | Sequence[Mapping[str, Any]]

LARGEST_COUNT = 2**63 - 1
_SUFFIXES = (".jsonl", ".ndjson")
_ASKED = ("messages", "prompt", "input")
"""Keys under which the messages stand, ``input`` as OpenAI's Responses have it."""


class Request(NamedTuple):
    """A request to decide on."""

    messages: Messages
    task: str | None = None
    tokens: int | None = None
    checked: bool = True
    """Whether a policy's check will see the cheap answer before the client does."""
    tools: object = None
    """The functions that it offers, as in an OpenAI body; what is malformed offers none."""
    held: Held | None = None
    """The session that it goes on with; ``None``: none is known."""
    needs: Needs | None = None
    """What it needs of a model; ``None``: what messages and tools say."""


class RequestRow(NamedTuple):
    """One line of a request file."""

    id: str
    request: Request
    """A line that cannot be read becomes a request without messages, which cannot be scored."""
    problem: str | None = None
    answer: object = None
    """What the row holds as the cheap model's answer: a text, a message, a chat completion."""
    cheap_answer: object = None
    """The same as a column of traffic holds it: a text, or the JSON text of a message."""


def read_requests(path: Path) -> Iterator[RequestRow]:
    """Yield the requests of a JSON-lines file (``-`` is standard input), one for each line that is
    not blank, in order. The file may be packed as traffic may: ``.jsonl.gz``, ``.jsonl.zst``, ...

    A line is an object with ``messages``, ``prompt`` or ``input``, and optionally ``id`` (default:
    the line number), ``task``, ``prompt_tokens``, ``tools``, ``checked``, ``held``, and ``answer``
    or ``cheap_answer``; ``system`` and ``instructions`` stand before the messages, which may be
    those of any API; ``max_tokens``, ``response_format``, ``languages`` and ``residency`` say what
    a model has to take. Labelled traffic in JSON lines fits.

    Raises
    ------
    TrafficNotFoundError
        If there is no such file.
    InvalidValueError
        If it is not JSON lines by its name, or a damaged archive.
    TrafficError
        If a ``.zip`` does not hold exactly one file.
    """
    if str(path) != "-":
        if (kind := kind_of(path)) in (PathKind.NOTHING, PathKind.FOLDER):
            raise TrafficNotFoundError(f"no request file at {str(path)!r}. Check the path.")
        if not path.is_file() or not names_requests(path):
            rule = f"be JSON lines ({', '.join(_SUFFIXES)}; also packed: {', '.join(PACKINGS)})"
            raise InvalidValueError("request file", path.name, rule=rule, hint=f"It is {kind}.")
    with _opened(path) as file:
        lines = enumerate(file, 1)
        while True:
            # What is made of a line, and who asks for it, fails in other ways.
            try:
                number, line = next(lines, (0, b""))
            except damage_errors() as error:
                raise InvalidValueError(
                    "request file", path.name, rule="be whole", hint=f"It is damaged ({error})."
                ) from error
            if not number:
                return
            if line.strip():
                yield _row(line, number)


def names_requests(path: Path) -> bool:
    """Return whether a path names JSON lines, packed or not."""
    return plain_name(path).endswith(_SUFFIXES)


def request_row(form: object, number: int, *, noun: str = "line") -> RequestRow:
    """Return the request that a JSON object holds, the ``number``-th of its file or call, whose
    places go by a ``noun``; see :func:`read_requests` for its keys.
    """
    place = f"{noun} {number}"
    if not isinstance(form, dict):
        problem = f"must be a JSON object: got {name_kind(form)}"
        return unreadable_row(str(number), f"{place} {problem}")
    # An id of 0 is one.
    given = form.get("id")
    name = str(given if isinstance(given, str | int | float) and given != "" else number)
    messages = next((form[key] for key in _ASKED if form.get(key) is not None), None)
    if not isinstance(messages, str | list):
        # By its type alone: values are the user's.
        came = f"neither{_misspelt(form)}" if messages is None else name_kind(messages)
        problem = f"must have messages or prompt: got {came}"
        return unreadable_row(name, f"{place} {problem}")
    # A task or a count that is none is left out: the request is decided without it.
    task = form.get("task")
    task = task if isinstance(task, str) and task else None
    tokens, checked = read_count(form.get("prompt_tokens")), form.get("checked") is not False
    body = {**form, "messages": messages}
    chat = messages_of(body)
    # What is brought into another form is read as it came: a document that is text is a file too.
    says_more = chat is not messages or any(name in form for name in BODY_FIELDS)
    needs = Needs.of(body) if says_more else None
    return RequestRow(
        name,
        # As training reads logs: calls and results of any API, instructions that stand beside.
        Request(chat, task, tokens, checked, tools_of(body), read_held(form.get("held")), needs),
        answer=form.get("answer"),
        cheap_answer=form.get("cheap_answer"),
    )


def _misspelt(form: Mapping[str, Any]) -> str:
    """Return which key may have been meant; a key that is near none is the user's, and not told."""
    for key in (each for each in form if each not in _ASKED):
        near = get_close_matches(key, _ASKED, n=1, cutoff=0.7) if isinstance(key, str) else ()
        if near and form.get(near[0]) is None:
            return f" (there is {key!r}: did you mean {near[0]!r}?)"
    return ""


def unreadable_row(name: str, problem: str) -> RequestRow:
    """Return the row of a request that cannot be read, and so not be scored."""
    return RequestRow(name, Request([]), problem)


def read_count(value: object) -> int | None:
    """Return a count that came from outside; ``None`` where it is none, or more than 64 bits hold:
    no file and no database takes such a number.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):  # numpy's integers are some
        return None
    count = int(value)
    return count if 0 <= count <= LARGEST_COUNT else None


def read_held(value: object) -> Held | None:
    """Return what a caller says of a session: a :class:`~difficulty.routes.Held`, or an object with
    its fields. Without a route it says nothing; of the rest, what is no such value is not known.
    """
    if isinstance(value, Held):
        return _held_of(value._asdict())
    try:
        return _held_of(value) if isinstance(value, Mapping) else None
    except Exception:  # of a class of the caller's
        return None


def _held_of(form: Mapping[str, Any]) -> Held | None:
    route = form.get("route")
    if not isinstance(route, str) or route not in get_args(Route):
        return None
    return Held(
        "cheap" if route == "cheap" else "frontier",
        form.get("in_loop") is True,
        read_count(form.get("cached_tokens")),
        _read_amount(form.get("idle_s")),
        _read_amount(form.get("switch_cost_usd")),
    )


def _read_amount(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        amount = float(value)
    except OverflowError:  # a large integer fits into none
        return None
    return amount if 0 <= amount < 1e300 else None


def continues_loop(messages: object) -> bool:
    """Return whether a request goes on after a tool's result: its last message is one, as OpenAI
    (role ``tool`` or ``function``) or Anthropic (a part ``tool_result``) writes it.
    """
    if not isinstance(messages, list | tuple) or not messages:
        return False
    last = messages[-1]
    if not isinstance(last, Mapping):
        return False
    if last.get("type") == "function_call_output":  # an item of the Responses API
        return True
    if last.get("role") in ("tool", "function"):
        return True
    content = last.get("content")
    return isinstance(content, list | tuple) and any(
        isinstance(part, Mapping) and part.get("type") == "tool_result" for part in content
    )


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    with unpacked(path) as (file, _):
        yield file


def _row(line: bytes, number: int) -> RequestRow:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as error:  # bad UTF-8 is a ValueError too
        return unreadable_row(
            str(number), f"line {number} must be a JSON object: {tell_json_fault(error)}"
        )
    return request_row(content, number)


def check_tokens(tokens: int) -> int:
    """Return a caller's count of tokens.

    Raises
    ------
    RequestError
        If it is none.
    """
    count = read_count(tokens)  # a gateway may pass on what a client sent
    if count is None:
        raise RequestError("tokens", tokens, rule="be 0 or more, and fit into 64 bits")
    return count
