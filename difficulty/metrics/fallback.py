"""What kept requests become when failing answers of the cheap model are caught and the frontier
model is asked after it.

A validator (does the JSON parse, does the tool exist, ...) catches a share of the cheap model's
failures, the *catch rate*. A caught answer is thrown away: the request then costs both calls, and
has the frontier model's quality. An answer of quality q fails with probability 1 - q, so it is
caught with probability ``catch_rate * (1 - q)``; good answers are never caught.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from difficulty.errors import InvalidValueError
from difficulty.metrics.arrays import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """What to expect of each of n requests if it is kept on the cheap model.

    Attributes
    ----------
    caught : ndarray of shape (n,)
        Probability that its answer is caught and the frontier model answers; NaN where unknown.
    quality : ndarray of shape (n,)
        Expected quality of what the user gets, in [0, 1].
    failure : ndarray of shape (n,)
        Expected failure of the cheap model that reaches the user, in [0, 1].
    cost : ndarray of shape (n,)
        Expected cost of all calls, in the unit of the costs given.
    """

    caught: FloatArray
    quality: FloatArray
    failure: FloatArray
    cost: FloatArray


def kept_with_fallback(
    cheap_quality: FloatArray,
    frontier_quality: FloatArray,
    cheap_cost: FloatArray,
    frontier_cost: FloatArray,
    *,
    catch_rate: float | None,
) -> Kept:
    """Return what to expect of requests that are kept.

    Parameters
    ----------
    cheap_quality, frontier_quality : ndarray of shape (n,)
        Quality in [0, 1]; NaN where unknown.
    cheap_cost, frontier_cost : ndarray of shape (n,)
        Cost of one answer, 0 or more; NaN where unknown.
    catch_rate : float or None
        Share of the cheap model's failures that validation catches, in [0, 1]. ``None``: not known;
        quality, failure and cost are then those of the cheap model alone, and ``caught`` is NaN.

    Raises
    ------
    InvalidValueError
        If the catch rate is not in [0, 1].
    """
    failure = 1.0 - cheap_quality
    if catch_rate is None:
        return Kept(np.full(len(failure), np.nan), cheap_quality, failure, cheap_cost)
    if not 0.0 <= catch_rate <= 1.0:
        raise InvalidValueError(
            "catch_rate", catch_rate, rule="be in [0, 1]", hint="It is a share, not a percentage."
        )
    if (
        catch_rate == 0.0
    ):  # the frontier model is never asked: its unknown quality and cost do not matter
        return Kept(np.where(np.isnan(failure), np.nan, 0.0), cheap_quality, failure, cheap_cost)
    caught = catch_rate * failure
    return Kept(
        caught,
        cheap_quality + caught * (frontier_quality - cheap_quality),
        (1.0 - caught) * failure,
        cheap_cost + caught * frontier_cost,
    )
