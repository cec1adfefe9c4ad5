"""What a threshold was asked for, against what it does on requests that did not choose it: kept,
missed, and whether chance alone explains by how much.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, Self

from difficulty.evaluation.words import as_percent, complement, usd, why_no_range
from difficulty.form import Record
from difficulty.records import Estimate

AimState = Literal["kept", "missed_by_chance", "missed", "unknown"]
_ABSENT = Estimate(value=None, note="it was not evaluated")


class _Wanted(NamedTuple):
    """The figure that an objective is about."""

    figure: str
    words: str
    at_least: bool = False


_WANTED: Final[Mapping[str, _Wanted]] = {
    "share": _Wanted("frontier_share", "sent to the frontier"),
    "cost": _Wanted("cost", "USD per 1,000 requests"),
    "quality": _Wanted("gap_recovered", "quality gain kept", at_least=True),
    "mean_quality": _Wanted("quality", "quality", at_least=True),
    "risk": _Wanted("risk", "risk"),
    "missed": _Wanted("cheap_route_precision", "kept requests that needed the frontier"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim(Record):
    """An objective and what became of it."""

    objective: str
    """As the user wrote it: ``share=0.3``."""
    asked: float
    measured: Estimate
    """On the judged requests."""
    beyond: float | None
    """By how much ``measured`` is on the wrong side of ``asked``, below 0 where it is on the right
    one; ``None``: not known.
    """
    state: AimState
    """``missed_by_chance``: what was measured here and where the threshold was chosen may differ by
    as much by chance alone.
    """

    @property
    def text(self) -> str:
        """Say in a sentence whether it is kept."""
        wanted = _WANTED[self.objective.partition("=")[0]]
        money = wanted.figure == "cost"
        measured = usd(self.measured) if money else as_percent(self.measured)
        if self.beyond is None:
            return (
                f"Aim {self.objective}: whether it is kept here is not known"
                f" ({self.measured.note})."
            )
        said = f"{wanted.words} {measured}"
        if self.state == "kept":
            return f"Aim {self.objective} is kept here: {said}."
        by = usd(self.beyond) if money else f"{100.0 * self.beyond:.1f} points"
        if self.state == "missed":
            chance = "more than chance explains"
        elif self.measured.low is None or self.measured.high is None:
            chance = f"by chance or not: there is no range ({why_no_range(self.measured)})"
        else:
            chance = "which chance may explain"
        return f"Aim {self.objective} is missed here by {by}, {chance}: {said}."

    @classmethod
    def of(
        cls,
        objective: str,
        overall: Mapping[str, Estimate],
        expected: Mapping[str, Estimate],
        *,
        target: str,
    ) -> Self | None:
        """Return what became of an objective; ``None`` of one that names no figure to reach.

        Parameters
        ----------
        objective : str
            As the user wrote it; options and what is said of tasks may follow.
        overall : mapping of str to Estimate
            Figures of the judged requests.
        expected : mapping of str to Estimate
            Those of the requests that the threshold was chosen on, as far as they are known.
        target : {"benefit", "failure"}
            What the score was trained for.
        """
        first = objective.partition(",")[0].partition(" ")[0]
        name, _, number = first.partition("=")
        wanted = _WANTED.get(name)
        # By target "failure" a request "needed" it where the cheap model failed.
        if wanted is None or (name == "missed" and target != "benefit"):
            return None
        try:
            asked = float(number)
        except ValueError:
            return None
        measured, chosen = (figures.get(wanted.figure, _ABSENT) for figures in (overall, expected))
        if name == "missed" and measured.value is not None:
            measured, chosen = complement(measured), _ABSENT
        beyond = _beyond(asked, measured, at_least=wanted.at_least)
        return cls(
            objective=first,
            asked=asked,
            measured=measured,
            beyond=beyond,
            state=_state_of(beyond, measured, chosen, at_least=wanted.at_least),
        )

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Return what :meth:`as_dict` wrote."""
        return cls(**{**content, "measured": Estimate(**content["measured"])})


def _beyond(asked: float, measured: Estimate, *, at_least: bool) -> float | None:
    if measured.value is None:
        return None
    return asked - measured.value if at_least else measured.value - asked


def _state_of(
    beyond: float | None, measured: Estimate, chosen: Estimate, *, at_least: bool
) -> AimState:
    if beyond is None:
        return "unknown"
    # Sums of weights round.
    if beyond <= 1e-9:
        return "kept"
    here = _reach(measured, up=at_least)
    if here is None:
        return "missed_by_chance"
    # The threshold met the aim on a sample too, which may have been as lucky the other way.
    there = _reach(chosen, up=not at_least) or 0.0
    return "missed_by_chance" if beyond <= math.hypot(here, there) else "missed"


def _reach(estimate: Estimate, *, up: bool) -> float | None:
    """Return how far the range of a figure reaches to one side."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return None
    return estimate.high - estimate.value if up else estimate.value - estimate.low
