"""From a raw row to a checked :class:`~difficulty.records.Sample`, by the traffic contract of
``docs/traffic.md``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields as record_fields
from datetime import UTC, date, datetime, time
from decimal import Decimal
from numbers import Real
from typing import Any, NamedTuple

from difficulty.conversation import as_chat
from difficulty.errors import InvalidValueError
from difficulty.records import ANSWERS, COSTS, TOKEN_COUNTS, Message, Sample
from difficulty.text import message_text, well_formed
from difficulty.traffic.reading.python_text import python_value, texts_of_list
from difficulty.views.marks import marks_of

# As CSV files spell them.
_FLAGS = {"true": True, "false": False, "1": True, "0": False}
_LARGEST_COUNT = 2**53  # largest integer that floats, and so arrays with NaN, hold exactly
_MOST_TOKENS = 100_000_000
_EPOCH = (5e8, 5e9)  # seconds: from 1985 to 2128
_USD_RULE = "be a finite number of USD, 0 or more, or null"
_SCALE_RULE = "be two different numbers, the worst score and the best"
_TOOLS_RULE = "be a list of tools as in a request's body, or that list as JSON text"
_SPEAKERS = {"human": "user", "gpt": "assistant"}
_LIST_RULE = "be a list of {role, content}, or that list as JSON text"


def says_something(value: Any) -> bool:
    """Return whether a raw value says anything: neither null nor empty."""
    return value is not None and value != ""


def text(value: Any, subject: str) -> str | None:
    """Return a string; whole numbers are accepted, since ids often are."""
    # True is an int too, and no id.
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None or isinstance(value, str):
        return well_formed(value) if value else None
    raise InvalidValueError(subject, value, rule="be a string or null")


def answer(value: Any, subject: str) -> str | None:
    """Return an answer as text: an assistant message becomes JSON. An empty one was given, only
    null is unknown. A list of one message, as logs of choices have it, is that message.
    """
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], Mapping):
        message = value[0]
        content = message.get("content")
        only_text = isinstance(content, str) and not message.keys() - {"role", "content"}
        value = content if only_text else message
    if isinstance(value, Mapping):
        value = _to_json(value, subject, rule="be a string, an assistant message or null")
    if value is None or isinstance(value, str):
        return well_formed(value) if value else value
    raise InvalidValueError(subject, _kind(value), rule="be a string, an assistant message or null")


def offered_tools(value: Any, subject: str) -> tuple[Mapping[str, Any], ...] | None:
    """Return the tools that a request offered; none are ``None``."""
    if isinstance(value, str) and value:
        value = _from_json(value, subject, rule=_TOOLS_RULE, hint="")
    if not says_something(value):
        return None
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        if all(isinstance(tool, Mapping) for tool in value):
            # By way of JSON, so that what is kept can be written and read again.
            text = well_formed(_to_json(list(value), subject, rule=_TOOLS_RULE))
            return tuple(json.loads(text)) or None
    raise InvalidValueError(subject, _kind(value), rule=_TOOLS_RULE)


def number(value: Any, subject: str, *, rule: str) -> float | None:
    """Return a float that is not NaN; ``rule`` is what the error says of the field."""
    if value is None or value == "":
        return None
    real = as_float(value)
    if real is None:
        raise InvalidValueError(subject, value, rule=rule)
    if math.isnan(real):
        raise InvalidValueError(subject, value, rule=rule, hint="Write null where it is unknown.")
    return real


def quality(value: Any, subject: str) -> float | None:
    """Return a quality in [0, 1]; a boolean verdict is 1 or 0."""
    rule = "be in [0, 1] or null"
    spelled = _FLAGS.get(value.strip().lower()) if isinstance(value, str) else value
    # A verdict, such as exact match.
    if isinstance(spelled, bool):
        return float(spelled)
    score = number(value, subject, rule=rule)
    if score is not None and not 0.0 <= score <= 1.0:
        raise InvalidValueError(subject, value, rule=rule, hint="Scale the scores to [0, 1].")
    return score


class Scale(NamedTuple):
    """A scale of scores; the worst one may be the larger number."""

    worst: float
    best: float

    @classmethod
    def parse(cls, written: str, *, example: str) -> Scale:
        """Return the scale written as ``worst,best``; ``example`` is what the error shows."""
        worst, _, best = written.partition(",")
        ends = [number(end.strip(), "scale", rule=_SCALE_RULE) for end in (worst, best)]
        if ends[0] is None or ends[1] is None:
            hint = f"Write for example: {example}."
            raise InvalidValueError("scale", written, rule=_SCALE_RULE, hint=hint)
        return cls.of((ends[0], ends[1]), example=example)

    @classmethod
    def of(cls, ends: tuple[float, float] | None, *, example: str) -> Scale:
        """Return the scale between two ends, which must be given and differ."""
        if ends is None or ends[0] == ends[1] or not all(map(math.isfinite, ends)):
            hint = f"Write for example: {example}."
            raise InvalidValueError("scale", ends, rule=_SCALE_RULE, hint=hint)
        return cls(*ends)

    def to_unit(self, value: Any, subject: str) -> float:
        """Return a score in [0, 1]."""
        low, high = sorted(self)
        rule = f"be on the scale from {self.worst:g} to {self.best:g}, or null"
        score = number(value, subject, rule=rule)
        if score is None or not low <= score <= high:
            hint = "Leave out what is no score, or give another scale."
            raise InvalidValueError(subject, value, rule=rule, hint=hint)
        return (score - self.worst) / (self.best - self.worst)


def count(value: Any, subject: str) -> int | None:
    """Return a whole number of tokens."""
    rule = "be a whole number, 0 or more, or null"
    tokens = number(value, subject, rule=rule)
    if tokens is None:
        return None
    if not (0 <= tokens <= _LARGEST_COUNT and tokens == int(tokens)):
        raise InvalidValueError(subject, value, rule=rule)
    return int(tokens)


def is_odd_count(value: Any) -> bool:
    """Return whether a value is no number of tokens: below 0, more than any model reads, a fraction
    or a word.
    """
    tokens = as_float(value)
    if tokens is None:
        return says_something(value)
    return not (0 <= tokens <= _MOST_TOKENS and tokens == int(tokens))


def flag(value: Any, subject: str) -> bool | None:
    """Return a boolean; ``true``, ``false``, ``1`` and ``0`` in any case."""
    if value is None or value == "" or isinstance(value, bool):
        return None if value == "" else value
    # 1.0: a column of booleans with gaps, as pandas writes it.
    verdict = _FLAGS.get(str(value).strip().lower().removesuffix(".0"))
    if verdict is None:
        raise InvalidValueError(subject, value, rule="be true, false or null")
    return verdict


def choice(value: Any) -> Any:
    """Return a word in lower case; whether it is one of the known ones is for the record to say."""
    return (value.strip().lower() or None) if isinstance(value, str) else value


def moment(value: Any, subject: str) -> datetime | None:
    """Return a time with a zone; one without is taken as UTC."""
    if value is None or value == "":
        return None
    try:
        time = _as_datetime(value)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        rule, hint = "be ISO 8601 or null", "Write it as '2026-01-31T12:00:00Z'."
        raise InvalidValueError(subject, value, rule=rule, hint=hint) from error


def _as_datetime(value: Any) -> datetime:
    # Seconds, or thousandths, since 1970; of any other number nobody knows what it counts.
    seconds = None if isinstance(value, bool) else as_float(value)
    if seconds is not None and _EPOCH[0] <= seconds < _EPOCH[1] * 1000:
        seconds = seconds if seconds < _EPOCH[1] else seconds / 1000
        if seconds >= _EPOCH[0]:
            return datetime.fromtimestamp(seconds, UTC)
    if isinstance(value, datetime):
        return value
    # A day alone is its first moment. Asked after datetime, which is a date too.
    if isinstance(value, date):
        return datetime.combine(value, time())
    if not isinstance(value, str):
        raise ValueError("not a time")
    return datetime.fromisoformat(value.strip())


def as_float(value: Any) -> float | None:
    """Return a number, also one that is spelt as text; ``None`` for anything else."""
    # Nearly all: asking what a number is takes long.
    if value is None or type(value) is float:
        return value
    if type(value) is int and -_LARGEST_COUNT < value < _LARGEST_COUNT:
        return float(value)
    if not (isinstance(value, str | Decimal) or _is_real(value)):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _is_real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


FIELDS = frozenset({field.name for field in record_fields(Sample)} - {"extra"})
"""Columns this package knows, beside ``prompt``."""
_NAMES = ("task", "group", "cheap_model", "frontier_model", "measured_by")


class ParsedRow(NamedTuple):
    """A sample, and what had to be done to get it."""

    sample: Sample
    generated_id: bool
    """Whether the row had no id of its own."""
    repaired: int
    """Messages in which a lone surrogate became U+FFFD."""
    odd_counts: int = 0
    """Token counts that no request has; they are taken as unknown."""


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
    """
    own_id = text(row.get("id"), "id")
    messages, messages_column = _messages(row)
    # Repaired here, so that everything behind sees text that a file can hold.
    whole = tuple(
        Message(well_formed(message.role), well_formed(message.content), message.marks)
        for message in messages
    )
    weight = number(row.get("weight"), "weight", rule="be a finite number above 0")
    contract = FIELDS | {messages_column}
    # A slip of a counter takes no label away; what was counted stays beside the outcomes.
    odd = {
        name: value
        for name in TOKEN_COUNTS
        if (value := row.get(name)) is not None and is_odd_count(value)
    }
    # What a row does not say costs no check: of twenty columns most say nothing.
    names, answers, costs = (
        [name for name in group if row.get(name) is not None] for group in (_NAMES, ANSWERS, COSTS)
    )
    counts = [name for name in TOKEN_COUNTS if row.get(name) is not None and name not in odd]
    sample = Sample(
        id=own_id or default_id,
        messages=whole,
        timestamp=moment(row.get("timestamp"), "timestamp"),
        cheap_quality=quality(row.get("cheap_quality"), "cheap_quality"),
        frontier_quality=quality(row.get("frontier_quality"), "frontier_quality"),
        cheap_passed=flag(row.get("cheap_passed"), "cheap_passed"),
        preference=choice(row.get("preference")),
        route=choice(row.get("route")),
        tools=offered_tools(row.get("tools"), "tools"),
        propensity=number(
            row.get("propensity"),
            "propensity",
            rule="be in (0, 1] or null: the probability of the route taken",
        ),
        inclusion=number(
            row.get("inclusion"),
            "inclusion",
            rule="be in (0, 1] or null: the probability with which the request was chosen",
        ),
        weight=1.0 if weight is None else weight,
        extra={name: value for name, value in row.items() if name not in contract}
        | {f"{name} (odd)": value for name, value in odd.items()},
        **{name: text(row[name], name) for name in names},  # type: ignore[arg-type]
        **{name: answer(row[name], name) for name in answers},  # type: ignore[arg-type]
        **{name: count(row[name], name) for name in counts},  # type: ignore[arg-type]
        **{name: number(row[name], name, rule=_USD_RULE) for name in costs},  # type: ignore[arg-type]
    )
    repaired = sum(old != new for old, new in zip(messages, whole, strict=True))
    return ParsedRow(sample, generated_id=own_id is None, repaired=repaired, odd_counts=len(odd))


def broken_rule(reason: str) -> str:
    """Return the rule without the value that broke it, so that reasons can be counted."""
    return reason.partition(": got ")[0]


def _messages(row: Mapping[str, Any]) -> tuple[list[Message], str]:
    """Return the messages of a row and the column they were taken from."""
    messages = row.get("messages")
    if messages is None or messages == "":
        return _prompt(row.get("prompt")), "prompt"
    # Calls and results of any API are read, as a router reads them.
    return [_message(message) for message in as_chat(message_list(messages))], "messages"


def message_list(messages: Any) -> Sequence[Mapping[str, Any]]:
    """Return messages as a list of objects with a role: a list in JSON files, in CSV the same as
    text, of JSON or as Python writes it; and ``{"from": "human", "value": ...}``.
    """
    if isinstance(messages, str):
        try:
            messages = json.loads(messages)
        except (ValueError, RecursionError) as error:
            try:
                messages = python_value(messages)
            except ValueError:
                hint = "Plain text belongs in 'prompt'."
                raise InvalidValueError(
                    "messages", _short(messages), rule=_LIST_RULE, hint=hint
                ) from error
    if not isinstance(messages, Sequence) or isinstance(messages, str | bytes):
        raise InvalidValueError("messages", _short(messages), rule=_LIST_RULE)
    return [_with_role(message) for message in messages]


def _with_role(raw: Any) -> Mapping[str, Any]:
    if type(raw) is not dict and not isinstance(raw, Mapping):
        raise InvalidValueError("a message", _short(raw), rule="be an object with role and content")
    if "role" not in raw and isinstance(raw.get("from"), str) and "value" in raw:
        return {"role": _SPEAKERS.get(raw["from"], raw["from"]), "content": raw["value"]}
    return raw


def _prompt(prompt: Any) -> list[Message]:
    if isinstance(prompt, str):
        # Of several turns each is a message.
        return [Message("user", text) for text in texts_of_list(prompt) or [prompt]]
    hint = (
        "Name the column of the request 'messages' or 'prompt'."
        if prompt is None
        else "A list of messages belongs in 'messages'."
    )
    raise InvalidValueError(
        "messages or prompt", _short(prompt), rule="be given, prompt as a string", hint=hint
    )


def _from_json(cell: str, subject: str, *, rule: str, hint: str) -> Any:
    try:
        return json.loads(cell)
    except (ValueError, RecursionError) as error:
        raise InvalidValueError(subject, _short(cell), rule=rule, hint=hint) from error


def _to_json(value: Any, subject: str, *, rule: str) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=str)
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidValueError(subject, _kind(value), rule=rule) from error


def _kind(value: Any) -> str:
    # An answer, or what a tool is told, is never shown.
    return f"an object of type {type(value).__name__}"


def _message(raw: Mapping[str, Any]) -> Message:
    role = raw.get("role")
    if not isinstance(role, str) or not role:
        raise InvalidValueError(
            "the role of a message", _short(role), rule="be a string such as 'user'"
        )
    return Message(role, message_text(raw), marks_of(raw))


def _short(value: Any) -> Any:
    # An error shows the beginning of a request, never all of a user's text.
    return value[:80] if isinstance(value, str) else value
