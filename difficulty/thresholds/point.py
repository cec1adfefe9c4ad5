"""Choosing a threshold by an objective, and saying what to expect of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from difficulty.evaluation.figures import columns_of, ratios_at
from difficulty.evaluation.parts import Draws, Ratios, drawn, estimate
from difficulty.evaluation.scored import ScoredTraffic, Thresholded, Thresholds
from difficulty.metrics.bootstrap import Resampling
from difficulty.records import Estimate, OperatingPoint
from difficulty.thresholds.objective import Choice, Objective
from difficulty.thresholds.policy_curve import PolicyCurve

EXPECTED = ("frontier_share", "quality", "gap_recovered", "cost", "risk", "fallback_share")
"""Figures of an operating point."""


def choose(traffic: ScoredTraffic, objective: Objective, resampling: Resampling) -> OperatingPoint:
    """Return the operating point that meets an objective on this traffic.

    Raises
    ------
    NotAttainableError
        If no threshold meets it; the message names the nearest point.
    """
    choice = objective.find(PolicyCurve.of(traffic))
    point = operating_point(
        traffic, Thresholds(choice.threshold), resampling, objective=str(objective)
    )
    return promised(point, choice)


def promised(point: OperatingPoint, choice: Choice) -> OperatingPoint:
    """Return a point with the promise of the choice that led to it."""
    return replace(point, guarantee=choice.guarantee, assumed=(*point.assumed, *choice.assumed))


def operating_point(
    traffic: ScoredTraffic, thresholds: Thresholded, resampling: Resampling, *, objective: str
) -> OperatingPoint:
    """Return what to expect of thresholds; intervals hold the middle 95 % of bootstrap draws of
    whole groups.
    """
    figures: dict[str, Any] = _estimates(*_figures(traffic, thresholds, resampling))
    return OperatingPoint(
        threshold=thresholds.threshold,
        objective=objective,
        **figures,
        task_thresholds=dict(thresholds.task_thresholds),
        assumed=_assumed(traffic),
        # An interval's width goes with one over the root of the samples.
        n_to_halve=4 * len(traffic),
    )


def changes(
    traffic: ScoredTraffic, old: OperatingPoint, new: OperatingPoint, resampling: Resampling
) -> dict[str, Estimate]:
    """Return how much each figure changes from one operating point to another; both are judged on
    the same draws.
    """
    before, after = (_figures(traffic, point, resampling) for point in (old, new))
    moved, draws = (
        {name: new[name] - old[name] for name in EXPECTED}
        for new, old in ((after[0], before[0]), (after[1], before[1]))
    )
    return _estimates(moved, draws, after[2])


def _estimates(points: Draws, draws: Draws, counts: Mapping[str, int]) -> dict[str, Estimate]:
    return {
        name: estimate(points[name], draws[name], n=counts[name], unknown=_WHY_UNKNOWN[name])
        for name in EXPECTED
    }


def _figures(
    traffic: ScoredTraffic, thresholds: Thresholded, resampling: Resampling
) -> tuple[Draws, Draws, Mapping[str, int]]:
    """Return each figure on the traffic itself, in each draw, and how many requests are behind
    it.
    """
    rows = np.arange(len(traffic))
    part = Ratios.of(
        rows, ratios_at(columns_of(traffic, EXPECTED), traffic.routes(thresholds), rows)
    )
    draws = resampling.affordable(len(traffic)).of(traffic.groups)
    return *drawn(part, draws, traffic.outcomes.weight), part.n


def _assumed(traffic: ScoredTraffic) -> tuple[str, ...]:
    """Return what the figures of every point rest on."""
    fallback = (
        "fallbacks after a failed validation are not reckoned with: the catch rate is not known"
        if traffic.catch_rate is None
        else (
            f"validation catches {traffic.catch_rate:g} of the cheap model's failures and no good"
            " answer; a caught request pays both calls"
        )
    )
    return ("traffic stays like the samples", fallback)


_WHY_UNKNOWN = {
    "frontier_share": "no requests",
    "quality": "no request has both outcomes known",
    "gap_recovered": "no request has both outcomes known, or the frontier model is not better",
    "cost": "no prices were given, or no token counts are known",
    "risk": "no request whose outcome is known is kept on the cheap model",
    "fallback_share": "the catch rate of validation is not known",
}
"""Written into policies, where they have to stay as they are."""
