"""What a policy does as its threshold moves, on traffic whose scores and outcomes are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import InvalidValueError, TooFewSamplesError
from difficulty.traffic.outcomes import Outcomes

__all__ = ["PolicyCurve", "ScoredTraffic"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
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
    """

    score: FloatArray
    fixed: FloatArray
    outcomes: Outcomes
    groups: NDArray[np.str_]
    cheap_cost: FloatArray
    frontier_cost: FloatArray

    def __post_init__(self) -> None:
        if not len(self.score):
            raise TooFewSamplesError("choosing a threshold needs scored samples: got none. Add calibration samples.")
        if np.isnan(self.score).any():
            raise InvalidValueError("difficulty_score", float("nan"), rule="be a number for every request")

    def __len__(self) -> int:
        return len(self.score)

    def sent(self, threshold: float) -> FloatArray:
        """Return 1 for each request that goes to the frontier model, else 0."""
        return np.where(np.isnan(self.fixed), self.score > threshold, self.fixed)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyCurve:
    """Every operating point a threshold can reach, from the fewest requests on the frontier model to the most.

    Attributes
    ----------
    thresholds : ndarray of shape (n_points,)
        Descending. Each lies between two neighbouring scores, so rounding in another runtime moves no request of this traffic.
    frontier_share : ndarray of shape (n_points,)
        Ascending, in [0, 1]; includes the requests that the task rules send.
    gap_recovered : ndarray of shape (n_points,)
        Share of the gap between cheap and frontier quality; NaN throughout where no gain is known or the frontier is not better.
    """

    thresholds: FloatArray
    frontier_share: FloatArray
    gap_recovered: FloatArray

    @classmethod
    def of(cls, traffic: ScoredTraffic) -> PolicyCurve:
        """Return the curve of scored traffic."""
        weight, gain = traffic.outcomes.weight, traffic.outcomes.gain
        requests = weight * traffic.outcomes.per_request
        free = np.flatnonzero(np.isnan(traffic.fixed))
        order = free[np.argsort(-traffic.score[free], kind="stable")]
        ends = np.append(np.flatnonzero(np.diff(traffic.score[order])), len(order) - 1) if len(order) else np.zeros(0, dtype=np.intp)
        known = ~np.isnan(gain)
        gained = np.where(known, gain, 0.0) * weight
        always = traffic.fixed == 1.0
        sent = requests[always].sum() + np.append(0.0, np.cumsum(requests[order])[ends])
        recovered = gained[always].sum() + np.append(0.0, np.cumsum(gained[order])[ends])
        gap = gained.sum()
        scores = traffic.score[order][ends]
        reachable = slice(None, -1 if len(scores) and scores[-1] <= 0.0 else None)  # no threshold sends a score of 0
        return cls(
            thresholds=_between(scores)[reachable],
            frontier_share=(sent / requests.sum())[reachable],
            gap_recovered=(recovered / gap if known.any() and gap > 0 else np.full(len(sent), np.nan))[reachable],
        )


def _between(scores: FloatArray) -> FloatArray:
    """Return thresholds above, between and below descending distinct scores."""
    edges = np.concatenate([[1.0], scores, [0.0]])
    upper, lower = edges[:-1], edges[1:]
    middle = (upper + lower) / 2.0
    between: FloatArray = np.clip(np.where(middle < upper, middle, lower), 0.0, 1.0)  # of neighbouring floats the middle is one of them
    return between
