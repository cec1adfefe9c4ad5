"""Intervals of replayed figures: groups are independent, requests of one group are not.

The variance is that of the sums of the groups. Where few outcomes of large weight carry it, it is
drawn towards what the propensities say that it was to be: a log in which nobody happened to explore
where the other rule decides otherwise shows no spread there, and has it all the same. The interval
is that of Student's t, with the degrees of freedom of an estimated variance of such outcomes, after
the transformation that takes the skewness off.

How much the propensities count (as eight degrees of freedom) was chosen on simulated populations,
see ``benchmarks/replay.py`` for how the intervals do on real outcomes.

References
----------
Liang and Zeger (1986), "Longitudinal data analysis using generalized linear models" (variance by
clusters); Satterthwaite (1946), "An approximate distribution of estimates of variance components";
Smyth (2004), "Linear models and empirical Bayes methods" (moderated variances); Hall (1992), "On
the removal of skewness by transformation".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from difficulty.metrics.arrays import FloatArray, IntArray, Ratio
from difficulty.metrics.intervals import special
from difficulty.replay.weighed import Weighed

_TAIL = 0.025
_LEAST_FREEDOM = 1.0
_DESIGN_FREEDOM = 8.0
_MOST_SKEW = 1.0
"""Skewness of the estimate beyond which it is itself no more than a guess."""
_LEAST_SPREAD = 0.01
"""Variance of an outcome in [0, 1] below which a model's certainty is not believed."""
_TINY = 1e-300


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """How sure an estimate is.

    Attributes
    ----------
    value : float
    error : float
        Its standard error; infinite where there is one group.
    freedom : float
        Degrees of freedom of the error.
    skew : float
        Skewness of the estimate.
    outcomes : float
        Equally weighted independent outcomes that would tell the variance as well: few of them
        are little to stand on.
    """

    value: float
    error: float
    freedom: float
    skew: float
    outcomes: float

    def interval(self, bounds: tuple[float, float] = (-np.inf, np.inf)) -> tuple[float, float]:
        """Return the 95 % interval, cut at values that the figure cannot have."""
        if not np.isfinite(self.error):
            return bounds
        reach = float(special().stdtrit(self.freedom, 1.0 - _TAIL))
        low, high = (self.value - self.error * _turned(end, self.skew) for end in (reach, -reach))
        return float(np.clip(low, *bounds)), float(np.clip(high, *bounds))


def spread_of(estimate: Ratio, weighed: Weighed, codes: IntArray) -> Spread:
    """Return the spread of an estimate ``sum(numerator) / sum(denominator)``.

    Parameters
    ----------
    estimate : Ratio
        Of n requests.
    weighed : Weighed
        What it is made from.
    codes : ndarray of shape (n,)
        Group of each request, from 0.
    """
    total = float(estimate.denominator.sum())
    value = float(estimate.numerator.sum()) / total
    excess = (estimate.numerator - value * estimate.denominator) / total
    return spread_about(value, excess, weighed.ratio / total, weighed, codes)


def spread_about(
    value: float, excess: FloatArray, reach: FloatArray, weighed: Weighed, codes: IntArray
) -> Spread:
    """Return the spread of a figure that is linear in the residuals.

    Parameters
    ----------
    value : float
    excess : ndarray of shape (n,)
        What each request adds to the figure beyond the value; they sum to 0.
    reach : ndarray of shape (n, k)
        What the residual of an outcome is multiplied by where it is seen.
    weighed : Weighed
        For chances, residuals and the model.
    codes : ndarray of shape (n,)
    """
    between = np.bincount(codes, weights=excess)
    n_groups = len(between)
    if n_groups < 2:
        return Spread(value=value, error=np.inf, freedom=_LEAST_FREEDOM, skew=0.0, outcomes=0.0)
    noise = _Noise.of(reach, weighed)
    # What is no noise of single outcomes: differences between groups, the model's own spread.
    base = excess - noise.found
    ground = np.bincount(codes, weights=base).astype(np.float64)
    found = float(between @ between) * n_groups / (n_groups - 1.0)
    designed = max(
        found - float(noise.found @ noise.found) + float(noise.second.sum()),
        float(noise.second.sum() + ground @ ground),
    )
    freedom, skew = _shape(noise, ground, codes)
    variance = (freedom * found + _DESIGN_FREEDOM * designed) / (freedom + _DESIGN_FREEDOM)
    skew = skew / variance**1.5 if variance > _TINY else 0.0
    return Spread(
        value=value,
        error=float(np.sqrt(max(variance, 0.0))),
        freedom=freedom + _DESIGN_FREEDOM,
        skew=float(np.clip(skew, -_MOST_SKEW, _MOST_SKEW)),
        outcomes=freedom + 1.0,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Noise:
    """Moments of what the residual of each request was to add to the figure, before it was known
    which would be seen; arrays of shape (n,). The second one is about the first; the others are
    about 0, which is near where weights are large. ``found`` is what it added beyond the first.
    """

    first: FloatArray
    second: FloatArray
    third: FloatArray
    fourth: FloatArray
    found: FloatArray

    @classmethod
    def of(cls, reach: FloatArray, weighed: Weighed) -> _Noise:
        n, sides = reach.shape
        first, second, third, fourth = (np.zeros(n) for _ in range(4))
        for side in range(sides):
            mean, spread, tilt, tails = _moments(weighed, side)
            far, chance = reach[:, side], weighed.chance[:, side]
            seen = far * chance
            first += seen * mean
            second += far * seen * spread - (seen * mean) ** 2
            squared = far * far
            third += squared * seen * tilt
            fourth += squared * far * seen * tails
        found = weighed.over_sides(reach * weighed.residual) - first
        return cls(first, second, third, fourth, found)


def _moments(weighed: Weighed, side: int) -> tuple[float, FloatArray, FloatArray, FloatArray]:
    """Return the mean of the residuals of a side, and their second, third and fourth moment, arrays
    of shape (n,).
    """
    residual = weighed.residual[weighed.known[:, side], side]
    model, ones = weighed.model[:, side], np.ones(len(weighed.model))
    if not len(residual):
        return 0.0, 0.0 * ones, 0.0 * ones, 0.0 * ones
    mean, squares = float(residual.mean()), float((residual**2).mean())
    if weighed.within != (0.0, 1.0) or not model.any():
        cubes, tails = float((residual**3).mean()), float((residual**4).mean())
        return mean, squares * ones, cubes * ones, tails * ones
    # Of a share the expected value tells the shape; its size is that of the residuals.
    share = np.clip(model, 0.0, 1.0)
    spread = np.maximum(share * (1.0 - share), _LEAST_SPREAD)
    scale = squares / float(spread[weighed.known[:, side]].mean())
    # The mean's square is part of the second moment of every request.
    mean = float(np.sign(mean) * min(abs(mean), np.sqrt(scale * spread.min())))
    return (
        mean,
        scale * spread,
        scale**1.5 * spread * (1.0 - 2.0 * share),
        scale**2 * spread * (1.0 - 3.0 * spread),
    )


def _shape(noise: _Noise, ground: FloatArray, codes: IntArray) -> tuple[float, float]:
    """Return the degrees of freedom of the variance between groups, by what it was to be, and the
    third moment of the figure.
    """
    own, squares, tails = (
        np.bincount(codes, weights=part) for part in (noise.second, noise.second**2, noise.fourth)
    )
    calm = ground**2
    spread = own + calm
    # Of independent parts; the model's part as if it were normal.
    fourth = tails + 3.0 * (own**2 - squares) + 3.0 * calm**2 + 6.0 * calm * own
    doubt = float((fourth - spread**2).sum())
    total = float(spread.sum())
    freedom = 2.0 * total**2 / doubt if doubt > _TINY else np.inf
    freedom = float(np.clip(freedom, _LEAST_FREEDOM, max(len(ground) - 1.0, _LEAST_FREEDOM)))
    return freedom, float(noise.third.sum() + (ground**3).sum())


def _turned(reach: float, skew: float) -> float:
    """Return the studentised error whose transformed value is ``reach``: the inverse of Hall's
    ``t + skew * t^2 / 3 + skew^2 * t^3 / 27 + skew / 6``.
    """
    if abs(skew) < 1e-8:
        return reach
    inside = 1.0 + skew * (reach - skew / 6.0)
    return 3.0 / skew * (float(np.cbrt(inside)) - 1.0)
