"""Combining heads on out-of-fold predictions: weights for each outcome's probability and for the
gain.

Probabilities are combined by logistic regression on the heads' logits, with weights of 0 or more.
The gain is not the difference of the two combined probabilities: which head tells failures apart is
not which head tells gains apart, and scaling each outcome on its own blows up the noisier one (on
RouteLLM MMLU the difference of separately scaled outcomes has APGR 0.681, the combination below
0.693). So the gain is regressed, with weights of 0 or more, on each head's own difference ``P(cheap
fails) - P(frontier fails)``.

All weights shrink towards 1 for the first head and 0 for the others, as if ``_PRIOR_SAMPLES``
samples had said so: with few labels the simplest head decides alone. Without that, noise decides: a
head that knows little is wrong more often than right out of fold, because what is left out of its
training is what is asked, and free weights turn it round (on 200 labels of RouteLLM MMLU the AUROC
of P(cheap fails) fell from 0.66 to 0.56).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, nnls
from scipy.special import expit

from difficulty.model.heads import LinearHead, fit_head

FloatArray = NDArray[np.float64]
_PRIOR_SAMPLES = 1500.0


@dataclass(frozen=True, slots=True)
class GainWeights:
    """``gain = differences @ weights + intercept``, in quality units."""

    weights: FloatArray
    intercept: float

    def __call__(self, differences: FloatArray) -> FloatArray:
        """Return the expected gain; ``differences`` has shape (n_requests, n_heads)."""
        return np.asarray(differences @ self.weights + self.intercept, dtype=np.float64)


def fit_outcome_stack(
    logits: FloatArray, failure: FloatArray, weight: FloatArray, *, prior: FloatArray | None = None
) -> LinearHead:
    """Fit weights for the heads' logits of one outcome by penalised logistic regression.

    Parameters
    ----------
    logits : ndarray of shape (n_requests, n_heads)
        Each head's logits, out of fold; the simplest head first.
    failure, weight : ndarray of shape (n_requests,)
        Outcome in [0, 1], NaN where unknown; sample weights.
    prior : ndarray of shape (n_heads,), optional
        Weights to shrink towards, instead of 1 for the first head alone.
    """
    known = ~np.isnan(failure)
    x, y, w = logits[known], failure[known], weight[known]
    if len(np.unique(y)) < 2:
        return fit_head(logits, failure, weight, strength=1.0)
    rate = np.average(y, weights=w)
    towards = np.eye(1, x.shape[1])[0] if prior is None else prior
    information = _PRIOR_SAMPLES * rate * (1.0 - rate) * x.var(axis=0)

    def loss(parameters: FloatArray) -> tuple[float, FloatArray]:
        away, z = parameters[:-1] - towards, x @ parameters[:-1] + parameters[-1]
        residual = w * (expit(z) - y)
        misfit = np.dot(w, np.logaddexp(0.0, z) - y * z) + 0.5 * np.dot(information, away**2)
        return float(misfit), np.append(x.T @ residual + information * away, residual.sum())

    bounds = [(0.0, None)] * x.shape[1] + [(None, None)]
    found = minimize(loss, np.append(towards, 0.0), jac=True, method="L-BFGS-B", bounds=bounds).x
    return LinearHead(found[:-1], float(found[-1]))


def fit_gain_weights(
    differences: FloatArray,
    gain: FloatArray,
    weight: FloatArray,
    *,
    start: GainWeights | None = None,
) -> GainWeights:
    """Fit non-negative weights for the heads' differences by penalised least squares.

    Parameters
    ----------
    differences : ndarray of shape (n_requests, n_heads)
        Each head's P(cheap fails) - P(frontier fails), out of fold; the simplest head first.
    gain, weight : ndarray of shape (n_requests,)
        Frontier minus cheap quality, NaN where unknown; sample weights.
    start : GainWeights, optional
        Weights to shrink towards, instead of 1 for the first head alone.

    Returns
    -------
    GainWeights
        Those it shrinks towards when nothing is learned (no known gain, or no head with a positive
        weight).
    """
    known = ~np.isnan(gain)
    x, y, w = differences[known], gain[known], weight[known]
    fallback = start or GainWeights(np.eye(1, differences.shape[1])[0], 0.0)
    if len(y) < 2:
        return fallback
    x_mean, y_mean = np.average(x, axis=0, weights=w), np.average(y, weights=w)
    prior = np.sqrt(_PRIOR_SAMPLES * np.average((x - x_mean) ** 2, axis=0, weights=w))
    root = np.sqrt(w)
    design = np.vstack([root[:, None] * (x - x_mean), np.diag(prior)])
    weights = nnls(design, np.r_[root * (y - y_mean), prior * fallback.weights])[0]
    return GainWeights(weights, float(y_mean - x_mean @ weights)) if weights.any() else fallback


def fold_numbers(groups: list[str], *, folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return a fold for each request; requests of one group share it, and folds hold about as many
    groups each.
    """
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    order = rng.permutation(int(index.max()) + 1 if len(index) else 0)
    return np.asarray(order[index] % folds, dtype=np.int64)
