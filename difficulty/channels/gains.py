"""The gain itself as what a head learns, and the mean gains of tasks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_TASK_PRIOR = 10.0
"""Samples of mean gain that each task is given beside its own."""


@dataclass(frozen=True, slots=True)
class GainTarget:
    """What heads of the gain learn from n requests.

    Attributes
    ----------
    gain : ndarray of shape (n,)
        Frontier minus cheap quality, NaN where unknown.
    weight : ndarray of shape (n,)
    groups : ndarray of shape (n,)
        Number of the group of each.
    """

    gain: FloatArray
    weight: FloatArray
    groups: NDArray[np.int64]

    def at(self, rows: NDArray[np.intp]) -> GainTarget:
        """Return some requests."""
        return GainTarget(self.gain[rows], self.weight[rows], self.groups[rows])

    def folds(self, number: int) -> NDArray[np.int64]:
        """Return a fold for each request; those of one group share it."""
        _, index = np.unique(self.groups, return_inverse=True)
        order = np.random.default_rng(0).permutation(int(index.max(initial=-1)) + 1)
        return np.asarray(order[index] % number, dtype=np.int64)


def task_means(
    target: GainTarget, classes: NDArray[np.int64], n_tasks: int
) -> tuple[FloatArray, float]:
    """Return the mean gain of each task, pulled towards that of all, and that of all.

    Parameters
    ----------
    target : GainTarget
    classes : ndarray of shape (n,)
        Number of the task of each request, -1 where it is not known.
    n_tasks : int
    """
    sums, sizes, mean = _sums(target, classes, n_tasks)
    return (sums + _TASK_PRIOR * mean) / (sizes + _TASK_PRIOR), mean


def leave_one_out(target: GainTarget, classes: NDArray[np.int64], n_tasks: int) -> FloatArray:
    """Return, for each request, the mean gain of its task without the request's own; NaN where the
    task or the gain is not known.
    """
    sums, sizes, mean = _sums(target, classes, n_tasks)
    rows = np.flatnonzero((classes >= 0) & ~np.isnan(target.gain))
    own, weight = target.gain[rows], target.weight[rows]
    means = np.full(len(target.gain), np.nan)
    means[rows] = (sums[classes[rows]] - weight * own + _TASK_PRIOR * mean) / (
        sizes[classes[rows]] - weight + _TASK_PRIOR
    )
    return means


def _sums(
    target: GainTarget, classes: NDArray[np.int64], n_tasks: int
) -> tuple[FloatArray, FloatArray, float]:
    """Return sum and size of each task, and the mean gain of all requests."""
    known = ~np.isnan(target.gain)
    gain, weight = target.gain[known], target.weight[known]
    mean = float(np.average(gain, weights=weight)) if known.any() else 0.0
    told = known & (classes >= 0)
    sums = np.bincount(
        classes[told], weights=(target.weight * target.gain)[told], minlength=n_tasks
    )
    sizes = np.bincount(classes[told], weights=target.weight[told], minlength=n_tasks)
    return np.asarray(sums, dtype=np.float64), np.asarray(sizes, dtype=np.float64), mean
