"""Two routers on the same requests: every figure of both, and their difference on the same
draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import InvalidValueError
from difficulty.evaluation.figures import columns_of, ratios_at
from difficulty.evaluation.parts import (
    Draws,
    Part,
    Ratios,
    Supports,
    difference_supports,
    estimate,
    ranked_figures,
    supports_of,
    values_of,
)
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.form import Record
from difficulty.metrics.arrays import FloatArray
from difficulty.metrics.bootstrap import Resampling
from difficulty.records import Estimate
from difficulty.text import quantity_text

PAIRED = ("quality", "frontier_share", "cost", "risk", "gap_recovered", "apgr")
_UNKNOWN = "not known of this traffic"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contender:
    """What a router did with n requests.

    Attributes
    ----------
    scored : ScoredTraffic
        Its scores, beside the outcomes and costs.
    sent : ndarray of shape (n,)
        1 where it chose the frontier model, else 0.
    """

    scored: ScoredTraffic
    sent: FloatArray

    def at(self, rows: NDArray[np.intp]) -> Contender:
        """Return what it did with some of the requests."""
        return Contender(scored=self.scored.at(rows), sent=self.sent[rows])

    def parts(self, names: Sequence[str] = PAIRED) -> list[Part]:
        """Return what its figures are computed from."""
        scored, rows = self.scored, np.arange(len(self.scored))
        # APGR reads the ranking and not the routes: ranked_figures adds it.
        columns = columns_of(scored, [name for name in names if name != "apgr"])
        return [
            Ratios.of(rows, ratios_at(columns, self.sent, rows)),
            *ranked_figures(scored.difficulty_score, rows, gain=scored.outcomes.gain),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired(Record):
    """One figure of both routers."""

    challenger: Estimate
    champion: Estimate
    difference: Estimate
    """Challenger minus champion; its interval is that of the difference, not the difference of
    intervals.
    """


def compare_pair(
    challenger: Contender,
    champion: Contender,
    resampling: Resampling,
    *,
    names: Sequence[str] = PAIRED,
) -> dict[str, Paired]:
    """Return every figure of ``names`` for two routers and their difference, with 95 % intervals;
    a figure that is unknown on this traffic has estimates without a value.

    Parameters
    ----------
    challenger, champion : Contender
        On the same requests, in the same order, with the same outcomes.
    resampling : Resampling
        Draws are lowered for very many requests.
    names : sequence of str
        Names of ``figures.FIGURES``, and ``apgr``.

    References
    ----------
    Efron and Tibshirani (1993), "An Introduction to the Bootstrap", chapter 8 (paired data).
    """
    scored, n = challenger.scored, len(challenger.scored)
    if len(champion.scored) != n:
        raise InvalidValueError(
            "champion",
            f"{quantity_text(len(champion.scored), 'request')}",
            rule=f"be judged on the challenger's {n:,} requests",
        )
    # Both see the same draws: what is hard for both does not blur the difference.
    draws, weight = resampling.affordable(n).of(scored.groups), scored.outcomes.weight
    parts, others = challenger.parts(names), champion.parts(names)
    counts = {name: count for part in parts for name, count in part.n.items()}
    ours, theirs = (values_of(each, draws, weight) for each in (parts, others))
    supports = (
        *(supports_of(each, draws, weight) for each in (parts, others)),
        difference_supports(parts, others, draws, weight),
    )
    return {name: _paired(name, ours, theirs, supports, counts.get(name, 0)) for name in names}


def _paired(
    name: str,
    ours: tuple[Draws, Draws],
    theirs: tuple[Draws, Draws],
    supports: tuple[Supports, ...],
    n: int,
) -> Paired:
    """Return the estimates of one figure from its points and draws of both, and what stands behind
    the figure of each and the difference.
    """
    if any(name not in values for values in (*ours, *theirs)):
        unknown = Estimate(value=None, n=0, note=_UNKNOWN)
        return Paired(challenger=unknown, champion=unknown, difference=unknown)
    (point, drawn), (other_point, other_drawn) = (
        [values[name] for values in pair] for pair in (ours, theirs)
    )
    pairs = ((point, drawn), (other_point, other_drawn), (point - other_point, drawn - other_drawn))
    challenger, champion, difference = (
        estimate(*pair, n=n, unknown=_UNKNOWN, support=each.get(name))
        for pair, each in zip(pairs, supports, strict=True)
    )
    return Paired(challenger=challenger, champion=champion, difference=difference)
