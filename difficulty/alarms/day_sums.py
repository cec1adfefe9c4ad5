"""What is kept of a day: how many groups there were, and the sums of their means and squares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """Which group of which day each of n requests belongs to.

    Attributes
    ----------
    day : ndarray of shape (n,)
        From 0 to ``n_days - 1``.
    cell : ndarray of shape (n,)
        A number a group and day, from 0 on.
    n_days : int
    """

    day: IntArray
    cell: IntArray
    n_days: int

    def __getitem__(self, rows: NDArray[np.bool_]) -> Members:
        """Return some requests."""
        return Members(day=self.day[rows], cell=self.cell[rows], n_days=self.n_days)

    def sum_values(self, values: FloatArray, columns: tuple[str, ...]) -> DaySums:
        """Return the sums of numbers in [0, 1], of shape (n, K)."""
        n_cells, size, day = self._cells()
        means = [np.bincount(self.cell, column, minlength=n_cells) / size for column in values.T]
        sums = [
            np.stack([np.bincount(day, mean**power, minlength=self.n_days) for mean in means], 1)
            for power in (1, 2)
        ]
        return self._as_sums(day, sums, columns)

    def sum_bins(self, bins: IntArray, columns: tuple[str, ...], *, above: bool) -> DaySums:
        """Return the sums of columns that say in which bin a value is.

        Where ``above``, column k says that it is above k, and bins are one more than columns;
        otherwise column k says that it is k.
        """
        n_bins = len(columns) + above
        _, size, day = self._cells()
        # Groups together, and in them the highest bins first. The j-th request of a group that is
        # in a column takes the square of their number from (j - 1)^2 to j^2: so the sums need no
        # table of groups by columns.
        order = np.argsort(self.cell * n_bins + (n_bins - 1 - bins), kind="stable")
        runs = self.cell[order] if above else self.cell[order] * n_bins + bins[order]
        weight = 1.0 / np.maximum(size, 1.0)[self.cell[order]]
        place = self.day[order] * n_bins + bins[order]
        sums = [
            np.bincount(place, column, minlength=self.n_days * n_bins).reshape(-1, n_bins)
            for column in (weight, (2.0 * _rank_in_runs(runs) + 1.0) * weight**2)
        ]
        if above:
            sums = [column[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:] for column in sums]
        return self._as_sums(day, sums, columns)

    def _cells(self) -> tuple[int, FloatArray, IntArray]:
        """Return how many cells there are, their requests, and the day of those with any."""
        n_cells = int(self.cell.max(initial=-1)) + 1
        size = np.bincount(self.cell, minlength=n_cells).astype(np.float64)
        day = np.zeros(n_cells, dtype=np.intp)
        day[self.cell] = self.day
        size[size == 0.0] = np.inf  # a group without a known value has a mean of 0, and no weight
        return n_cells, size, day

    def _as_sums(
        self, day: IntArray, sums: Sequence[NDArray[Any]], columns: tuple[str, ...]
    ) -> DaySums:
        present = np.zeros(len(day), dtype=bool)
        present[self.cell] = True
        return DaySums(
            groups=np.bincount(day[present], minlength=self.n_days).astype(np.float64),
            requests=np.bincount(self.day, minlength=self.n_days).astype(np.float64),
            total=np.asarray(sums[0], dtype=np.float64),
            squares=np.asarray(sums[1], dtype=np.float64),
            columns=columns,
        )


def _rank_in_runs(runs: IntArray) -> IntArray:
    """Return each element's place, from 0, in its run of equal ones."""
    first = np.flatnonzero(np.append(True, runs[1:] != runs[:-1])[: len(runs)])
    lengths = np.diff(np.append(first, len(runs)))
    return np.arange(len(runs)) - np.repeat(first, lengths)
