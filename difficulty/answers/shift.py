"""Facts that move: whether answers are still like those that a check was trained on, seen without
any label.

A cheap model whose style changes makes a check stale, and its facts show that: their means move
away from those of the training answers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

HALF_A_DEVIATION = 0.5
"""A mean that moved further than this, in deviations of the training answers, has moved."""
MOST_DEVIATIONS = 4.0
"""Further out no single answer counts, as the check itself reads facts."""
LEAST_ANSWERS = 200
"""With fewer nothing is said: the mean of as many has a deviation of 0.07."""
_LEAST_MOVE = 0.1  # of the share of answers of which a fact is known


class Reference(NamedTuple):
    """What k facts were in the training answers, arrays of shape (k,); ``nan`` where a fact was
    never known.
    """

    mean: FloatArray
    sd: FloatArray
    known: FloatArray
    """Share of the answers of which the fact is known."""


class Shift(NamedTuple):
    """How far facts moved."""

    share: float
    """Share of the judged facts that moved, in [0, 1]."""
    moved: tuple[int, ...]
    """Numbers of the facts that moved, furthest first."""
    n_facts: int
    """Facts that could be judged."""
    n_answers: int


class FactMeans:
    """Means of standardised facts over the answers so far, the recent ones counting most.

    A fact has moved where its mean is more than half a deviation away from the training answers',
    or where it is known of a share of the answers that differs as much.

    Parameters
    ----------
    reference : Reference
    memory : int, optional
        Answers after which an answer counts a third (1/e); default: all count alike.
    least : int
        Answers before anything is said.
    """

    def __init__(
        self, reference: Reference, *, memory: int | None = None, least: int = LEAST_ANSWERS
    ) -> None:
        self._reference = reference
        self._keep = 1.0 if memory is None else 1.0 - 1.0 / memory
        self._least = least
        self._spread = np.where(reference.sd > 0, reference.sd, np.nan)
        self._sums = np.zeros(len(reference.mean))
        self._counts = np.zeros(len(reference.mean))
        self._total = 0.0
        self.n_answers = 0

    def add(self, values: NDArray[np.floating]) -> None:
        """Count answers, values of shape (k,) or (n, k); ``nan`` is unknown."""
        for row in np.atleast_2d(np.asarray(values, dtype=np.float64)):
            deviations = (row - self._reference.mean) / self._spread
            is_known = np.isfinite(row)
            held = np.where(np.isfinite(deviations), deviations, 0.0)
            self._sums *= self._keep
            self._sums += np.clip(held, -MOST_DEVIATIONS, MOST_DEVIATIONS)
            self._counts *= self._keep
            self._counts += is_known
            self._total = self._total * self._keep + 1.0
            self.n_answers += 1

    def shift(self) -> Shift | None:
        """Return how far the facts moved; ``None`` where there are too few answers to say."""
        if self.n_answers < self._least or not self._total:
            return None
        known = self._reference.known
        share = self._counts / self._total
        change = np.abs(share - known)
        limit = np.maximum(_LEAST_MOVE, HALF_A_DEVIATION * np.sqrt(known * (1.0 - known)))
        # As many that tell as there must be answers, or a rare fact's few would speak for all.
        is_judged = (self._counts >= self._least / 2) & np.isfinite(self._spread)
        mean = np.zeros(len(known))
        np.divide(self._sums, self._counts, out=mean, where=is_judged)
        far = np.where(is_judged, np.abs(mean) / HALF_A_DEVIATION, 0.0)
        far = np.maximum(far, change / limit)
        n_facts = int(np.count_nonzero(is_judged | (change > limit)))
        if not n_facts:
            return None
        moved = [int(number) for number in np.argsort(-far, kind="stable") if far[number] > 1.0]
        return Shift(len(moved) / n_facts, tuple(moved), n_facts, self.n_answers)


def shift_of(values: NDArray[np.floating], reference: Reference) -> Shift | None:
    """Return how far the facts of n answers, shape (n, k), moved; ``None`` where they are too few
    to say.
    """
    means = FactMeans(reference)
    means.add(values)
    return means.shift()
