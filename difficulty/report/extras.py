"""What a report tells beside the evaluation; all of it may be unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from difficulty.evaluation.slices import Mistakes
from difficulty.records import Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """How the threshold was chosen.

    Attributes
    ----------
    objective : str
        As the user wrote it: ``share=0.3``.
    expected : mapping of str to Estimate
        What was expected of it then.
    n : int
        Calibration requests it was chosen on.
    review_date : str
        ISO date by which to look at it again.
    guarantee : str or None
        What is guaranteed of it.
    rules : tuple of str
        What else decides the route, in words.
    """

    objective: str
    expected: Mapping[str, Estimate]
    n: int
    review_date: str
    guarantee: str | None = None
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspects:
    """Labels that training found suspicious.

    Attributes
    ----------
    by_task : mapping of str to mapping of str to int
        Task, then scope (``task``, ``region``, ``row``), then samples; the task with most first.
    reasons : tuple of str
        Why a task or a region is suspicious, one sentence each.
    checked : int
        Samples that were looked at.
    """

    by_task: Mapping[str, Mapping[str, int]]
    reasons: tuple[str, ...]
    checked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What stands in a report beside the figures.

    Attributes
    ----------
    scorer, kind, traffic : str
        What was judged: its name, whether it is a run or a bundle, and the traffic file.
    note : str
        Which requests of the traffic were judged.
    cheap_model, frontier_model : str or None
        Names of the pair.
    chosen : Chosen or None
        None where there is no threshold, or nothing is known of it.
    mistakes : Mistakes or None
        None without a threshold.
    texts_shown : bool
        Whether mistakes come with their texts.
    suspects : Suspects or None
        None where no run tells.
    economics : mapping or None
        What the money says, as ``difficulty economics --json`` has it.
    made_on : str
        ISO date.
    """

    scorer: str = ""
    kind: str = "scorer"
    traffic: str = ""
    note: str = ""
    cheap_model: str | None = None
    frontier_model: str | None = None
    chosen: Chosen | None = None
    mistakes: Mistakes | None = None
    texts_shown: bool = False
    suspects: Suspects | None = None
    economics: Mapping[str, Any] | None = None
    made_on: str = ""

    @property
    def cheap(self) -> str:
        """How to call the cheap model."""
        return self.cheap_model or "the cheap model"

    @property
    def frontier(self) -> str:
        """How to call the frontier model."""
        return self.frontier_model or "the frontier model"
