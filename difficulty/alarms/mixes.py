"""Bets on a whole mix: words whose shares add up to one.

When a mix moves, several shares move at once, and one bet on all of them sees it sooner than bets
on each: a request's word counts by how much more often than usual it was said in the last days (its
share over the usual one, less one, as in Pearson's chi-squared), scaled to [0, 1]. These weights
are known before the day, so what they add up to is one more column that is bet on.

A group's square of it is not kept, but bounded: shares of a group add up to one, so all products of
two of them add up to one less the squares, which are kept.
"""

from __future__ import annotations

import numpy as np

from difficulty.alarms.day_sums import DaySums
from difficulty.alarms.wealth import WINDOWS, Quiet, gains_of, look_back
from difficulty.metrics.arrays import FloatArray

LEAST_SHARE = 0.02
"""Rarer words count as if they were this common: a few requests do not turn the bet."""


def follow_mix(sums: DaySums, quiet: Quiet, products: FloatArray) -> FloatArray:
    """Return what the logarithm of a bet on the mix grows by on each day, one a window.

    Parameters
    ----------
    sums : DaySums
        Of K words, every request saying one of them.
    products : ndarray of shape (days,)
        At least the sum, over groups, of the products of two of their shares.

    Returns
    -------
    ndarray of shape (days, len(WINDOWS))
    """
    usual = quiet.mean[:, None, :]
    away, groups = look_back(sums.total - sums.groups[:, None] * quiet.mean, sums.groups)
    weight = away / np.maximum(usual, LEAST_SHARE)
    low, high = weight.min(axis=2, keepdims=True), weight.max(axis=2, keepdims=True)
    width = high - low
    weight = np.divide(weight - low, width, out=np.zeros_like(weight), where=width > 0)
    mean = (weight * usual).sum(axis=2)
    variance = np.maximum((weight**2 * usual).sum(axis=2) - mean**2, 0.0)
    spread = usual[:, 0] * (1.0 - usual[:, 0])
    common = spread.min(axis=0) >= LEAST_SHARE / 2.0
    if not common.any():
        return np.zeros((len(sums.groups), len(WINDOWS)))
    # Bound, variance of groups and swing as of the single share that has most of each.
    widest = np.max(quiet.bound[common] / np.sqrt(spread[:, common]), axis=1)
    clustered = np.minimum(1.0, np.max(quiet.variance[common] / spread[:, common], axis=1))
    swing = variance * np.max(quiet.swing[:, common] / spread[:, common], axis=1)[:, None]
    bound = np.sqrt(variance) * widest[:, None]
    column = DaySums(
        groups=sums.groups,
        requests=sums.requests,
        total=(weight * sums.total[:, None, :]).sum(axis=2),
        squares=(weight**2 * sums.squares[:, None, :]).sum(axis=2) + products[:, None],
        columns=tuple(f"{window} days" for window in WINDOWS),
    )
    inner = variance * clustered[:, None]
    beyond = np.maximum((weight * away).sum(axis=2) - bound, 1e-9)
    sure = np.maximum(0.0, 1.0 - (inner / groups[..., 0] + swing) / beyond**2)
    bets = beyond * sure / (inner + sums.groups[:, None] * swing + beyond)
    rises = Quiet(mean=mean, bound=bound, variance=inner, swing=swing, rises_only=True)
    return gains_of(column, rises, bets[:, None, :], 1.0)[:, 0]
