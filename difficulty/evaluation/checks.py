"""What judging the answer too does to the bill: the three ways to route on the same requests, at
the same quality.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from difficulty.evaluation.frontiers import CHECK_KINDS, CheckKind, Frontiers
from difficulty.evaluation.parts import estimate
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.evaluation.tradeoff import known_or_none
from difficulty.form import Record
from difficulty.metrics.arrays import FloatArray
from difficulty.metrics.bootstrap import Resampling
from difficulty.records import Estimate

_GRID = np.linspace(0.02, 0.98, 49)
_USUAL = 0.8
"""Share of the gap at which ways are compared where no threshold names another."""
MOST_DRAWS = 200
"""Each draw sorts all requests twice more."""


class Told(NamedTuple):
    """What a finding says."""

    severity: Literal["warning", "info"]
    message: str
    numbers: Mapping[str, float | int]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFigures(Record):
    """Three ways to route: the request's score alone, the check of the answer alone, both."""

    kind: CheckKind
    """The way that is in use."""
    threshold: float | None
    """Of the answers' score; ``None`` where answers are not checked."""
    requests: int
    """Requests behind it: those whose answer was checked, with known outcomes and costs."""
    in_usd: bool
    """Whether costs are USD; else frontier calls, a call of the cheap model counting 0.05."""
    frontier_assumed: bool
    """Whether the frontier model is taken to be right throughout, as nothing is known of it."""
    recovered: tuple[float, ...]
    """Shares of the quality gap."""
    quality: tuple[float, ...]
    """The mean quality that each of them is."""
    cost: Mapping[str, tuple[float | None, ...]]
    """Way, then the least cost of 1,000 requests that reaches each quality."""
    level: float
    """Share of the gap that the way in use recovers here, at which ``saved`` compares."""
    saved: Mapping[str, Estimate]
    """Way, then the share of the cost that it saves against the request's score alone."""

    @classmethod
    def of(
        cls, scored: ScoredTraffic, resampling: Resampling, *, level: float | None
    ) -> CheckFigures | None:
        """Return the figures; None where nothing was checked, or too little to compare.

        Parameters
        ----------
        scored : ScoredTraffic
            As a policy routes it.
        resampling : Resampling
        level : float, optional
            Share of the gap that the policy recovers.
        """
        frontiers = Frontiers.of(scored)
        if frontiers is None:
            return None
        at = _USUAL if level is None or not 0.0 < level <= 1.0 else level
        outcomes = frontiers.traffic.outcomes
        ends = [
            float(np.average(values, weights=outcomes.weight))
            for values in (outcomes.cheap_quality, outcomes.frontier_quality)
        ]
        return cls(
            kind=kind_in_use(scored),
            threshold=scored.answer_threshold,
            requests=len(frontiers.traffic),
            in_usd=frontiers.in_usd,
            frontier_assumed=frontiers.frontier_assumed,
            recovered=tuple(_GRID.tolist()),
            quality=tuple((ends[0] + _GRID * (ends[1] - ends[0])).tolist()),
            cost={kind: known_or_none(frontiers.costs(kind, _GRID)) for kind in CHECK_KINDS},
            level=at,
            saved=_saved(frontiers, at, resampling),
        )

    @property
    def decides(self) -> bool:
        """Whether the check of answers alone routes, and is shown to save money by it."""
        saved = self.saved["check"]
        return self.kind == "check" and saved.low is not None and saved.low > 0.0

    def told_of_a_loss(self) -> Told | None:
        """Return what to say where the check in use costs more than the request's score alone."""
        if self.kind == "request":
            return None
        saved = self.saved[self.kind]
        if saved.value is None or saved.value >= 0.0:
            return None
        sure = saved.high is not None and saved.high < 0.0
        return self._told(
            "warning" if sure else "info",
            f"The check of answers loses money here: for {100.0 * self.level:.0f} % of the quality"
            f" gap it costs {_size(saved)} more than the request's score alone"
            f"{'' if sure else ', which chance may explain'}. Choose again on traffic like this"
            " (difficulty thresholds --answer auto), or leave it out (--answer off).",
            saved,
        )

    def told_of_a_saving(self) -> Told | None:
        """Return what to say where a check that is not in use would clearly save money."""
        saved = self.saved["check"]
        if self.kind != "request" or saved.low is None or saved.low <= 0.0:
            return None
        return self._told(
            "info",
            f"Checking the cheap model's answers would save {_size(saved)} of the cost here, for"
            f" {100.0 * self.level:.0f} % of the quality gap; the policy does not check them."
            " Choose again on traffic like this (difficulty thresholds --answer auto).",
            saved,
        )

    def _told(self, severity: Literal["warning", "info"], text: str, saved: Estimate) -> Told:
        ends = {"saved": saved.value, "low": saved.low, "high": saved.high}
        known = {name: value for name, value in ends.items() if value is not None}
        return Told(severity, text, {"level": self.level, "requests": self.requests, **known})

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> CheckFigures:
        """Return the figures that :meth:`as_dict` wrote."""
        known = {name: content[name] for name in cls.__slots__ if name in content}
        return cls(
            **known
            | {
                "recovered": tuple(content["recovered"]),
                "quality": tuple(content["quality"]),
                "cost": {kind: tuple(costs) for kind, costs in content["cost"].items()},
                "saved": {kind: Estimate(**saved) for kind, saved in content["saved"].items()},
            }
        )


def kind_in_use(scored: ScoredTraffic) -> CheckKind:
    """Return the way in which a policy routes."""
    if scored.escalated is None:
        return "request"
    # Above 1 there is no score, so a threshold of 1 sends nothing.
    return "both" if scored.threshold is not None and scored.threshold < 1.0 else "check"


def _saved(frontiers: Frontiers, level: float, resampling: Resampling) -> dict[str, Estimate]:
    traffic = frontiers.traffic
    few = Resampling(min(MOST_DRAWS, resampling.draws), resampling.seed)
    draws = few.of(traffic.groups)

    def each(kind: CheckKind) -> Estimate:
        def drawn(weight: FloatArray) -> FloatArray:
            return np.array([frontiers.saved(kind, level, weight=row) for row in weight])

        return estimate(
            np.array([frontiers.saved(kind, level)]),
            draws.values(drawn, traffic.outcomes.weight),
            n=len(traffic),
            unknown="no threshold recovers as much of the gap",
        )

    return {kind: each(kind) for kind in CHECK_KINDS if kind != "request"}


def _size(saved: Estimate) -> str:
    """Return the size of a share saved or lost, in percent with its interval."""
    value, low, high = saved.value or 0.0, saved.low, saved.high
    if low is None or high is None:
        return f"{100.0 * abs(value):.1f} %"
    low, high = (low, high) if value >= 0.0 else (-high, -low)
    return f"{100.0 * abs(value):.1f} % ({100.0 * low:.1f} to {100.0 * high:.1f})"
