"""What a client says of its own request, as far as it may: each of these moves a decision."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal, NamedTuple

from difficulty.gateway.cleaning import find_problem
from difficulty.request import read_count

ClientField = Literal["task", "prompt_tokens", "id"]
_MOST_DIGITS = 19


class Said(NamedTuple):
    """What a client said and is believed."""

    task: str | None = None
    tokens: int | None = None
    id: str | None = None
    notes: tuple[str, ...] = ()
    """What it said and is no such value, and why."""


def read_said(form: Mapping[str, Any], *, allowed: Collection[ClientField]) -> Said:
    """Read ``task``, ``prompt_tokens`` and ``id`` of a client's form; what it may not say, and what
    was not said, is ``None``.
    """
    notes: list[str] = []
    task = _read_text("task", form.get("task"), notes) if "task" in allowed else None
    name = _read_text("id", form.get("id"), notes) if "id" in allowed else None
    tokens = _read_tokens(form.get("prompt_tokens"), notes) if "prompt_tokens" in allowed else None
    return Said(task, tokens, name, tuple(notes))


def _read_text(name: str, value: object, notes: list[str]) -> str | None:
    if not isinstance(value, str) or not value:
        return None
    problem = find_problem(value)
    if problem:
        notes.append(f"{name}: {problem}")
    return None if problem else value


def _read_tokens(value: object, notes: list[str]) -> int | None:
    if value is None:
        return None
    if isinstance(value, str) and value.isdecimal() and len(value) <= _MOST_DIGITS:
        value = int(value)  # as clients' metadata often are
    count = read_count(value)
    if count is None:
        notes.append("tokens: no count that 64 bits hold")
    return count
