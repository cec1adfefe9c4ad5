"""What the heads of channels say of requests, before it is combined; of many it is read a part
at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

FloatArray = NDArray[np.float64]
_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Logits:
    """The channels' logits of both outcomes, arrays of shape (n_requests, n_channels); 0 where
    there is no head.
    """

    cheap: FloatArray
    frontier: FloatArray
    gain: FloatArray | None = None
    """What channels say of the gain itself; NaN where a channel says it by its logits."""

    @classmethod
    def empty(cls, n: int, n_channels: int, dtype: type[np.floating[Any]]) -> Logits:
        """Return those of no head. Columns stand apart: one of zeros that nothing is put into takes
        no memory.
        """
        cheap, frontier = (np.zeros((n, n_channels), dtype, order="F") for _ in range(2))
        return cls(cheap, frontier, np.full((n, n_channels), np.nan, dtype, order="F"))

    def put(self, rows: NDArray[np.intp] | slice, part: Logits) -> None:
        """Set those of some requests."""
        pairs = ((self.cheap, part.cheap), (self.frontier, part.frontier))
        for whole, own in pairs:
            for column in np.flatnonzero(own.any(axis=0)).tolist():
                whole[rows, column] = own[:, column]
        if self.gain is not None and part.gain is not None:
            for column in np.flatnonzero(~np.isnan(part.gain).all(axis=0)).tolist():
                self.gain[rows, column] = part.gain[:, column]

    def __getitem__(self, key: tuple[NDArray[np.intp] | slice, list[int]]) -> Logits:
        """Return some requests and some channels."""
        rows, columns = key
        consecutive = columns == [*range(columns[0], columns[0] + len(columns))]

        def picked(logits: FloatArray) -> FloatArray:
            if isinstance(rows, slice):
                # without a copy, where it can be
                where = slice(columns[0], columns[-1] + 1) if consecutive else columns
                return logits[rows, where]
            return np.column_stack([logits[rows, column] for column in columns])

        gain = None if self.gain is None else picked(self.gain)
        return Logits(picked(self.cheap), picked(self.frontier), gain)

    def level(self, fold: NDArray[np.int64]) -> Logits:
        """Return them without the offsets between folds, of shape (n_requests,): each channel's
        mean is the same in every fold.

        Heads that did not see a fold with many failures expect fewer of them, there of all places:
        with few labels that hides half of what the heads know, or all of it.
        """

        def levelled(logits: FloatArray) -> FloatArray:
            _, index = np.unique(fold, return_inverse=True)
            means = [logits[index == number].mean(axis=0) for number in range(index.max() + 1)]
            return np.asarray(logits - np.array(means)[index] + logits.mean(axis=0))

        gain = None if self.gain is None else levelled(self.gain)
        return Logits(levelled(self.cheap), levelled(self.frontier), gain)

    def difference(self, column: int) -> FloatArray:
        """Return a channel's gain, or P(cheap fails) - P(frontier fails); shape (n_requests,)."""
        difference = expit(self.cheap[:, column]) - expit(self.frontier[:, column])
        if self.gain is not None:
            difference = np.where(np.isnan(self.gain[:, column]), difference, self.gain[:, column])
        return np.asarray(difference, dtype=np.float64)

    @property
    def differences(self) -> FloatArray:
        """Those of each channel."""
        return np.column_stack([self.difference(column) for column in range(self.cheap.shape[1])])


def in_parts(n: int) -> Iterator[slice]:
    """Yield the rows of many a part at a time."""
    return (slice(start, start + _ROWS) for start in range(0, n, _ROWS))


def variance_of(x: NDArray[np.floating[Any]]) -> FloatArray:
    """Return the variance of each column, one after the other."""
    return np.array([column.astype(np.float64).var() for column in x.T])


class Moments(NamedTuple):
    """Weighted means of the heads' differences and of the gain, the total weight, and sums of
    products of what differs from the means.
    """

    x: FloatArray
    y: float
    weight: float
    squares: FloatArray
    products: FloatArray

    @classmethod
    def of(cls, logits: Logits, gain: FloatArray, weight: FloatArray) -> Moments:
        """Read the requests with a known gain, a part at a time, twice."""

        def parts() -> Iterator[tuple[FloatArray, FloatArray, FloatArray]]:
            columns = list(range(logits.cheap.shape[1]))
            for rows in in_parts(len(gain)):
                known = ~np.isnan(gain[rows])
                x = logits[rows, columns].differences[known]
                yield x, gain[rows][known], weight[rows][known]

        sums = [(w.sum(), w @ x, w @ y) for x, y, w in parts()]
        total, x_sum, y_sum = (sum(column) for column in zip(*sums, strict=True))
        x_mean, y_mean = x_sum / total, y_sum / total
        squares, products = 0.0, 0.0
        for x, y, w in parts():
            away = x - x_mean
            weighted = w[:, None] * away
            squares, products = squares + weighted.T @ away, products + weighted.T @ (y - y_mean)
        return cls(x_mean, float(y_mean), float(total), np.asarray(squares), np.asarray(products))
