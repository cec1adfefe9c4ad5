"""Which kinds of requests a request is near to: its cosines with centres of the traffic, as shares
that add up to 1.

Heads on the shares are a smooth form of nearest neighbours: every centre learns how requests
around it fare. Unlike stored neighbours they cost the same however large the traffic was, and no
single request is in the scorer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.cluster import KMeans

from difficulty.channels.embedding import EncoderChannel
from difficulty.channels.heads import Matrix
from difficulty.channels.shards import Embeddings, IdRows, read_blocks
from difficulty.encoders.base import Encoder

if TYPE_CHECKING:
    from difficulty.tensors import RequestTensors, Tensor

FloatArray = NDArray[np.float64]
_ROWS_A_CENTRE = 20
_MOST_ROWS = 20_000


class NeighbourChannel(EncoderChannel):
    """The share of each centre.

    Parameters
    ----------
    encoder : Encoder
    centres : int, default 256
        Most centres.
    sharpness : float, default 10
        Shares are ``softmax(sharpness * cosine)``.
    strength : float, default 0.001
        Inverse regularisation of the heads.
    """

    name = "neighbours"
    read_with_task = True
    fits_once = True

    def __init__(
        self,
        encoder: Encoder,
        *,
        centres: int = 256,
        sharpness: float = 10.0,
        strength: float = 0.001,
    ) -> None:
        super().__init__(encoder, strength=strength)
        self.centres = centres
        self.sharpness = sharpness

    def settings(self) -> dict[str, Any]:
        """Return most centres and sharpness."""
        return {"centres": self.centres, "sharpness": self.sharpness}

    def fit(self, prepared: Matrix) -> FloatArray:
        """Return the centres, unit vectors of shape (n_centres, dim)."""
        # one seed for all: equal traffic has equal centres, whatever the recipe deals by chance
        embeddings = self.embeddings(prepared)
        assert embeddings is not None
        return unit_centres(embeddings, most=self.centres, seed=0)

    def transform(self, prepared: Matrix, state: FloatArray) -> FloatArray:
        """Return the share of each centre, of shape (n_requests, n_centres)."""
        if isinstance(prepared, IdRows):
            return read_blocks(
                prepared, lambda block: self.transform(block.embedded(), state).astype(np.float32)
            )
        return np.asarray(softmax(self.sharpness * (prepared @ state.T), axis=1), dtype=np.float64)

    def topic_centres(self, state: FloatArray) -> FloatArray:
        """Return the centres."""
        return state

    def export_vectors(self, requests: RequestTensors, state: FloatArray) -> Tensor:
        """Return the shares; the sharpness is multiplied out beforehand."""
        sharpened = (self.sharpness * state.T).astype(np.float32)
        return (requests.embed(self.encoder) @ sharpened).softmax(1)


def unit_centres(embeddings: Embeddings, *, most: int, seed: int) -> FloatArray:
    """Return k-means centres as unit vectors, of shape (n_centres, dim).

    There is a centre for every 20 different embeddings, at most ``most``; at most 20,000 rows are
    clustered.

    Parameters
    ----------
    embeddings : ndarray of shape (n_requests, dim)
    most : int
    seed : int
    """
    n = len(embeddings)
    if n > _MOST_ROWS:
        rows = embeddings[np.random.default_rng(seed).choice(n, _MOST_ROWS, replace=False)]
    else:
        rows = embeddings[:]
    different = np.unique(rows, axis=0)
    n_centres = max(1, min(most, len(different) // _ROWS_A_CENTRE))
    kmeans = KMeans(n_centres, n_init=1, max_iter=25, random_state=seed).fit(different)
    means = kmeans.cluster_centers_.astype(np.float64)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    # Embeddings that cancel out leave a centre at 0, which has no direction.
    centres: FloatArray = np.divide(means, lengths, out=np.zeros_like(means), where=lengths > 0)
    return centres
