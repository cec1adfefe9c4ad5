"""How far a judge can be trusted: its position bias, its agreement with people, and how many more
verdicts decide which model is better.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from difficulty.form import Record
from difficulty.metrics.arrays import FloatArray
from difficulty.metrics.bootstrap import STANDARD, Resampling, percentile_interval
from difficulty.metrics.intervals import exact_interval, special
from difficulty.records import Estimate

VOTES_IN_ORDER = (-1.0, 0.0, 1.0)
"""Gains of a vote for the cheap answer, a tie, and the frontier answer."""
_LEVEL = 0.95
_Z_LEVEL, _Z_POWER = 1.959964, 0.841621  # of 95 % on both sides, and of a power of 80 %
_MOST_TOLD = 100_000
_LEAST = 10
"""Pairs below which no interval is given: its level is not known to hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeAgreement(Record):
    """How often a judge and people say the same of the same pairs."""

    pairs: int
    agreement: Estimate
    """Share of equal votes, ties among them."""
    kappa: Estimate
    """Cohen's: agreement beyond chance; value ``None`` where one side always says the same."""
    by_people: tuple[int, int, int]
    """People's votes: cheap, tie, frontier."""
    by_judge: tuple[int, int, int]


def mean_interval(values: ArrayLike, weight: ArrayLike | None = None) -> Estimate:
    """Return a weighted mean with a 95 % interval by Student's t.

    Parameters
    ----------
    values : array-like of shape (n,)
    weight : array-like of shape (n,), optional
        Inverse chances of having been chosen; the mean is then Hajek's.

    Returns
    -------
    Estimate
        ``n`` is the effective number; without an interval below 10 values, or where all are equal.
    """
    y = np.asarray(values, dtype=np.float64)
    w = np.ones(len(y)) if weight is None else np.asarray(weight, dtype=np.float64)
    if not len(y):
        return Estimate(value=None)
    mean = float(np.average(y, weights=w))
    n = len(y)
    if n < _LEAST or np.ptp(y) == 0.0:
        return Estimate(value=mean, n=n)
    share = w / w.sum()
    # Linearised, as the weights are summed too; n / (n - 1) for the mean that is taken off.
    error = float(np.sqrt(np.sum((share * (y - mean)) ** 2) * n / (n - 1)))
    half = float(special().stdtrit(n - 1, 0.975)) * error
    return Estimate(value=mean, low=mean - half, high=mean + half, n=n)


def position_bias(first_gains: ArrayLike) -> Estimate:
    """Return how much more often the answer shown first is preferred than the one shown second.

    Parameters
    ----------
    first_gains : array-like of shape (n_pairs,)
        Of each pair the mean over both orders of 1 (the first was preferred), -1 (the second), 0 (a
        tie): :attr:`~difficulty.labelling.verdicts.PairVerdict.first_gain`.

    Returns
    -------
    Estimate
        In [-1, 1], above 0 for a judge that favours the first; 0 for one that looks at the answers
        alone, whichever of them are better.
    """
    bias = mean_interval(first_gains)
    if bias.value is None or bias.n < _LEAST:
        return bias
    # What was never seen may still be as frequent as the exact bound of a share says.
    rare = 1.0 - (1.0 - _LEVEL) ** (1.0 / bias.n)
    low = bias.value - rare * (1.0 + bias.value) if bias.low is None else bias.low
    high = bias.value + rare * (1.0 - bias.value) if bias.high is None else bias.high
    return Estimate(value=bias.value, low=max(-1.0, low), high=min(1.0, high), n=bias.n)


def judge_agreement(
    judge: ArrayLike, people: ArrayLike, resampling: Resampling = STANDARD
) -> JudgeAgreement:
    """Return how far a judge agrees with people.

    Parameters
    ----------
    judge, people : array-like of shape (n_pairs,)
        Gains of the votes on the same pairs: -1, 0 or 1.
    resampling : Resampling
        Of the interval of kappa; that of the raw agreement is exact (Clopper and Pearson).
    """
    one, other = (np.asarray(votes, dtype=np.float64) for votes in (judge, people))
    n = len(one)
    counts = [
        tuple(int(np.sum(votes == gain)) for gain in VOTES_IN_ORDER) for votes in (one, other)
    ]
    if not n:
        nothing = Estimate(value=None)
        return JudgeAgreement(
            pairs=0, agreement=nothing, kappa=nothing, by_people=(0, 0, 0), by_judge=(0, 0, 0)
        )
    equal = int(np.sum(one == other))
    low, high = exact_interval(equal, n)
    return JudgeAgreement(
        pairs=n,
        agreement=Estimate(value=equal / n, low=low, high=high, n=n),
        kappa=_kappa_estimate(one, other, resampling),
        by_people=counts[1],  # type: ignore[arg-type]
        by_judge=counts[0],  # type: ignore[arg-type]
    )


def cohens_kappa(one: ArrayLike, other: ArrayLike, weight: ArrayLike | None = None) -> FloatArray:
    """Return Cohen's kappa of votes -1, 0 and 1; NaN where chance alone would agree always.

    Parameters
    ----------
    one, other : array-like of shape (n,)
    weight : array-like of shape (..., n), optional
        Weights, for bootstrap draws.

    Returns
    -------
    ndarray of shape (...)

    References
    ----------
    Cohen (1960), "A coefficient of agreement for nominal scales".
    """
    a, b = (np.asarray(votes, dtype=np.float64) for votes in (one, other))
    w = np.ones(len(a)) if weight is None else np.asarray(weight, dtype=np.float64)
    w = w / w.sum(axis=-1, keepdims=True)
    observed = w @ (a == b).astype(np.float64)
    expected = sum((w @ (a == vote)) * (w @ (b == vote)) for vote in VOTES_IN_ORDER)
    with np.errstate(invalid="ignore", divide="ignore"):
        kappa = (observed - expected) / (1.0 - expected)
    return np.where(np.isclose(expected, 1.0), np.nan, kappa)


def _kappa_estimate(one: FloatArray, other: FloatArray, resampling: Resampling) -> Estimate:
    value, n = float(cohens_kappa(one, other)), len(one)
    if np.isnan(value):
        return Estimate(value=None, n=n)
    if n < _LEAST or value == 1.0:  # all equal in each draw too: no interval of no width
        return Estimate(value=value, n=n)
    draws = resampling.of(np.arange(n)).values(
        lambda weight: cohens_kappa(one, other, weight), np.ones(n)
    )
    low, high = percentile_interval(draws)
    if np.isnan(low):
        return Estimate(value=value, n=n)
    return Estimate(value=value, low=min(low, value), high=max(high, value), n=n)


def verdicts_needed(gain: Estimate) -> int | None:
    """Return about how many more verdicts decide which model is better, with a power of 80 %, if
    the gain is as it looks; 0 where they have, ``None`` where it cannot be said.
    """
    if gain.value is None or gain.low is None or gain.high is None or not gain.n:
        return None
    if gain.low > 0.0 or gain.high < 0.0:
        return 0
    spread = (gain.high - gain.low) / (2.0 * _Z_LEVEL) * np.sqrt(gain.n)
    if abs(gain.value) < 1e-9 or not spread:
        return None
    needed = ((_Z_LEVEL + _Z_POWER) * spread / abs(gain.value)) ** 2
    return max(1, int(np.ceil(needed - gain.n)))


def power_sentence(gain: Estimate) -> str:
    """Return what the verdicts so far say of the two models, and how many more decide it."""
    if gain.value is None:
        return "No verdict can be read, so nothing is known of which model is better."
    points = f"{100 * gain.value:+.1f} points"
    if gain.low is None or gain.high is None:
        return (
            f"The frontier answer wins more often than it loses by {points} in {gain.n or 0:,}"
            " verdicts: too few, or too much alike, for an interval."
        )
    said = (
        f"The frontier answer wins more often than it loses by {points}"
        f" ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
    )
    more = verdicts_needed(gain)
    if more == 0:
        better = "frontier" if gain.value > 0.0 else "cheap"
        return f"{said}: the {better} model is better on average, and no more verdicts are needed."
    if more is None or more > _MOST_TOLD:
        return f"{said}: the two are so near each other that more verdicts would hardly decide it."
    return f"{said}: about {_rounded(more):,} more verdicts decide it."


def _rounded(n: int) -> int:
    digits = max(0, len(str(n)) - 2)
    return max(1, round(n, -digits))
