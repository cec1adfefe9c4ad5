"""Does the score carry any signal? One test over everything that was predicted without having been
seen.

A test split alone is a fifth of the samples, too few to tell a weak signal from none. So two parts
are read together: the fit samples by their out-of-fold scores, and all held-out samples. The
statistic is the sum, over the samples, of the score's centred rank times the centred gain (for
target ``failure``: the cheap model's failure). Divided by the mean gain it is APGR minus 1/2, so a
sum of 0 is routing at random. Its variance is summed over groups, and the out-of-fold part counts
double: any two fit samples meet twice there, each predicted with the other's label, so that the sum
varies twice as much when labels are pure chance.

The rule: one-sided p below ``CLEAR`` is a signal; below ``WEAK`` a weak one, worth a warning;
anything else is compatible with none, and is not shipped unless the user insists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from difficulty.form import SavedForm
from difficulty.metrics.arrays import FloatArray, IntArray
from difficulty.metrics.ranking import rank_within
from difficulty.text import quantity_text

CLEAR = 0.025
WEAK = 0.1
# Times the variance of out-of-fold sums; see above.
_OUT_OF_FOLD = 2.0

SignalVerdict: TypeAlias = Literal["clear", "weak", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalPart:
    """Scores of n samples that they were predicted without, beside what they were to predict.

    Attributes
    ----------
    score, outcome, weight : ndarray of shape (n,)
        Scores; the gain or the failure, NaN where unknown; sample weights.
    groups : ndarray of shape (n,)
        Samples of one group are not independent.
    fold : ndarray of shape (n,) or None
        Fold of out-of-fold scores; ``None`` where one model scored all and saw none.
    """

    score: FloatArray
    outcome: FloatArray
    weight: FloatArray
    groups: NDArray[np.str_] | IntArray
    fold: IntArray | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal(SavedForm):
    """How sure it is that the score carries a signal.

    Attributes
    ----------
    n : int
        Samples with a known outcome.
    p_value : float
        Chance of such an agreement, or a better one, when scores and outcomes have nothing to do
        with each other.
    """

    _also = ("verdict",)

    n: int
    p_value: float

    @property
    def verdict(self) -> SignalVerdict:
        """What follows from the rule."""
        if self.p_value <= CLEAR:
            return "clear"
        return "weak" if self.p_value <= WEAK else "none"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader has to know; nothing where the signal is clear."""
        evidence = (
            f"on {quantity_text(self.n, 'sample')} scored without having been seen, chance"
            " alone does as well with"
            f" p = {self.p_value:.2g}"
        )
        notes: dict[SignalVerdict, tuple[str, ...]] = {
            "clear": (),
            "weak": (f"The score carries a weak signal: {evidence}. More labels would tell.",),
            "none": (
                f"The score carries no signal: {evidence}. Check that the labels belong to the"
                " requests, or add labels.",
            ),
        }
        return notes[self.verdict]


def measure_signal(parts: Sequence[SignalPart]) -> Signal:
    """Test whether scores and outcomes go together, over all parts at once.

    Parameters
    ----------
    parts : sequence of SignalPart
        They share no group.

    Returns
    -------
    Signal
        With ``p_value`` 1 where nothing can be told: no outcome is known, or all scores or all
        outcomes are equal.
    """
    total, variance, n, n_groups = 0.0, 0.0, 0, 0
    for part in parts:
        rows = np.flatnonzero(~np.isnan(part.outcome))
        if not len(rows):
            continue
        sums = _sums_of_groups(part, rows)
        total += float(sums.sum())
        variance += float(np.sum(sums**2)) * (1.0 if part.fold is None else _OUT_OF_FOLD)
        n, n_groups = n + len(rows), n_groups + len(sums)
    # Nothing varies: no test can tell.
    if variance <= 0.0 or n_groups < 2:
        return Signal(n=n, p_value=1.0)
    # One-sided: a score that orders requests the wrong way is no signal either.
    return Signal(n=n, p_value=float(student.sf(total / np.sqrt(variance), n_groups - 1)))


def _sums_of_groups(part: SignalPart, rows: IntArray) -> FloatArray:
    """Return the sum of centred rank times centred outcome of each group; both are centred inside
    each fold.
    """
    fold = np.zeros(len(rows), dtype=np.intp) if part.fold is None else part.fold[rows]
    weight = part.weight[rows]
    # Ranks, because scores of two folds differ by an offset that says nothing.
    rank = _centred(rank_within(part.score[rows], fold), weight, fold)
    product = weight * rank * _centred(part.outcome[rows], weight, fold)
    _, codes = np.unique(part.groups[rows], return_inverse=True)
    return np.asarray(np.bincount(codes, weights=product), dtype=np.float64)


def _centred(values: FloatArray, weight: FloatArray, fold: IntArray) -> FloatArray:
    """Return values minus the weighted mean of their fold."""
    _, codes = np.unique(fold, return_inverse=True)
    mean = np.bincount(codes, weights=weight * values) / np.bincount(codes, weights=weight)
    return np.asarray(values - mean[codes], dtype=np.float64)
