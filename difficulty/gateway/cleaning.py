"""What a log can hold: numbers of 64 bits, finite ones, and texts that are UTF-8.

Clients, models and callers' own objects send other things too. One such value becomes null, the
event's ``notes`` say which, and no other event suffers from it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any

from difficulty.events import Call, Check, DecisionEvent
from difficulty.request import LARGEST_COUNT
from difficulty.text import well_formed

LONGEST_NAME = 200
"""Characters of a task or an id."""
_MOST_PARTS = 100_000  # objects, keys and values of the messages of one event
_DEEPEST = 100
# What stands for an event, and so is mended where it can be, never left out.
_NEEDED = {"id", "bundle_version", "reason", "model", "name", "detail"}


class NotHeldError(ValueError):
    """A value that no log holds; says why, without the value."""


def clean(event: DecisionEvent) -> DecisionEvent:
    """Return an event that any sink can write; most are returned as they are."""
    notes: list[str] = []
    calls = tuple(_clean_call(call, notes) for call in event.calls)
    changes: dict[str, Any] = _changes_of(event, notes)
    if any(new is not old for new, old in zip(calls, event.calls, strict=True)):
        changes["calls"] = calls
    if event.messages is not None:
        try:
            changes["messages"] = tuple(plain(event.messages, notes))
        except NotHeldError as error:
            changes["messages"] = None
            notes.append(f"messages: {error}")
    if event.tools is not None:
        of_tools: list[str] = []
        try:
            changes["tools"] = tuple(plain(event.tools, of_tools))
        except NotHeldError as error:
            changes["tools"] = None
            of_tools.append(f"messages: {error}")
        notes += [note.replace("messages:", "tools:", 1) for note in of_tools]
    if notes:
        changes["notes"] = (*event.notes, *dict.fromkeys(notes))
    return replace(event, **changes) if changes else event


def _clean_call(call: Call, notes: list[str]) -> Call:
    changes: dict[str, Any] = _changes_of(call, notes)
    checks = tuple(_clean_check(check, notes) for check in call.checks)
    if any(new is not old for new, old in zip(checks, call.checks, strict=True)):
        changes["checks"] = checks
    return replace(call, **changes) if changes else call


def _clean_check(check: Check, notes: list[str]) -> Check:
    changes = _changes_of(check, notes)
    return replace(check, **changes) if changes else check


def _changes_of(record: DecisionEvent | Call | Check, notes: list[str]) -> dict[str, Any]:
    """Return what the plain fields of a record become, where that is another value."""
    changes: dict[str, Any] = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if field.name == "answer":  # a text of any length
            if value is not None and well_formed(value) != value:
                changes["answer"] = well_formed(value)
            continue
        problem = find_problem(value)
        if problem is None:
            continue
        notes.append(f"{field.name}: {problem}")
        is_needed = isinstance(value, str) and field.name in _NEEDED
        changes[field.name] = well_formed(value)[:LONGEST_NAME] if is_needed else None
    return changes


def find_problem(value: object) -> str | None:
    """Return why a log cannot hold a plain value; ``None`` where it can."""
    if isinstance(value, str):
        if len(value) > LONGEST_NAME:
            return f"longer than {LONGEST_NAME} characters"
        return None if well_formed(value) == value else "not valid text"
    if isinstance(value, int):
        return None if -LARGEST_COUNT <= value <= LARGEST_COUNT else "beyond 64 bits"
    if isinstance(value, float) and not math.isfinite(value):
        return "not finite"
    return None


def plain(value: object, notes: list[str]) -> Any:
    """Return a value in what JSON has words for; what it has none for becomes null, with a note.

    Raises
    ------
    NotHeldError
        If it is too deep, or has too many parts when written out: objects that stand in several
        places count wherever they stand.
    """
    return _Plain(notes).of(value, 0)


class _Plain:
    """One walk through a value, with the parts that it has left."""

    def __init__(self, notes: list[str]) -> None:
        self._notes = notes
        self._left = _MOST_PARTS

    def of(self, value: object, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise NotHeldError(f"more than {_MOST_PARTS:,} parts")
        if depth > _DEEPEST:
            raise NotHeldError(f"nested more than {_DEEPEST} levels deep")
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return well_formed(value)  # as the scorer read it
        if isinstance(value, int | float):
            problem = find_problem(value)
            if problem:
                self._notes.append(f"messages: a number {problem}")
            return None if problem else value
        try:
            return self._whole(value, depth)
        except NotHeldError:
            raise
        except Exception as error:  # of a class of the caller's
            self._notes.append(f"messages: an object that cannot be read ({type(error).__name__})")
            return None

    def _whole(self, value: object, depth: int) -> Any:
        if isinstance(value, Mapping):
            return {well_formed(str(key)): self.of(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return self._items(value, depth)
        return well_formed(str(value))

    def _items(self, values: Iterable[object], depth: int) -> list[Any]:
        return [self.of(item, depth + 1) for item in values]
