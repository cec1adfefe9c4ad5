"""One raw value to one checked value: numbers, counts, flags, choices and times as files spell
them.

``None`` and an empty string are unknown and stay ``None``. Numbers and booleans may come as text,
as in CSV. NaN is refused: it is as often a failed computation as a missing value, and only null
says which.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from numbers import Real
from typing import Any

from difficulty.errors import InvalidValueError

_FLAGS = {"true": True, "false": False, "1": True, "0": False}
_LARGEST_COUNT = 2**53  # largest integer that floats, and so arrays with NaN, hold exactly
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def well_formed(value: str) -> str:
    """Return ``value`` with lone surrogates as U+FFFD: no file can hold them."""
    return value if value.isascii() else _LONE_SURROGATE.sub("\ufffd", value)


def text(value: Any, subject: str) -> str | None:
    """Return a string; whole numbers are accepted, since ids often are."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None or isinstance(value, str):
        return well_formed(value) if value else None
    raise InvalidValueError(subject, value, rule="be a string or null")


def number(value: Any, subject: str, *, rule: str) -> float | None:
    """Return a float that is not NaN; ``rule`` is what the error says of the field."""
    if value is None or value == "":
        return None
    found = _as_float(value)
    if found is None:
        raise InvalidValueError(subject, value, rule=rule)
    if math.isnan(found):
        raise InvalidValueError(subject, value, rule=rule, hint="Write null where it is unknown.")
    return found


def quality(value: Any, subject: str) -> float | None:
    """Return a quality in [0, 1]; a boolean verdict is 1 or 0."""
    rule = "be in [0, 1] or null"
    spelled = _FLAGS.get(value.strip().lower()) if isinstance(value, str) else value
    if isinstance(spelled, bool):
        return float(spelled)
    found = number(value, subject, rule=rule)
    if found is not None and not 0.0 <= found <= 1.0:
        raise InvalidValueError(subject, value, rule=rule, hint="Scale the scores to [0, 1].")
    return found


def count(value: Any, subject: str) -> int | None:
    """Return a whole number of tokens."""
    rule = "be a whole number, 0 or more, or null"
    found = number(value, subject, rule=rule)
    if found is None:
        return None
    if not (0 <= found <= _LARGEST_COUNT and found == int(found)):
        raise InvalidValueError(subject, value, rule=rule)
    return int(found)


def flag(value: Any, subject: str) -> bool | None:
    """Return a boolean; ``true``, ``false``, ``1`` and ``0`` in any case."""
    if value is None or value == "" or isinstance(value, bool):
        return None if value == "" else value
    known = _FLAGS.get(
        str(value).strip().lower().removesuffix(".0")
    )  # 1.0: a column of booleans with gaps, as pandas writes it
    if known is None:
        raise InvalidValueError(subject, value, rule="be true, false or null")
    return known


def choice(value: Any) -> Any:
    """Return a word in lower case; whether it is one of the known ones is for the record to say."""
    return (value.strip().lower() or None) if isinstance(value, str) else value


def moment(value: Any, subject: str) -> datetime | None:
    """Return a time with a zone; one without is taken as UTC."""
    if value is None or value == "":
        return None
    try:
        found = _as_datetime(value)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        rule = "be ISO 8601 or null"
        raise InvalidValueError(
            subject, value, rule=rule, hint="Write it as '2026-01-31T12:00:00Z'."
        ) from error


def _as_datetime(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime.combine(value, time())
    if not isinstance(value, str):
        raise ValueError("not a time")
    return datetime.fromisoformat(value.strip())


def _as_float(value: Any) -> float | None:
    if not (isinstance(value, str | Decimal) or _is_real(value)):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _is_real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
