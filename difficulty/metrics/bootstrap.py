"""Bootstrap intervals by resampling whole groups.

Requests of one group (a conversation, a template, near-duplicates) are not independent, so groups
are drawn, not requests. A draw is not a copy of the data but a vector of weights: how often each
request's group was drawn. Every metric of this package takes weights, so a draw is the same metric
once more, sorted orders are kept, and two methods are compared in pairs by giving both the same
draw.

References
----------
Efron and Tibshirani (1993), "An Introduction to the Bootstrap", chapter 13 (percentile interval);
Field and Welsh (2007), "Bootstrapping clustered data" (resampling clusters).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from difficulty.errors import InvalidValueError
from difficulty.metrics.arrays import FloatArray, IntArray

REQUEST_DRAWS = 50_000_000
"""Most work: at such sizes the interval is narrow, and the noise of its ends (about 8 % of its
width at 200 draws) is small against the value.
"""
LEAST_DRAWS = 200
MOST_UNDEFINED = 0.05
"""Share of draws that may leave a metric undefined before its interval is unknown."""
_BLOCK = 1 << 18
"""Weights computed at a time: a block fits the processor's cache."""


@dataclass(frozen=True, slots=True)
class Resampling:
    """How many bootstrap draws to make, and the seed that decides them."""

    draws: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise InvalidValueError("draws", self.draws, rule="be 1 or more")

    def affordable(self, n_requests: int) -> Resampling:
        """Return the same with fewer draws, never under 200, where the requests are so many that
        the work would pass 50 million request-draws.
        """
        most = max(LEAST_DRAWS, REQUEST_DRAWS // max(n_requests, 1))
        return replace(self, draws=min(self.draws, most))

    def generator(self) -> np.random.Generator:
        """Return the source of chance at its start."""
        return np.random.default_rng(self.seed)

    def of(self, groups: ArrayLike, *, rng: np.random.Generator | None = None) -> GroupDraws:
        """Draw groups.

        Parameters
        ----------
        groups : array-like of shape (n,)
            Group of each request. All different: the ordinary bootstrap.
        rng : numpy.random.Generator, optional
            A stream that other draws share, in place of the seed's own.
        """
        rng, codes = rng or self.generator(), group_codes(groups)
        n_groups = int(codes.max()) + 1
        counts: NDArray[np.unsignedinteger] = np.empty((self.draws, n_groups), dtype=np.uint8)
        for draw in range(self.draws):
            row = _counts(n_groups, rng)
            # One byte a count is enough but where one group stands for nearly all draws.
            if row.max() > np.iinfo(counts.dtype).max:
                counts = counts.astype(np.uint32)
            counts[draw] = row
        return GroupDraws(counts, codes)


STANDARD = Resampling()


@dataclass(frozen=True, slots=True, eq=False)
class GroupDraws:
    """Bootstrap draws of whole groups, kept as counts: a thousand draws of 100,000 groups take 100
    MB.

    Attributes
    ----------
    counts : ndarray of shape (n_draws, n_groups), of small integers
        How often each group was drawn; each draw has as many groups as there are.
    codes : ndarray of shape (n,)
        Group of each request.
    """

    counts: NDArray[np.unsignedinteger]
    codes: IntArray

    def __len__(self) -> int:
        return len(self.counts)

    def blocks(
        self, rows: IntArray | None = None, *, size: int = _BLOCK
    ) -> Iterator[NDArray[np.unsignedinteger]]:
        """Yield how often the group of each of ``rows``, or of all requests, was drawn: blocks of
        shape (n_draws_in_block, n_rows), about ``size`` numbers.
        """
        columns = self.codes if rows is None else self.codes[rows]
        many = max(1, size // max(1, len(columns)))
        for start in range(0, len(self.counts), many):
            yield np.take(self.counts[start : start + many], columns, axis=1)

    def values(
        self, statistic: Callable[[FloatArray], FloatArray], weight: FloatArray
    ) -> FloatArray:
        """Return a statistic in each draw, its last axis that of the draws.

        Parameters
        ----------
        statistic : callable
            From weights of shape (n_draws_in_block, n) to values of shape (..., n_draws_in_block);
            NaN where undefined.
        weight : ndarray of shape (n,)
            The requests' own weights, which multiply those of a draw.
        """
        return np.concatenate([statistic(block * weight) for block in self.blocks()], axis=-1)


ENOUGH_DRAWS = 40
"""With fewer, a range of 95 % has no draw beyond its ends."""


def enough_draws(draws: int, *, subject: str = "draws") -> int:
    """Return how many draws a user asks for; ``subject`` is what the user calls them.

    Raises
    ------
    InvalidValueError
        If there are too few for ranges of 95 %.
    """
    if draws < ENOUGH_DRAWS:
        raise InvalidValueError(
            subject,
            draws,
            rule=f"be {ENOUGH_DRAWS} or more",
            hint="With fewer, ranges of 95 % cannot be told; 1,000 is the default.",
        )
    return draws


def percentile_interval(draws: ArrayLike, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval that holds the middle ``confidence`` of the draws.

    Parameters
    ----------
    draws : array-like of shape (n_draws,)
        A statistic's value in each draw; NaN where it was undefined.
    confidence : float
        In (0, 1).

    Returns
    -------
    low, high : float
        Both NaN when more than 5 % of the draws are undefined: the rest would no longer stand for
        all.
    """
    if not 0.0 < confidence < 1.0:
        raise InvalidValueError("confidence", confidence, rule="be in (0, 1)")
    defined = _defined(draws)
    if len(defined) == 0:
        return float("nan"), float("nan")
    tail = 0.5 * (1.0 - confidence)
    # The k-th of B draws is the k/(B+1) quantile, which is right for few draws too.
    low, high = np.quantile(defined, [tail, 1.0 - tail], method="weibull")
    return float(low), float(high)


def debiased_interval(
    value: float, draws: ArrayLike, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Return an interval for a statistic of 0 or more which noise pushes up, such as ECE.

    Noise enters each draw a second time, so the draws lie above ``value``, by about as much as
    ``value`` lies above the truth. The upper end is the percentile interval's, moved down by that
    bias once: it holds ``value``. The lower end is moved down twice, once for the draws and once
    for ``value`` itself, and not below 0.

    In simulations with 15 bins the interval covers the true ECE in about 90 % of cases where that
    is 0.03 or more; nearer to 0 the bias is underestimated and the upper end is what can be read.

    Parameters
    ----------
    value : float
        The statistic on the data itself.
    draws : array-like of shape (n_draws,)
        Its value in each draw; NaN where it was undefined.
    confidence : float
        In (0, 1).

    Returns
    -------
    low, high : float
        Both NaN when more than 5 % of the draws are undefined.
    """
    low, high = percentile_interval(draws, confidence=confidence)
    if np.isnan(low):
        return low, high
    # Chance may put the draws below the value; the statistic has no bias downwards.
    bias = max(0.0, float(_defined(draws).mean()) - value)
    return max(0.0, min(low - 2.0 * bias, value)), max(high - bias, value)


def group_codes(groups: ArrayLike) -> IntArray:
    """Return a number from 0 for each distinct group, in order of appearance, as an array of shape
    (n,).
    """
    seen: dict[object, int] = {}
    names = np.asarray(groups).tolist()
    if not isinstance(names, list) or not names:
        raise InvalidValueError("groups", names, rule="be one group for each request")
    return np.fromiter(
        (seen.setdefault(name, len(seen)) for name in names), dtype=np.intp, count=len(names)
    )


def _defined(draws: ArrayLike) -> FloatArray:
    """Return the draws without the undefined ones; none at all when more than 5 % are undefined."""
    values: FloatArray = np.asarray(draws, dtype=np.float64)
    defined: FloatArray = values[~np.isnan(values)]
    return defined if len(defined) >= (1.0 - MOST_UNDEFINED) * len(values) else defined[:0]


def _counts(n_groups: int, rng: np.random.Generator) -> FloatArray:
    """Return how often each of n groups comes up in n draws with replacement."""
    return np.bincount(rng.integers(0, n_groups, size=n_groups), minlength=n_groups).astype(
        np.float64
    )
