"""Token n-grams: unigrams by token id, bigrams hashed, sublinear counts, inverse document
frequency, unit length.

Weighted like ``TfidfVectorizer(sublinear_tf=True)`` with one difference: the inverse document
frequency has no added 1, so boilerplate that every request carries (a system prompt, "Answer:")
counts for nothing instead of filling the vector. N-grams are column numbers, never strings.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from difficulty.errors import InvalidValueError

FloatArray = NDArray[np.float64]

LEFT_MULTIPLIER = 1_000_003
RIGHT_MULTIPLIER = 8_191
"""A bigram (a, b) falls into bucket ``(a * LEFT_MULTIPLIER + b * RIGHT_MULTIPLIER) % buckets``;
both are part of the graph.
"""


class NgramFeatures:
    """Sparse n-gram vectors of token ids.

    Parameters
    ----------
    vocabulary_size : int
        Number of token ids; unigrams take the first ``vocabulary_size`` columns.
    buckets : int, default 65536
        Number of columns that bigrams are hashed into.
    """

    def __init__(self, vocabulary_size: int, *, buckets: int = 65_536) -> None:
        if buckets < 1:
            raise InvalidValueError("buckets", buckets, rule="be at least 1")
        self.vocabulary_size = vocabulary_size
        self.buckets = buckets

    @property
    def dim(self) -> int:
        """Number of columns."""
        return self.vocabulary_size + self.buckets

    def counts(self, ids: Sequence[Sequence[int]]) -> sp.csr_array:
        """Return how often each n-gram occurs, sparse of shape (n_requests, dim)."""
        columns = [self._columns(np.asarray(row, dtype=np.int64)) for row in ids]
        ends = np.cumsum([0, *map(len, columns)])
        flat = np.concatenate([np.zeros(0, dtype=np.int64), *columns])
        matrix = sp.csr_array((np.ones(len(flat)), flat, ends), shape=(len(columns), self.dim))
        matrix.sum_duplicates()
        return matrix

    def inverse_frequencies(self, counts: sp.csr_array) -> FloatArray:
        """Return ``ln((1 + n) / (1 + df))`` of each column, of shape (dim,); columns that do not
        occur carry 0.
        """
        seen = np.bincount(counts.indices, minlength=self.dim)
        return np.where(seen > 0, np.log((1.0 + counts.shape[0]) / (1.0 + seen)), 0.0)

    def weigh(self, counts: sp.csr_array, inverse_frequencies: FloatArray) -> sp.csr_array:
        """Return ``(1 + ln count) * inverse frequency``, each row brought to length 1 (or left all
        zero).
        """
        values = (1.0 + np.log(counts.data)) * inverse_frequencies[counts.indices]
        row_of = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
        lengths = np.sqrt(np.bincount(row_of, weights=values**2, minlength=counts.shape[0]))
        scale = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        return sp.csr_array(
            (values * scale[row_of], counts.indices, counts.indptr), shape=counts.shape
        )

    def _columns(self, row: NDArray[np.int64]) -> NDArray[np.int64]:
        hashed = (row[:-1] * LEFT_MULTIPLIER + row[1:] * RIGHT_MULTIPLIER) % self.buckets
        return np.concatenate([row, self.vocabulary_size + hashed])
