"""Comparing on the same draws: two routers, figure by figure, and the candidates of a search, of
which the simplest is chosen that chance may have kept from being the best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from difficulty.errors import InvalidValueError, UndefinedMetricError
from difficulty.evaluation.figures import columns_of, ratios_at
from difficulty.evaluation.parts import Draws, Part, Ratios, estimate, ranked_figures, values_of
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.form import Record
from difficulty.metrics.arrays import FloatArray
from difficulty.metrics.bootstrap import Resampling
from difficulty.records import Estimate

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

    def parts(self) -> list[Part]:
        """Return what its figures are computed from."""
        scored, rows = self.scored, np.arange(len(self.scored))
        columns = columns_of(scored, [name for name in PAIRED if name != "apgr"])
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
    challenger: Contender, champion: Contender, resampling: Resampling
) -> dict[str, Paired]:
    """Return every figure of ``PAIRED`` for two routers and their difference, with 95 % intervals;
    a figure that is unknown on this traffic has estimates without a value.

    Parameters
    ----------
    challenger, champion : Contender
        On the same requests, in the same order, with the same outcomes.
    resampling : Resampling
        Draws are lowered for very many requests.

    References
    ----------
    Efron and Tibshirani (1993), "An Introduction to the Bootstrap", chapter 8 (paired data).
    """
    scored, n = challenger.scored, len(challenger.scored)
    if len(champion.scored) != n:
        raise InvalidValueError(
            "champion",
            f"{len(champion.scored):,} requests",
            rule=f"be judged on the challenger's {n:,} requests",
        )
    draws, weight = resampling.affordable(n).of(scored.groups), scored.outcomes.weight
    parts = challenger.parts()
    counts = {name: count for part in parts for name, count in part.n.items()}
    ours, theirs = values_of(parts, draws, weight), values_of(champion.parts(), draws, weight)
    return {name: _paired(name, ours, theirs, counts.get(name, 0)) for name in PAIRED}


def _paired(name: str, ours: tuple[Draws, Draws], theirs: tuple[Draws, Draws], n: int) -> Paired:
    """Return the estimates of one figure from its points and draws of both."""
    if any(name not in values for values in (*ours, *theirs)):
        unknown = Estimate(value=None, n=0, note=_UNKNOWN)
        return Paired(challenger=unknown, champion=unknown, difference=unknown)
    (point, drawn), (other_point, other_drawn) = (
        [values[name] for values in pair] for pair in (ours, theirs)
    )
    return Paired(
        challenger=estimate(point, drawn, n=n, unknown=_UNKNOWN),
        champion=estimate(other_point, other_drawn, n=n, unknown=_UNKNOWN),
        difference=estimate(point - other_point, drawn - other_drawn, n=n, unknown=_UNKNOWN),
    )


@dataclass(frozen=True, slots=True, eq=False)
class CandidateChoice:
    """Which candidate was chosen, and why; arrays of shape (n_candidates,)."""

    best: int
    """Place of the candidate with the highest value."""
    chosen: int
    behind: FloatArray
    """How far each is behind the best."""
    standard_error: FloatArray
    """Of that."""


def simplest_near_best(values: Sequence[float], draws: Sequence[FloatArray]) -> CandidateChoice:
    """Choose the first candidate that is no more than one standard error behind the best.

    The error is that of the difference: candidates are judged on the same samples, and what is luck
    for one is mostly luck for the other.

    Parameters
    ----------
    values : sequence of n_candidates floats
        Figure of each candidate, higher is better, the simplest candidate first.
    draws : sequence of n_candidates arrays of shape (n_draws,)
        The figure in each bootstrap draw; all candidates saw the same draws. NaN where it was
        undefined.

    Raises
    ------
    UndefinedMetricError
        If a value is not a number, or fewer than two draws have one.

    References
    ----------
    Breiman et al. (1984), "Classification and Regression Trees", section 3.4.3 (the
    one-standard-error rule).
    """
    value, drawn = np.asarray(values, dtype=np.float64), np.stack(draws)
    drawn = drawn[:, ~np.isnan(drawn).any(axis=0)]
    if np.isnan(value).any() or drawn.shape[1] < 2:
        raise UndefinedMetricError(
            f"choosing needs a figure of every candidate: got {value.tolist()} and {drawn.shape[1]}"
            " draws with one."
        )
    best = int(value.argmax())
    behind, error = value[best] - value, (drawn[best] - drawn).std(axis=1, ddof=1)
    return CandidateChoice(best, int(np.flatnonzero(behind <= error)[0]), behind, error)
