"""How much old traffic still counts: weights that halve with age, and forward validation, which
learns from what came earlier and is judged by what came later.

A half-life is preferred to equal weights only where it is better by more than a standard error:
old labels that still hold are worth having, and a short half-life throws most of them away.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from difficulty.errors import InvalidValueError
from difficulty.form import Record
from difficulty.metrics.arrays import FloatArray, IntArray, effective_samples
from difficulty.metrics.bootstrap import group_codes
from difficulty.metrics.intervals import no_spread
from difficulty.records import Estimate

HALF_LIVES: tuple[float | None, ...] = (None, 180.0, 60.0, 20.0)
"""Days after which a sample counts half; ``None``: all count the same."""
LEAST_WEIGHT = 0.01
"""Of a sample, before weights are scaled: no label is thrown away."""
_DAY_US = 86_400_000_000
_NORMAL = 1.959963984540054


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedWay(Record):
    """A way to weigh old samples, judged forward in time."""

    half_life: float | None
    """Days; ``None``: all count the same."""
    warm: bool
    """Whether it starts from another run and learns from newer samples alone."""
    loss: float | None
    """Mean over the later samples; ``None`` where it could not be trained on the earlier ones."""
    behind_first: Estimate
    """Its loss minus that of the first way, on the same samples; below 0 is better."""
    effective: float
    """Equally weighted samples that those it learns from are worth."""
    chosen: bool = False
    problem: str = ""


def weights_by_age(
    times: NDArray[np.datetime64], half_life: float | None, *, now: np.datetime64 | None = None
) -> FloatArray:
    """Return ``0.5 ** (age / half_life)`` with a mean of 1; shape (n,).

    Parameters
    ----------
    times : ndarray of datetime64[us] of shape (n,)
        NaT where unknown: such a sample counts as the oldest that has a time.
    half_life : float or None
        In days, above 0; ``None``: all weigh 1.
    now : datetime64, optional
        From which age counts; default: the newest sample.
    """
    if half_life is not None and not 0.0 < half_life < math.inf:
        raise InvalidValueError("half_life", half_life, rule="be a number of days above 0")
    known = ~np.isnat(times)
    if half_life is None or not known.any():
        return np.ones(len(times))
    newest = times[known].max() if now is None else now
    filled = np.where(known, times, times[known].min())
    age = np.maximum((newest - filled).astype("timedelta64[us]").astype(np.float64) / _DAY_US, 0.0)
    weight = np.maximum(0.5 ** (age / half_life), LEAST_WEIGHT)
    return np.asarray(weight / weight.mean())


def forward_folds(
    times: NDArray[np.datetime64], families: IntArray, *, folds: int, share: float
) -> list[tuple[IntArray, IntArray]]:
    """Return (earlier, later) rows of each fold, the newest fold last; no family is in both.

    Parameters
    ----------
    times : ndarray of datetime64[us] of shape (n,)
        Samples without a time are among the earlier ones.
    families : ndarray of int of shape (n,)
    folds : int
    share : float
        Of the samples, in each fold's later part.
    """
    order = np.argsort(np.where(np.isnat(times), np.datetime64(0, "us"), times), kind="stable")
    size = max(1, int(share * len(order)))
    pairs = []
    for number in range(folds, 0, -1):
        start, end = len(order) - number * size, len(order) - (number - 1) * size
        if start <= 0:
            continue
        earlier, later = order[:start], order[start:end]
        later = later[~np.isin(families[later], families[earlier])]
        pairs.append((np.sort(earlier), np.sort(later)))
    return [pair for pair in pairs if len(pair[1])]


def mean_difference(
    loss: FloatArray, other: FloatArray, *, weight: FloatArray, groups: ArrayLike
) -> Estimate:
    """Return the mean of ``loss - other`` over samples of which both are known, with a 95 %
    interval that counts groups; arrays of shape (n,).
    """
    each = loss - other
    known = ~np.isnan(each)
    n = int(known.sum())
    if not n:
        return Estimate(value=None, note="no later sample has a known outcome")
    codes = group_codes(np.asarray(groups)[known])
    each, w = each[known], weight[known]
    value = float(np.average(each, weights=w))
    many = int(codes.max()) + 1
    if many < 2:
        return Estimate(value=value, n=n, note="a single group has no spread to see")
    excess = np.bincount(codes, weights=w * (each - value))
    half = _NORMAL * math.sqrt(float(excess @ excess) * many / (many - 1)) / float(w.sum())
    if no_spread(value - half, value + half, many):
        return Estimate(value=value, n=n, note="a few groups that are all alike have no range")
    return Estimate(value=value, low=value - half, high=value + half, n=n)


def choose_way(tried: Sequence[TriedWay]) -> int:
    """Return the place of the way to take: that with the least loss, if it is ahead of the first
    one by more than a standard error, and else the first.
    """
    best, gain = 0, 0.0
    for place, way in enumerate(tried):
        behind = way.behind_first
        if way.loss is None or behind.value is None or behind.low is None:
            continue
        error = (behind.value - behind.low) / _NORMAL
        if behind.value < -error and behind.value < gain:
            best, gain = place, behind.value
    return best


def worth(weight: FloatArray) -> float:
    """Return the number of equally weighted samples that weighted ones are worth."""
    return round(effective_samples(weight), 1)
