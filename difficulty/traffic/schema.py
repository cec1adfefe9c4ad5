"""From a raw row to a checked :class:`~difficulty.records.Sample`, by the traffic contract of
``docs/traffic.md``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields as record_fields
from typing import Any, NamedTuple

from difficulty.errors import InvalidValueError
from difficulty.records import Message, Sample
from difficulty.text import message_text
from difficulty.traffic.values import (
    choice,
    count,
    flag,
    moment,
    number,
    quality,
    text,
    well_formed,
)

FIELDS = frozenset({field.name for field in record_fields(Sample)} - {"extra"})
"""Columns this package knows, beside ``prompt``."""


class ParsedRow(NamedTuple):
    """A sample, and what had to be done to get it."""

    sample: Sample
    generated_id: bool
    """Whether the row had no id of its own."""
    repaired: int
    """Messages in which a lone surrogate became U+FFFD."""


def parse_row(row: Mapping[str, Any], *, default_id: str) -> ParsedRow:
    """Check one raw row.

    Parameters
    ----------
    row : mapping of str to object
        Column to value, as a reader gives it: JSON values, or strings from CSV.
    default_id : str
        Id of a row that has none.

    Returns
    -------
    ParsedRow
        Its ``sample.extra`` holds the columns that are not in the contract.

    Raises
    ------
    InvalidValueError
        If the row breaks a rule of the contract.
    """
    own_id = text(row.get("id"), "id")
    messages, taken = _messages(row)
    whole = tuple(
        Message(well_formed(message.role), well_formed(message.content)) for message in messages
    )
    weight = number(row.get("weight"), "weight", rule="be a finite number above 0")
    sample = Sample(
        id=own_id or default_id,
        messages=whole,
        timestamp=moment(row.get("timestamp"), "timestamp"),
        cheap_quality=quality(row.get("cheap_quality"), "cheap_quality"),
        frontier_quality=quality(row.get("frontier_quality"), "frontier_quality"),
        cheap_passed=flag(row.get("cheap_passed"), "cheap_passed"),
        preference=choice(row.get("preference")),
        route=choice(row.get("route")),
        propensity=number(
            row.get("propensity"),
            "propensity",
            rule="be in (0, 1] or null: the probability of the route taken",
        ),
        weight=1.0 if weight is None else weight,
        extra={name: value for name, value in row.items() if name not in FIELDS and name != taken},
        **{
            name: text(row.get(name), name)
            for name in ("task", "group", "cheap_model", "frontier_model")
        },  # type: ignore[arg-type]
        **{
            name: count(row.get(name), name)
            for name in ("prompt_tokens", "cheap_tokens", "frontier_tokens")
        },  # type: ignore[arg-type]
    )
    return ParsedRow(
        sample, own_id is None, sum(old != new for old, new in zip(messages, whole, strict=True))
    )


def broken_rule(reason: str) -> str:
    """Return the rule without the value that broke it, so that reasons can be counted."""
    return reason.partition(": got ")[0]


def _messages(row: Mapping[str, Any]) -> tuple[list[Message], str]:
    """Return the messages of a row and the column they were taken from."""
    given = row.get("messages")
    if given is None or given == "":
        return _prompt(row.get("prompt")), "prompt"
    if isinstance(given, str):
        given = _from_json(given)
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        raise InvalidValueError("messages", _short(given), rule=_LIST_RULE)
    return [_message(message) for message in given], "messages"


_LIST_RULE = "be a list of {role, content}, or that list as JSON text"


def _prompt(prompt: Any) -> list[Message]:
    if isinstance(prompt, str):
        return [Message("user", prompt)]
    hint = (
        "Name the column of the request 'messages' or 'prompt'."
        if prompt is None
        else "A list of messages belongs in 'messages'."
    )
    raise InvalidValueError(
        "messages or prompt", _short(prompt), rule="be given, prompt as a string", hint=hint
    )


def _from_json(given: str) -> Any:
    try:
        return json.loads(given)
    except (ValueError, RecursionError) as error:
        raise InvalidValueError(
            "messages", _short(given), rule=_LIST_RULE, hint="Plain text belongs in 'prompt'."
        ) from error


def _message(raw: Any) -> Message:
    if not isinstance(raw, Mapping):
        raise InvalidValueError("a message", _short(raw), rule="be an object with role and content")
    role = raw.get("role")
    if not isinstance(role, str) or not role:
        raise InvalidValueError(
            "the role of a message", _short(role), rule="be a string such as 'user'"
        )
    return Message(role, message_text(raw))


def _short(value: Any) -> Any:
    return value[:80] if isinstance(value, str) else value
