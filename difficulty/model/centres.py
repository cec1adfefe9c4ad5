"""Centres of embeddings: what traffic is about, in a bounded number of unit vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

FloatArray = NDArray[np.float64]
_ROWS_A_CENTRE = 20
_MOST_ROWS = 50_000


def unit_centres(embeddings: FloatArray, *, most: int, seed: int) -> FloatArray:
    """Return k-means centres as unit vectors, of shape (n_centres, dim).

    There is a centre for every 20 different embeddings, at most ``most``; at most 50,000 rows are
    clustered.

    Parameters
    ----------
    embeddings : ndarray of shape (n_requests, dim)
    most : int
    seed : int
    """
    rng = np.random.default_rng(seed)
    rows = (
        embeddings
        if len(embeddings) <= _MOST_ROWS
        else embeddings[rng.choice(len(embeddings), _MOST_ROWS, replace=False)]
    )
    rows = np.unique(rows, axis=0)
    n_centres = max(1, min(most, len(rows) // _ROWS_A_CENTRE))
    found = KMeans(n_centres, n_init=1, max_iter=25, random_state=seed).fit(rows).cluster_centers_
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    centres: FloatArray = np.divide(found, lengths, out=np.zeros_like(found), where=lengths > 0)
    return centres
