"""Who is sent to the frontier model at a share, and what becomes of those that are kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from difficulty.errors import InvalidValueError
from difficulty.metrics.arrays import FloatArray, column, weights
from difficulty.metrics.ranking import Ranking


def sent_at_share(score: ArrayLike, share: float, *, weight: ArrayLike | None = None) -> FloatArray:
    """Return, for each request, the probability that it goes to the frontier model when the top
    ``share`` by score does.

    Parameters
    ----------
    score : array-like of shape (n,)
        Higher = sent first.
    share : float
        Frontier share in [0, 1].
    weight : array-like of shape (n,), optional
        Sample weights, 0 or more.

    Returns
    -------
    ndarray of shape (n,)
        1 above the cut, 0 below it; requests tied at the cut share what is left of ``share``
        evenly.
    """
    if not 0.0 <= share <= 1.0:
        raise InvalidValueError(
            "share", share, rule="be in [0, 1]", hint="Shares are fractions, not percentages."
        )
    score = column("score", score)
    weight = weights(weight, n=len(score))
    ranking = Ranking.of(score)
    ends = ranking.sums(weight[ranking.order])
    size = np.diff(ends)
    # Whole steps are taken as long as there is room, then a part of one.
    taken = np.clip(share * ends[-1] - ends[:-1], 0.0, size)
    return ranking.spread(np.divide(taken, size, out=np.zeros_like(size), where=size > 0))


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
    escalated : ndarray of shape (n,)
        1 where a check of the cheap answer sends the request on to the frontier model, else 0.
    """

    caught: FloatArray
    quality: FloatArray
    failure: FloatArray
    cost: FloatArray
    escalated: FloatArray

    @property
    def twice(self) -> FloatArray:
        """Probability that both models are called, shape (n,); where it is not known what
        validation catches, by the check alone.
        """
        return self.escalated + np.where(np.isnan(self.caught), 0.0, self.caught)


def kept_with_fallback(
    cheap_quality: FloatArray,
    frontier_quality: FloatArray,
    cheap_cost: FloatArray,
    frontier_cost: FloatArray,
    *,
    catch_rate: float | None,
    escalated: FloatArray | None = None,
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
    escalated : ndarray of shape (n,), optional
        1 where a check of the answer sends the request on: the user gets the frontier model's
        answer and pays for both, nothing is left to be caught, and no cheap failure reaches anyone.

    Raises
    ------
    InvalidValueError
        If the catch rate is not in [0, 1].
    """
    failure = 1.0 - cheap_quality
    if catch_rate is None:
        kept = Kept(
            np.full(len(failure), np.nan),
            cheap_quality,
            failure,
            cheap_cost,
            np.zeros(len(failure)),
        )
        return _checked(kept, frontier_quality, cheap_cost + frontier_cost, escalated)
    if not 0.0 <= catch_rate <= 1.0:
        raise InvalidValueError(
            "catch_rate", catch_rate, rule="be in [0, 1]", hint="It is a share, not a percentage."
        )
    none = np.zeros(len(failure))
    if catch_rate == 0.0:
        # The frontier model is never asked, so its unknown (NaN) quality and cost must not enter.
        caught = np.where(np.isnan(failure), np.nan, 0.0)
        kept = Kept(caught, cheap_quality, failure, cheap_cost, none)
    else:
        # A validator sees failures, not quality: half a failure is caught half as often.
        caught = catch_rate * failure
        kept = Kept(
            caught,
            cheap_quality + caught * (frontier_quality - cheap_quality),
            (1.0 - caught) * failure,
            cheap_cost + caught * frontier_cost,
            none,
        )
    return _checked(kept, frontier_quality, cheap_cost + frontier_cost, escalated)


def _checked(
    kept: Kept, quality: FloatArray, cost: FloatArray, escalated: FloatArray | None
) -> Kept:
    """Return the same with the requests that the check sends on answered by the frontier model."""
    if escalated is None:
        return kept
    on = escalated > 0.0
    return Kept(
        np.where(on & ~np.isnan(kept.caught), 0.0, kept.caught),
        # Known where it is without the check: else which requests count would hang on the route.
        np.where(on & ~np.isnan(kept.quality), quality, kept.quality),
        np.where(on & ~np.isnan(kept.failure), 0.0, kept.failure),
        np.where(on, cost, kept.cost),
        escalated,
    )
