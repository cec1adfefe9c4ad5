"""What more labels would bring: the score's figure by training size, extrapolated.

The heads are fitted on disjoint parts of the fit samples (halves, and some of the quarters and
eighths) and judged on the same held-out samples as the whole. Two sources of chance make the
interval: which held-out samples there are (bootstrap of groups, all sizes seeing the same draw) and
which samples were labelled. The second is measured by how much parts of one size differ; the
variance of one part goes down as 1 / its size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from difficulty.errors import InvalidValueError
from difficulty.form import SavedForm
from difficulty.metrics import percentile_interval
from difficulty.metrics.arrays import FloatArray, IntArray
from difficulty.metrics.bootstrap import Resampling
from difficulty.metrics.coded_names import codes_of
from difficulty.metrics.ranking import Ranking, area, auroc_of, gap_curve
from difficulty.text import quantity_text

EXPONENTS = np.linspace(0.1, 0.6, 6)
LEAST_POINTS = 3
"""Two points have no curvature: every exponent would fit."""


def expected_gains(
    sizes: ArrayLike, values: ArrayLike, *, noise: ArrayLike, size: float, rng: np.random.Generator
) -> FloatArray:
    """Return how much higher the curve is at a size than at the largest of its points, for each
    draw of the points.

    Parameters
    ----------
    sizes : array-like of shape (n_points,)
        Training sizes, all different and above 0.
    values : array-like of shape (n_draws, n_points)
        The metric at each size in each draw.
    noise : array-like of shape (n_points,)
        Standard deviation with which each point of a draw lies off the curve, above 0: points count
        by it, and it says how much better an exponent has to fit to be preferred.
    size : float
        Where the curve is wanted, above 0.
    rng : numpy.random.Generator
        Picks an exponent for each draw.

    Returns
    -------
    ndarray of shape (n_draws,)
        In the metric's unit; may be negative.
    """
    x, y, spread = (np.asarray(part, dtype=np.float64) for part in (sizes, values, noise))
    if len(np.unique(x)) != len(x) or len(x) < LEAST_POINTS or min(x.min(), size) <= 0:
        raise InvalidValueError(
            "sizes",
            [*x.tolist(), size],
            rule=f"be at least {LEAST_POINTS} different numbers above 0",
        )
    if not (spread > 0).all():
        raise InvalidValueError("noise", spread.tolist(), rule="be above 0")
    fits = [_gain_and_misfit(x, y, spread**-2, size, exponent) for exponent in EXPONENTS]
    gains, misfits = (np.stack(column, axis=1) for column in zip(*fits, strict=True))
    # Each draw takes an exponent by its likelihood, so that not knowing it widens the interval.
    likelihood = np.exp(-0.5 * (misfits - misfits.min(axis=1, keepdims=True)))
    cumulative = np.cumsum(likelihood, axis=1) / likelihood.sum(axis=1, keepdims=True)
    # By inverse transform, one number a draw.
    picked = (rng.random((len(y), 1)) > cumulative[:, :-1]).sum(axis=1)
    return np.asarray(gains[np.arange(len(y)), picked], dtype=np.float64)


def _gain_and_misfit(
    sizes: FloatArray, values: FloatArray, weight: FloatArray, size: float, exponent: float
) -> tuple[FloatArray, FloatArray]:
    """Return the gain and the weighted squared residuals of the line in ``size ** -exponent``, each
    of shape (n_draws,).
    """
    x = sizes**-exponent  # a power law is a line in it
    centred = x - np.average(x, weights=weight)
    offset = values - np.average(values, weights=weight, axis=1)[:, None]
    slope = offset @ (weight * centred) / ((weight * centred) @ centred)
    misfit = ((offset - slope[:, None] * centred) ** 2) @ weight
    return slope * (size**-exponent - sizes.max() ** -exponent), misfit


CurveVerdict = Literal["rises", "flat", "cannot tell"]
Statistic = Callable[[FloatArray], FloatArray]
LEAST_ROWS = 40
"""Fit samples that a part needs; fewer teach too little to be on the curve."""
DIVISIONS = {8: 4, 4: 2, 2: 2}
"""Into how many parts the fit samples are divided, and how many of those are fitted: twice the work
of one fit of the whole.
"""
MOST_OF_A_PART = 6_250
"""Fit samples of the largest part: of many samples all parts are a half, a quarter and so on of
what they would be, so that the curve takes no longer than it does with 12,500.
"""
FACTORS = (2.0, 4.0)
WORTH = 0.01
"""A smaller gain from doubling the labels is called none."""
_LEAST_NOISE = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Point(SavedForm):
    """The figure at one training size: fit samples, parts of that size, mean over the parts with a
    95 % interval.
    """

    n_fit: int
    parts: int
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast(SavedForm):
    """What that many labelled requests in all are expected to add to the figure, with a 95 %
    interval.
    """

    labels: int
    gain: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class LearningCurve(SavedForm):
    """Measured points and what they say of more labels.

    Attributes
    ----------
    figure : {"apgr", "auroc"}
        What is measured: APGR for the target ``benefit``, AUROC for ``failure``.
    labels : int
        Labelled requests now, all splits together.
    value : float or None
        The figure now, on the held-out samples; ``None`` where those are too few to have one.
    points : tuple of Point
        By ascending size, the whole fit split last; empty where there are too few samples for three
        sizes.
    forecasts : tuple of Forecast
        For twice and four times as many labels; empty without points.
    """

    _also = ("format", "verdict", "sentence")
    format: ClassVar[int] = 1

    figure: Literal["apgr", "auroc"]
    labels: int
    value: float | None
    points: tuple[Point, ...]
    forecasts: tuple[Forecast, ...]

    @property
    def verdict(self) -> CurveVerdict:
        """Whether doubling the labels raises the figure, brings next to nothing, or cannot be told
        from noise.
        """
        if not self.forecasts:
            return "cannot tell"
        doubled = self.forecasts[0]
        if doubled.high < WORTH:
            return "flat"
        return "rises" if doubled.low > 0.0 else "cannot tell"

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        name = self.figure.upper()
        if not self.forecasts or self.value is None:
            return (
                "More labels: cannot tell from"
                f" {quantity_text(self.labels, 'labelled request')} what more would"
                " bring; the learning curve needs more."
            )
        doubled, to = self.forecasts[0], f"doubling the labels to {self.forecasts[0].labels:,}"
        span = f"[{self.value + doubled.low:.2f}, {self.value + doubled.high:.2f}]"
        if self.verdict == "rises":
            return (
                f"More labels: {to} is expected to raise {name} from {self.value:.2f} to about"
                f" {self.value + doubled.gain:.2f} {span}."
            )
        if self.verdict == "flat":
            most = max(doubled.high, 0.0)
            return (
                f"More labels: {to} is expected to raise {name} by {most:.3f} at most; more of the"
                " same are hardly worth it."
            )
        return (
            f"More labels: cannot tell. With noise as it is, {to} may take {name} from"
            f" {self.value:.2f} to anywhere in {span}."
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldOut:
    """What happened to the n requests that the sizes are judged on.

    Attributes
    ----------
    outcome : ndarray of shape (n,)
        For ``apgr`` the gain, for ``auroc`` 0 or 1; NaN where unknown.
    weight, groups : ndarray of shape (n,)
        Sample weights; requests of one group are drawn together.
    """

    figure: Literal["apgr", "auroc"]
    outcome: FloatArray
    weight: FloatArray
    groups: NDArray[np.str_] | IntArray

    def statistic(self, score: FloatArray, rows: NDArray[np.intp]) -> Statistic:
        """Return the figure of a score on the requests with a known outcome, as a function of the
        weights of all.
        """
        ranking = Ranking.of(score[rows]).at(rows)
        ranked = self.outcome[ranking.order]
        if self.figure == "apgr":
            return lambda weight: area(*gap_curve(ranking, ranked, weight))
        return lambda weight: auroc_of(ranking, ranked, weight)


def parts_of(groups: Sequence[str], *, rng: np.random.Generator) -> list[list[NDArray[np.intp]]]:
    """Return rows of parts, for each training size a list of disjoint ones, smallest size first.

    Parameters
    ----------
    groups : sequence of n str
        Group of each fit sample; a group is never in two parts of one size.
    rng : numpy.random.Generator
        Deals the groups.

    Returns
    -------
    list of lists of ndarray
        Empty where three sizes, the whole among them, would be too small.
    """
    codes = codes_of(groups)
    # Whole groups are dealt out: near-duplicates in two parts would make them alike.
    dealt = rng.permutation(int(codes.max()) + 1 if len(codes) else 0)[codes]
    times = 1
    while len(codes) > 2 * times * MOST_OF_A_PART:
        times *= 2
    parts = [
        [np.flatnonzero(dealt % (times * n) == part) for part in range(fitted)]
        for n, fitted in DIVISIONS.items()
    ]
    large_enough = [of_size for of_size in parts if min(map(len, of_size)) >= LEAST_ROWS]
    return large_enough if len(large_enough) + 1 >= LEAST_POINTS else []


def learning_curve(
    sizes: Sequence[int],
    scores: Sequence[Sequence[FloatArray]],
    held_out: HeldOut,
    *,
    labels: int,
    rng: np.random.Generator,
    n_draws: int = 1000,
) -> LearningCurve:
    """Return the curve of scores by training size, extrapolated.

    Parameters
    ----------
    sizes : sequence of int
        Fit samples behind the scores, ascending; the last is the whole. Fewer than three sizes are
        no curve.
    scores : sequence of sequences of ndarray of shape (n,)
        For each size the held-out samples' scores by each of its parts.
    held_out : HeldOut
        What happened to the n held-out samples.
    labels : int
        Labelled requests in all.
    n_draws : int, default 1000
        Bootstrap draws.
    """
    rows = np.flatnonzero(~np.isnan(held_out.outcome))
    statistics = [[held_out.statistic(score, rows) for score in of_size] for of_size in scores]
    measured = [
        np.array([float(statistic(held_out.weight)) for statistic in of_size])
        for of_size in statistics
    ]
    value = float(measured[-1].mean())
    without = LearningCurve(
        figure=held_out.figure,
        labels=labels,
        value=None if np.isnan(value) else value,
        points=(),
        forecasts=(),
    )
    # Of a few large groups the parts of two divisions may be of one size.
    if len(set(sizes)) < max(LEAST_POINTS, len(sizes)) or np.isnan(np.concatenate(measured)).any():
        return without
    blocks = (
        block * held_out.weight
        for block in Resampling(n_draws).of(held_out.groups, rng=rng).blocks()
    )
    drawn = np.concatenate(
        [np.column_stack([_mean(of_size, block) for of_size in statistics]) for block in blocks]
    )
    drawn = drawn[~np.isnan(drawn).any(axis=1)]
    if not len(drawn):
        return without
    # What the bootstrap cannot show: with other samples labelled, every point would lie elsewhere.
    noise = _sampling_noise(sizes, measured)
    # Both sources of chance at once: the draws of the held-out samples, moved by the sampling
    # noise.
    noisy = drawn + rng.normal(scale=noise, size=drawn.shape)
    points = [
        _point(size, of_size, draws)
        for size, of_size, draws in zip(sizes, measured, noisy.T, strict=True)
    ]
    forecasts = [
        _forecast(sizes, noisy, noise, factor=factor, labels=labels, rng=rng) for factor in FACTORS
    ]
    return LearningCurve(
        figure=held_out.figure,
        labels=labels,
        value=value,
        points=tuple(points),
        forecasts=tuple(forecasts),
    )


def _mean(statistics: Sequence[Statistic], weight: FloatArray) -> FloatArray:
    """Return the mean over the parts of one size, of shape (n_draws,)."""
    return np.asarray(
        np.mean([statistic(weight) for statistic in statistics], axis=0), dtype=np.float64
    )


def _sampling_noise(sizes: Sequence[int], measured: Sequence[FloatArray]) -> FloatArray:
    """Return the standard deviation of each size's mean that comes from which samples were
    labelled.
    """
    spread = sum(
        size * ((values - values.mean()) ** 2).sum()
        for size, values in zip(sizes, measured, strict=True)
    )
    # Pooled over the sizes: two or four parts of one size say little by themselves.
    of_one_sample = spread / sum(len(values) - 1 for values in measured)
    fitted = np.array([size * len(values) for size, values in zip(sizes, measured, strict=True)])
    # Parts that happen to agree would be weighed as if they were certain.
    return np.asarray(np.maximum(np.sqrt(of_one_sample / fitted), _LEAST_NOISE), dtype=np.float64)


def _point(size: int, values: FloatArray, draws: FloatArray) -> Point:
    low, high = percentile_interval(draws)
    return Point(n_fit=size, parts=len(values), value=float(values.mean()), low=low, high=high)


def _forecast(
    sizes: Sequence[int],
    drawn: FloatArray,
    noise: FloatArray,
    *,
    factor: float,
    labels: int,
    rng: np.random.Generator,
) -> Forecast:
    gains = expected_gains(sizes, drawn, noise=noise, size=factor * sizes[-1], rng=rng)
    low, high = percentile_interval(gains)
    return Forecast(labels=round(factor * labels), gain=float(np.median(gains)), low=low, high=high)
