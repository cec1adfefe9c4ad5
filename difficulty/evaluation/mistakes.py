"""The worst mistakes of a routing: the requests on which the score was sure and wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from difficulty.evaluation.judged import Judged
from difficulty.metrics.arrays import FloatArray, IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """A request that was routed wrongly.

    Attributes
    ----------
    id, task : str or None
        The request; ``task`` is None where it has none.
    score, p_cheap_fails : float
        What the scorer said.
    cheap_quality, frontier_quality : float or None
        What happened.
    by_rule : bool
        Whether a rule decided and not the score.
    text : str or None
        The request; None where texts are not shown.
    """

    id: str
    task: str | None
    score: float
    p_cheap_fails: float
    cheap_quality: float | None
    frontier_quality: float | None
    by_rule: bool
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistakes:
    """Both kinds of mistakes, the most confident first.

    Attributes
    ----------
    kept, sent : tuple of Mistake
        Kept on the cheap model although the frontier model was needed; sent to the frontier model
        although it was not.
    n_kept, n_sent : int
        How many there are in all.
    """

    kept: tuple[Mistake, ...]
    sent: tuple[Mistake, ...]
    n_kept: int
    n_sent: int


def worst_mistakes(judged: Judged, ids: Sequence[str], *, most: int = 10) -> Mistakes | None:
    """Return the mistakes of a routing; None without a threshold.

    Kept requests that needed the frontier model come with the lowest score first, sent requests
    that did not need it with the highest. Requests of which that is not known are in neither.

    Parameters
    ----------
    judged : Judged
    ids : sequence of n str
        Id of each request.
    most : int
        Mistakes of each kind.
    """
    if judged.sent is None:
        return None
    score = judged.difficulty_score
    kept = np.flatnonzero((judged.sent == 0.0) & (judged.needed == 1.0))
    sent = np.flatnonzero((judged.sent == 1.0) & (judged.needed == 0.0))
    return Mistakes(
        kept=_listed(judged, ids, kept[np.argsort(score[kept], kind="stable")][:most]),
        sent=_listed(judged, ids, sent[np.argsort(-score[sent], kind="stable")][:most]),
        n_kept=len(kept),
        n_sent=len(sent),
    )


def _listed(judged: Judged, ids: Sequence[str], rows: IntArray) -> tuple[Mistake, ...]:
    fixed, outcomes = judged.fixed, judged.outcomes
    return tuple(
        Mistake(
            id=ids[row],
            task=judged.tasks[row],
            score=float(judged.difficulty_score[row]),
            p_cheap_fails=float(judged.p_cheap_fails[row]),
            cheap_quality=_known(outcomes.cheap_quality, row),
            frontier_quality=_known(outcomes.frontier_quality, row),
            by_rule=fixed is not None and not np.isnan(fixed[row]),
        )
        for row in rows
    )


def _known(values: FloatArray, row: int) -> float | None:
    return None if np.isnan(values[row]) else float(values[row])
