"""The tests behind a promise that the mean loss of what a threshold keeps is at most a level.

A promise speaks of requests, and so do the tests: the mean is over requests by their weights, while
only groups are independent. The samples decide which test applies:

- Every request in a group of its own, equal weights, losses all or nothing: the exact binomial one.
- The same with graded losses: betting, which holds for every number of such samples too.
- Groups of several requests, or weights: the group sums' gamma limit. A bound for heavy groups that
  knows nothing of them cannot be both safe and of use, so this one takes their sizes from the
  samples: it adds one group that loses all, as large as the group of a typical request or of a
  typical loss, whichever is larger. What is assumed is that no group far larger than those seen
  fails as a whole; ``benchmarks/guarantees.py`` counts how often promises are broken where groups
  and weights have heavy tails.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import binom, chi2

from difficulty.metrics.arrays import FloatArray, IntArray
from difficulty.metrics.bootstrap import group_codes

Test = Literal["binomial", "betting", "gamma"]
# Learn then test: Angelopoulos, Bates, Candès, Jordan and Lei (2021), thresholds as hypotheses.
GRID = 100
# Chosen among four layouts on draws from MMLU; they differed little (benchmarks, guarantees).
STARTS = (0.1, 0.5)
"""Shares kept at which testing starts, each with an equal part of ``delta``."""
_ROUNDING = 1.0 + 1e-9
_BET = 0.75
"""A bet never risks more than this share of the wealth."""


@dataclass(frozen=True, kw_only=True)
class KeptLosses:
    """Losses of n requests with a known outcome, in the order in which a rising threshold keeps
    them; arrays of shape (n,).
    """

    loss: FloatArray
    """From 0 to ``unit``."""
    weight: FloatArray
    """Above 0."""
    groups: NDArray[np.str_]
    """Requests of one group are not independent."""
    unit: float = 1.0
    """The largest loss there can be, at most 1."""
    logged: bool = False
    """Whether weights are inverse propensities, so that heavier ones may come."""
    unseen: float = 1.0
    """Groups that lose all and were not seen, as reckoned with where groups are tested."""
    leeway: float = 0.0
    """Weight of requests whose route may turn out to be the other one, as early exit changes some:
    reckoned with as if each made the mean as bad as it can.
    """

    def __len__(self) -> int:
        return len(self.loss)

    @cached_property
    def test(self) -> Test:
        """The test that applies."""
        alone = int(self._codes.max(initial=-1)) + 1 == len(self)
        alike = not len(self) or np.ptp(self.weight) <= 1e-9 * self.weight.max()
        if self.logged or not (alone and alike):
            return "gamma"
        all_or_nothing = np.isclose(self.loss, 0.0) | np.isclose(self.loss, self.unit)
        return "binomial" if all_or_nothing.all() else "betting"

    @cached_property
    def upto(self) -> FloatArray:
        """Weight of the first 1 to n requests."""
        return np.cumsum(self.weight)

    @cached_property
    def requests_a_group(self) -> float:
        """Requests in the group of a typical request, by weight: 1 where each stands alone."""
        if self.test != "gamma":
            return 1.0
        sizes = np.bincount(self._codes, weights=self.weight)
        return float((sizes**2).sum() / sizes.sum() / self.weight.mean())

    def p_values(self, kept: IntArray, *, alpha: float, delta: float) -> FloatArray:
        """Return the p-value of "the first ``kept`` requests lose more than ``alpha`` on average",
        for each entry of ``kept``, ascending.
        """
        # No loss can be larger than its unit, as where validation catches most failures.
        if alpha >= self.unit:
            return np.zeros(len(kept))
        levels = self._levels(kept, alpha)
        p_values = np.ones(len(kept))
        possible = levels > 0.0
        kept, levels = kept[possible], levels[possible]
        if self.test == "binomial":
            losses = np.append(0, np.cumsum(self.loss > 0.5 * self.unit))[kept]
            p_values[possible] = binomial_p_value(losses, kept, levels / self.unit)
        elif self.test == "betting":
            p_values[possible] = [
                betting_p_value(self.loss[:k][_shuffled(k)] - level, self.unit - level, delta=delta)
                for k, level in zip(kept.tolist(), levels.tolist(), strict=True)
            ]
        else:
            sums = zip(self._sums(kept), self._guards(kept).tolist(), strict=True)
            moments = [_guarded(*by_group, guard) for by_group, guard in sums]
            p_values[possible] = _beyond(np.array(moments).reshape(-1, 2).T, levels)
        return p_values

    def _levels(self, kept: IntArray, alpha: float) -> FloatArray:
        """Return what the mean loss has to stay below so that ``leeway`` cannot lift it over
        ``alpha``.
        """
        if not self.leeway:
            return np.full(len(kept), alpha)
        moved = self.leeway / np.append(np.inf, self.upto)[kept]
        # Either all of them are kept and lose all there is, or all are sent and lost nothing.
        return np.asarray(alpha - np.maximum(self.unit - alpha, alpha) * moved)

    def means(self, kept: IntArray) -> FloatArray:
        """Return the mean loss of the first ``kept`` requests, for each entry of ``kept`` above
        0.
        """
        means = np.cumsum(self.weight * self.loss) / self.upto
        return np.asarray(means[kept - 1])

    def _sums(self, kept: IntArray) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Yield each group's weighted losses and weight among the first ``kept``; the arrays are
        changed by the next step.
        """
        n_groups = int(self._codes.max()) + 1
        lost, weight = np.zeros(n_groups), np.zeros(n_groups)
        for start, end in zip([0, *kept[:-1]], kept, strict=True):
            codes, own = self._codes[start:end], self.weight[start:end]
            lost += np.bincount(codes, weights=own * self.loss[start:end], minlength=n_groups)
            weight += np.bincount(codes, weights=own, minlength=n_groups)
            yield lost, weight

    def made(self, worst_first: IntArray, *, alpha: float, delta: float) -> int:
        """Return what :func:`losses_allowed` does, by the gamma limit."""
        n_groups, allowed = int(self._codes.max(initial=-1)) + 1, -1
        lost, weight = np.zeros(n_groups), np.zeros(n_groups)
        np.add.at(weight, self._codes, self.weight)
        guard = float(self._guards(np.array([len(self)]))[0])
        # A fixed sequence, from nothing made on: the first that is not shown ends it.
        for row in [None, *worst_first.tolist()]:
            if row is not None:
                lost[self._codes[row]] += self.weight[row]
            if gamma_p_value(lost, weight, alpha, guard=guard) > delta:
                break
            allowed += 1
        return allowed

    def _guards(self, kept: IntArray) -> FloatArray:
        """Return what one more group would lose if it lost all, for each entry of ``kept``: by all
        samples, kept or not, as those kept at first are too few to show which groups fail as a
        whole. Of logged ones it is at least as heavy as the heaviest that is kept: what a policy
        hardly ever kept, and the threshold does not keep either, says nothing of what is kept.
        """
        if not self.logged:
            return np.full(len(kept), self._usual_guard)
        heaviest = self.unit * np.append(0.0, np.maximum.accumulate(self.weight))[kept]
        return np.maximum(self._usual_guard, self.unseen * heaviest)

    @cached_property
    def _usual_guard(self) -> float:
        sizes = np.bincount(self._codes, weights=self.weight)
        lost = np.bincount(self._codes, weights=self.weight * self.loss)
        typical = self.unit * float((sizes**2).sum() / sizes.sum())
        # Of a typical loss; where few are known, nearly that of a typical request.
        of_losses = float((lost**2).sum() + typical**2) / float(lost.sum() + typical)
        return self.unseen * max(typical, of_losses)

    @cached_property
    def _codes(self) -> IntArray:
        return group_codes(self.groups) if len(self) else np.zeros(0, dtype=np.intp)


def losses_allowed(losses: KeptLosses, worst_first: IntArray, *, alpha: float, delta: float) -> int:
    """Return how many losses may be made so that the mean over all requests is shown to be at most
    ``alpha``; -1 where not even none may.

    Parameters
    ----------
    losses : KeptLosses
        All or nothing.
    worst_first : ndarray of int
        Rows of the losses, in the order in which they are made.
    alpha, delta : float
        As for :func:`rejected`.
    """
    n = len(losses)
    if losses.test == "binomial":
        # From -1 on, whose chance is 0: one entry is always shown.
        counts = np.arange(-1, int(binom.ppf(delta, n, alpha)) + 2) if n else np.array([-1])
        shown = binomial_p_value(counts, np.full(len(counts), n), alpha) <= delta
        return int(counts[shown].max())
    return losses.made(worst_first, alpha=alpha, delta=delta)


def binomial_p_value(
    losses: NDArray[np.int64], n: NDArray[np.int64], alpha: float | FloatArray
) -> FloatArray:
    """Return the chance of at most so many losses among n when each is lost with probability
    ``alpha``; 1 for n = 0.
    """
    # Clopper and Pearson (1934).
    return np.asarray(np.where(n > 0, binom.cdf(losses, n, alpha), 1.0), dtype=np.float64)


def gamma_p_value(lost: FloatArray, weight: FloatArray, alpha: float, *, guard: float) -> float:
    """Return a p-value of "groups like these lose more than ``alpha`` of their weight".

    The upper limit is that of a gamma distribution with the mean and the variance of the loss after
    one more group lost ``guard``: the number of groups that fail is small and its distribution
    skewed, which a normal or Student limit forgets. The variance is that of a ratio of group sums.

    Parameters
    ----------
    lost, weight : ndarray of shape (n_groups,)
        Weighted losses and weights of independent groups; a group without weight takes no part.
    alpha : float
    guard : float
        What one more group would lose.

    References
    ----------
    Fay and Feuer (1997), "Confidence intervals for directly standardized rates: a method based on
    the gamma distribution"; here with the variance of Kish (1965), "Survey sampling", for ratios.
    """
    return float(_beyond(np.array(_guarded(lost, weight, guard)), np.asarray(alpha)))


def _guarded(lost: FloatArray, weight: FloatArray, guard: float) -> tuple[float, float]:
    """Return mean and variance of the loss after one more group lost ``guard``; of one group alone
    the mean is taken as infinite.
    """
    total, squares = float(weight.sum()), float((weight**2).sum())
    if not total or total**2 <= squares * (1.0 + 1e-9):
        return math.inf, 1.0
    mean, groups = float(lost.sum()) / total, total**2 / squares
    spread = float(((lost - mean * weight) ** 2).sum()) / total**2 * groups / (groups - 1.0)
    return mean + guard / total, spread + (guard / total) ** 2


def _beyond(moments: FloatArray, alpha: FloatArray) -> FloatArray:
    """Return how probable more than ``alpha`` is by gamma distributions of these means and
    variances; 1 where the mean is no smaller.
    """
    mean, spread = moments
    below = np.minimum(mean, alpha)
    tail = chi2.sf(2.0 * below * alpha / spread, 2.0 * below**2 / spread)
    return np.asarray(np.where(mean < alpha, tail, 1.0), dtype=np.float64)


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
    # Waudby-Smith and Ramdas (2023), "Estimating means of bounded random variables by betting".
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
    # By weight, so that a share kept is one of the traffic.
    numbers = np.searchsorted(
        losses.upto, np.arange(1, GRID + 1) / GRID * losses.upto[-1] * _ROUNDING, side="right"
    )
    places = np.unique(np.searchsorted(allowed, numbers, side="right") - 1)
    kept = allowed[places[places >= 0]]
    kept = kept[kept > 0]
    levels = _levels(kept, losses, alpha=alpha, delta=delta)
    passed_on, rejections = 0.0, []
    for number, p_value, level in zip(
        kept.tolist(), losses.p_values(kept, alpha=alpha, delta=delta), levels, strict=True
    ):
        # Wiens (2003), "A fixed sequence Bonferroni procedure for testing multiple endpoints".
        # Fixed sequence with fallback: a rejection hands its level on, a failure loses it.
        passed_on = passed_on + level if p_value <= passed_on + level else 0.0
        if passed_on > 0.0:
            rejections.append(number)
    return np.array(rejections, dtype=np.intp)


def _levels(kept: IntArray, losses: KeptLosses, *, alpha: float, delta: float) -> FloatArray:
    """Return each threshold's own level; a start has samples to show half the loss allowed."""
    levels, total = np.zeros(len(kept)), float(losses.upto[-1])
    if not len(kept):
        return levels
    alone = samples_to_certify(alpha / 2.0, alpha=alpha, delta=delta / len(STARTS)) or 0
    least = alone * losses.requests_a_group * float(losses.weight.mean())
    # Where the first start shows nothing, its part of delta is not spent on it.
    starts = STARTS if least <= STARTS[0] * total else STARTS[1:]
    reached = losses.upto[kept - 1] * _ROUNDING
    places = np.searchsorted(reached, [max(share * total, least) for share in starts])
    np.add.at(levels, np.minimum(places, len(kept) - 1), delta / len(starts))
    return levels


def samples_to_certify(rate: float, *, alpha: float, delta: float) -> int | None:
    """Return about how many kept requests of a mean loss ``rate`` show that it is at most
    ``alpha``, each in a group of its own; ``None`` where none would.
    """
    if rate >= alpha:
        return None
    least = np.log(delta) / np.log(1.0 - alpha)  # without a single loss
    return int(np.ceil(max(least, ndtri(delta) ** 2 * rate * (1.0 - rate) / (alpha - rate) ** 2)))


def _shuffled(n: int) -> IntArray:
    """Return 0 to n - 1 in an order that depends on n alone."""
    return np.random.default_rng(n).permutation(n)
