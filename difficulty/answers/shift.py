"""Facts that move: whether answers are still like those that a check was trained on, seen without
any label.

A cheap model whose style changes makes a check stale, and its facts show that: their means move
away from those of the training answers.

Which answers are checked depends on the policy: one that sends hard requests on at once leaves the
answers to easy ones, whose facts are others. So an answer is held against the training answers to
requests that the scorer says the like of.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

HALF_A_DEVIATION = 0.5
"""A mean that moved further than this, in deviations of the training answers, has moved."""
MOST_DEVIATIONS = 4.0
"""Further out no single answer counts, as the check itself reads facts."""
LEAST_ANSWERS = 200
"""With fewer nothing is said: the mean of as many has a deviation of 0.07."""
_LEAST_MOVE = 0.1  # of the share of answers of which a fact is known


class Bands(NamedTuple):
    """The training answers by what the scorer says of their requests, in b bands."""

    edges: FloatArray
    """Largest ``p_cheap_fails`` of each band but the last, ascending; shape (b - 1,)."""
    mean: FloatArray
    """Of k facts in each, shape (b, k); ``nan`` where a fact was never known."""
    known: FloatArray
    """Share of a band's answers of which the fact is known, shape (b, k)."""


class Reference(NamedTuple):
    """What k facts were in the training answers, arrays of shape (k,); ``nan`` where a fact was
    never known.
    """

    mean: FloatArray
    sd: FloatArray
    known: FloatArray
    """Share of the answers of which the fact is known."""
    bands: Bands | None = None
    """Where there were answers enough to tell them apart."""

    def at(self, p_cheap_fails: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and share known of the facts of answers to requests like n, arrays of shape
        (n, k); of all answers where ``p_cheap_fails``, of shape (n,), is ``nan``.
        """
        shape = (len(p_cheap_fails), len(self.mean))
        if self.bands is None:
            return np.broadcast_to(self.mean, shape), np.broadcast_to(self.known, shape)
        band = np.searchsorted(self.bands.edges, p_cheap_fails, side="left")
        is_said = np.isfinite(p_cheap_fails)
        band = np.where(is_said, band, 0)
        mean, known = self.bands.mean[band], self.bands.known[band]
        is_said = is_said[:, np.newaxis]
        return (
            np.where(is_said & ~np.isnan(mean), mean, self.mean),
            np.where(is_said, known, self.known),
        )


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

    A fact has moved where its mean is more than half a deviation away from that of the training
    answers to like requests, or where it is known of a share of the answers that differs as much.

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
        self._expected = np.zeros(len(reference.mean))
        self._total = 0.0
        self.n_answers = 0

    def add(self, values: NDArray[np.floating], p_cheap_fails: ArrayLike = np.nan) -> None:
        """Count answers, values of shape (k,) or (n, k), with ``p_cheap_fails`` of their requests,
        of shape (n,) or one for all; ``nan`` is unknown.
        """
        rows = np.atleast_2d(np.asarray(values, dtype=np.float64))
        said = np.broadcast_to(np.asarray(p_cheap_fails, dtype=np.float64), len(rows))
        mean, known = self._reference.at(said)
        deviations = (rows - mean) / self._spread
        held = np.where(np.isfinite(deviations), deviations, 0.0)
        # The last answer counts in full, each before it by a step less.
        weight = self._keep ** np.arange(len(rows) - 1, -1, -1, dtype=np.float64)
        faded = self._keep ** len(rows)
        for total, each in (
            (self._sums, np.clip(held, -MOST_DEVIATIONS, MOST_DEVIATIONS)),
            (self._counts, np.isfinite(rows)),
            (self._expected, known),
        ):
            total *= faded
            total += weight @ each
        self._total = self._total * faded + float(weight.sum())
        self.n_answers += len(rows)

    def shift(self) -> Shift | None:
        """Return how far the facts moved; ``None`` where there are too few answers to say."""
        if self.n_answers < self._least or not self._total:
            return None
        known = self._expected / self._total
        share = self._counts / self._total
        change = np.abs(share - known)
        # A share of 1 may be a little more, as sums round.
        spread = np.sqrt(np.maximum(known * (1.0 - known), 0.0))
        limit = np.maximum(_LEAST_MOVE, HALF_A_DEVIATION * spread)
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


def shift_of(
    values: NDArray[np.floating], reference: Reference, p_cheap_fails: ArrayLike = np.nan
) -> Shift | None:
    """Return how far the facts of n answers, shape (n, k), moved; ``None`` where they are too few
    to say. The parameters are those of :meth:`FactMeans.add`.
    """
    means = FactMeans(reference)
    means.add(values, p_cheap_fails)
    return means.shift()
