"""Linear heads: logistic regression of one outcome on one kind of vector."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from difficulty.channels.shards import (
    Beside,
    fit_least_squares,
    fit_logistic,
    is_large,
    standardised,
)
from difficulty.errors import TooFewSamplesError

FloatArray = NDArray[np.float64]
# What a channel prepares and what heads read; of many requests rows that are never made whole.
Matrix: TypeAlias = Any
_START_STRENGTH = 0.1
"""Inverse regularisation of the multiple of an earlier head, for logits of unit deviation."""


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
    with_outcome = np.flatnonzero(~np.isnan(failure))
    if not len(with_outcome):
        raise TooFewSamplesError(
            "a head needs outcomes: got none that are known. Add cheap_quality or cheap_passed to"
            " the traffic."
        )
    if is_large(vectors):
        return _fit_large(vectors, failure, weight, strength=strength, start=start, begin=begin)
    vectors, failure, weight = vectors[with_outcome], failure[with_outcome], weight[with_outcome]
    rows, labels, weights = hard_labels(failure, weight)
    dim = int(vectors.shape[1])
    mean, deviation = _scaling(vectors)
    scaled = vectors if sp.issparse(vectors) else (vectors - mean) / deviation
    used = _occurring(scaled)
    # Answers of one word each, all the same word, have no column that tells them apart.
    if len(np.unique(labels)) < 2 or (start is None and not len(used)):
        rate = (np.dot(failure, weight) + 0.5) / (weight.sum() + 1.0)
        return LinearHead(np.zeros(dim), float(logit(rate)))
    design = scaled[:, used]
    if start is None:
        model = LogisticRegression(C=strength, max_iter=2_000).fit(
            design[rows], labels, sample_weight=weights
        )
        learned, multiple, intercept = model.coef_[0], 0.0, float(model.intercept_[0])
    else:
        earlier = np.asarray(vectors @ start.coefficients, dtype=np.float64)
        learned, multiple, intercept = _fit_beside(earlier, design, rows, labels, weights, strength)
    coefficients = np.zeros(dim)
    coefficients[used] = learned / deviation[used]
    of_start = multiple * start.coefficients if start else 0.0
    # what standardising took off every column goes into the intercept
    return LinearHead(coefficients + of_start, intercept - float(mean @ coefficients))


def _fit_large(
    vectors: Matrix,
    failure: FloatArray,
    weight: FloatArray,
    *,
    strength: float,
    start: LinearHead | None,
    begin: LinearHead | None,
) -> LinearHead:
    """Fit the same head without making the vectors one matrix."""
    known = ~np.isnan(failure)
    if len(np.unique(failure[known])) < 2:
        rate = (np.dot(failure[known], weight[known]) + 0.5) / (weight[known].sum() + 1.0)
        return LinearHead(np.zeros(vectors.shape[1]), float(logit(rate)))
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
        scale = np.sqrt(_START_STRENGTH / strength) / spread if spread > 1e-9 else 0.0
        beside = Beside(design, (scale * earlier)[:, None])
        fitted = fit_logistic(beside, failure, weight, strength=strength, offset=earlier)
        learned = fitted[:-2]
        of_start = (1.0 + scale * float(fitted[-2])) * start.coefficients
    coefficients = learned / deviation
    return LinearHead(coefficients + of_start, float(fitted[-1]) - float(mean @ coefficients))


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
    if is_large(vectors) and not isinstance(vectors, np.ndarray):
        fitted = fit_least_squares(vectors, target, weight, penalty=penalty)
        return LinearHead(fitted[:-1], float(fitted[-1]))
    solver = "cholesky" if isinstance(vectors, np.ndarray) else "sparse_cg"
    model = Ridge(alpha=penalty, solver=solver).fit(
        vectors[rows], target[rows], sample_weight=weight[rows]
    )
    return LinearHead(np.asarray(model.coef_, dtype=np.float64), float(model.intercept_))


def fit_classes(
    vectors: FloatArray, classes: NDArray[np.int64], *, strength: float
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
    numbers = np.unique(classes)
    if len(numbers) < 2:
        return {int(number): np.zeros(vectors.shape[1] + 1) for number in numbers}
    mean, deviation = _scaling(vectors)
    target = classes if len(numbers) > 2 else (classes == numbers[1]).astype(np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ConvergenceWarning
        )  # the last digits of the guess are of no use
        model = LogisticRegression(C=strength, max_iter=60, tol=1e-3).fit(
            (vectors - mean) / deviation, target
        )
    coefficients, bias = model.coef_ / deviation, model.intercept_
    weights = np.column_stack([coefficients, bias - coefficients @ mean])
    if len(numbers) == 2:
        weights = np.vstack([np.zeros(weights.shape[1]), weights[0]])
    return {int(number): row for number, row in zip(numbers, weights, strict=True)}


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


def _occurring(vectors: Matrix) -> NDArray[np.intp]:
    """Return the columns that are not all zero."""
    # The coefficients of the others stay 0, and leaving them out is faster.
    return (
        np.arange(vectors.shape[1])
        if isinstance(vectors, np.ndarray)
        else np.flatnonzero(np.bincount(vectors.indices[vectors.data != 0.0]))
    )


def _fit_beside(
    earlier: FloatArray,
    design: Matrix,
    rows: NDArray[np.intp],
    labels: NDArray[np.int64],
    weights: FloatArray,
    strength: float,
) -> tuple[FloatArray, float, float]:
    """Return coefficients, the multiple of the earlier logits, and the intercept."""
    deviation = float(earlier.std())
    # all columns share one strength: scaling this one gives the multiple a strength of its own
    scale = np.sqrt(_START_STRENGTH / strength) / deviation if deviation > 1e-9 else 0.0
    column = (scale * earlier)[:, None]
    beside = (
        np.hstack([design, column])
        if isinstance(design, np.ndarray)
        else sp.csr_array(sp.hstack([design, column], format="csr"))
    )
    *learned, multiple, intercept = _penalised_logistic(
        beside[rows], labels, weights, offset=earlier[rows], strength=strength
    )
    # the earlier logits are the offset, so the column's weight is what the multiple is above 1
    return np.array(learned), 1.0 + scale * float(multiple), float(intercept)


def _penalised_logistic(
    design: Matrix,
    labels: NDArray[np.int64],
    weights: FloatArray,
    *,
    offset: FloatArray,
    strength: float,
) -> FloatArray:
    """Return coefficients and, last, the intercept; scikit-learn's takes no offset."""

    def loss(parameters: FloatArray) -> tuple[float, FloatArray]:
        coefficients, intercept = parameters[:-1], parameters[-1]
        z = design @ coefficients + intercept + offset
        misfit = strength * np.dot(weights, np.logaddexp(0.0, z) - labels * z)
        residual = strength * weights * (expit(z) - labels)
        gradient = np.append(design.T @ residual + coefficients, residual.sum())
        return float(misfit + 0.5 * np.dot(coefficients, coefficients)), gradient

    start = np.zeros(design.shape[1] + 1)
    return np.asarray(
        minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 2_000}).x,
        dtype=np.float64,
    )


def _scaling(vectors: Matrix) -> tuple[FloatArray, FloatArray]:
    """Return what to subtract from and divide each column by; sparse vectors keep their scale."""
    dim = int(vectors.shape[1])
    if not isinstance(vectors, np.ndarray):
        return np.zeros(dim), np.ones(dim)
    # A column without spread must not be divided by 0.
    deviation = vectors.std(axis=0)
    return vectors.mean(axis=0), np.where(deviation > 1e-9, deviation, 1.0)
