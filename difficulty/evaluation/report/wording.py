"""Words that several sections share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from difficulty.evaluation.numbers import as_text
from difficulty.evaluation.result import Estimates

ROUTES: Final = {
    "score": "the score alone, no rules",
    "random": "at random",
    "length": "longest requests first",
    "task_mean": "by the mean gain of the task",
    "without_task": "this score, task not told",
    "always_cheap": "everything to the cheap model",
    "always_frontier": "everything to the frontier model",
    "oracle": "oracle: knows every outcome",
}
_STYLES: Final = ("score", "random", "length", "task_mean", "without_task", "oracle")


def route_name(baseline: str) -> str:
    """Return how a baseline routes, in words."""
    return ROUTES.get(baseline, baseline.replace("_", " "))


def line_style(baseline: str) -> str:
    """Return the CSS class of a baseline's line."""
    return f"line {baseline}" if baseline in _STYLES else "line other"


def threshold_text(threshold: float) -> str:
    """Return a threshold with the digits that the command line shows."""
    return f"{threshold:.6g}"


def cells_of(estimates: Estimates, names: Sequence[str]) -> tuple[str, ...]:
    """Return a cell for each figure; a dash where it does not apply."""
    return tuple(as_text(estimates[name]) if name in estimates else "\u2013" for name in names)
