"""How far a set of requests is from those that probabilities were checked on, and what the
probabilities still say of it.

Nothing that is known without outcomes tells how a model does on requests unlike any that were
judged. So the estimate does not try to: of the share of the traffic that is new, it takes the
failure rate to be anywhere in [0, 1]. What can be measured is that share. A classifier is asked to
tell the requests from the reference by score, length and familiarity; the share of the requests
that it tells apart, on rows that it did not learn from, is a lower bound of the total variation
distance, and its standard error is added on top.

The interval of a mean of predicted failures has three parts, added as variances:

- the share that is new times how far a failure rate of which nothing is known (uniform in [0, 1];
  for a gap the difference of two such) is from what is predicted;
- how far the probabilities were off on the reference, and might have been on other groups of it;
- chance in the outcomes of these requests, and in which requests came.

References
----------
Lopez-Paz and Oquab (2017), "Revisiting classifier two-sample tests" (a classifier as a distance);
Garg, Balakrishnan, Lipton, Neyshabur and Sedghi (2022), "Leveraging unlabeled data to predict
out-of-distribution performance", section 3 (without assumptions on the shift accuracy cannot be
identified); Manski (2003), "Partial identification of probability distributions" (the share of
which nothing is known enters with its whole range).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from difficulty.errors import TooFewSamplesError
from difficulty.metrics.arrays import FloatArray, IntArray, column
from difficulty.metrics.bootstrap import group_codes
from difficulty.metrics.intervals import special


class Unknown(NamedTuple):
    """A mean of which nothing is known."""

    middle: float
    spread: float
    """Standard deviation about the middle."""

    def off(self, predicted: float) -> float:
        """Return how far a prediction is from it, root of the mean square."""
        return float(np.hypot(self.spread, predicted - self.middle))


UNKNOWN_FAILURE = Unknown(0.5, 12.0**-0.5)
"""A failure rate that is anywhere in [0, 1]."""
UNKNOWN_GAP = Unknown(0.0, 6.0**-0.5)
"""The difference of two such."""
LEAST_REQUESTS = 30
"""Fewer, of either set, cannot be told apart nor alike."""
LEVEL = 0.05
"""Of the test whether requests are unlike the reference at all."""
_NORMAL_95 = 1.959964
_PENALTY = 1.0
_STEPS = 30
_REPEATS = 3
_WIDEST = 5.0
"""Standard deviations of the reference beyond which a value is only "far"."""


class ShiftDistance(NamedTuple):
    """How far a set of requests is from a reference."""

    value: float
    """Share of the requests that a classifier tells from the reference, in [0, 1]."""
    error: float
    """Its standard error; requests of a group count as alike."""
    p_value: float = 0.0
    """Chance that as large a share of requests like the reference is told from it: Fisher's exact
    test, one-sided, of how many of either set the classifier holds to be new, each group of
    requests counting as much as it is worth.
    """

    @property
    def is_shown(self) -> bool:
        """Whether more requests are told apart than chance explains, at the level of 5 %."""
        return self.p_value <= LEVEL

    @property
    def upper(self) -> float:
        """What is reckoned with, at most 1."""
        return min(self.value + self.error, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPoints:
    """What is known of requests without their texts.

    Attributes
    ----------
    difficulty_score, tokens : ndarray of shape (n,)
    familiarity : ndarray of shape (n,) or None
        ``None`` where the scorer has none.
    count : ndarray of shape (n,) or None
        How many requests a point stands for; ``None``: one each.
    groups : ndarray of shape (n,) or None
        Requests of a group come together; ``None``: each alone.
    effective : float or None
        How many requests drawn one by one would say as much, where groups are not kept.
    """

    difficulty_score: FloatArray
    tokens: FloatArray
    familiarity: FloatArray | None = None
    count: FloatArray | None = None
    groups: np.ndarray | None = None
    effective: float | None = None

    def __post_init__(self) -> None:
        n = len(column("difficulty_score", self.difficulty_score))
        column("tokens", self.tokens, n=n)
        for name in ("familiarity", "count"):
            if (values := getattr(self, name)) is not None:
                column(name, values, n=n)

    def __len__(self) -> int:
        return len(self.difficulty_score)

    @property
    def mass(self) -> FloatArray:
        """Requests that each point stands for."""
        return np.ones(len(self)) if self.count is None else self.count

    def columns(self, *, familiarity: bool) -> FloatArray:
        """Return the values a classifier reads, of shape (n, 2 or 3), on scales on which they are
        spread out.
        """
        score = np.clip(self.difficulty_score, 1e-4, 1.0 - 1e-4)
        values = [np.log(score / (1.0 - score)), np.log1p(np.maximum(self.tokens, 0.0))]
        if familiarity and self.familiarity is not None:
            values.append(np.sqrt(np.clip(self.familiarity, 0.0, 1.0)))
        return np.column_stack(values)


def shift_distance(
    reference: RequestPoints, requests: RequestPoints, *, seed: int
) -> ShiftDistance:
    """Return how far requests are from a reference.

    A logistic classifier on squares and products of the standardised values, fitted on one half of
    each set and asked about the other, both ways round, for several halves.

    Parameters
    ----------
    reference, requests : RequestPoints
        Familiarity counts where both have it.
    seed : int
        Of the halves.

    Raises
    ------
    TooFewSamplesError
        If either has fewer than 30 requests.
    """
    n_reference, n_requests = reference.mass.sum(), requests.mass.sum()
    if min(n_reference, n_requests) < LEAST_REQUESTS:
        raise TooFewSamplesError(
            f"comparing two sets of requests needs {LEAST_REQUESTS} of each: got"
            f" {n_requests:,.0f}, and {n_reference:,.0f} to compare with. Wait for more traffic."
        )
    both = reference.familiarity is not None and requests.familiarity is not None
    known, asked = (each.columns(familiarity=both) for each in (reference, requests))
    values = np.vstack([known, asked])
    features = _features(values, known, reference.mass)
    new = np.repeat([0.0, 1.0], [len(known), len(asked)])
    rng = np.random.default_rng(seed)
    apart, spread, held_new = [], [], []
    for _ in range(_REPEATS):
        halves = [_halved(each, rng) for each in (reference, requests)]
        rates, variances = [0.0, 0.0], [0.0, 0.0]
        for learned in (0, 1):
            mass = np.concatenate([pair[learned] for pair in halves])
            told = features @ _fit_logistic(features, new, mass) > 0.0
            for place, (points, pair) in enumerate(zip((reference, requests), halves, strict=True)):
                held, side = pair[1 - learned], told[new == float(place)].astype(np.float64)
                rates[place] += float(np.average(side, weights=held)) / 2.0
                variances[place] += _variance_of_rate(side, points) / 2.0
        apart.append(rates[1] - rates[0])
        held_new.append(rates)
        spread.append(sum(variances))
    # A classifier that found nothing says nothing surely: chance alone has the error of coins.
    sizes = effective_size(reference), effective_size(requests)
    least = sum(0.25 / size for size in sizes)
    return ShiftDistance(
        p_value=_chance_of(np.mean(held_new, axis=0), sizes),
        value=float(np.clip(np.mean(apart), 0.0, 1.0)),
        error=float(np.sqrt(max(float(np.mean(spread)), least))),
    )


def _chance_of(rates: FloatArray, sizes: tuple[float, float]) -> float:
    """Return the one-sided p value of a share held to be new among the requests, against that among
    the reference.
    """
    known, asked = (max(1, round(size)) for size in sizes)
    of_known, of_asked = round(float(rates[0]) * known), round(float(rates[1]) * asked)
    told = of_known + of_asked
    # Fisher's exact test: so many or more of those that are held to be new are the requests'.
    more = np.arange(of_asked, min(asked, told) + 1)
    ways = _log_ways(asked, more) + _log_ways(known, told - more) - _log_ways(known + asked, told)
    return float(min(1.0, np.exp(ways).sum()))


def _log_ways(n: int, chosen: IntArray | int) -> FloatArray:
    """Return the logarithm of how many ways there are to choose from n; -inf where none."""
    gammaln, k = special().gammaln, np.asarray(chosen, dtype=np.float64)
    ways = gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(np.maximum(n - k, 0.0) + 1.0)
    return np.where(k > n, -np.inf, ways)


def effective_size(points: RequestPoints) -> float:
    """Return how many requests drawn one by one would say as much about which requests come:
    squares of group sizes are what clustering costs at most.
    """
    if points.effective is not None:
        return points.effective
    if points.groups is None:
        return float(points.mass.sum())
    sums = np.bincount(group_codes(points.groups), weights=points.mass)
    return float(sums.sum() ** 2 / (sums**2).sum())


class Parts(NamedTuple):
    """Variances of a mean that is estimated without outcomes, by what makes it unsure."""

    shift: float
    """The share that is new."""
    calibration: float
    """Probabilities that were off where outcomes are known."""
    chance: float
    """In which requests came, and in what comes of them."""

    @property
    def half(self) -> float:
        """How far the 95 % interval reaches to either side."""
        return _NORMAL_95 * float(np.sqrt(sum(self)))


def unlabelled_parts(
    predicted: FloatArray,
    *,
    noise: FloatArray,
    groups: np.ndarray | None,
    distance: ShiftDistance,
    unknown: Unknown,
    calibration_error: float,
) -> tuple[float, Parts]:
    """Return the mean of what is predicted of n requests, and how unsure it is of what their
    outcomes would show.

    Parameters
    ----------
    predicted : ndarray of shape (n,)
        Expected value of each request's outcome.
    noise : ndarray of shape (n,)
        Variance of each outcome about it.
    groups : ndarray of shape (n,) or None
    distance : ShiftDistance
        From the reference.
    unknown : Unknown
        What the mean is where nothing is known: :data:`UNKNOWN_FAILURE` or :data:`UNKNOWN_GAP`.
    calibration_error : float
        How far the predictions were off on the reference, root of the mean square.
    """
    values = column("predicted", predicted)
    value = float(values.mean())
    return value, Parts(
        shift=(unknown.off(value) * distance.upper) ** 2,
        calibration=calibration_error**2,
        chance=float(np.sum(noise)) / len(values) ** 2 + clustered_variance(values, groups),
    )


def clustered_variance(values: FloatArray, groups: np.ndarray | None) -> float:
    """Return the variance of the mean of ``values``, of shape (n,), groups drawn whole."""
    codes = np.arange(len(values)) if groups is None else group_codes(groups)
    sums = np.bincount(codes, weights=values - values.mean())
    n_groups = len(sums)
    if n_groups < 2:
        # One group shows nothing of how groups differ.
        return float(np.var(values)) if groups is not None else 0.0
    return float((sums**2).sum() / len(values) ** 2 * n_groups / (n_groups - 1))


def _variance_of_rate(told: FloatArray, points: RequestPoints) -> float:
    if points.groups is not None:
        return clustered_variance(told, points.groups)
    rate = float(np.average(told, weights=points.mass))
    return rate * (1.0 - rate) / effective_size(points)


def _halved(points: RequestPoints, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Return the mass of each point in either half; groups stay whole."""
    if points.count is not None:
        first = rng.binomial(points.count.astype(np.int64), 0.5).astype(np.float64)
        return first, points.count - first
    codes = np.arange(len(points)) if points.groups is None else group_codes(points.groups)
    side = rng.permutation(np.arange(int(codes.max()) + 1) % 2)[codes].astype(np.float64)
    return side, 1.0 - side


def _features(values: FloatArray, known: FloatArray, mass: FloatArray) -> FloatArray:
    """Return the values standardised by the reference, with squares, products and a constant."""
    mean = np.average(known, axis=0, weights=mass)
    spread = np.sqrt(np.average((known - mean) ** 2, axis=0, weights=mass))
    scaled = np.clip((values - mean) / np.where(spread > 0.0, spread, 1.0), -_WIDEST, _WIDEST)
    k = scaled.shape[1]
    products = [scaled[:, i] * scaled[:, j] for i in range(k) for j in range(i, k)]
    return np.column_stack([np.ones(len(values)), scaled, *products])


def _fit_logistic(features: FloatArray, new: FloatArray, mass: FloatArray) -> FloatArray:
    """Return weights of a ridge-penalised logistic regression in which both sets count alike, by
    Newton's method.
    """
    weight = np.zeros(features.shape[1])
    sums = [max(float(mass[new == side].sum()), 1e-12) for side in (0.0, 1.0)]
    balance = mass / np.where(new > 0.0, sums[1], sums[0]) * (sum(sums) / 2.0)
    penalty = np.full(features.shape[1], _PENALTY)
    penalty[0] = 1e-6
    for _ in range(_STEPS):
        p = 1.0 / (1.0 + np.exp(-np.clip(features @ weight, -30.0, 30.0)))
        slope = features.T @ (balance * (p - new)) + penalty * weight
        curvature = (features * (balance * p * (1.0 - p))[:, None]).T @ features
        step = np.linalg.solve(curvature + np.diag(penalty), slope)
        weight = weight - step
        if np.abs(step).max() < 1e-8:
            break
    return weight
