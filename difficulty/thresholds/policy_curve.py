"""What a policy does as its threshold moves, on traffic whose scores and outcomes are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import InvalidValueError, TooFewSamplesError
from difficulty.metrics.routing import Kept, kept_with_fallback
from difficulty.traffic.outcomes import Outcomes

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ScoredTraffic:
    """Scores and outcomes of n requests; no threshold is chosen on requests that it is judged by.

    Attributes
    ----------
    score : ndarray of shape (n,)
        ``difficulty_score``.
    fixed : ndarray of shape (n,)
        Route that the policy's task rules give: 0 cheap, 1 frontier, NaN where the score decides.
    outcomes : Outcomes
    groups : ndarray of shape (n,)
        Requests of one group are resampled together.
    cheap_cost, frontier_cost : ndarray of shape (n,)
        USD per request; NaN where unknown.
    tasks : sequence of n str or None, optional
        Task of each request, for thresholds of single tasks.
    catch_rate : float or None
        Share of the cheap model's failures that validation catches and the frontier model answers;
        ``None``: not known, and not reckoned with.
    """

    score: FloatArray
    fixed: FloatArray
    outcomes: Outcomes
    groups: NDArray[np.str_]
    cheap_cost: FloatArray
    frontier_cost: FloatArray
    tasks: Sequence[str | None] = ()
    catch_rate: float | None = None

    def __post_init__(self) -> None:
        if not len(self.score):
            raise TooFewSamplesError(
                "choosing a threshold needs scored samples: got none. Add calibration samples."
            )
        if np.isnan(self.score).any():
            raise InvalidValueError(
                "difficulty_score", float("nan"), rule="be a number for every request"
            )

    def __len__(self) -> int:
        return len(self.score)

    def sent(
        self, threshold: float, task_thresholds: Mapping[str, float] | None = None
    ) -> FloatArray:
        """Return 1 for each request that goes to the frontier model, else 0."""
        return np.where(
            np.isnan(self.fixed), self.score > self.cut(threshold, task_thresholds), self.fixed
        )

    def cut(
        self, threshold: float, task_thresholds: Mapping[str, float] | None = None
    ) -> FloatArray:
        """Return the threshold of each request: its task's, where that has its own."""
        if not task_thresholds:
            return np.full(len(self), threshold)
        return np.array(
            [task_thresholds.get(task or "", threshold) for task in self.tasks], dtype=np.float64
        )

    @cached_property
    def kept(self) -> Kept:
        """What to expect of each request if it is kept on the cheap model, fallback included."""
        outcomes = self.outcomes
        return kept_with_fallback(
            outcomes.cheap_quality,
            outcomes.frontier_quality,
            self.cheap_cost,
            self.frontier_cost,
            catch_rate=self.catch_rate,
        )

    @property
    def caught(self) -> FloatArray:
        """Probability that a kept request is answered by the frontier model after all; 0 where no
        catch rate is known.
        """
        return self.kept.caught if self.catch_rate else np.zeros(len(self))

    @property
    def missed(self) -> FloatArray:
        """Probability that a kept request needed the frontier model, because that does better, and
        does not get it; NaN unknown.
        """
        gain = self.outcomes.gain
        return np.where(np.isnan(gain), np.nan, (gain > 0) * (1.0 - self.caught))

    def at(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> ScoredTraffic:
        """Return some requests."""
        tasks = np.array(self.tasks, dtype=object)[rows].tolist() if len(self.tasks) else ()
        picked = {
            name: getattr(self, name)[rows]
            for name in ("score", "fixed", "outcomes", "groups", "cheap_cost", "frontier_cost")
        }
        return replace(self, tasks=tasks, **picked)

    def weighted(self, factor: FloatArray) -> ScoredTraffic:
        """Return the same requests with their weights times ``factor``, an array of shape (n,)
        above 0.
        """
        outcomes = self.outcomes
        requests = None if outcomes.request_weight is None else outcomes.request_weight * factor
        return replace(
            self,
            outcomes=replace(outcomes, weight=outcomes.weight * factor, request_weight=requests),
        )


@dataclass(frozen=True, kw_only=True)
class PolicyCurve:
    """Every operating point a threshold can reach, from the fewest requests on the frontier model
    to the most.

    Attributes
    ----------
    traffic : ScoredTraffic
        What it is the curve of.
    thresholds : ndarray of shape (n_points,)
        Descending. Each lies between two neighbouring scores, so rounding in another runtime moves
        no request of this traffic.
    order : ndarray of int, shape (n_free,)
        Requests that the score decides, highest score first.
    ends : ndarray of int, shape (n_points,)
        How many of ``order`` each threshold sends.
    """

    traffic: ScoredTraffic
    thresholds: FloatArray
    order: NDArray[np.intp]
    ends: NDArray[np.intp]

    @classmethod
    def of(cls, traffic: ScoredTraffic) -> PolicyCurve:
        """Return the curve of scored traffic."""
        free = np.flatnonzero(np.isnan(traffic.fixed))
        order = free[np.argsort(-traffic.score[free], kind="stable")]
        last = (
            np.append(np.flatnonzero(np.diff(traffic.score[order])), len(order) - 1)
            if len(order)
            else np.zeros(0, dtype=np.intp)
        )
        scores = traffic.score[order][last]
        reachable = slice(
            None, -1 if len(scores) and scores[-1] <= 0.0 else None
        )  # no threshold sends a score of 0
        ends = np.append(0, last + 1).astype(np.intp)
        return cls(
            traffic=traffic,
            thresholds=_between(scores)[reachable],
            order=order,
            ends=ends[reachable],
        )

    def along(self, kept: FloatArray, sent: FloatArray) -> FloatArray:
        """Return, at each threshold, the weighted sum of what each request is when it is kept or
        sent; shape (n_points,).

        Requests of which either is NaN take no part.
        """
        known = ~(np.isnan(kept) | np.isnan(sent))
        weight = self.traffic.outcomes.weight
        kept, sent = np.where(known, kept, 0.0) * weight, np.where(known, sent, 0.0) * weight
        start = np.where(self.traffic.fixed == 1.0, sent, kept).sum()
        steps = np.append(0.0, np.cumsum((sent - kept)[self.order]))
        total: FloatArray = start + steps[self.ends]
        return total

    def mean_along(self, kept: FloatArray, sent: FloatArray) -> FloatArray:
        """Return the mean of the same over the requests of which both are known; NaN throughout
        where there is none.
        """
        ones = np.where(np.isnan(kept) | np.isnan(sent), np.nan, 1.0)
        return _divided(self.along(kept, sent), self.along(ones, ones))

    @cached_property
    def frontier_share(self) -> FloatArray:
        """Share of the requests sent, ascending, in [0, 1]; includes those that the task rules
        send. Fallbacks are no part of it.
        """
        per_request = self.traffic.outcomes.per_request
        share: FloatArray = self.along(np.zeros(len(self.traffic)), per_request) / self.along(
            per_request, per_request
        )
        return share

    @cached_property
    def gap_recovered(self) -> FloatArray:
        """Share of the gap between cheap and frontier quality; NaN throughout where no gain is
        known or the frontier is not better.
        """
        gain = self.traffic.outcomes.gain
        gap = self.along(gain, gain)
        return _divided(self.along(self.traffic.caught * gain, gain), gap)

    @cached_property
    def quality(self) -> FloatArray:
        """Mean quality of the answers, in [0, 1]; NaN throughout where it is known of no
        request.
        """
        return self.mean_along(self.traffic.kept.quality, self.traffic.outcomes.frontier_quality)

    @cached_property
    def cost(self) -> FloatArray:
        """USD per 1,000 requests; NaN throughout where it is known of no request."""
        cost: FloatArray = 1000.0 * self.mean_along(
            self.traffic.kept.cost, self.traffic.frontier_cost
        )
        return cost


def _divided(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Return the quotient; NaN where the denominator is not above 0."""
    result = np.full(len(denominator), np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result


def _between(scores: FloatArray) -> FloatArray:
    """Return thresholds above, between and below descending distinct scores."""
    edges = np.concatenate([[1.0], scores, [0.0]])
    upper, lower = edges[:-1], edges[1:]
    middle = (upper + lower) / 2.0
    between: FloatArray = np.clip(
        np.where(middle < upper, middle, lower), 0.0, 1.0
    )  # of neighbouring floats the middle is one of them
    return between
