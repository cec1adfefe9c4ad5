"""Choosing among candidates that were judged on the same samples: the simplest that chance may have
kept from being the best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from difficulty.errors import UndefinedMetricError
from difficulty.metrics.arrays import FloatArray


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
