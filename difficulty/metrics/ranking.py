"""How well a score orders requests: AUROC, and ranks inside folds."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from difficulty.errors import InvalidValueError, UndefinedMetricError
from difficulty.metrics.arrays import FloatArray, IntArray, column, weights
from difficulty.metrics.curve import Ranking, auroc_of


def auroc(score: ArrayLike, label: ArrayLike, *, weight: ArrayLike | None = None) -> float:
    """Return the probability that a request labelled 1 scores above one labelled 0, ties counting
    half.

    Parameters
    ----------
    score : array-like of shape (n,)
        Any finite numbers, higher = more like label 1.
    label : array-like of shape (n,)
        0 or 1 (or booleans), for example whether the request needed the frontier model.
    weight : array-like of shape (n,), optional
        Sample weights, 0 or more.

    Returns
    -------
    float
        In [0, 1]; 0.5 for a score without signal. Exact: no binning.

    Raises
    ------
    InvalidValueError
        If lengths differ, a score is NaN or a label is neither 0 nor 1.
    UndefinedMetricError
        If only one of the labels occurs.

    References
    ----------
    Hanley and McNeil (1982), "The meaning and use of the area under a receiver operating
    characteristic (ROC) curve".
    """
    score = column("score", score)
    label = column("label", label, n=len(score))
    if not np.isin(label, (0.0, 1.0)).all():
        raise InvalidValueError(
            "label", float(label[~np.isin(label, (0.0, 1.0))][0]), rule="be 0 or 1"
        )
    ranking = Ranking.of(score)
    value = float(auroc_of(ranking, label[ranking.order], weights(weight, n=len(score))))
    if np.isnan(value):
        raise UndefinedMetricError(
            f"AUROC needs requests of both labels: got {int(label.sum()):,} of {len(label):,}"
            " labelled 1."
        )
    return value


def rank_within(score: ArrayLike, fold: ArrayLike) -> FloatArray:
    """Return each request's rank inside its fold, in [0, 1].

    The models of two folds differ by an offset that says nothing about the requests and blurs their
    pooled ranking. Ranks inside the folds can be pooled.

    Parameters
    ----------
    score : array-like of shape (n,)
        Out-of-fold scores.
    fold : array-like of shape (n,)
        Fold of each request, of any type that sorts.

    Returns
    -------
    ndarray of shape (n,)
        (rank - 1/2) / size of the fold, ties sharing their mean rank; a fold of equal scores gets
        0.5 throughout.

    Raises
    ------
    InvalidValueError
        If lengths differ or a score is NaN.
    """
    score = column("score", score)
    names, fold_of = np.unique(np.asarray(fold), return_inverse=True)
    if fold_of.shape != score.shape:
        raise InvalidValueError("fold", fold_of.shape, rule=f"have the shape {score.shape}")
    ranks = np.empty(len(score))
    for index in range(len(names)):
        rows = np.flatnonzero(fold_of == index)
        _, step, size = np.unique(score[rows], return_inverse=True, return_counts=True)
        ranks[rows] = (np.cumsum(size) - 0.5 * size)[step] / len(rows)
    return ranks


_SAME = 1e-9


def krippendorff_alpha(units: ArrayLike, values: ArrayLike) -> float:
    """Return Krippendorff's alpha for numbers: agreement beyond what chance would give.

    Any number of raters and any gaps: what counts is which values belong to one unit. Values stand
    apart by their squared difference, so of two grades the nearer ones disagree less; for verdicts
    of 0 and 1 this is the nominal alpha.

    Parameters
    ----------
    units : array-like of shape (n_values,)
        What each value was said of. Units with one value take no part.
    values : array-like of shape (n_values,)
        Any unit of measure.

    Returns
    -------
    float
        1 where all agree, 0 where they agree no more than by chance, below 0 where they agree less;
        NaN where no unit has two values, or all values that take part are equal.

    References
    ----------
    Krippendorff (2011), "Computing Krippendorff's alpha-reliability".
    """
    paired, sizes, codes = _paired(units, values)
    n = len(paired)
    if not n:
        return float("nan")
    expected = 2.0 * float(np.sum((paired - paired.mean()) ** 2)) / (n - 1)
    if expected <= _SAME**2:
        return float("nan")
    means = np.bincount(codes, weights=paired) / sizes
    within = 2.0 * sizes * np.bincount(codes, weights=(paired - means[codes]) ** 2)
    observed = float(np.sum(within / (sizes - 1))) / n
    return 1.0 - observed / expected


def pair_agreement(units: ArrayLike, values: ArrayLike) -> float:
    """Return the share of pairs of values of one unit that are equal, in [0, 1]; NaN where no unit
    has two values.
    """
    paired, sizes, codes = _paired(units, values)
    pairs = float(np.sum(sizes * (sizes - 1)))
    if not pairs:
        return float("nan")
    _, same = np.unique(
        np.column_stack([codes, np.round(paired / _SAME)]), axis=0, return_counts=True
    )
    return float(np.sum(same * (same - 1))) / pairs


def _paired(units: ArrayLike, values: ArrayLike) -> tuple[FloatArray, FloatArray, IntArray]:
    """Return the values of units with two or more, the size of each such unit, and the unit of each
    value, from 0.
    """
    names = np.asarray(units)
    numbers = column("values", values, n=len(names)) if len(names) else np.zeros(0)
    _, codes, counts = np.unique(names, return_inverse=True, return_counts=True)
    chosen = counts[codes] > 1
    kept, renumbered = np.unique(codes[chosen], return_inverse=True)
    return numbers[chosen], counts[kept].astype(np.float64), renumbered
