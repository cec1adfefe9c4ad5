"""Objectives ``risk`` and ``missed``: keep as much as a promise allows.

``risk`` bounds the share of kept requests that the cheap model fails, ``missed`` the share of kept
requests that needed the frontier model, because that does better. A score of the target ``failure``
orders requests by risk, so much can be kept at a bounded risk. A score of the target ``benefit``
orders them by what the frontier model adds: requests that both models fail have low scores, so
``missed`` is what it bounds well.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import InvalidValueError, NotAttainableError, UndefinedMetricError
from difficulty.thresholds.certify import KeptLosses, rejected, samples_to_certify
from difficulty.thresholds.curve import PolicyCurve
from difficulty.thresholds.objective import Choice

FloatArray = NDArray[np.float64]


def threshold_for_risk(curve: PolicyCurve, alpha: float, *, delta: float = 0.1) -> Choice:
    """Return the lowest frontier share at which the cheap model fails at most ``alpha`` of the kept
    requests, with confidence 1 - delta.

    With a known catch rate, failures that validation catches are not counted: the frontier model
    answers those.

    Raises
    ------
    InvalidValueError
        If ``alpha`` or ``delta`` is not in (0, 1).
    UndefinedMetricError
        If no outcome of the cheap model is known.
    NotAttainableError
        If no threshold can be shown to do so.
    """
    words = "the cheap model fails at most {alpha:g} of the kept requests" + (
        " unnoticed" if curve.traffic.catch_rate else ""
    )
    return _certified(
        curve,
        curve.traffic.kept.failure,
        "risk",
        alpha,
        delta,
        words=words,
        needs="an outcome of the cheap model",
    )


def threshold_for_missed(curve: PolicyCurve, alpha: float, *, delta: float = 0.1) -> Choice:
    """Return the lowest frontier share at which at most ``alpha`` of the kept requests needed the
    frontier, with confidence 1 - delta.

    A request needed the frontier model when that has the higher quality.

    Raises
    ------
    InvalidValueError, UndefinedMetricError, NotAttainableError
        As :func:`threshold_for_risk`.
    """
    words = (
        "at most {alpha:g} of the kept requests would have had a better answer from the frontier"
        " model"
    )
    return _certified(
        curve,
        curve.traffic.missed,
        "missed",
        alpha,
        delta,
        words=words,
        needs="the outcomes of both models",
    )


def _certified(
    curve: PolicyCurve,
    loss: FloatArray,
    name: str,
    alpha: float,
    delta: float,
    *,
    words: str,
    needs: str,
) -> Choice:
    for what, value in ((name, alpha), (f"delta of {name}", delta)):
        if not 0.0 < value < 1.0:
            raise InvalidValueError(
                what, value, rule="be in (0, 1)", hint="Shares are fractions, not percentages."
            )
    losses, kept = _losses(curve, loss)
    if not len(losses):
        raise UndefinedMetricError(
            f"objective {name} needs samples with {needs} that a threshold can keep: got none."
        )
    found = rejected(losses, np.unique(kept), alpha=alpha, delta=delta)
    if not len(found):
        raise _not_attainable(losses, kept, name, alpha, delta)
    most = int(
        np.flatnonzero(kept == found.max())[-1]
    )  # of thresholds that keep the same known requests, the most cautious
    promise = (
        f"with confidence {1 - delta:g}, {words.format(alpha=alpha)}, on traffic like the"
        f" {len(losses):,} samples it was tested on"
    )
    return Choice(float(curve.thresholds[most]), promise, _assumed(losses, loss))


def _losses(curve: PolicyCurve, loss: FloatArray) -> tuple[KeptLosses, NDArray[np.intp]]:
    """Return the known losses in the order in which they are kept, and how many of them each
    threshold of the curve keeps.
    """
    traffic = curve.traffic
    always, order = np.flatnonzero(traffic.fixed == 0.0), curve.order[::-1]
    known_always, known = always[~np.isnan(loss[always])], ~np.isnan(loss[order])
    rows = np.concatenate([known_always, order[known]])
    counted = np.append(0, np.cumsum(known))
    kept = len(known_always) + counted[len(order) - curve.ends]
    unit = 1.0 - (traffic.catch_rate or 0.0)
    weight, groups = traffic.outcomes.weight[rows], traffic.groups[rows]
    return KeptLosses(loss=loss[rows], weight=weight, groups=groups, unit=unit), kept.astype(
        np.intp
    )


def _assumed(losses: KeptLosses, loss: FloatArray) -> tuple[str, ...]:
    unknown = int(np.isnan(loss).sum())
    test = (
        "tested by the exact binomial test; of each group of near-duplicates or related requests"
        " one was tested"
        if losses.is_exact
        else (
            "tested by betting on whole groups, as losses are graded, weighted or grouped; no group"
            " is larger than the largest seen"
        )
    )
    return (
        (
            "the samples are a random draw of the traffic that is routed, and their order by score"
            " was not learned from them"
        ),
        test,
        *(
            [f"{unknown:,} samples without a known outcome would have done as the others"]
            if unknown
            else []
        ),
    )


def _not_attainable(
    losses: KeptLosses, kept: NDArray[np.intp], name: str, alpha: float, delta: float
) -> NotAttainableError:
    """Return the answer no, with the nearest level that these samples show, and how many more would
    show this one.
    """
    means = (np.cumsum(losses.weight * losses.loss) / np.cumsum(losses.weight))[kept[kept > 0] - 1]
    shares = kept[kept > 0] / len(losses)
    likely = np.flatnonzero(means < alpha)
    needs = [
        (samples_to_certify(float(means[i]), alpha=alpha, delta=delta / 2) or 0) / shares[i]
        for i in likely
    ]
    least = float(means.min(initial=1.0))
    if not needs:
        advice = f"No number of samples would: the lowest {name} along the curve is {least:.3f}."
    elif min(needs) > len(losses):
        advice = (
            f"About {_two_digits(min(needs)):,} samples with known outcomes would show it, if the"
            " mean there is what it seems."
        )
    else:
        advice = "More samples would, if the mean there is what it seems" + (
            "." if losses.is_exact else "; grouped ones show less."
        )
    nearest = _nearest(losses, kept, alpha, delta)
    asked = (
        f" Nearest: {name}={nearest:.3f}, a level chosen after the fact: confirm it on other"
        " traffic."
        if nearest
        else ""
    )
    return NotAttainableError(
        f"{name} of at most {alpha:g} with confidence {1 - delta:g} cannot be shown for any"
        f" threshold on {len(losses):,} samples. {advice}{asked}"
    )


def _nearest(
    losses: KeptLosses, kept: NDArray[np.intp], alpha: float, delta: float
) -> float | None:
    """Return a level above ``alpha`` that can be shown, as low as bisection finds it, with three
    digits.
    """
    numbers, low, high = np.unique(kept), alpha, 1.0
    for _ in range(10):
        middle = (low + high) / 2.0
        low, high = (
            (low, middle)
            if len(rejected(losses, numbers, alpha=middle, delta=delta))
            else (middle, high)
        )
    level = math.ceil(high * 1000.0) / 1000.0
    return (
        level if level < 1.0 and len(rejected(losses, numbers, alpha=level, delta=delta)) else None
    )


def _two_digits(number: float) -> int:
    """Return a number of samples rounded up to two digits."""
    unit = int(10 ** max(0, math.floor(math.log10(max(number, 1.0))) - 1))
    return math.ceil(number / unit) * unit
