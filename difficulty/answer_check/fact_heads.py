"""Heads on facts: standardised columns, a small network, and trees.

Each takes NaN for a fact that is not known. Trees read the numbers as they are, so that Python and
a graph fall on the same side of every split.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logit
from sklearn.ensemble import HistGradientBoostingClassifier

from difficulty.channels.heads import hard_labels
from difficulty.channels.tree_arrays import TreeArrays, arrays_of, count_below, split_places
from difficulty.engine.threads import in_threads

FloatArray = NDArray[np.float64]
CLIP = 4.0
"""Deviations from the mean that a standardised fact is cut to."""
UNKNOWN = np.float32(-1e9)
"""What a fact that is not known is to trees: less than any that is."""
_SEEDS = 3
_HIDDEN = 16
_PENALTY = 20.0
"""Of the squared weights of a network, against the summed loss."""
_STEPS = 60
_LEAST_ROWS = 60
"""Outcomes that trees need; fewer are told their rate."""
_GROWTH: dict[str, Any] = {
    "learning_rate": 0.06,
    "max_iter": 80,
    "max_leaf_nodes": 8,
    "min_samples_leaf": 15,
    "l2_regularization": 5.0,
    "max_features": 0.3,
    "max_bins": 64,
    "early_stopping": False,
    "random_state": 0,
}


@dataclass(frozen=True, slots=True)
class FactScaling:
    """Facts as columns of mean 0 and deviation 1, cut at ``CLIP``, and a column for each fact that
    says whether it is unknown, where that differs.

    Attributes
    ----------
    mean, scale : ndarray of shape (n_facts,)
        A fact becomes ``(fact - mean) * scale``; an unknown one 0, one that never differs as well.
    unknown : ndarray of int
        The facts that have a column more.
    """

    mean: FloatArray
    scale: FloatArray
    unknown: NDArray[np.int64]

    @classmethod
    def of(cls, facts: NDArray[np.float32]) -> Self:
        """Learn from n answers."""
        known = ~np.isnan(facts)
        n = np.maximum(known.sum(axis=0), 1)
        values = np.where(known, facts, 0.0).astype(np.float64)
        mean = values.sum(axis=0) / n
        deviation = np.sqrt((np.where(known, values - mean, 0.0) ** 2).sum(axis=0) / n)
        scale = np.divide(1.0, deviation, out=np.zeros_like(mean), where=deviation > 1e-9)
        differs = known.any(axis=0) & ~known.all(axis=0)
        return cls(mean, scale, np.flatnonzero(differs).astype(np.int64))

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.mean) + len(self.unknown)

    def __call__(self, facts: NDArray[np.float32]) -> FloatArray:
        """Return the columns, of shape (n, width)."""
        missing = np.isnan(facts)
        values = np.where(missing, 0.0, (facts - self.mean) * self.scale)
        return np.hstack([values.clip(-CLIP, CLIP), missing[:, self.unknown]])


@dataclass(frozen=True, slots=True)
class Network:
    """Networks with one hidden layer, from as many starts; they say the mean of their logits.

    Attributes
    ----------
    inner : ndarray of shape (width, n_starts * hidden)
    bias : ndarray of shape (n_starts * hidden,)
    outer : ndarray of shape (n_starts * hidden,)
        Divided by the number of starts.
    intercept : float
    """

    inner: FloatArray
    bias: FloatArray
    outer: FloatArray
    intercept: float

    def logits(self, vectors: FloatArray) -> FloatArray:
        """Return logits of the outcome, of shape (n,)."""
        hidden = np.maximum(vectors @ self.inner + self.bias, 0.0)
        return np.asarray(hidden @ self.outer + self.intercept, dtype=np.float64)


def fit_network(vectors: FloatArray, failure: FloatArray, weight: FloatArray) -> Network:
    """Fit P(failure) on rows where the outcome is known.

    Parameters
    ----------
    vectors : ndarray of shape (n, width)
    failure, weight : ndarray of shape (n,)
        Outcome in [0, 1]; sample weights.
    """
    narrow = vectors.astype(np.float32)  # half the time, and starts differ by more
    parts = in_threads(lambda seed: _fit_start(narrow, failure, weight, seed), range(_SEEDS))
    inner, bias, outer, intercepts = zip(*parts, strict=True)
    return Network(
        np.hstack(inner),
        np.concatenate(bias),
        np.concatenate(outer) / _SEEDS,
        float(np.mean(intercepts)),
    )


def _fit_start(
    x: NDArray[np.float32], y: FloatArray, w: FloatArray, seed: int
) -> tuple[FloatArray, FloatArray, FloatArray, float]:
    width, size = x.shape[1], x.shape[1] * _HIDDEN

    def parts(flat: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, float]:
        inner, bias, outer = np.split(flat[:-1], [size, size + _HIDDEN])
        return inner.reshape(width, _HIDDEN), bias, outer, float(flat[-1])

    def loss(flat: FloatArray) -> tuple[float, FloatArray]:
        inner, bias, outer, intercept = parts(flat)
        before = x @ inner.astype(np.float32)
        before += bias.astype(np.float32)
        hidden = np.maximum(before, 0.0)
        z = (hidden @ outer.astype(np.float32)).astype(np.float64) + intercept
        small = np.exp(-np.abs(z))
        residual = w * (np.where(z >= 0.0, 1.0, small) / (1.0 + small) - y)
        narrow = residual.astype(np.float32)
        back = np.where(before > 0.0, narrow[:, None] * outer.astype(np.float32), np.float32(0.0))
        misfit = np.dot(w, np.maximum(z, 0.0) + np.log1p(small) - y * z)
        penalty = 0.5 * _PENALTY * (np.sum(inner**2) + np.dot(outer, outer))
        gradient = [
            (x.T @ back + _PENALTY * inner).ravel(),
            back.sum(axis=0, dtype=np.float64),
            hidden.T @ narrow + _PENALTY * outer,
            [residual.sum()],
        ]
        return float(misfit + penalty), np.concatenate(gradient)

    rng = np.random.default_rng(seed)
    wide, narrow = np.sqrt(6.0 / (width + _HIDDEN)), np.sqrt(6.0 / (_HIDDEN + 1))
    start = np.concatenate(
        [
            rng.uniform(-wide, wide, size),
            np.zeros(_HIDDEN),
            rng.uniform(-narrow, narrow, _HIDDEN),
            np.zeros(1),
        ]
    )
    options = {"maxiter": _STEPS}
    return parts(minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x)


def tree_values(facts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what trees read: unknown facts are less than any that are known."""
    return np.where(np.isnan(facts), UNKNOWN, facts).astype(np.float32)


def grow_trees(facts: NDArray[np.float32], failure: FloatArray, weight: FloatArray) -> TreeArrays:
    """Grow trees on the logit of P(failure); parameters are those of :func:`fit_network`."""
    rows, labels, weights = hard_labels(failure, weight)
    if len(failure) < _LEAST_ROWS or len(np.unique(labels)) < 2:
        rate = (np.dot(failure, weight) + 0.5) / (weight.sum() + 1.0)
        return arrays_of([], float(logit(rate)), [])
    values = tree_values(facts)
    edges = [split_places(column) for column in values.T]
    model = HistGradientBoostingClassifier(**_GROWTH)
    model.fit(count_below(values, edges)[rows], labels, sample_weight=weights)
    trees = [tree.nodes for (tree,) in model._predictors]
    return arrays_of(trees, float(np.ravel(model._baseline_prediction)[0]), edges)
