"""What a recipe and a bundle both say of the rule: routes, tasks, checks of answers.

In a module of its own, because routers need no other record.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Annotated, Any, Literal, NamedTuple

from difficulty.errors import FieldError
from difficulty.form import Form, Share, above, finite, non_empty

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


@dataclass(frozen=True, kw_only=True)
class Stick(Form):
    """That a session keeps its model unless the score crosses the threshold by a margin; see
    :mod:`difficulty.runtime.sticking`.

    A margin of 1 is never crossed: the session stays on the model of its first step.
    """

    within: Literal["loop", "session"] = "session"
    """``loop``: only where the request goes on after a tool's result; ``session``: in each further
    request of a session.
    """
    margin: Share = 0.05
    """A session on the cheap model goes to the frontier one when ``score > threshold + margin``."""
    margin_back: Share | None = None
    """One on the frontier model goes back when ``score <= threshold - margin_back``; ``None``: as
    ``margin``.
    """
    cold_after_minutes: Annotated[float, finite, above(0)] | None = 5.0
    """Minutes after which a provider's prompt cache is taken to be cold, and nothing is held;
    ``None``: never. Providers keep prompts for five minutes to an hour.
    """

    @property
    def back(self) -> float:
        """The margin on the way back to the cheap model."""
        return self.margin if self.margin_back is None else self.margin_back


class Held(NamedTuple):
    """What is known of the session that a request goes on with."""

    route: Route
    """The route of its last step."""
    in_loop: bool = False
    """Whether this request goes on after a tool's result."""
    cached_tokens: int | None = None
    """Tokens of the prompt that the model of that route would read from its provider's cache;
    ``None``: not known.
    """
    idle_s: float | None = None
    """Seconds since that step; ``None``: not known, and taken to be few."""
    switch_cost_usd: float | None = None
    """What the other model's cold cache would cost; ``None``: not known."""


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
