"""What is kept of a day: how many groups there were, and the sums of their means and squares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from difficulty.metrics.arrays import FloatArray, IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class DaySums:
    """Sums over groups of K columns with values in [0, 1], on each day.

    A group counts once a day, with the mean of those of its requests of which the value is known:
    so a client that floods the service weighs no more than any other.

    Attributes
    ----------
    groups : ndarray of shape (days,)
        Groups with a known value.
    requests : ndarray of shape (days,)
        Requests with one.
    total, squares : ndarray of shape (days, K)
        Sums over groups of the mean, and of its square.
    columns : tuple of str
        What the columns are, in words.
    """

    groups: FloatArray
    requests: FloatArray
    total: FloatArray
    squares: FloatArray
    columns: tuple[str, ...]

    def __getitem__(self, days: slice | NDArray[np.bool_]) -> DaySums:
        """Return some days."""
        return DaySums(
            groups=self.groups[days],
            requests=self.requests[days],
            total=self.total[days],
            squares=self.squares[days],
            columns=self.columns,
        )

    def picked(self, columns: IntArray, names: Sequence[str]) -> DaySums:
        """Return some columns, under other names."""
        return DaySums(
            groups=self.groups,
            requests=self.requests,
            total=self.total[:, columns],
            squares=self.squares[:, columns],
            columns=tuple(names),
        )

    def mean(self) -> FloatArray:
        """Return the means over all groups, of shape (K,); NaN without any."""
        groups = self.groups.sum()
        nothing = np.full(len(self.columns), np.nan)
        return np.asarray(self.total.sum(axis=0) / groups) if groups else nothing


def sum_values(
    values: FloatArray, members: IntArray
) -> tuple[float, float, FloatArray, FloatArray]:
    """Return groups, requests, sums and sums of squares of one day.

    Parameters
    ----------
    values : ndarray of shape (n, K)
        Each in [0, 1]; rows without a known value are left out by the caller.
    members : ndarray of shape (n,)
        Number of the group of each row.
    """
    _, members, sizes = np.unique(members, return_inverse=True, return_counts=True)
    means = np.stack(
        [np.bincount(members, column, minlength=len(sizes)) / sizes for column in values.T], axis=1
    )
    return float(len(sizes)), float(len(members)), means.sum(axis=0), (means**2).sum(axis=0)


def sum_bins(
    bins: IntArray, members: IntArray, n_bins: int, *, above: bool
) -> tuple[float, float, FloatArray, FloatArray]:
    """Return the same where the columns say in which bin a value is, without a matrix of rows.

    Parameters
    ----------
    bins : ndarray of shape (n,)
        From 0 to ``n_bins - 1``.
    above : bool
        Column k says that the bin is above k, and there are ``n_bins - 1``; otherwise that it is k.
    """
    _, members, sizes = np.unique(members, return_inverse=True, return_counts=True)
    shape = (len(sizes), n_bins)
    counts = np.bincount(members * n_bins + bins, minlength=shape[0] * n_bins).reshape(shape)
    if above:
        counts = counts[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
    means = counts / sizes[:, None]
    return float(len(sizes)), float(len(members)), means.sum(axis=0), (means**2).sum(axis=0)
