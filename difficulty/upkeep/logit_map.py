"""Maps that put probabilities right: a slope and a shift of the logit, shrunk towards no change.

How strongly they are shrunk is said in requests that speak for no change, and chosen by
cross-validation over whole groups; "no change" is among the choices. A slope above 0 keeps the
order of requests, so a promise about a threshold, which rests on that order, can be tested on
samples that a map was fitted on.

References
----------
Cox (1958), "Two further applications of a model for binary regression"; Steyerberg, Borsboom, van
Houwelingen, Eijkemans and Habbema (2004), "Validation and updating of predictive logistic
regression models" (re-estimation shrunk to the old model).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from difficulty.form import Record
from difficulty.metrics.arrays import FloatArray, effective_samples
from difficulty.metrics.bootstrap import group_codes
from difficulty.metrics.intervals import special

EDGE = 2.0**-23
"""Probabilities are cut to [EDGE, 1 - EDGE]: the nearest to 1 that float32 tells from it."""
STRENGTHS = (1.0, 10.0, 50.0, 200.0, 1_000.0, math.inf)
"""Requests that speak for no change; infinity is no change."""
_FOLDS = 5
_STEPS = 60
_MOST_LOG_SLOPE = math.log(20.0)


@dataclass(frozen=True, slots=True)
class LogitMap(Record):
    """``sigmoid(slope * logit(p) + shift)``; the default changes nothing."""

    slope: float = 1.0
    shift: float = 0.0

    def __call__(self, probability: FloatArray) -> FloatArray:
        """Return what stands in place of probabilities; NaN stays."""
        return np.asarray(special().expit(self.slope * _logit(probability) + self.shift))

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return self.slope == 1.0 and self.shift == 0.0

    @property
    def inverse(self) -> LogitMap:
        """The map that undoes it."""
        return LogitMap(1.0 / self.slope, -self.shift / self.slope)

    def after(self, earlier: LogitMap) -> LogitMap:
        """Return the map that does ``earlier`` first and then this one."""
        return LogitMap(self.slope * earlier.slope, self.slope * earlier.shift + self.shift)


@dataclass(frozen=True, slots=True)
class FittedMap:
    """A map, and how strongly it was shrunk."""

    map: LogitMap
    strength: float
    """Requests that speak for no change; infinity: cross-validation wanted none."""
    gain: float
    """Log loss a request, in nats, that it saved in cross-validation."""


def fit_map(
    probability: FloatArray,
    outcome: FloatArray,
    *,
    weight: FloatArray,
    groups: ArrayLike,
    strengths: tuple[float, ...] = STRENGTHS,
    seed: int = 0,
) -> FittedMap:
    """Return the map that cross-validation over groups prefers.

    Parameters
    ----------
    probability, outcome, weight : ndarray of shape (n,)
        Calibrated probabilities, outcomes in [0, 1] (NaN where unknown) and weights.
    groups : array-like of shape (n,)
        Samples of one group are in one fold.
    strengths : tuple of float
        From which to choose; infinity is no change.
    seed : int
        Of the folds.
    """
    known = ~np.isnan(outcome) & ~np.isnan(probability)
    place, y = _logit(probability[known]), outcome[known]
    w = _informative(weight[known])
    codes = group_codes(np.asarray(groups)[known]) if known.any() else np.zeros(0, dtype=np.intp)
    n_groups = int(codes.max(initial=-1)) + 1
    if n_groups < 2 * _FOLDS:
        return FittedMap(LogitMap(), math.inf, 0.0)
    fold = np.random.default_rng(seed).permutation(n_groups)[codes] % _FOLDS
    losses = np.zeros(len(strengths))
    for number in range(_FOLDS):
        inside, outside = fold != number, fold == number
        for column, strength in enumerate(strengths):
            tried = _shrunk(place[inside], y[inside], w[inside], strength=strength)
            losses[column] += _log_loss(tried, place[outside], y[outside], w[outside])
    # Of equal ones the strongest.
    best = len(strengths) - 1 - int(np.argmin(losses[::-1]))
    chosen = _shrunk(place, y, w, strength=strengths[best])
    unchanged = _log_loss(LogitMap(), place, y, w)
    return FittedMap(chosen, strengths[best], float((unchanged - losses[best]) / w.sum()))


def _logit(probability: FloatArray) -> FloatArray:
    return np.asarray(special().logit(np.clip(probability, EDGE, 1.0 - EDGE)))


def _informative(weight: FloatArray) -> FloatArray:
    """Return weights that sum to the number of equally weighted samples that they are worth."""
    total = float(weight.sum())
    return weight * (effective_samples(weight) / total) if total else weight


def _log_loss(map_: LogitMap, place: FloatArray, y: FloatArray, w: FloatArray) -> float:
    z = map_.slope * place + map_.shift
    return float(w @ (np.logaddexp(0.0, z) - y * z))


def _shrunk(place: FloatArray, y: FloatArray, w: FloatArray, *, strength: float) -> LogitMap:
    """Return the map with the least log loss and penalty, by Newton's method with halved steps."""
    if math.isinf(strength) or not w.any():
        return LogitMap()
    # About the middle, so that slope and shift are penalised apart: z = middle + b + e^a (x - m).
    middle = float(np.average(place, weights=w))
    x = place - middle
    spread = max(float(np.average(x**2, weights=w)), 1e-6)
    # A request says at most 1/4 about the shift, and that times the spread about the slope.
    prior = 0.25 * strength * np.array([spread, 1.0])

    def loss(at: FloatArray) -> float:
        z = middle + at[1] + math.exp(at[0]) * x
        return float(w @ (np.logaddexp(0.0, z) - y * z) + 0.5 * prior @ at**2)

    at = np.zeros(2)
    value = loss(at)
    for _ in range(_STEPS):
        steep = math.exp(at[0]) * x
        fitted = special().expit(middle + at[1] + steep)
        excess, curvature = w * (fitted - y), w * fitted * (1.0 - fitted)
        gradient = np.array([excess @ steep, excess.sum()]) + prior * at
        design = np.stack([steep, np.ones(len(x))], axis=1)
        # Fisher's, which is never negative, as the loss need not be convex in the log slope.
        step = np.linalg.solve((design * curvature[:, None]).T @ design + np.diag(prior), gradient)
        for _ in range(30):
            tried = at - step
            tried[0] = np.clip(tried[0], -_MOST_LOG_SLOPE, _MOST_LOG_SLOPE)
            if (better := loss(tried)) <= value:
                break
            step = step / 2.0
        else:
            break
        moved, at, value = float(np.abs(tried - at).max()), tried, better
        if moved < 1e-9:
            break
    slope = math.exp(at[0])
    return LogitMap(slope, float(middle + at[1] - slope * middle))
