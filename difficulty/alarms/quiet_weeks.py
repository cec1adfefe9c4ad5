"""What quiet days are like: learned from a log's first whole weeks, with what that leaves open.

The log's own weeks, not the calibration samples of the bundle: those were picked for labelling,
often have no groups and no dates, and so know neither how requests cluster nor what a weekend is
like. Whether the traffic is what the bundle was calibrated for is asked by other alarms: of its
probabilities, its frontier share and its promise, which need no reference.

A column's mean counts as quiet within

    bound^2 = tolerance^2 + (3.5 * standard error of the reference mean)^2.

The tolerance, a tenth of a request's standard deviation, is the smallest change worth an alarm: 5
points of a share of one half, 3 of a tenth. The second part pays for a reference that is finite. It
also has to cover what no reference of a few weeks can tell, such as users who come and go.

Weekdays have means of their own, shrunk to the common one as far as their differences may be
chance (empirical Bayes), and days swing by more than their groups do: both by moments, with the
groups as units.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from difficulty.alarms.day_sums import DaySums
from difficulty.alarms.wealth import Quiet
from difficulty.metrics.arrays import FloatArray, IntArray

TOLERANCE = 0.07
ERRORS = 2.0
"""Standard errors of the reference mean that count as quiet."""
SWING_SLACK = 1.5
"""A swing that was measured on a few weeks may be larger by this factor, as a variance."""
LEAST_GROUPS = 100
"""Fewer groups in the reference are no reference."""
LEAST_VARIANCE = 0.0025
"""Of a group's mean: a column that was 0 throughout is no proof that it cannot be another."""
QUANTILES = (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)
MOST_COMMON = 12
LEAST_SHARE = 0.01
RARE = "rare ones"
UNSEEN = "not seen in the reference"


def learn_quiet(sums: DaySums, reference: slice, weekdays: IntArray) -> Quiet:
    """Return what K columns are like on quiet days.

    Parameters
    ----------
    sums : DaySums
        Of all days.
    reference : slice
        The days to learn from, whole weeks.
    weekdays : ndarray of shape (days,)
        0 to 6, in any order.
    """
    known, day_of_week = sums[reference], weekdays[reference]
    groups = known.groups[:, None]
    mean = known.mean()
    busy = groups[:, 0] > 0
    inside = np.maximum(_variance_inside(known), LEAST_VARIANCE)
    means = np.divide(known.total, groups, out=np.zeros_like(known.total), where=groups > 0)
    per_week = np.array([known.groups[day_of_week == day].sum() for day in range(7)])
    raw = np.array(
        [
            known.total[day_of_week == day].sum(axis=0) / per_week[day] if per_week[day] else mean
            for day in range(7)
        ]
    )
    swing = _swing((means - raw[day_of_week])[busy], known.groups[busy], inside)
    days_each = np.array([max(1, (busy & (day_of_week == day)).sum()) for day in range(7)])
    # Of a weekday's mean; a weekday without traffic is as the others.
    error = inside / np.maximum(per_week, 1.0)[:, None] + swing / days_each[:, None]
    seen = per_week > 0
    between = ((raw - mean) ** 2 - error)[seen].mean(axis=0) if seen.any() else np.zeros_like(mean)
    between = np.maximum(between, 0.0)
    trust = np.where(seen[:, None], between / (between + error), 0.0)
    shrunk = mean + trust * (raw - mean)
    left_open = np.where(seen[:, None], trust * error, between)
    total_groups = max(1.0, float(known.groups.sum()))
    standard_error = np.sqrt(inside / total_groups + swing / max(1, int(busy.sum())))
    return Quiet(
        mean=shrunk[weekdays],
        bound=np.hypot(tolerance_of(mean), ERRORS * standard_error),
        variance=inside,
        swing=(SWING_SLACK * swing + left_open)[weekdays],
    )


def tolerance_of(mean: FloatArray) -> FloatArray:
    """Return the smallest change worth an alarm of columns with values in [0, 1]."""
    # No column in [0, 1] has a larger variance at its mean than one of zeros and ones.
    return np.asarray(TOLERANCE * np.sqrt(np.maximum(mean * (1.0 - mean), LEAST_VARIANCE)))


def around(mean: float, bound: float, sums: DaySums, like: Quiet | None = None) -> Quiet:
    """Return a stated range of one or more columns, in place of one that was learned.

    Parameters
    ----------
    mean, bound : float
        Middle and half of the range.
    like : Quiet, optional
        What was learned of the same columns: weekdays differ from the mean, and days swing, as
        there.
    """
    n_days, n_columns = sums.total.shape
    inside = np.maximum(_variance_inside(sums), LEAST_VARIANCE)
    stated = Quiet(
        mean=np.full((n_days, n_columns), mean),
        bound=np.full(n_columns, bound),
        variance=inside,
        swing=np.zeros((n_days, n_columns)),
    )
    if like is None:
        return stated
    return replace(
        stated,
        mean=stated.mean + like.mean - like.mean[:7].mean(axis=0),
        variance=like.variance,
        swing=like.swing,
    )


def informative_cuts(sums: DaySums, reference: slice) -> DaySums:
    """Return the cuts that part the reference best: nearest to its quantiles."""
    above = sums[reference].mean()
    nearest = {int(np.argmin(np.abs(above - quantile))) for quantile in QUANTILES}
    picked = np.array(sorted(nearest), dtype=np.intp)
    return sums.picked(picked, [sums.columns[column] for column in picked])


def common_words(sums: DaySums, reference: slice) -> tuple[DaySums, FloatArray]:
    """Return the words that the reference says most, the rare ones as one, and all that it never
    says as one; and an upper bound on the products of two of their shares, summed over groups.
    """
    shares = sums[reference].mean()
    order = np.argsort(-shares, kind="stable")[:MOST_COMMON]
    common = order[shares[order] >= LEAST_SHARE]
    unseen = shares == 0.0
    rare = ~unseen
    rare[common] = False
    chosen = sums.picked(common, [sums.columns[column] for column in common])
    lumps = np.stack([sums.total[:, rare].sum(axis=1), sums.total[:, unseen].sum(axis=1)], axis=1)
    kept = [bool(rare.any()), True]
    mixed = DaySums(
        groups=sums.groups,
        requests=sums.requests,
        total=np.hstack([chosen.total, lumps[:, kept]]),
        # A group may say several words of a lump; no square of a share is larger than the share.
        squares=np.hstack([chosen.squares, lumps[:, kept]]),
        columns=(*chosen.columns, *([RARE] if kept[0] else []), UNSEEN),
    )
    return mixed, np.maximum(sums.groups - sums.squares.sum(axis=1), 0.0)


def _variance_inside(sums: DaySums) -> FloatArray:
    """Return the variance of groups' means inside days, of shape (K,)."""
    groups = sums.groups[:, None]
    squared = np.divide(sums.total**2, groups, out=np.zeros_like(sums.total), where=groups > 0)
    freedom = max(1.0, float((sums.groups - 1.0)[sums.groups > 0].sum()))
    return np.asarray(np.maximum((sums.squares - squared).sum(axis=0) / freedom, 0.0))


def _swing(residuals: FloatArray, groups: FloatArray, inside: FloatArray) -> FloatArray:
    """Return the variance of days that their groups do not explain, of shape (K,)."""
    days = len(groups)
    # Seven means were taken off.
    if days <= 7:
        return np.zeros_like(inside)
    weight = groups[:, None] / groups.sum()
    whole = (weight * residuals**2).sum(axis=0) * days / (days - 7)
    return np.asarray(np.maximum(whole - inside * days / groups.sum(), 0.0))
