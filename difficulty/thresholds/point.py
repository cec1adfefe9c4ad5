"""Choosing a threshold by an objective, and saying what to expect of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from difficulty.errors import InvalidValueError
from difficulty.metrics.bootstrap import affordable_draws, percentile_interval, weight_blocks
from difficulty.metrics.ratios import Ratio, ratio
from difficulty.records import Estimate, OperatingPoint
from difficulty.registry import resolve
from difficulty.thresholds import OBJECTIVES
from difficulty.thresholds.curve import PolicyCurve, ScoredTraffic

__all__ = ["Objective", "choose", "operating_point", "parse_objective"]


class Objective(NamedTuple):
    """A named objective with its number."""

    name: str
    value: float

    def __str__(self) -> str:
        return f"{self.name}={self.value:g}"


def parse_objective(text: str) -> Objective:
    """Return the objective written as ``name=number``, for example ``share=0.3``.

    Raises
    ------
    InvalidValueError
        If it is not written so.
    UnknownNameError
        If there is no objective of that name.
    """
    name, equals, number = text.partition("=")
    name = name.strip()
    if equals:
        resolve(name, OBJECTIVES, kind="objective")
    try:
        return Objective(name, float(number))
    except ValueError:
        raise InvalidValueError(
            "objective", text, rule="be written as name=number", hint="For example: share=0.3 or quality=0.9."
        ) from None


def choose(traffic: ScoredTraffic, objective: Objective, *, n_draws: int = 1000, rng: np.random.Generator) -> OperatingPoint:
    """Return the operating point that meets an objective on this traffic.

    Raises
    ------
    NotAttainableError
        If no threshold meets it; the message names the nearest point.
    """
    find: Callable[[PolicyCurve, float], float] = resolve(objective.name, OBJECTIVES, kind="objective")
    threshold = find(PolicyCurve.of(traffic), objective.value)
    return operating_point(traffic, threshold, objective=str(objective), n_draws=n_draws, rng=rng)


def operating_point(
    traffic: ScoredTraffic, threshold: float, *, objective: str, n_draws: int = 1000, rng: np.random.Generator
) -> OperatingPoint:
    """Return what to expect of a threshold; intervals hold the middle 95 % of bootstrap draws of whole groups."""
    sent, outcomes = traffic.sent(threshold), traffic.outcomes
    cheap, difference = outcomes.cheap_quality, outcomes.frontier_quality - outcomes.cheap_quality
    gain, per_request = outcomes.gain, outcomes.per_request
    figures = {
        "frontier_share": ratio(sent * per_request, per_request),
        "quality": ratio(cheap + sent * difference),
        "gap_recovered": ratio(sent * gain, gain, counted=gain),
        "cost": ratio(1000.0 * (traffic.cheap_cost + sent * (traffic.frontier_cost - traffic.cheap_cost))),
    }
    estimates = _estimates(figures, traffic, n_draws=affordable_draws(len(traffic), n_draws), rng=rng)
    return OperatingPoint(threshold=threshold, objective=objective, **estimates)


def _estimates(figures: dict[str, Ratio], traffic: ScoredTraffic, *, n_draws: int, rng: np.random.Generator) -> dict[str, Estimate]:
    weight = traffic.outcomes.weight
    blocks = [block * weight for block in weight_blocks(traffic.groups, n_draws=n_draws, rng=rng)]
    made = {}
    for name, figure in figures.items():
        value = float(figure.value(weight))
        if np.isnan(value):
            made[name] = Estimate(value=None, n=figure.n, note=_WHY_UNKNOWN[name])
            continue
        low, high = percentile_interval(np.concatenate([figure.value(block) for block in blocks]))
        known = not np.isnan(low)
        made[name] = Estimate(value=value, low=low if known else None, high=high if known else None, n=figure.n)
    return made


_WHY_UNKNOWN = {
    "frontier_share": "no requests",
    "quality": "no request has both outcomes known",
    "gap_recovered": "no request has both outcomes known, or the frontier model is not better",
    "cost": "no prices were given, or no token counts are known",
}
