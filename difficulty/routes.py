"""What a recipe and a bundle both say of the rule: routes, tasks, checks of answers.

In a module of its own, because routers need no other record.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from difficulty.errors import FieldError
from difficulty.form import Form, non_empty

Route = Literal["cheap", "frontier"]


@dataclass(frozen=True, kw_only=True)
class ValidatorRule(Form):
    """One check of the cheap model's answers; see :mod:`difficulty.gateway.validators`."""

    check: Annotated[str, non_empty]
    """Name of a validator: ``json``, ``json_schema``, ``tool_call``, ``regex``, ``non_empty``,
    ``refusal`` or ``python``."""
    tasks: tuple[str, ...] = ()
    """Tasks whose answers are checked; empty for every request, also those without a task."""
    options: dict[str, Any] = field(default_factory=dict)
    """The validator's own options."""


def check_tasks(easy: Iterable[str], hard: Iterable[str]) -> None:
    """Refuse a task that is both easy and hard.

    Raises
    ------
    FieldError
        If there is one.
    """
    both = sorted({*easy} & {*hard})
    if both:
        raise FieldError(
            f"must say of a task that it is easy or hard, not both: got {', '.join(both)}"
        )


def did_you_mean(task: str, known: Iterable[str]) -> str:
    """Return which known task is near, as a question in brackets; nothing where none is."""
    near = get_close_matches(task, sorted(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
