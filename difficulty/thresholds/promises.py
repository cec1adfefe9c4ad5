"""Objectives ``risk`` and ``missed``: keep as much as a promise allows.

``risk`` bounds the share of kept requests that the cheap model fails, ``missed`` the share of kept
requests that needed the frontier model, because that does better. A score of the target ``failure``
orders requests by risk, so much can be kept at a bounded risk. A score of the target ``benefit``
orders them by what the frontier model adds: requests that both models fail have low scores, so
``missed`` is what it bounds well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, norm

from difficulty.errors import InvalidValueError, NotAttainableError, UndefinedMetricError
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.metrics.arrays import FloatArray, IntArray
from difficulty.metrics.bootstrap import group_codes
from difficulty.thresholds.policy_curve import Choice, PolicyCurve

# Learn then test: Angelopoulos, Bates, Candès, Jordan and Lei (2021), thresholds as hypotheses.
GRID = 100
# Chosen among four layouts on draws from MMLU; they differed little (benchmarks, guarantees).
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

    def __len__(self) -> int:
        return len(self.loss)

    @cached_property
    def one_of_each_group(self) -> IntArray:
        """Rows of one request of each group, ascending; which one does not depend on its
        outcome.
        """
        # Not the first by score: that would always be the one that is kept soonest.
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
        # No loss can be larger than its unit, as where validation catches most failures.
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
        """Return each group's weighted excess over ``alpha``, shuffled, and a bound on it."""
        codes = self._codes
        sums = np.bincount(
            codes[:kept],
            weights=(self.weight * (self.loss - alpha))[:kept],
            minlength=int(codes.max()) + 1,
        )
        # A bound that is known beforehand only if no group is larger: _assumed says so.
        most = float(np.bincount(codes, weights=self.weight).max()) * (self.unit - alpha)
        return np.asarray(sums[_shuffled(len(sums))], dtype=np.float64), most

    @cached_property
    def _codes(self) -> IntArray:
        return group_codes(self.groups)


def binomial_p_value(losses: NDArray[np.int64], n: NDArray[np.int64], alpha: float) -> FloatArray:
    """Return the chance of at most so many losses among n when each is lost with probability
    ``alpha``; 1 for n = 0.
    """
    # Clopper and Pearson (1934).
    return np.asarray(np.where(n > 0, binom.cdf(losses, n, alpha), 1.0), dtype=np.float64)


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
    places = np.unique(
        np.searchsorted(allowed, np.arange(1, GRID + 1) / GRID * len(losses), side="right") - 1
    )
    kept = allowed[places[places >= 0]]
    kept = kept[kept > 0]
    levels = _levels(kept, len(losses), alpha=alpha, delta=delta)
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


def _levels(kept: IntArray, n: int, *, alpha: float, delta: float) -> FloatArray:
    """Return each threshold's own level; a start has samples to show half the loss allowed."""
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


def threshold_for_risk(curve: PolicyCurve, alpha: float, *, delta: float = 0.1) -> Choice:
    """Return the lowest frontier share at which the cheap model fails at most ``alpha`` of the kept
    requests, with confidence 1 - delta.

    With a known catch rate, failures that validation catches are not counted: the frontier model
    answers those.

    Raises
    ------
    InvalidValueError
        If ``alpha`` or ``delta`` is not in (0, 1).
    UndefinedMetricError
        If no outcome of the cheap model is known.
    NotAttainableError
        If no threshold can be shown to do so.
    """
    words = "the cheap model fails at most {alpha:g} of the kept requests" + (
        " unnoticed" if curve.traffic.catch_rate else ""
    )
    return _certified(
        curve,
        curve.traffic.kept.failure,
        "risk",
        alpha,
        delta,
        words=words,
        needs="an outcome of the cheap model",
    )


def threshold_for_missed(curve: PolicyCurve, alpha: float, *, delta: float = 0.1) -> Choice:
    """Return the lowest frontier share at which at most ``alpha`` of the kept requests needed the
    frontier, with confidence 1 - delta.

    A request needed the frontier model when that has the higher quality; errors are those of
    :func:`threshold_for_risk`.
    """
    words = (
        "at most {alpha:g} of the kept requests would have had a better answer from the frontier"
        " model"
    )
    return _certified(
        curve,
        _missed(curve.traffic),
        "missed",
        alpha,
        delta,
        words=words,
        needs="the outcomes of both models",
    )


def _missed(traffic: ScoredTraffic) -> FloatArray:
    """Return P(a kept request needed the frontier model and does not get it); NaN unknown."""
    gain = traffic.outcomes.gain
    reached = 1.0 - traffic.kept.caught if traffic.catch_rate else 1.0
    return np.where(np.isnan(gain), np.nan, (gain > 0) * reached)


def _certified(
    curve: PolicyCurve,
    loss: FloatArray,
    name: str,
    alpha: float,
    delta: float,
    *,
    words: str,
    needs: str,
) -> Choice:
    for what, value in ((name, alpha), (f"delta of {name}", delta)):
        if not 0.0 < value < 1.0:
            raise InvalidValueError(
                what, value, rule="be in (0, 1)", hint="Shares are fractions, not percentages."
            )
    losses, kept = _losses(curve, loss, unit=_largest_loss(curve.traffic, name))
    if not len(losses):
        raise UndefinedMetricError(
            f"objective {name} needs samples with {needs} that a threshold can keep: got none."
        )
    shown = rejected(losses, np.unique(kept), alpha=alpha, delta=delta)
    if not len(shown):
        raise _not_attainable(losses, kept, name, alpha, delta)
    # Of thresholds that keep the same known requests, the most cautious.
    most = int(np.flatnonzero(kept == shown.max())[-1])
    promise = (
        f"with confidence {1 - delta:g}, {words.format(alpha=alpha)}, on traffic like the"
        f" {len(losses):,} samples it was tested on"
    )
    return Choice(float(curve.thresholds[most]), promise, _assumed(losses, loss))


def _largest_loss(traffic: ScoredTraffic, name: str) -> float:
    """Return what keeping one request can lose at most, by ``risk`` or ``missed``."""
    catch_rate = traffic.catch_rate or 0.0
    failure = 1.0 - traffic.outcomes.cheap_quality
    if not ((failure > 0.0) & (failure < 1.0)).any():
        return 1.0 - catch_rate
    if name == "missed":
        return 1.0  # an answer a little worse than the frontier's is hardly ever caught
    # A failure f is caught with probability v f and loses (1 - v f) f: the most at f = 1 / (2 v).
    return 0.25 / catch_rate if catch_rate > 0.5 else 1.0 - catch_rate


def _losses(
    curve: PolicyCurve, loss: FloatArray, *, unit: float
) -> tuple[KeptLosses, NDArray[np.intp]]:
    """Return known losses in the order of keeping, and how many each threshold keeps."""
    traffic = curve.traffic
    always, order = np.flatnonzero(traffic.by_rule == 0.0), curve.order[::-1]
    known_always, known = always[~np.isnan(loss[always])], ~np.isnan(loss[order])
    rows = np.concatenate([known_always, order[known]])
    counted = np.append(0, np.cumsum(known))
    kept = len(known_always) + counted[len(order) - curve.ends]
    weight, groups = traffic.outcomes.weight[rows], traffic.groups[rows]
    return KeptLosses(loss=loss[rows], weight=weight, groups=groups, unit=unit), kept.astype(
        np.intp
    )


def _assumed(losses: KeptLosses, loss: FloatArray) -> tuple[str, ...]:
    unknown = int(np.isnan(loss).sum())
    test = (
        "tested by the exact binomial test; of each group of near-duplicates or related requests"
        " one was tested"
        if losses.is_exact
        else (
            "tested by betting on whole groups, as losses are graded, weighted or grouped; no group"
            " is larger than the largest seen"
        )
    )
    return (
        (
            "the samples are a random draw of the traffic that is routed, and their order by score"
            " was not learned from them"
        ),
        test,
        *(
            [f"{unknown:,} samples without a known outcome would have done as the others"]
            if unknown
            else []
        ),
    )


def _not_attainable(
    losses: KeptLosses, kept: NDArray[np.intp], name: str, alpha: float, delta: float
) -> NotAttainableError:
    """Return the refusal: the nearest level that is shown, and how many samples would do."""
    means = (np.cumsum(losses.weight * losses.loss) / np.cumsum(losses.weight))[kept[kept > 0] - 1]
    shares = kept[kept > 0] / len(losses)
    likely = np.flatnonzero(means < alpha)
    needs = [
        # ``delta / 2``: each of the two STARTS has half of it.
        (samples_to_certify(float(means[i]), alpha=alpha, delta=delta / 2) or 0) / shares[i]
        for i in likely
    ]
    least = float(means.min(initial=1.0))
    if not needs:
        advice = f"No number of samples would: the lowest {name} along the curve is {least:.3f}."
    elif min(needs) > len(losses):
        advice = (
            f"About {_two_digits(min(needs)):,} samples with known outcomes would show it, if the"
            " mean there is what it seems."
        )
    else:
        advice = "More samples would, if the mean there is what it seems" + (
            "." if losses.is_exact else "; grouped ones show less."
        )
    nearest = _nearest(losses, kept, alpha, delta)
    asked = (
        f" Nearest: {name}={nearest:.3f}, a level chosen after the fact: confirm it on other"
        " traffic."
        if nearest
        else ""
    )
    return NotAttainableError(
        f"{name} of at most {alpha:g} with confidence {1 - delta:g} cannot be shown for any"
        f" threshold on {len(losses):,} samples. {advice}{asked}"
    )


def _nearest(
    losses: KeptLosses, kept: NDArray[np.intp], alpha: float, delta: float
) -> float | None:
    """Return the lowest level above ``alpha`` that bisection can show, with three digits."""
    numbers, low, high = np.unique(kept), alpha, 1.0
    # Ten halvings end within 0.001, the three digits that are told.
    for _ in range(10):
        middle = (low + high) / 2.0
        low, high = (
            (low, middle)
            if len(rejected(losses, numbers, alpha=middle, delta=delta))
            else (middle, high)
        )
    level = math.ceil(high * 1000.0) / 1000.0
    return (
        level if level < 1.0 and len(rejected(losses, numbers, alpha=level, delta=delta)) else None
    )


def _two_digits(number: float) -> int:
    """Return a number of samples rounded up to two digits."""
    unit = int(10 ** max(0, math.floor(math.log10(max(number, 1.0))) - 1))
    return math.ceil(number / unit) * unit
