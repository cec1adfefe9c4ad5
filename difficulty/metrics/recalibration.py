"""How far probabilities are off, corrected for chance, and whether chance explains it.

Outcomes may be soft: 1 - quality in [0, 1] stands for a probability of failure. Requests of one
group may be alike.

References
----------
Kumar, Liang and Ma (2019), "Verified uncertainty calibration", and Bröcker (2012), "Estimating
reliability and resolution of probability forecasts" (the debiased error); Cox (1958), "Two further
applications of a model for binary regression" (slope and intercept); Van Calster, McLernon, van
Smeden, Wynants and Steyerberg (2019), "Calibration: the Achilles heel of predictive analytics".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from difficulty.metrics.arrays import FloatArray, IntArray
from difficulty.metrics.intervals import LEAST_EVENTS, special, support_of
from difficulty.metrics.probability import equal_mass_bins

LEAST_IN_BIN = 20
_CLIP = 1e-6
_STEPS = 50
_STEEP = 50.0
"""A slope beyond it: the outcomes are all but separated by the probability."""


@dataclass(frozen=True, slots=True)
class Slope:
    """A number of the logistic recalibration with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Recalibration:
    """What would put probabilities right: logit(frequency) = a + slope x logit(probability).

    Attributes
    ----------
    slope : Slope
        1 is right; below 1 the probabilities are too extreme, above 1 too timid.
    intercept : Slope
        What to add to the logit with the slope left at 1: above 0 they are too low on the whole.
    """

    slope: Slope
    intercept: Slope


def debiased_error(
    probability: FloatArray,
    outcome: FloatArray,
    *,
    n_bins: int,
    weight: FloatArray,
    codes: IntArray | None,
) -> float:
    """Return the root of the mean squared distance between predicted probability and frequency over
    bins of equal mass, less what chance adds to it; 0 on average for perfect probabilities.

    Chance may take off more than there is: the root is then that of the size, with a minus.

    Parameters
    ----------
    probability, outcome, weight : ndarray of shape (n,)
    n_bins : int
        At most; each has 20 requests or more, where there are so many.
    codes : ndarray of shape (n,) or None
        Group of each request, from 0; None: each is its own.
    """
    n_bins = max(1, min(n_bins, len(probability) // LEAST_IN_BIN))
    bins = equal_mass_bins(probability, n_bins=n_bins, weight=weight)
    used, bins = np.unique(bins, return_inverse=True)
    mass = np.bincount(bins, weights=weight)
    gap = np.bincount(bins, weights=weight * (outcome - probability)) / mass
    excess = weight * (outcome - probability - gap[bins])
    cell = np.arange(len(bins)) if codes is None else codes * len(used) + bins
    cells, cell = np.unique(cell, return_inverse=True)
    within = np.zeros(len(cells), dtype=np.intp)
    within[cell] = bins
    count = np.bincount(within, minlength=len(used)).astype(np.float64)
    between = np.bincount(within, weights=np.bincount(cell, weights=excess) ** 2)
    # A bin of a single group has no spread to see: all of its distance may be chance.
    noise = np.where(count > 1.0, between * count / np.maximum(count - 1.0, 1.0) / mass**2, gap**2)
    square = float(mass @ (gap**2 - noise) / mass.sum())
    return float(np.copysign(np.sqrt(abs(square)), square))


def recalibration(
    probability: FloatArray, outcome: FloatArray, *, weight: FloatArray, codes: IntArray | None
) -> Recalibration | None:
    """Return slope and intercept with intervals that count groups; parameters as for
    :func:`debiased_error`.

    Returns
    -------
    Recalibration or None
        None below 10 failures or 10 other outcomes, where all probabilities are equal, or where
        they all but separate the outcomes.
    """
    rate = float(np.average(outcome, weights=weight))
    if min(rate, 1.0 - rate) * len(outcome) < LEAST_EVENTS:
        return None
    place = special().logit(np.clip(probability, _CLIP, 1.0 - _CLIP))
    if np.ptp(place) <= 1e-9:
        return None
    design = np.stack([np.ones(len(place)), place], axis=1)
    both = _fitted(design, np.zeros(len(place)), outcome, weight)
    level = _fitted(design[:, :1], place, outcome, weight)
    if both is None or level is None or abs(both[1]) > _STEEP:
        return None
    fitted = special().expit(design @ both)
    curvature = weight * fitted * (1.0 - fitted)
    centred = place - np.average(place, weights=curvature)
    slope = _ends(
        float(both[1]), curvature * centred**2, weight * (outcome - fitted) * centred, codes
    )
    fitted = special().expit(place + level[0])
    intercept = _ends(
        float(level[0]), weight * fitted * (1.0 - fitted), weight * (outcome - fitted), codes
    )
    return Recalibration(slope, intercept)


def _fitted(
    design: FloatArray, offset: FloatArray, outcome: FloatArray, weight: FloatArray
) -> FloatArray | None:
    """Return the coefficients of a weighted logistic regression; None where there are none."""
    found = np.zeros(design.shape[1])
    found[-1] = float(design.shape[1] > 1)
    for _ in range(_STEPS):
        fitted = special().expit(offset + design @ found)
        curvature = (design * (weight * fitted * (1.0 - fitted))[:, None]).T @ design
        if np.linalg.cond(curvature) > 1e12:
            return None
        step = np.linalg.solve(curvature, design.T @ (weight * (outcome - fitted)))
        # Far from the answer a whole step may pass it.
        found = found + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-9:
            return found
    return None


def _ends(value: float, mass: FloatArray, excess: FloatArray, codes: IntArray | None) -> Slope:
    """Return a coefficient with its interval, from the curvature and the score of each request."""
    support = support_of(mass, excess, codes)
    assert support is not None
    half = float(special().stdtrit(support.freedom, 0.975)) * float(
        np.sqrt(_left_out(mass, excess, codes))
    )
    return Slope(value, value - half, value + half)


def _left_out(mass: FloatArray, excess: FloatArray, codes: IntArray | None) -> float:
    """Return the jackknife variance: each group left out once, by one step of Newton's."""
    if codes is not None:
        mass, excess = (
            np.bincount(codes, weights=values).astype(np.float64) for values in (mass, excess)
        )
    moved = excess / np.maximum(mass.sum() - mass, 1e-3 * mass.sum())
    return float(moved @ moved)


def chance_of(
    probability: FloatArray, outcome: FloatArray, *, weight: FloatArray, codes: IntArray | None
) -> float:
    """Return the p-value of "these probabilities are right": a joint score test of intercept 0 and
    slope 1; parameters as for :func:`debiased_error`.

    What right probabilities scatter is known, p (1 - p) a request, and need not be estimated; only
    how alike the requests of one group are is.
    """
    place = special().logit(np.clip(probability, _CLIP, 1.0 - _CLIP))
    scatter = np.sqrt(probability * (1.0 - probability))
    mass = weight * scatter
    if not mass.any():
        # Every outcome was called certain.
        return float(not np.abs(outcome - probability).max() > _CLIP)
    # The centre changes nothing but the rounding.
    centred = place - np.average(place, weights=mass**2)
    columns = [np.ones(len(place))]
    if np.ptp(centred) > 1e-9:
        columns.append(centred / np.sqrt(np.average(centred**2, weights=mass**2)))
    design = np.stack(columns, axis=1)
    excess = weight * (outcome - probability)
    score = design.T @ excess
    alone = mass[:, None] * design
    variance = alone.T @ alone
    if codes is not None:
        alike = _likeness(excess, mass, codes)
        seen, alike_groups = (
            np.stack([np.bincount(codes, weights=part * column) for column in design.T], axis=1)
            for part in (excess, mass)
        )
        # How alike they are in the direction of the slope no single number says; but what was
        # seen may be small by luck.
        modelled = (1.0 - alike) * variance + alike * alike_groups.T @ alike_groups
        variance = _larger(_larger(variance, modelled), np.asarray(seen.T @ seen, dtype=np.float64))
    support = support_of(mass, excess, codes)
    assert support is not None
    distance = float(score @ np.linalg.solve(variance, score)) / len(columns)
    # Hotelling's: each further direction costs a degree of freedom.
    freedom = max(1.0, support.freedom + 1.0 - len(columns))
    return float(special().fdtrc(len(columns), freedom, distance))


def _larger(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return a variance that is in no direction smaller than either; ``one`` is regular."""
    root = np.linalg.cholesky(one)
    inverse = np.linalg.inv(root)
    sizes, directions = np.linalg.eigh(inverse @ other @ inverse.T)
    turned = root @ directions
    return np.asarray((turned * np.maximum(sizes, 1.0)) @ turned.T)


def _likeness(excess: FloatArray, mass: FloatArray, codes: IntArray) -> float:
    """Return how alike the outcomes of a group are, beyond their probabilities: from 0 to 1."""
    size = np.maximum(np.bincount(codes), 1)
    between, within = np.bincount(codes, weights=excess), np.bincount(codes, weights=excess**2)
    share, own = np.bincount(codes, weights=mass), np.bincount(codes, weights=mass**2)
    pairs = float(((share**2 - own) / size).sum())
    return float(np.clip(((between**2 - within) / size).sum() / pairs, 0.0, 1.0)) if pairs else 0.0
