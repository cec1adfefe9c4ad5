"""Choosing a threshold by an objective, and saying what to expect of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from difficulty.metrics.arrays import Ratio, ratio
from difficulty.metrics.bootstrap import affordable_draws, percentile_interval, weight_blocks
from difficulty.records import Estimate, OperatingPoint
from difficulty.thresholds.objective import Choice, Objective
from difficulty.thresholds.policy_curve import FloatArray, PolicyCurve, ScoredTraffic

EXPECTED = ("frontier_share", "quality", "gap_recovered", "cost", "risk", "fallback_share")
"""Figures of an operating point."""


def choose(
    traffic: ScoredTraffic, objective: Objective, *, n_draws: int = 1000, rng: np.random.Generator
) -> OperatingPoint:
    """Return the operating point that meets an objective on this traffic.

    Raises
    ------
    NotAttainableError
        If no threshold meets it; the message names the nearest point.
    """
    found = objective.find(PolicyCurve.of(traffic))
    return promised(
        operating_point(
            traffic, found.threshold, objective=str(objective), n_draws=n_draws, rng=rng
        ),
        found,
    )


def promised(point: OperatingPoint, found: Choice) -> OperatingPoint:
    """Return a point with the promise of the choice that led to it."""
    return replace(point, guarantee=found.guarantee, assumed=(*point.assumed, *found.assumed))


def operating_point(
    traffic: ScoredTraffic,
    threshold: float,
    *,
    objective: str,
    task_thresholds: Mapping[str, float] | None = None,
    n_draws: int = 1000,
    rng: np.random.Generator,
) -> OperatingPoint:
    """Return what to expect of a threshold; intervals hold the middle 95 % of bootstrap draws of
    whole groups.
    """
    found = _estimates(
        _figures(traffic, traffic.sent(threshold, task_thresholds)),
        traffic,
        n_draws=n_draws,
        rng=rng,
    )
    return OperatingPoint(
        threshold=threshold,
        objective=objective,
        frontier_share=found["frontier_share"],
        quality=found["quality"],
        gap_recovered=found["gap_recovered"],
        cost=found["cost"],
        risk=found["risk"],
        fallback_share=found["fallback_share"],
        task_thresholds=dict(task_thresholds or {}),
        assumed=_assumed(traffic),
        n_to_halve=4
        * len(traffic),  # an interval's width goes with one over the root of the samples
    )


def changes(
    traffic: ScoredTraffic,
    old: OperatingPoint,
    new: OperatingPoint,
    *,
    n_draws: int = 1000,
    rng: np.random.Generator,
) -> dict[str, Estimate]:
    """Return how much each figure changes from one operating point to another; both are judged on
    the same draws.
    """
    before, after = (
        _figures(traffic, traffic.sent(point.threshold, point.task_thresholds))
        for point in (old, new)
    )
    return _estimates(after, traffic, minus=before, n_draws=n_draws, rng=rng)


def _figures(traffic: ScoredTraffic, sent: FloatArray) -> dict[str, Ratio]:
    outcomes, kept, caught = traffic.outcomes, traffic.kept, traffic.caught
    gain, per_request = outcomes.gain, outcomes.per_request
    return {
        "frontier_share": ratio(sent * per_request, per_request),
        "quality": ratio(kept.quality + sent * (outcomes.frontier_quality - kept.quality)),
        "gap_recovered": ratio((caught + sent * (1.0 - caught)) * gain, gain, counted=gain),
        "cost": ratio(1000.0 * (kept.cost + sent * (traffic.frontier_cost - kept.cost))),
        "risk": ratio((1.0 - sent) * kept.failure, 1.0 - sent),
        "fallback_share": ratio((1.0 - sent) * kept.caught),
    }


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


def _estimates(
    figures: Mapping[str, Ratio],
    traffic: ScoredTraffic,
    *,
    minus: Mapping[str, Ratio] | None = None,
    n_draws: int,
    rng: np.random.Generator,
) -> dict[str, Estimate]:
    """Return each figure, or its difference to that of ``minus``, with its interval."""
    weight, n_draws = traffic.outcomes.weight, affordable_draws(len(traffic), n_draws)
    blocks = [block * weight for block in weight_blocks(traffic.groups, n_draws=n_draws, rng=rng)]

    def values(name: str, weights: FloatArray) -> FloatArray:
        found = figures[name].value(weights)
        return found if minus is None else found - minus[name].value(weights)

    made = {}
    for name, figure in figures.items():
        value = float(values(name, weight))
        if np.isnan(value):
            made[name] = Estimate(value=None, n=figure.n, note=_WHY_UNKNOWN[name])
            continue
        low, high = percentile_interval(np.concatenate([values(name, block) for block in blocks]))
        known = not np.isnan(low)
        made[name] = Estimate(
            value=value, low=low if known else None, high=high if known else None, n=figure.n
        )
    return made


_WHY_UNKNOWN = {
    "frontier_share": "no requests",
    "quality": "no request has both outcomes known",
    "gap_recovered": "no request has both outcomes known, or the frontier model is not better",
    "cost": "no prices were given, or no token counts are known",
    "risk": "no request whose outcome is known is kept on the cheap model",
    "fallback_share": "the catch rate of validation is not known",
}
