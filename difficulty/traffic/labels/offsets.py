"""How much more, or less, a judge gives than the others: an additive model of judges and answers.

``score = value of the answer + offset of the judge + noise``. The values are free, one for each
answer, so what a judge gives is compared only with what others gave to the same answers: a judge
who was handed the hard requests is not taken for a severe one. The offsets are pulled towards 0 as
if ``PRIOR_SCORES`` further scores had said 0, for the difference of two judges on one answer is
mostly noise. They are centred so that taking them off leaves the mean score as it was, in each set
of judges that a chain of shared answers connects: nothing is claimed about one set against another.
A judge without a shared answer, or the only judge, has 0.

References
----------
Searle, Casella and McCulloch (1992), "Variance Components", chapter 7 (the mixed-model equations of
the additive model).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]
PRIOR_SCORES = 3.0


def judge_offsets(
    answers: IntArray,
    judges: IntArray,
    scores: FloatArray,
    *,
    n_judges: int,
    prior_scores: float = PRIOR_SCORES,
) -> FloatArray:
    """Return the offset of each judge by penalised least squares.

    Parameters
    ----------
    answers, judges : ndarray of shape (n_scores,)
        Number of the answer that was judged, and of its judge, both from 0.
    scores : ndarray of shape (n_scores,)
        What was given, on one scale.
    n_judges : int
        How many judges there are.
    prior_scores : float, default 3
        How many further scores of 0 pull each offset to 0; above 0, for the scores leave the mean
        offset open.

    Returns
    -------
    ndarray of shape (n_judges,)
        In the scale's unit; above 0 for a generous judge.
    """
    normal, excess = np.diag(np.full(n_judges, prior_scores)), np.zeros(n_judges)
    for rows in _rows_by_answer(answers):  # an answer with one score says nothing of its judge
        who, given = judges[rows], scores[rows]
        np.add.at(normal, (who, who), 1.0)
        np.subtract.at(normal, np.ix_(who, who), 1.0 / len(rows))
        np.add.at(excess, who, given - given.mean())
    offsets = np.linalg.solve(normal, excess)
    sets, counts = (
        connected_sets(answers, judges, n_judges=n_judges),
        np.bincount(judges, minlength=n_judges),
    )
    centres = np.bincount(sets, weights=offsets * counts) / np.maximum(
        np.bincount(sets, weights=counts), 1.0
    )
    return np.asarray(offsets - centres[sets], dtype=np.float64)


def connected_sets(answers: IntArray, judges: IntArray, *, n_judges: int) -> IntArray:
    """Return a number for each judge, the same for judges that a chain of shared answers connects;
    shape (n_judges,).
    """
    leader = np.arange(n_judges)
    for rows in _rows_by_answer(answers):
        joined = np.unique(leader[judges[rows]])
        leader[np.isin(leader, joined)] = joined[0]
    return np.unique(leader, return_inverse=True)[1]


def _rows_by_answer(answers: IntArray) -> list[IntArray]:
    """Return the rows of each answer that was judged more than once."""
    order = np.argsort(answers, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(answers[order])) + 1)
    return [part for part in parts if len(part) > 1]
