"""How long the request is, which neither n-grams nor embeddings know: both have unit length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from difficulty.channels import Channel, Tasks
from difficulty.channels.heads import Matrix
from difficulty.tokens import lengths_of

if TYPE_CHECKING:
    from difficulty.tensors import RequestTensors, Tensor

_FURTHEST = 3.0
_LEAST_SPREAD = 0.1
_LONGEST = 16_384
"""Most tokens that a graph tells apart; a recipe allows no more."""


class LengthChannel(Channel):
    """The logarithm of the request's tokens on the scale of the traffic, and its square."""

    name = "length"
    stands_alone = False

    def __init__(self, *, strength: float = 1.0) -> None:
        self.strength = strength

    def prepare(
        self, ids: Sequence[Sequence[int]], tasks: Tasks | None = None
    ) -> NDArray[np.float64]:
        """Return the number of tokens, of shape (n_requests, 1)."""
        return lengths_of(ids)[:, None].astype(np.float64)

    def fit(self, prepared: Matrix) -> NDArray[np.float64]:
        """Return mean and standard deviation of the logarithm."""
        logs = np.log1p(np.asarray(prepared))
        # requests that are all alike must not be divided by zero
        return np.array([logs.mean(), max(float(logs.std()), _LEAST_SPREAD)])

    def transform(self, prepared: Matrix, state: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the standard score, cut at 3 either way, and its square minus 1, of shape
        (n_requests, 2).
        """
        score = np.clip(
            (np.log1p(np.asarray(prepared)) - state[0]) / state[1], -_FURTHEST, _FURTHEST
        )
        # The square of a standard score has the mean 1, which is taken off.
        return np.hstack([score, score**2 - 1.0])

    def token_counts(self, prepared: Matrix) -> NDArray[np.float64]:
        """Return what was prepared, of shape (n_requests,)."""
        return np.asarray(prepared, dtype=np.float64).ravel()

    def export_vectors(self, requests: RequestTensors, state: Any) -> Tensor:
        """Look the vectors up by the number of tokens: one node where the formula takes eight."""
        counts = np.arange(_LONGEST + 1, dtype=np.float64)[:, None]
        table = self.transform(counts, state).astype(np.float32)
        place = requests.mask.sum(1).at_most(_LONGEST).cast(np.int64)
        return requests.graph.constant(table).take(place)
