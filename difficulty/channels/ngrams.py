"""Token n-grams: unigrams by token id, bigrams hashed, weighted by how rare they are, unit length.
N-grams are column numbers, never strings.

Two weightings. ``counts`` is that of ``TfidfVectorizer(sublinear_tf=True)`` with one difference:
the inverse document frequency has no added 1, so boilerplate that every request carries (a system
prompt, "Answer:") counts for nothing instead of filling the vector. ``presence`` asks whether an
n-gram is there, not how often; its inverse document frequency has the added 1, and unigrams and
bigrams have half of the squared length each, so that the many rare bigrams do not drown the words
(five folds, heads on n-grams alone, counts and then presence: APGR on RouteLLM MMLU 0.6928 and
0.6978, on GSM8K 0.612 and 0.620).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from difficulty.channels import Channel, HeadColumns, Tasks
from difficulty.channels.heads import LinearHead, Matrix, in_half
from difficulty.channels.shards import NgramShards, PairCounts, WeightedNgrams, is_many
from difficulty.channels.task_columns import BesideMeanChannel, TaskChannel
from difficulty.encoders.base import Encoder
from difficulty.errors import InvalidValueError
from difficulty.recipe import FeatureSettings
from difficulty.tokens import TokenRows, check_ids, flattened

if TYPE_CHECKING:
    from difficulty.tensors import RequestTensors, Tensor

FloatArray = NDArray[np.float64]

# Different primes, so that (a, b) and (b, a) hardly ever meet in a bucket.
LEFT_MULTIPLIER = 1_000_003
RIGHT_MULTIPLIER = 8_191
"""A bigram (a, b) falls into bucket ``(a * LEFT_MULTIPLIER + b * RIGHT_MULTIPLIER) % buckets``;
both are part of the graph.
"""
# Keeps a request without n-grams from dividing by 0.
_TINY = 1e-12
_MOST_TOKENS = 16_384
"""Longest request that a graph can count n-grams of."""
_LARGEST_PLACE = 2**31 - 1
_UNIGRAMS, _BIGRAMS, _BOTH = slice(0, 1), slice(1, 2), slice(None)


class NgramChannel(Channel):
    """Sparse n-gram vectors of token ids; the state is the inverse document frequencies.

    Parameters
    ----------
    vocabulary_size : int
        Number of token ids; unigrams take the first ``vocabulary_size`` columns.
    buckets : int, default 65536
        Number of columns that bigrams are hashed into.
    strength : float, default 0.3
    weighting : {"counts", "presence"}, default "counts"
    mean_penalty : float, optional
        Of the ridge regression on what the mean gain of the task leaves over; none: there is none.
    """

    name = "ngrams"
    is_light = True
    leads_tasks = True
    share = 2.0

    def __init__(
        self,
        vocabulary_size: int,
        *,
        buckets: int = 65_536,
        strength: float = 0.3,
        weighting: Literal["counts", "presence"] = "counts",
        mean_penalty: float | None = None,
    ) -> None:
        if buckets < 1:
            raise InvalidValueError("buckets", buckets, rule="be at least 1")
        self.vocabulary_size: int = vocabulary_size
        self.buckets = buckets
        self.strength = strength
        self.weighting = weighting
        self.mean_penalty = mean_penalty

    @classmethod
    def from_features(
        cls, features: FeatureSettings, encoder: Encoder, tasks: Sequence[str]
    ) -> NgramChannel | None:
        """Return it where the recipe has the section."""
        settings = features.ngrams
        return cls(encoder.vocabulary_size, **settings.as_dict()) if settings else None

    @property
    def dim(self) -> int:
        """Number of columns."""
        return self.vocabulary_size + self.buckets

    def settings(self) -> dict[str, Any]:
        """Return the numbers of token ids and of buckets, and what models of before did not say."""
        settings: dict[str, Any] = {
            "vocabulary_size": self.vocabulary_size,
            "buckets": self.buckets,
        }
        if self._by_presence:
            settings["weighting"] = self.weighting
        return settings | ({"mean_penalty": self.mean_penalty} if self.mean_penalty else {})

    @property
    def _by_presence(self) -> bool:
        return self.weighting == "presence"

    def prepare(self, ids: Sequence[Sequence[int]], tasks: Tasks | None = None) -> Matrix:
        """Return how often each n-gram occurs, sparse of shape (n_requests, dim); of many requests
        in shards.
        """
        # an id past the vocabulary would be taken for a pair
        check_ids(ids, vocabulary=self.vocabulary_size)
        if isinstance(ids, TokenRows) and is_many(len(ids)):
            return NgramShards.counted(ids, self._counts, self.dim)
        return self._counts(ids)

    def _counts(self, ids: Sequence[Sequence[int]]) -> sp.csr_array:
        flat, ends = flattened(ids)
        counts = sp.csr_array(self._columns(flat, ends), shape=(len(ends) - 1, self.dim))
        # A repeated column stands once for each n-gram; summed, it is the count.
        counts.sum_duplicates()
        return counts

    def fit(self, prepared: Matrix) -> FloatArray:
        """Return ``ln((1 + n) / (1 + df))`` of each column, by presence 1 more; those that do not
        occur carry 0. Their squares are numbers of 16 bits.
        """
        seen = (
            prepared.seen()
            if isinstance(prepared, NgramShards)
            else np.bincount(prepared.indices, minlength=self.dim)
        )
        added = 1.0 if self._by_presence else 0.0
        idf = np.where(seen > 0, np.log((1.0 + prepared.shape[0]) / (1.0 + seen)) + added, 0.0)
        return np.sqrt(in_half(idf**2))

    def stored(self, head: LinearHead, state: FloatArray) -> LinearHead:
        """Return a head whose weights, each times its frequency, are numbers of 16 bits."""
        weights = in_half(state * head.coefficients[: self.dim])
        rounded = np.divide(weights, state, out=np.zeros_like(weights), where=state > 0)
        coefficients = np.concatenate([rounded, head.coefficients[self.dim :]])
        return replace(head, coefficients=coefficients)

    def transform(self, prepared: Matrix, state: FloatArray) -> Matrix:
        """Return weighted n-grams, rows of length 1 unless all zero.

        By counts ``(1 + ln count) * inverse frequency``; by presence the inverse frequency, the
        unigrams of a row and its bigrams each brought to a squared length of 1/2.
        """
        if isinstance(prepared, NgramShards):
            return WeightedNgrams(
                prepared,
                state,
                split=self.vocabulary_size,
                length=self._block_length,
                halves=self._by_presence,
            )
        values, block = state[prepared.indices], np.zeros(len(prepared.indices), dtype=np.int64)
        if self._by_presence:
            block = (prepared.indices >= self.vocabulary_size).astype(np.int64)
        else:
            values = (1.0 + np.log(prepared.data, dtype=np.float64)) * values
        # a place for each block of each row; the second stays empty by counts
        place = 2 * np.repeat(np.arange(prepared.shape[0]), np.diff(prepared.indptr)) + block
        lengths = np.sqrt(np.bincount(place, weights=values**2, minlength=2 * prepared.shape[0]))
        scale = np.divide(
            self._block_length, lengths, out=np.zeros_like(lengths), where=lengths > 0
        )
        return sp.csr_array(
            (values * scale[place], prepared.indices, prepared.indptr), shape=prepared.shape
        )

    @property
    def _block_length(self) -> float:
        """Length of what is brought to one: the whole row, or one of its two blocks."""
        return float(np.sqrt(0.5)) if self._by_presence else 1.0

    def with_tasks(self, tasks: Sequence[str]) -> TaskChannel:
        """Return n-grams with task columns."""
        return TaskChannel(self, tasks)

    def beside_mean(self, tasks: Sequence[str]) -> TaskChannel | None:
        """Return n-grams that say what the mean gain of a task leaves over."""
        if not self.mean_penalty:
            return None
        return BesideMeanChannel(self, tasks, penalty=self.mean_penalty)

    def pair_counts(self, prepared: Matrix) -> PairCounts:
        """Return the counts of bigrams."""
        if isinstance(prepared, NgramShards):
            return prepared.from_column(self.vocabulary_size)
        return sp.csr_array(prepared[:, self.vocabulary_size :])

    def token_counts(self, prepared: Matrix) -> FloatArray:
        """Return how many tokens each row has."""
        if isinstance(prepared, NgramShards):
            parts = prepared.until_column(self.vocabulary_size)
            return np.concatenate([np.asarray(part.sum(axis=1), np.float64) for part in parts])
        counts = prepared[:, : self.vocabulary_size].sum(axis=1)
        return np.asarray(counts, dtype=np.float64).ravel()

    def export_heads(
        self,
        requests: RequestTensors,
        state: FloatArray,
        heads: Sequence[LinearHead],
        log_share: FloatArray | None = None,
    ) -> HeadColumns:
        """Return the heads' logits and the wording: exact weights, all heads at once.

        Every column is a ratio of two sums over n-grams, by presence one over unigrams and one over
        bigrams for each head. An n-gram that occurs c times is met c times; each time it carries
        ``(1 + ln c) / c`` of a head's weight and ``(1 + ln c)^2 / c`` of the squared length, by
        presence ``1 / c`` of either. The factors are looked up by c. The wording is the mean, over
        pairs, of how much more common than the rarest a pair is.
        """
        table, n_heads = self._table(requests, state, heads, log_share), len(heads)
        rows = self._rows(requests)
        narrow = rows.cast(np.int32)  # comparing is most of the work on long requests
        same = narrow.widen(3).equals(narrow.widen(2)).cast(np.float32)
        count = same.sum(3).cast(np.int32)
        graph, width = requests.graph, table.shape[1]
        factors = graph.constant(self._factors()).take(count).transpose([0, 1, 3, 2])
        entries = graph.constant(_narrow(table)).take(rows)
        wide = entries if entries.dtype == np.float32 else entries.cast(np.float32)
        sums = factors @ wide
        flat = sums.reshape([0, 4 * width])  # of both orders and both factors
        # columns of the table: squared idf, the heads, how common a pair is, and 1 for a pair
        blocks = [_UNIGRAMS, _BIGRAMS] if self._by_presence else [_BOTH]
        of_value, n_logits = 0 if self._by_presence else 1, len(blocks) * n_heads
        logits = [(block, of_value, head) for block in blocks for head in range(1, n_heads + 1)]
        squares = [(block, 0, 0) for block in blocks for _ in range(n_heads)]
        pairs = [(_BOTH, 1, n_heads + 1)] if log_share is not None else []
        above = flat @ _adding(width, logits + pairs)
        below = flat @ _adding(
            width, squares + [(block, 1, column + 1) for block, _, column in pairs]
        )
        # a length is a root, a number of pairs is none
        exponents = np.array([0.5] * n_logits + [1.0] * len(pairs), dtype=np.float32)
        weights = np.vstack([self._block_length * np.eye(n_heads)] * len(blocks))
        return HeadColumns(
            above / below.at_least(_TINY) ** exponents,
            np.vstack([weights, np.zeros((len(pairs), n_heads))]),
            np.array([head.intercept for head in heads]),
            wording=n_logits if pairs else None,
        )

    def _factors(self) -> NDArray[np.float32]:
        """Return two factors by how often an n-gram occurs: that of the squared length, and
        ``(1 + ln c) / c``.
        """
        counts = np.arange(1, _MOST_TOKENS + 1)
        logs = 1 + np.log(counts)
        squares = np.ones(len(counts)) if self._by_presence else logs**2
        factors = np.column_stack([squares, logs]) / counts[:, None]
        return np.vstack([[0.0, 0.0], factors]).astype(np.float32)

    def _columns(
        self, flat: NDArray[np.int32], ends: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int64]]:
        """Return a 1 for every n-gram, its column, and where each row ends."""
        sizes = np.diff(ends)
        pairs = np.maximum(sizes - 1, 0)
        whole = np.concatenate([[0], np.cumsum(sizes + pairs)])
        columns = np.empty(int(whole[-1]), dtype=np.int32)
        # a row's tokens stand before its pairs
        shift = np.repeat(whole[:-1] - ends[:-1], sizes)
        at = np.arange(len(flat)) + shift
        columns[at] = flat
        is_pair = np.ones(len(flat), dtype=np.bool_)
        is_pair[ends[1:][sizes > 0] - 1] = False  # the last token of a row begins no pair
        first = np.flatnonzero(is_pair)
        left, right = flat[first].astype(np.int64), flat[first + 1].astype(np.int64)
        hashed = (left * LEFT_MULTIPLIER + right * RIGHT_MULTIPLIER) % self.buckets
        columns[at[first] + np.repeat(sizes, pairs)] = self.vocabulary_size + hashed
        if len(columns) <= _LARGEST_PLACE:  # places as wide as columns, or both are widened
            whole = whole.astype(np.int32)
        return np.ones(len(columns), dtype=np.float32), columns, whole

    def _rows(self, requests: RequestTensors) -> Tensor:
        """Return the rows of unigrams and bigrams, int64 of shape (batch, 2, tokens)."""
        left, nothing = requests.rows, self.vocabulary_size + requests.n_blank - 1
        right = left.pad([0, 0, 0, 0, 0, 1], nothing).cut(1, None, axis=2)
        mixed = left * LEFT_MULTIPLIER + right * RIGHT_MULTIPLIER
        # Buckets stand behind the rows of nothing.
        hashed = mixed % self.buckets + (nothing + 1)
        # A bigram stands at its first token; with padding or the task's id in it, it is nothing.
        whole = left.at_least(right) < self.vocabulary_size
        return requests.graph.concat([left, whole.where(hashed, nothing)], axis=1)

    def _table(
        self,
        requests: RequestTensors,
        idf: FloatArray,
        heads: Sequence[LinearHead],
        log_share: FloatArray | None,
    ) -> NDArray[np.float32]:
        """Return a row for each unigram, each row of nothing and each bucket of bigrams."""
        vocabulary = self.vocabulary_size
        weights = np.stack([head.coefficients for head in heads], axis=1)
        table = np.column_stack([idf**2, idf[:, None] * weights])
        if log_share is not None:
            pairs = np.column_stack([log_share - log_share.min(), np.ones(len(log_share))])
            table = np.column_stack([table, np.vstack([np.zeros((vocabulary, 2)), pairs])])
        whole = np.vstack([requests.table(table[:vocabulary]), table[vocabulary:]])
        return np.asarray(whole, dtype=np.float32)


def _narrow(table: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
    """Return the table in 16 bits where they hold all of it, as they do not in models of before."""
    narrow = table.astype(np.float16)
    return narrow if np.allclose(narrow, table, rtol=1e-6, atol=0.0) else table


def _adding(width: int, picked: Sequence[tuple[slice, int, int]]) -> NDArray[np.float32]:
    """Return what adds a (factor, column) of the table over some orders, for each result."""
    matrix = np.zeros((2, 2, width, len(picked)), dtype=np.float32)
    for place, (orders, factor, column) in enumerate(picked):
        matrix[orders, factor, column, place] = 1
    return matrix.reshape(4 * width, len(picked))
