"""Single labels that disagree with what the rest of the traffic says, by confident learning
(cleanlab).

References
----------
Northcutt, Jiang and Chuang (2021), "Confident Learning: Estimating Uncertainty in Dataset Labels".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

MOST_QUALITY = 0.2
"""A label is suspicious only where its own probability is below this: a label at odds with a
toss-up says nothing.
"""
LEAST_OF_EACH = 10
_SURE = 0.25
"""Qualities within this of 0 or 1 count as failed or good; those between are not judged."""


def unlikely_labels(
    p_fails: FloatArray, quality: FloatArray
) -> tuple[NDArray[np.intp], FloatArray]:
    """Return the samples whose label is probably wrong, least likely label first, and the
    probability of every label.

    Parameters
    ----------
    p_fails : ndarray of shape (n,)
        Probability that the model fails, predicted without the sample itself.
    quality : ndarray of shape (n,)
        The labels, in [0, 1]; NaN where unknown.

    Returns
    -------
    rows : ndarray of int
        Found by confident learning, and less than one in five likely. Requests differ in more than
        a text tells, so most of them are surprises, not mistakes: a list to look through, not one
        to delete.
    label_quality : ndarray of shape (n,)
        Probability of each label; NaN where it is unknown or between good and failed.
    """
    from cleanlab.filter import find_label_issues  # loads pandas and datasets

    likely = np.where(
        quality <= _SURE, p_fails, np.where(quality >= 1.0 - _SURE, 1.0 - p_fails, np.nan)
    )
    sure = np.flatnonzero(~np.isnan(likely))
    failed = (quality[sure] < 0.5).astype(np.int64)
    if min(failed.sum(), len(failed) - failed.sum()) < LEAST_OF_EACH:
        return np.zeros(0, dtype=np.intp), likely
    probabilities = np.column_stack([1.0 - p_fails[sure], p_fails[sure]])
    issues = find_label_issues(failed, probabilities, filter_by="confident_learning", n_jobs=1)
    rows = sure[issues & (likely[sure] < MOST_QUALITY)]
    return rows[np.argsort(likely[rows], kind="stable")], likely
