"""Testing, for finite samples, how far a threshold may go before too many kept requests lose.

*Learn then test*: each threshold of a grid is a hypothesis "the mean loss of the requests kept here
is above alpha". Those that a valid test rejects may be used, and with probability ``1 - delta`` no
false one is among them, whatever the distribution and the number of samples.

The test is exact (binomial) where each group is one request of equal weight and a loss is all or
nothing. Else it bets against the hypothesis: a wealth that starts at 1, is multiplied at each
group, and on average cannot grow if the hypothesis is true, rejects once it has grown ``1 / delta``
fold. That holds for losses in [0, 1], for weights and for groups of requests that are not
independent.

Many thresholds are tested in order of the share that they keep, by the fallback procedure: half of
``delta`` starts at a kept share of 0.1 and half at 0.5, and what a rejected hypothesis was tested
with is passed on to the next. Nothing is assumed of how the loss changes along the way; the test
goes furthest where the lowest scores lose least.

References
----------
Angelopoulos, Bates, Candes, Jordan and Lei (2021), "Learn then Test: Calibrating Predictive
Algorithms to Achieve Risk Control"; Clopper and Pearson (1934), "The use of confidence or fiducial
limits illustrated in the case of the binomial"; Waudby-Smith and Ramdas (2023), "Estimating means
of bounded random variables by betting"; Wiens (2003), "A fixed sequence Bonferroni procedure for
testing multiple endpoints" (the fallback procedure).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, binomtest, norm

from difficulty.errors import InvalidValueError
from difficulty.metrics.bootstrap import group_codes

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

GRID = 100
STARTS = (0.1, 0.5)
"""Shares kept at which testing starts, each with an equal part of ``delta``."""
NEARLY_ALL = 0.9
"""Where so many requests have a group of their own, one of each group is tested and the others are
left out.
"""
_BET = 0.75
"""A bet never risks more than this share of the wealth."""


@dataclass(frozen=True, kw_only=True)
class KeptLosses:
    """Losses of n requests with a known outcome, in the order in which a rising threshold keeps
    them.

    Attributes
    ----------
    loss : ndarray of shape (n,)
        From 0 to ``unit``.
    weight : ndarray of shape (n,)
        Above 0.
    groups : ndarray of shape (n,)
        Requests of one group are not independent.
    unit : float
        The largest loss there can be, at most 1.
    """

    loss: FloatArray
    weight: FloatArray
    groups: NDArray[np.str_]
    unit: float = 1.0

    def __len__(self) -> int:
        return len(self.loss)

    @cached_property
    def one_of_each_group(self) -> IntArray:
        """Rows of one request of each group, ascending; which one does not depend on its
        outcome.
        """
        order = _shuffled(len(self))
        _, first = np.unique(group_codes(self.groups)[order], return_index=True)
        return np.sort(order[first])

    @cached_property
    def is_exact(self) -> bool:
        """Whether the binomial test applies: equal weights, losses of 0 or ``unit``, and hardly any
        groups of several requests.
        """
        alike = np.ptp(self.weight) <= 1e-9 * self.weight.max()
        all_or_nothing = np.isclose(self.loss, 0.0) | np.isclose(self.loss, self.unit)
        return bool(
            alike and all_or_nothing.all() and len(self.one_of_each_group) >= NEARLY_ALL * len(self)
        )

    def p_values(self, kept: IntArray, *, alpha: float, delta: float) -> FloatArray:
        """Return the p-value of "the first ``kept`` requests lose more than ``alpha`` on average",
        for each entry of ``kept``.
        """
        if alpha >= self.unit:
            return np.zeros(len(kept))
        if not self.is_exact:
            return np.array(
                [betting_p_value(*self._sums(k, alpha), delta=delta) for k in kept],
                dtype=np.float64,
            )
        rows = self.one_of_each_group
        tested = np.searchsorted(rows, kept)
        losses = np.append(0, np.cumsum(self.loss[rows] > 0.5 * self.unit))[tested]
        return binomial_p_value(losses, tested, alpha / self.unit)

    def _sums(self, kept: int, alpha: float) -> tuple[FloatArray, float]:
        """Return each group's weighted sum of loss minus alpha over its kept requests, in random
        order, and the most it could be.
        """
        codes = self._codes
        sums = np.bincount(
            codes[:kept],
            weights=(self.weight * (self.loss - alpha))[:kept],
            minlength=int(codes.max()) + 1,
        )
        most = float(np.bincount(codes, weights=self.weight).max()) * (self.unit - alpha)
        return np.asarray(sums[_shuffled(len(sums))], dtype=np.float64), most

    @cached_property
    def _codes(self) -> IntArray:
        return group_codes(self.groups)


def binomial_p_value(losses: NDArray[np.int64], n: NDArray[np.int64], alpha: float) -> FloatArray:
    """Return the chance of at most so many losses among n when each is lost with probability
    ``alpha``; 1 for n = 0.
    """
    return np.asarray(np.where(n > 0, binom.cdf(losses, n, alpha), 1.0), dtype=np.float64)


def exact_interval(count: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Clopper-Pearson interval of a share of which ``count`` of ``n`` requests were
    seen.

    It covers the true share at least as often as ``confidence`` says, also where ``count`` is 0 and
    a bootstrap sees nothing.

    Raises
    ------
    InvalidValueError
        If ``n`` is 0 or less, or ``count`` is not in 0 to ``n``.
    """
    if n < 1:
        raise InvalidValueError("n", n, rule="be 1 or more")
    if not 0 <= count <= n:
        raise InvalidValueError("count", count, rule=f"be in 0 to {n}")
    found = binomtest(count, n).proportion_ci(confidence, method="exact")
    return float(found.low), float(found.high)


def betting_p_value(excess: FloatArray, most: float, *, delta: float) -> float:
    """Return a p-value of "the mean of ``excess`` is 0 or more".

    Parameters
    ----------
    excess : ndarray of shape (n,)
        Independent, in random order.
    most : float
        What no value can be above, known beforehand.
    delta : float
        Level that the bets are sized for; the p-value holds for every level.
    """
    if not len(excess) or most <= 0.0:
        return 1.0
    n = np.arange(1, len(excess) + 1)
    mean = np.cumsum(excess) / (n + 1.0)
    spread = (0.25 * most**2 + np.cumsum((excess - mean) ** 2)) / (n + 1.0)
    before = np.append(0.25 * most**2, spread[:-1])  # a bet knows only what came before it
    bets = np.minimum(np.sqrt(2.0 * np.log(1.0 / delta) / (len(excess) * before)), _BET / most)
    wealth = np.cumsum(np.log1p(-bets * excess))
    return float(np.exp(-max(0.0, wealth.max())))


def rejected(losses: KeptLosses, allowed: IntArray, *, alpha: float, delta: float) -> IntArray:
    """Return those of ``allowed`` numbers of kept requests for which a mean loss above ``alpha`` is
    rejected.

    Parameters
    ----------
    losses : KeptLosses
    allowed : ndarray of int
        Numbers of kept requests that a threshold can reach, ascending.
    alpha, delta : float
        Level of the loss, and probability that any of the rejections is wrong; both in (0, 1).
    """
    places = np.unique(
        np.searchsorted(allowed, np.arange(1, GRID + 1) / GRID * len(losses), side="right") - 1
    )
    kept = allowed[places[places >= 0]]
    kept = kept[kept > 0]
    levels = _levels(kept, len(losses), alpha=alpha, delta=delta)
    passed_on, found = 0.0, []
    for number, p_value, level in zip(
        kept.tolist(), losses.p_values(kept, alpha=alpha, delta=delta), levels, strict=True
    ):
        passed_on = passed_on + level if p_value <= passed_on + level else 0.0
        if passed_on > 0.0:
            found.append(number)
    return np.array(found, dtype=np.intp)


def _levels(kept: IntArray, n: int, *, alpha: float, delta: float) -> FloatArray:
    """Return what each threshold is tested with by itself; no start has fewer samples than could
    show half the loss that is allowed.
    """
    levels, least = (
        np.zeros(len(kept)),
        samples_to_certify(alpha / 2.0, alpha=alpha, delta=delta / len(STARTS)) or 0,
    )
    if len(kept):
        places = np.searchsorted(kept, [max(share * n, least) for share in STARTS])
        np.add.at(levels, np.minimum(places, len(kept) - 1), delta / len(STARTS))
    return levels


def samples_to_certify(rate: float, *, alpha: float, delta: float) -> int | None:
    """Return about how many kept requests of a mean loss ``rate`` show that it is at most
    ``alpha``; ``None`` where none would.
    """
    if rate >= alpha:
        return None
    least = np.log(delta) / np.log(1.0 - alpha)  # without a single loss
    return int(
        np.ceil(max(least, norm.isf(delta) ** 2 * rate * (1.0 - rate) / (alpha - rate) ** 2))
    )


def _shuffled(n: int) -> IntArray:
    """Return 0 to n - 1 in an order that depends on n alone."""
    return np.random.default_rng(n).permutation(n)
