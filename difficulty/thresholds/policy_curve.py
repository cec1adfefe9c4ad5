"""What a policy does as its threshold moves, on traffic whose scores and outcomes are known."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from difficulty.evaluation.figures import Pair, columns_of
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.evaluation.tradeoff import thresholds_between
from difficulty.metrics.arrays import FloatArray, divide


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
    _figures: dict[str, FloatArray] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, traffic: ScoredTraffic) -> PolicyCurve:
        """Return the curve of scored traffic."""
        free = np.flatnonzero(np.isnan(traffic.by_rule))
        order = free[np.argsort(-traffic.difficulty_score[free], kind="stable")]
        ranked = traffic.difficulty_score[order]
        # Equal scores move together, so a step ends where the score changes; -1 ends the last.
        last = np.flatnonzero(np.diff(ranked, append=-1.0))
        scores = ranked[last]
        # No threshold sends a score of 0.
        reachable = slice(None, -1 if len(scores) and scores[-1] <= 0.0 else None)
        ends = np.append(0, last + 1).astype(np.intp)
        return cls(
            traffic=traffic,
            thresholds=thresholds_between(scores)[reachable],
            order=order,
            ends=ends[reachable],
        )

    def figure(self, name: str) -> FloatArray:
        """Return a figure of :data:`difficulty.evaluation.figures.FIGURES` at each threshold, of
        shape (n_points,); NaN where it is undefined.
        """
        if name not in self._figures:
            columns = columns_of(self.traffic, [name])[name]
            pairs = zip(columns.kept, columns.sent, strict=True)
            above, below = (self._along(pair) for pair in pairs)
            total = self.traffic.outcomes.weight.sum()
            self._figures[name] = divide(above, below, total=total)
        return self._figures[name]

    def _along(self, pair: Pair) -> FloatArray:
        """Return, at each threshold, the weighted sum of what each request is when it is kept or
        sent.
        """
        kept, sent = (values * self.traffic.outcomes.weight for values in pair)
        start = np.where(self.traffic.by_rule == 1.0, sent, kept).sum()
        steps = np.append(0.0, np.cumsum((sent - kept)[self.order]))
        return np.asarray(start + steps[self.ends])
