"""Familiarity: how much a request looks like the traffic the model was fitted on.

Cosine of the request's embedding with the nearest of a few hundred centres of the fit traffic, as a percentile of the calibration
traffic: 0.05 means that 95 of 100 calibration requests lay nearer to what was known. Scores of unfamiliar requests deserve less trust.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

__all__ = ["Familiarity", "fit_familiarity"]

FloatArray = NDArray[np.float64]

_MOST_CENTRES = 256
_ROWS_A_CENTRE = 20
_MOST_ROWS = 50_000
_KNOTS = 21
_LEAST_STEP = 1e-3
"""Least distance of two knots: a steeper map would blow up the rounding of float32 cosines."""


@dataclass(frozen=True, slots=True)
class Familiarity:
    """Fitted centres and percentiles.

    Attributes
    ----------
    centres : ndarray of shape (n_centres, dim)
        Unit vectors.
    knots, values : ndarray of shape (n_knots,)
        Cosines, ascending, and the share of the calibration traffic below each.
    """

    centres: FloatArray
    knots: FloatArray
    values: FloatArray

    def __call__(self, embeddings: FloatArray) -> FloatArray:
        """Return familiarity in [0, 1] of unit vectors of shape (n_requests, dim)."""
        return np.interp(self.nearest(embeddings), self.knots, self.values).astype(np.float64)

    def nearest(self, embeddings: FloatArray) -> FloatArray:
        """Return the cosine with the nearest centre, of shape (n_requests,)."""
        return np.asarray((embeddings @ self.centres.T).max(axis=1, initial=-1.0), dtype=np.float64)


def fit_familiarity(fit: FloatArray, calibration: FloatArray, *, seed: int) -> Familiarity:
    """Find centres of the fit embeddings and the percentiles of the calibration ones; at most 50,000 fit rows are used.

    Parameters
    ----------
    fit, calibration : ndarray of shape (n_requests, dim)
        Unit vectors.
    seed : int
        Seed of the clustering.
    """
    rng = np.random.default_rng(seed)
    rows = fit if len(fit) <= _MOST_ROWS else fit[rng.choice(len(fit), _MOST_ROWS, replace=False)]
    rows = np.unique(rows, axis=0)
    n_centres = max(1, min(_MOST_CENTRES, len(rows) // _ROWS_A_CENTRE))
    found = KMeans(n_centres, n_init=1, max_iter=25, random_state=seed).fit(rows).cluster_centers_
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    centres = np.divide(found, lengths, out=np.zeros_like(found), where=lengths > 0)
    plain = Familiarity(centres, np.array([-1.0, 1.0]), np.array([0.0, 1.0]))
    knots, values = _percentiles(plain.nearest(calibration))
    return Familiarity(centres, knots, values)


def _percentiles(cosines: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return knots and the share below each; equal knots keep the last, and one step at least is left."""
    shares = np.linspace(0.0, 1.0, _KNOTS)
    knots = np.quantile(cosines, shares)
    last = np.r_[np.diff(knots) > _LEAST_STEP, True]
    knots, shares = knots[last], shares[last]
    if shares[0] > 0.0 or len(knots) == 1:
        knots, shares = np.r_[knots[0] - _LEAST_STEP, knots], np.r_[0.0, shares]
    return knots, shares
