"""The figures of a routing, each a ratio that is linear in who is sent.

A request adds one pair of numbers to a figure when it is kept and another when it is sent. Written
so, one table of columns gives the figure of the operating point, of a baseline that sends requests
with some probability, and of every threshold of the curve.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from difficulty.evaluation.judged import Judged
from difficulty.metrics.arrays import FloatArray, IntArray, Ratio

ROUTED = (
    "routing_precision", "routing_recall", "cheap_route_precision", "cheap_route_recall", "risk",
    "frontier_share", "fallback_share",
    "quality", "gap_recovered", "cost", "saving",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Routed:
    """One figure: (numerator, denominator) of each request when it is kept and when it is sent, 0
    where it takes no part.

    Attributes
    ----------
    kept, sent : pair of ndarray of shape (n,)
        Numerator and denominator.
    counted : ndarray of shape (n,) or None
        Requests that stand behind the figure whatever their route; None: those whose denominator is
        not 0.
    """

    kept: tuple[FloatArray, FloatArray]
    sent: tuple[FloatArray, FloatArray]
    counted: FloatArray | None = None

    @classmethod
    def of(
        cls,
        *,
        known: FloatArray,
        kept: tuple[FloatArray | float, FloatArray | float],
        sent: tuple[FloatArray | float, FloatArray | float],
        counted: bool = False,
    ) -> Routed:
        """Build from columns that may be NaN; a request takes part where ``known`` is not NaN."""
        told = ~np.isnan(known)

        def filled(value: FloatArray | float) -> FloatArray:
            return np.where(told, value, 0.0)

        return cls(
            (filled(kept[0]), filled(kept[1])),
            (filled(sent[0]), filled(sent[1])),
            told.astype(np.float64) if counted else None,
        )

    def at(self, sent: FloatArray, rows: IntArray) -> Ratio:
        """Return the figure over ``rows`` for ``sent`` of shape (n_rows,): the probability of the
        frontier route, NaN to leave out.
        """
        part = np.nan_to_num(sent)
        numerator, denominator = (
            np.where(np.isnan(sent), 0.0, (1.0 - part) * kept[rows] + part * moved[rows])
            for kept, moved in zip(self.kept, self.sent, strict=True)
        )
        behind = denominator if self.counted is None else self.counted[rows] * ~np.isnan(sent)
        return Ratio(numerator, denominator, int(np.count_nonzero(behind)))


def routed_figures(judged: Judged, names: Sequence[str] = ROUTED) -> Mapping[str, Routed]:
    """Return the columns of each figure, by name; a figure of which nothing is known has zeros
    throughout.
    """
    outcomes, needed, kept = judged.outcomes, judged.needed, judged.kept
    gain, requests = outcomes.gain, outcomes.per_request
    both = kept.quality + outcomes.frontier_quality
    costs = kept.cost + judged.frontier_cost
    regained = gain * (0.0 if judged.catch_rate is None else kept.caught)
    made = {
        "routing_precision": Routed.of(known=needed, kept=(0.0, 0.0), sent=(needed, 1.0)),
        "routing_recall": Routed.of(known=needed, kept=(0.0, needed), sent=(needed, needed)),
        "cheap_route_precision": Routed.of(known=needed, kept=(1.0 - needed, 1.0), sent=(0.0, 0.0)),
        "cheap_route_recall": Routed.of(
            known=needed, kept=(1.0 - needed, 1.0 - needed), sent=(0.0, 1.0 - needed)
        ),
        "risk": Routed.of(known=kept.failure, kept=(kept.failure, 1.0), sent=(0.0, 0.0)),
        "frontier_share": Routed.of(
            known=requests, kept=(0.0, requests), sent=(requests, requests)
        ),
        "fallback_share": Routed.of(
            known=kept.caught, kept=(kept.caught * requests, requests), sent=(0.0, requests)
        ),
        "quality": Routed.of(
            known=both, kept=(kept.quality, 1.0), sent=(outcomes.frontier_quality, 1.0)
        ),
        "gap_recovered": Routed.of(
            known=regained, kept=(regained, gain), sent=(gain, gain), counted=True
        ),
        "cost": Routed.of(
            known=costs, kept=(1000.0 * kept.cost, 1.0), sent=(1000.0 * judged.frontier_cost, 1.0)
        ),
        "saving": Routed.of(
            known=costs,
            kept=(judged.frontier_cost - kept.cost, judged.frontier_cost),
            sent=(0.0, judged.frontier_cost),
        ),
    }
    return {name: made[name] for name in names}
