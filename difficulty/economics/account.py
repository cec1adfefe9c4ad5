"""The outcome of the economics, as ``economics.json`` holds it.

Format 1 is the only one so far; raise ``FORMAT`` when a name changes its meaning.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from difficulty.economics.prices import Shape
from difficulty.form import Record
from difficulty.records import Estimate

FORMAT = 1
_WRITTEN_AS = {"share": "asked_share"}
State = Literal["holds", "does not hold", "unknown"]
Answer = Literal["build", "wait", "unsure"]


@dataclass(frozen=True, slots=True)
class Condition(Record):
    """A condition under which routing does not pay."""

    name: str
    state: State
    text: str
    """What was found, with its numbers."""


@dataclass(frozen=True, slots=True)
class PayVerdict(Record):
    """The answer, and why."""

    answer: Answer
    shape: Shape | None
    """The way to host that saves most of those that are allowed."""
    text: str


@dataclass(frozen=True, slots=True)
class SavingCurve(Record):
    """Saving a month by requests a month, in USD, each of shape (n_volumes,); ``None`` throughout
    where it is unknown.
    """

    value: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class BreakEvenPlot(Record):
    """The break-even plot: ascending requests a month, and a curve for each way to host."""

    volumes: tuple[float, ...]
    curves: Mapping[Shape, SavingCurve]
    measure: Literal["net_saving", "saving"]
    """``saving`` is without the cost to keep it, where that is not known."""


@dataclass(frozen=True, kw_only=True)
class Economics(Record):
    """Whether routing pays, with every figure behind it, in the order of ``economics.json``."""

    verdict: PayVerdict
    share: float
    """Share of the requests that the plan ``share`` keeps on the cheap model."""
    prices_date: date
    overall: Mapping[str, Estimate]
    """Figures of the traffic as it is today."""
    plans: Mapping[str, Mapping[str, Estimate]]
    """``share``: the simplest requests are kept; ``policy``, with a bundle: its rule. Names that
    begin with a way to host are its figures.
    """
    barred: Mapping[Shape, str]
    """Ways to host that an answer excludes, and why."""
    conditions: tuple[Condition, ...]
    assumed: Mapping[str, str]
    """Sentences by the names that notes use."""
    missing: Mapping[str, str]
    """The same of what is missing."""
    notes: tuple[str, ...]
    plot: BreakEvenPlot

    def as_dict(self, *, without: Container[str] = ()) -> dict[str, Any]:
        """Return exactly what ``economics.json`` holds: plans stand beside ``overall``."""
        written: dict[str, Any] = {"format": FORMAT}
        for name, value in super().as_dict(without=without).items():
            written |= value if name == "plans" else {_WRITTEN_AS.get(name, name): value}
        return written
