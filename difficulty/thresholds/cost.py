"""Objective ``cost``: as much frontier as the money allows."""

from __future__ import annotations

import math

import numpy as np

from difficulty.errors import InvalidValueError, NotAttainableError, UndefinedMetricError
from difficulty.thresholds.curve import PolicyCurve


def threshold_for_cost(curve: PolicyCurve, most: float) -> float:
    """Return the lowest threshold whose routing costs at most ``most`` USD per 1,000 requests.

    Raises
    ------
    InvalidValueError
        If ``most`` is no amount of money.
    UndefinedMetricError
        If the cost of no request is known.
    NotAttainableError
        If every threshold costs more.
    """
    if not 0.0 <= most < math.inf:
        raise InvalidValueError("cost", most, rule="be 0 or more USD per 1,000 requests")
    need_costs(curve, "cost")
    allowed = np.flatnonzero(curve.cost <= most * (1.0 + 1e-12))
    if not len(allowed):
        least = _rounded_up(float(curve.cost.min()))
        raise NotAttainableError(
            f"a cost of at most {most:g} USD per 1,000 requests cannot be reached: the least along"
            f" the curve is {curve.cost.min():.4g}. Nearest: cost={least:g}."
        )
    return float(curve.thresholds[allowed[-1]])


def need_costs(curve: PolicyCurve, objective: str) -> None:
    """Refuse a curve of which no cost is known.

    Raises
    ------
    UndefinedMetricError
        If it is.
    """
    if np.isnan(curve.cost).any():
        raise UndefinedMetricError(
            f"objective {objective} needs prices, and samples with the token counts of both models:"
            " got none. Pass --prices, and traffic with prompt_tokens, cheap_tokens and"
            " frontier_tokens."
        )


def _rounded_up(amount: float) -> float:
    """Return an amount with three digits that is not below it, so that it can be asked for."""
    unit = 10.0 ** (math.floor(math.log10(amount)) - 2) if amount > 1e-9 else 1e-9
    return math.ceil(amount / unit) * unit
