"""What a threshold does: how right the frontier route and the cheap route are.

A request goes to the frontier model when its score is above the threshold; ties stay cheap.
``needed`` says how much a request needed the frontier model: a boolean, or a number in [0, 1] where
that is uncertain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from difficulty.errors import InvalidValueError, UndefinedMetricError
from difficulty.metrics.arrays import FloatArray, Ratio, column, probabilities, ratio, weights
from difficulty.metrics.curve import Ranking


def sent_to_frontier(score: ArrayLike, threshold: float) -> FloatArray:
    """Return 1 for each request with ``score > threshold`` and 0 for the others, as an array of
    shape (n,).
    """
    if np.isnan(threshold):
        raise InvalidValueError("threshold", threshold, rule="be a number")
    return (column("score", score) > threshold).astype(np.float64)


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
    taken = np.clip(share * ends[-1] - ends[:-1], 0.0, size)
    part = np.divide(taken, size, out=np.zeros_like(size), where=size > 0)
    sent = np.empty(len(score))
    sent[ranking.order] = np.repeat(part, np.diff(np.append(-1, ranking.ends)))
    return sent


def routing_precision(
    score: ArrayLike, needed: ArrayLike, *, threshold: float, weight: ArrayLike | None = None
) -> float:
    """Return the share of the requests sent to the frontier model that needed it.

    Parameters
    ----------
    score : array-like of shape (n,)
        Sent to the frontier model when above ``threshold``.
    needed : array-like of shape (n,)
        Whether, or how probably, the request needed the frontier model, in [0, 1].
    threshold : float
        In the score's unit.
    weight : array-like of shape (n,), optional
        Sample weights, 0 or more.

    Raises
    ------
    UndefinedMetricError
        If no request is sent to the frontier model.
    """
    return _at_threshold(
        precision_ratio,
        score,
        needed,
        threshold,
        weight,
        "routing precision needs a request above the threshold",
    )


def routing_recall(
    score: ArrayLike, needed: ArrayLike, *, threshold: float, weight: ArrayLike | None = None
) -> float:
    """Return the share of the requests that needed the frontier model which are sent to it.

    Parameters are those of :func:`routing_precision`.

    Raises
    ------
    UndefinedMetricError
        If no request needed the frontier model.
    """
    return _at_threshold(
        recall_ratio,
        score,
        needed,
        threshold,
        weight,
        "routing recall needs a request that needed the frontier model",
    )


def cheap_route_precision(
    score: ArrayLike, needed: ArrayLike, *, threshold: float, weight: ArrayLike | None = None
) -> float:
    """Return the share of the requests kept on the cheap model that did not need the frontier
    model.

    Parameters are those of :func:`routing_precision`.

    Raises
    ------
    UndefinedMetricError
        If no request is kept on the cheap model.
    """
    problem = "cheap route precision needs a request at or below the threshold"
    return _at_threshold(cheap_precision_ratio, score, needed, threshold, weight, problem)


def risk(
    score: ArrayLike, cheap_fails: ArrayLike, *, threshold: float, weight: ArrayLike | None = None
) -> float:
    """Return the share of the requests kept on the cheap model that it fails.

    It differs from 1 - :func:`cheap_route_precision` by the requests that both models fail: those
    are at risk wherever they go.

    Parameters
    ----------
    score : array-like of shape (n,)
        Kept on the cheap model when at or below ``threshold``.
    cheap_fails : array-like of shape (n,)
        Whether the cheap model fails the request, or 1 - its quality, in [0, 1].
    threshold : float
        In the score's unit.
    weight : array-like of shape (n,), optional
        Sample weights, 0 or more.

    Raises
    ------
    UndefinedMetricError
        If no request is kept on the cheap model.
    """
    return _at_threshold(
        risk_ratio,
        score,
        cheap_fails,
        threshold,
        weight,
        "risk needs a request at or below the threshold",
    )


def precision_ratio(sent: FloatArray, needed: FloatArray) -> Ratio:
    """Return routing precision as a ratio; ``sent`` in [0, 1] is the probability of the frontier
    route, NaN in either is unknown.
    """
    return ratio(sent * needed, sent + 0.0 * needed)


def recall_ratio(sent: FloatArray, needed: FloatArray) -> Ratio:
    """Return routing recall as a ratio."""
    return ratio(sent * needed, needed)


def cheap_precision_ratio(sent: FloatArray, needed: FloatArray) -> Ratio:
    """Return cheap route precision as a ratio."""
    return precision_ratio(1.0 - sent, 1.0 - needed)


def risk_ratio(sent: FloatArray, cheap_fails: FloatArray) -> Ratio:
    """Return risk as a ratio."""
    return precision_ratio(1.0 - sent, cheap_fails)


def _at_threshold(
    form: Callable[[FloatArray, FloatArray], Ratio],
    score: ArrayLike,
    label: ArrayLike,
    threshold: float,
    weight: ArrayLike | None,
    problem: str,
) -> float:
    """Return a ratio's value at a threshold, or say why it has none."""
    sent = sent_to_frontier(score, threshold)
    label = probabilities("cheap_fails" if form is risk_ratio else "needed", label, n=len(sent))
    value = float(form(sent, label).value(weights(weight, n=len(sent))))
    if np.isnan(value):
        raise UndefinedMetricError(f"{problem}: got none at threshold {threshold:g}.")
    return value


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
