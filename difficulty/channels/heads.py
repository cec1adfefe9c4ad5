"""Linear heads: logistic regression of one outcome on one kind of vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit, softmax
from sklearn.linear_model import Ridge

from difficulty.channels.descent import fit_least_squares, fit_logistic, minimise
from difficulty.channels.shards import Beside, is_large, standardised
from difficulty.errors import TooFewSamplesError

FloatArray = NDArray[np.float64]
# What a channel prepares and what heads read; of many requests rows that are never made whole.
Matrix: TypeAlias = Any
_START_STRENGTH = 0.1
"""Inverse regularisation of the multiple of an earlier head, for logits of unit deviation."""
_EQUAL = 1e-9
"""Outcomes, or shares of the weight, that differ by less are equal."""
_GUESSED = 0.03
"""Where a fit of classes ends: the largest entry of the gradient, in deviations of what the rows
leave open. The last digits of a guess are of no use.
"""


@dataclass(frozen=True, slots=True)
class LinearHead:
    """A fitted head: ``logit = vectors @ coefficients + intercept``."""

    coefficients: FloatArray
    intercept: float

    def logits(self, vectors: Matrix) -> FloatArray:
        """Return logits of the outcome, of shape (n_requests,)."""
        return np.asarray(vectors @ self.coefficients + self.intercept, dtype=np.float64)


def in_half(values: FloatArray) -> FloatArray:
    """Return the nearest numbers that 16 bits hold, as which a graph keeps large tables."""
    return values.astype(np.float16).astype(np.float64)


def fit_head(
    vectors: Matrix,
    failure: FloatArray,
    weight: FloatArray,
    *,
    strength: float,
    start: LinearHead | None = None,
    begin: LinearHead | None = None,
) -> LinearHead:
    """Fit P(failure) on the rows where the outcome is known.

    Dense vectors are standardised first and the scaling is folded into the coefficients. Graded
    outcomes (0 < failure < 1) count as both outcomes, each with its share. If all known outcomes
    are equal the head is constant at their rate, with half a sample added to either side.

    Parameters
    ----------
    vectors : array of shape (n_requests, dim)
    failure, weight : ndarray of shape (n_requests,)
        Outcome in [0, 1], NaN where unknown; sample weights.
    strength : float
        Inverse regularisation, scikit-learn's ``C``.
    start : LinearHead, optional
        An earlier head on the same kind of vector. The coefficients then shrink towards a multiple
        of its own instead of towards 0; the multiple is learned too, and shrinks towards 1.
    begin : LinearHead, optional
        A head of the same rows on the first of the columns, where the fit of many rows begins.

    Raises
    ------
    TooFewSamplesError
        If no outcome is known.
    """
    known = ~np.isnan(failure)
    if not known.any():
        raise TooFewSamplesError(
            "a head needs outcomes: got none that are known. Add cheap_quality or cheap_passed to"
            " the traffic."
        )
    if _is_one_sided(failure[known], weight[known]):
        rate = (np.dot(failure[known], weight[known]) + 0.5) / (weight[known].sum() + 1.0)
        return LinearHead(np.zeros(int(vectors.shape[1])), float(logit(rate)))
    if not is_large(vectors) and not known.all():
        vectors, failure, weight = vectors[known], failure[known], weight[known]
        known = known[known]
    design, mean, deviation = standardised(vectors, known)
    if start is None:
        first = None
        if begin is not None:
            first = np.zeros(len(mean) + 1)
            known_columns = len(begin.coefficients)
            first[:known_columns] = begin.coefficients * deviation[:known_columns]
            first[-1] = begin.intercept + mean[:known_columns] @ begin.coefficients
        fitted = fit_logistic(design, failure, weight, strength=strength, begin=first)
        learned, of_start = fitted[:-1], np.zeros(len(fitted) - 1)
    else:
        earlier = np.asarray(vectors @ start.coefficients, dtype=np.float64)
        spread = float(earlier[known].std())
        # All columns share one strength: scaling this one gives the multiple a strength of its own.
        scale = np.sqrt(_START_STRENGTH / strength) / spread if spread > 1e-9 else 0.0
        beside = Beside(design, (scale * earlier)[:, None])
        fitted = fit_logistic(beside, failure, weight, strength=strength, offset=earlier)
        learned = fitted[:-2]
        # The earlier logits are the offset: the column's weight is what the multiple is above 1.
        of_start = (1.0 + scale * float(fitted[-2])) * start.coefficients
    coefficients = learned / deviation
    # What standardising took off every column goes into the intercept.
    return LinearHead(coefficients + of_start, float(fitted[-1]) - float(mean @ coefficients))


def _is_one_sided(failure: FloatArray, weight: FloatArray) -> bool:
    """Return whether outcomes differ by rounding at most, or all weight lies on one side."""
    total = weight.sum()
    if np.ptp(failure) < _EQUAL or not total > 0.0:
        return True
    rate = np.dot(failure, weight) / total
    return not _EQUAL < rate < 1.0 - _EQUAL


def fit_ridge(
    vectors: Matrix, target: FloatArray, weight: FloatArray, *, penalty: float
) -> LinearHead:
    """Fit a number by ridge regression on the rows where it is known; 0 where it is on none.

    Parameters
    ----------
    vectors : array of shape (n_requests, dim)
    target, weight : ndarray of shape (n_requests,)
        What to fit, NaN where unknown; sample weights.
    penalty : float
        Scikit-learn's ``alpha``.
    """
    rows = np.flatnonzero(~np.isnan(target))
    if not len(rows):
        return LinearHead(np.zeros(vectors.shape[1]), 0.0)
    if not isinstance(vectors, np.ndarray):
        fitted = fit_least_squares(vectors, target, weight, penalty=penalty)
        return LinearHead(fitted[:-1], float(fitted[-1]))
    model = Ridge(alpha=penalty, solver="cholesky").fit(
        vectors[rows], target[rows], sample_weight=weight[rows]
    )
    return LinearHead(np.asarray(model.coef_, dtype=np.float64), float(model.intercept_))


def fit_classes(
    vectors: NDArray[np.floating[Any]], classes: NDArray[np.int64], *, strength: float
) -> dict[int, FloatArray]:
    """Fit a multinomial logistic regression and return the weights of each class that occurs, the
    bias last.

    Parameters
    ----------
    vectors : ndarray of shape (n_requests, dim)
        Standardised first; the scaling is folded into the weights.
    classes : ndarray of shape (n_requests,)
        Class numbers.
    strength : float
        Inverse regularisation, scikit-learn's ``C``.
    """
    numbers, places = np.unique(classes, return_inverse=True)
    if len(numbers) < 2:
        return {int(number): np.zeros(vectors.shape[1] + 1) for number in numbers}
    mean, deviation = vectors.mean(axis=0), vectors.std(axis=0)
    deviation = np.where(deviation > 1e-9, deviation, 1.0)
    scaled = ((vectors - mean) / deviation).astype(np.float32)
    weights = _multinomial(scaled, places, len(numbers), strength)
    weights[:, :-1] /= deviation
    weights[:, -1] -= weights[:, :-1] @ mean
    return {int(number): row for number, row in zip(numbers, weights, strict=True)}


def _multinomial(
    scaled: NDArray[np.float32], places: NDArray[np.intp], n: int, strength: float
) -> FloatArray:
    """Return the weights of each class, the bias last; the bias is not penalised."""
    rows = np.arange(len(scaled))
    shares = np.bincount(places, minlength=n) / len(scaled)
    # Columns have deviation 1, so the curvature differs by class alone.
    bend = strength * len(scaled) * shares * (1.0 - shares)
    scale = np.sqrt(np.column_stack([np.tile(1.0 + bend[:, None], scaled.shape[1]), bend]))

    def loss(flat: FloatArray) -> tuple[float, FloatArray]:
        weights = flat.reshape(scale.shape) / scale
        inner = weights[:, :-1]
        z = scaled @ inner.T.astype(np.float32) + weights[:, -1]
        p = softmax(z, axis=1)
        misfit = -np.log(p[rows, places].clip(1e-300)).sum()
        p[rows, places] -= 1.0
        pulled = (p.T.astype(np.float32) @ scaled).astype(np.float64)
        gradient = np.column_stack([strength * pulled + inner, strength * p.sum(axis=0)])
        value = strength * misfit + 0.5 * np.sum(inner**2)
        return float(value), (gradient / scale).ravel()

    start = np.zeros(scale.size)
    found = minimise(loss, start, gradient=_GUESSED, most=60).reshape(scale.shape) / scale
    # The loss is the same with one number more in all biases.
    found[:, -1] -= found[:, -1].mean()
    return found


def hard_labels(
    failure: FloatArray, weight: FloatArray
) -> tuple[NDArray[np.intp], NDArray[np.int64], FloatArray]:
    """Return row numbers, 0/1 labels and weights; a graded row appears once for each label."""
    failed, fine = np.flatnonzero(failure > 0), np.flatnonzero(failure < 1)
    rows = np.concatenate([failed, fine])
    labels = np.concatenate(
        [np.ones(len(failed), dtype=np.int64), np.zeros(len(fine), dtype=np.int64)]
    )
    weights = np.concatenate([(failure * weight)[failed], ((1.0 - failure) * weight)[fine]])
    order = np.argsort(rows, kind="stable")
    return rows[order], labels[order], weights[order]
