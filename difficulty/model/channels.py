"""Channels: one kind of vector with the head that reads it. A model has one or more; the simplest stands first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from difficulty.features.ngrams import NgramFeatures
from difficulty.features.static import StaticEncoder
from difficulty.model.heads import Matrix

__all__ = ["Channel", "NgramChannel", "StaticChannel"]


class Channel(Protocol):
    """Vectors of requests in two steps: what never changes (``prepare``), then what is learned from the fit rows (``fit``)."""

    name: str
    strength: float
    """Inverse regularisation of the heads on these vectors."""

    def prepare(self, ids: Sequence[Sequence[int]]) -> Matrix:
        """Return one row a request; this is done once, folds take rows of it."""

    def fit(self, prepared: Matrix) -> Any:
        """Learn from prepared rows; returns the state that :meth:`transform` needs."""

    def transform(self, prepared: Matrix, state: Any) -> Matrix:
        """Return the vectors that heads read, of shape (n_requests, dim)."""


class NgramChannel:
    """Token n-grams; its state is the inverse document frequencies."""

    name = "ngrams"

    def __init__(self, vocabulary_size: int, *, buckets: int = 65_536, strength: float = 0.3) -> None:
        self.features = NgramFeatures(vocabulary_size, buckets=buckets)
        self.strength = strength

    def prepare(self, ids: Sequence[Sequence[int]]) -> sp.csr_array:
        """Return n-gram counts."""
        return self.features.counts(ids)

    def fit(self, prepared: Matrix) -> NDArray[np.float64]:
        """Return the inverse document frequencies."""
        return self.features.inverse_frequencies(prepared)

    def transform(self, prepared: Matrix, state: NDArray[np.float64]) -> sp.csr_array:
        """Return weighted n-grams of unit length."""
        return self.features.weigh(prepared, state)


class StaticChannel:
    """Static embeddings; nothing is learned from the traffic."""

    name = "static"

    def __init__(self, encoder: StaticEncoder, *, strength: float = 0.003) -> None:
        self.encoder = encoder
        self.strength = strength

    def prepare(self, ids: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """Return embeddings."""
        return self.encoder.encode(ids)

    def fit(self, prepared: Matrix) -> None:
        """Learn nothing."""

    def transform(self, prepared: Matrix, state: None) -> Matrix:
        """Return the embeddings as they are."""
        return prepared
