"""Large traffic: vectors that are never made as one matrix.

From ``LARGE`` requests on, n-grams are counted into shards of ``SHARD_ROWS`` requests, once, and
all fits share them: a fold takes whole shards, and what it learns of the texts stands beside them
as one number a column and two a request. Heads then see a :class:`Design`, which multiplies, shard
after shard. Shards and vectors lie in files that are mapped into memory once they pass
``MOST_IN_MEMORY``, and are let go of when they are read: the machine's memory bounds nothing. What
comes out does not depend on that, nor on the number of processes: sums go over shards in order.

Fewer requests are fitted on one matrix, by the same solver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass
from threading import Lock
from typing import Any, Protocol, TypeAlias, cast

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from difficulty.channels.ngram_products import Product, RowShard, by_threads, hold
from difficulty.engine import Engine, HeldShards
from difficulty.storage.mapped import GrowingRows, is_mapped, let_go, parts_of_rows
from difficulty.tokens import TokenRows

FloatArray = NDArray[np.float64]
Rows: TypeAlias = "NDArray[np.intp] | slice"

LARGE = 32_768
"""Requests from which on matrices are not made whole."""
SHARD_ROWS = 16_384
_BLOCK = 4_096
MOST_IN_MEMORY = 1 << 28
"""Bytes of n-grams, or of vectors, that are kept in memory; more lie in a file."""
_MOST_IN_FILE = 1 << 34
"""Bytes of embeddings that are kept in a file; more are made whenever they are read."""


class Design(Protocol):
    """What heads are fitted on: n rows that can be multiplied."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    def __matmul__(self, coefficients: FloatArray) -> FloatArray:
        """Return the rows times coefficients, of shape (n,)."""

    def pulled(self, residual: FloatArray) -> FloatArray:
        """Return the transposed rows times a number each, of shape (dim,)."""

    def pulled_squares(self, weight: FloatArray) -> FloatArray:
        """Return the same of the rows' squares."""


class NgramShards:
    """How often each n-gram occurs in n requests, in shards of rows.

    Parameters
    ----------
    parts : sequence of csr_array
        Counts, uint16 with int32 places, the columns of each row ascending.
    width : int
        Number of columns.
    """

    def __init__(self, parts: Sequence[sp.csr_array], width: int) -> None:
        self.parts = list(parts)
        self.files = [_file_of(part) for part in self.parts]
        self.starts = np.concatenate([[0], np.cumsum([part.shape[0] for part in self.parts])])
        self.shape = int(self.starts[-1]), width

    @classmethod
    def counted(
        cls, ids: TokenRows, count: Callable[[TokenRows], sp.csr_array], width: int
    ) -> NgramShards:
        """Count the n-grams of token ids, a shard at a time.

        Parameters
        ----------
        ids : TokenRows
        count : callable
            From some of them to their counts.
        width : int
        """
        parts, size = [], 0
        for start in range(0, len(ids), SHARD_ROWS):
            part = _narrow(count(ids[start : start + SHARD_ROWS]))
            size += part.data.nbytes + part.indices.nbytes
            parts.append(part if size <= MOST_IN_MEMORY else _on_disk(part))
        return cls(parts, width)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Rows) -> NgramShards:
        """Return some rows, in the order asked for; a shard that is whole among them is shared."""
        places = np.arange(*rows.indices(len(self))) if isinstance(rows, slice) else rows
        if (np.diff(places) <= 0).any():
            ordered, back = np.unique(places, return_inverse=True)
            whole = sp.vstack(self[ordered].parts, format="csr")
            return NgramShards([sp.csr_array(whole[back])], self.shape[1])
        cuts = np.searchsorted(places, self.starts)
        parts = []
        for part, start, first, last in zip(self.parts, self.starts, cuts, cuts[1:], strict=False):
            if last - first == part.shape[0]:
                parts.append(part)
            elif last > first:
                parts.append(sp.csr_array(part[places[first:last] - start]))
        return NgramShards(parts, self.shape[1])

    def seen(self) -> NDArray[np.int64]:
        """Return in how many rows each column occurs."""
        total = np.zeros(self.shape[1], dtype=np.int64)
        for part in self._each():
            total += np.bincount(part.indices, minlength=self.shape[1])
        return total

    def _each(self) -> Iterator[sp.csr_array]:
        """Yield the shards; what was mapped of one is let go of before the next."""
        for part, file in zip(self.parts, self.files, strict=True):
            yield part
            for array in file:
                let_go(array)

    def from_column(self, start: int) -> LaterColumns:
        """Return the counts of the columns from one on."""
        return LaterColumns(self, start)

    def until_column(self, end: int) -> Iterator[sp.csr_array]:
        """Yield the counts of the columns before one, a shard at a time."""
        for part in self._each():
            yield sp.csr_array(part[:, :end])


@dataclass(frozen=True, slots=True)
class LaterColumns:
    """The columns of shards from one on, cut out when they are read."""

    shards: NgramShards
    start: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.shards), self.shards.shape[1] - self.start

    def blocks(self) -> Iterator[sp.csr_array]:
        """Yield the counts, a shard at a time."""
        for part in self.shards._each():
            yield sp.csr_array(part[:, self.start :])


PairCounts: TypeAlias = sp.csr_array | LaterColumns


class KeptVectors:
    """What an encoder says of many requests: made once and kept, four bytes a number, past
    ``MOST_IN_MEMORY`` in a file; or where even that would be large made whenever it is asked for.

    Parameters
    ----------
    ids : TokenRows
        All of them.
    encode : callable
        From token ids to vectors.
    """

    def __init__(self, ids: TokenRows, encode: Callable[[TokenRows], FloatArray]) -> None:
        self._ids, self._encode = ids, encode
        self._lock = Lock()
        self._whole: NDArray[np.float32] | None = None
        self._is_kept = True

    def __call__(self, places: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the vectors of the requests at some places."""
        with self._lock:
            if self._whole is None and self._is_kept:
                self._make()
        if self._whole is not None:
            vectors = np.array(self._whole[places])
            if len(places):
                let_go(self._whole, int(places.min()), int(places.max()) + 1)
            return vectors
        return self._encode(self._ids.at(places)).astype(np.float32)

    def _make(self) -> None:
        rows: GrowingRows | None = None
        for ids in self._ids.blocks(_BLOCK):
            block = self._encode(ids)
            if rows is None:
                self._is_kept = 4 * len(self._ids) * block.shape[1] <= _MOST_IN_FILE
                if not self._is_kept:
                    return
                rows = GrowingRows(np.float32, block.shape[1:], most=MOST_IN_MEMORY)
            rows.add(block)
        self._whole = None if rows is None else rows.whole()


class IdRows:
    """Prepared rows that are made of their token ids, a block at a time, whenever they are read.

    Parameters
    ----------
    ids : TokenRows
    classes : ndarray of shape (n,), int64
        Number of the task of each request, -1 where it is not known.
    vectors : callable, optional
        From places among the ids to what an encoder says of the requests there.
    places : ndarray of shape (n,), optional
        Which of the ids these rows are, by default all; no copy of them is made until they are
        read.
    """

    def __init__(
        self,
        ids: TokenRows,
        classes: NDArray[np.int64],
        vectors: KeptVectors | None = None,
        places: NDArray[np.intp] | None = None,
    ) -> None:
        self._all = ids
        self.classes = classes
        self._vectors = vectors
        self._places = places

    @property
    def ids(self) -> TokenRows:
        """Their token ids."""
        return self._all if self._places is None else self._all.at(self._places)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and how wide the classes are that stand beside the ids."""
        return len(self.classes), 1

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, rows: Rows) -> IdRows:
        """Return some rows."""
        return IdRows(self._all, self.classes[rows], self._vectors, self._places_of(rows))

    def _places_of(self, rows: Rows) -> NDArray[np.intp]:
        """Return where some rows stand among the ids."""
        if self._places is not None:
            return self._places[rows]
        return np.arange(*rows.indices(len(self))) if isinstance(rows, slice) else rows

    def embedded(self, rows: Rows = slice(None)) -> NDArray[np.float32]:
        """Return what the encoder says of some rows."""
        assert self._vectors is not None
        return self._vectors(self._places_of(rows))

    def blocks(self) -> Iterator[IdRows]:
        """Yield the rows in blocks that fit the processor's cache."""
        for start in range(0, len(self), _BLOCK):
            yield self[start : start + _BLOCK]

    def thinned(self, most: int) -> IdRows:
        """Return every so many of the rows, at most so many."""
        return self[:: 1 + (len(self) - 1) // most]


def read_blocks(rows: IdRows, read: Callable[[IdRows], Any]) -> NDArray[Any]:
    """Return what is read of rows, block by block, one below the other."""
    whole: GrowingRows | None = None
    for block in rows.blocks():
        values = read(block)
        if whole is None:
            whole = GrowingRows(values.dtype, values.shape[1:], most=MOST_IN_MEMORY)
        whole.add(values)
    assert whole is not None  # many rows are some
    return whole.whole()


@dataclass(frozen=True, slots=True)
class EmbeddedRows:
    """Unit vectors of token ids, which are made when they are asked for."""

    rows: IdRows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Rows) -> NDArray[np.float32]:
        """Return the vectors of some rows."""
        return self.rows.embedded(rows)

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield all vectors, in blocks."""
        for start in range(0, len(self.rows), _BLOCK):
            yield self.rows.embedded(slice(start, start + _BLOCK))


Embeddings: TypeAlias = "NDArray[np.floating[Any]] | EmbeddedRows"


class WeightedNgrams:
    """Rows of n-grams, each column weighted and each row, or each of its two halves, brought to a
    length; nothing of that is written into the shards.

    Parameters
    ----------
    shards : NgramShards
    weights : ndarray of shape (dim,)
        Of the columns.
    split : int
        The first column of the second half.
    length : float
        Of a half; of the row where there is one.
    halves : bool
        Whether presence counts, by halves; else ``1 + ln count`` of the whole row.
    """

    def __init__(
        self, shards: NgramShards, weights: FloatArray, *, split: int, length: float, halves: bool
    ) -> None:
        self.shape = shards.shape
        self._weights = weights
        self._shards: list[RowShard] = []
        self._held: HeldShards | None = None
        ones = np.ones(
            max((part.nnz for part in shards.parts), default=0) if halves else 0, dtype=np.float32
        )
        squares = (weights**2).astype(np.float32)
        parts = zip(shards.parts, shards.files, shards.starts.tolist(), strict=False)
        for part, file, first in parts:
            data = ones[: part.nnz] if halves else 1 + np.log(part.data, dtype=np.float32)
            block = _halved(part, data, split) if halves else _with_data(part, data)
            again = block if halves else _with_data(part, data**2)
            lengths = np.sqrt((again @ squares).astype(np.float64))
            scale = np.divide(length, lengths, out=np.zeros_like(lengths), where=lengths > 0)
            for array in file:
                let_go(array)
            self._shards.append(RowShard(block, scale.reshape(part.shape[0], -1), first, file))

    @contextmanager
    def held_on(self, engine: Engine) -> Iterator[WeightedNgrams]:
        """Give the same rows, of which an engine's workers hold the shards meanwhile."""
        if not self._is_spread:
            yield self
            return
        with hold(engine, self._shards) as shards:
            rows = copy(self)
            rows._held = shards
            yield rows

    def __matmul__(self, coefficients: FloatArray) -> FloatArray:
        """Return the rows times coefficients."""
        weighted = (self._weights * coefficients).astype(np.float32)
        product, done = np.empty(len(self)), 0
        for part in self._each("times", weighted):
            product[done : done + len(part)] = part
            done += len(part)
        return product

    def __len__(self) -> int:
        return int(self.shape[0])

    def pulled(self, residual: FloatArray) -> FloatArray:
        """Return the transposed rows times a number each."""
        return self._summed("pulled", residual) * self._weights

    def pulled_squares(self, weight: FloatArray) -> FloatArray:
        """Return the transposed squares of the rows times a number each."""
        return self._summed("pulled_squares", weight) * self._weights**2

    @property
    def _is_spread(self) -> bool:
        return len(self._shards) > 1 and self.shape[0] >= LARGE

    def _each(self, name: Product, vector: NDArray[Any]) -> Iterable[FloatArray]:
        """Return the product of each shard, in order; of many rows several are under way."""
        if self._held is not None:
            return self._held((name, vector))
        if self._is_spread:
            return by_threads(self._shards, name, vector)
        return [shard((name, vector)) for shard in self._shards]

    def _summed(self, name: Product, vector: FloatArray) -> FloatArray:
        total = np.zeros(self.shape[1])
        for part in self._each(name, vector):  # in order: the sum depends on no thread or worker
            total += part
        return total


class ScaledColumns:
    """Dense vectors, standardised as they are multiplied."""

    def __init__(self, vectors: FloatArray, mean: FloatArray, deviation: FloatArray) -> None:
        self.shape = cast("tuple[int, int]", vectors.shape)
        self._vectors, self._mean, self._deviation = vectors, mean, deviation

    def __matmul__(self, coefficients: FloatArray) -> FloatArray:
        """Return the rows times coefficients."""
        own = coefficients / self._deviation
        if is_mapped(self._vectors):
            parts = (part @ own for part in parts_of_rows(self._vectors))
            return np.concatenate([*parts]) - self._mean @ own
        return np.asarray(self._vectors @ own - self._mean @ own)

    def pulled(self, residual: FloatArray) -> FloatArray:
        """Return the transposed rows times a number each."""
        pulled = _pulled_of_rows(self._vectors, residual) - self._mean * residual.sum()
        return np.asarray(pulled / self._deviation)

    def pulled_squares(self, weight: FloatArray) -> FloatArray:
        """Return the transposed squares of the rows times a number each."""
        pulled = pulled_squares_of(self._vectors, weight) - 2.0 * self._mean * _pulled_of_rows(
            self._vectors, weight
        )
        return np.asarray((pulled + self._mean**2 * weight.sum()) / self._deviation**2)


@dataclass(frozen=True, slots=True)
class Beside:
    """Two kinds of columns of the same rows, side by side, neither copied."""

    left: Any
    right: Any

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.left.shape[0], self.left.shape[1] + self.right.shape[1]

    def __getitem__(self, rows: Rows) -> Beside:
        """Return some rows."""
        return Beside(self.left[rows], self.right[rows])

    @contextmanager
    def held_on(self, engine: Engine) -> Iterator[Beside]:
        """Give the same rows, of which an engine's workers hold the shards meanwhile."""
        with ExitStack() as stack:
            sides = [
                stack.enter_context(side.held_on(engine)) if hasattr(side, "held_on") else side
                for side in (self.left, self.right)
            ]
            yield Beside(*sides)

    def __matmul__(self, coefficients: FloatArray) -> FloatArray:
        """Return the rows times coefficients."""
        width = self.left.shape[1]
        return np.asarray(
            self.left @ coefficients[:width] + self.right @ coefficients[width:], dtype=np.float64
        )

    def pulled(self, residual: FloatArray) -> FloatArray:
        """Return the transposed rows times a number each."""
        return np.concatenate([pulled_of(self.left, residual), pulled_of(self.right, residual)])

    def pulled_squares(self, weight: FloatArray) -> FloatArray:
        """Return the transposed squares of the rows times a number each."""
        parts = self.left, self.right
        return np.concatenate([pulled_squares_of(part, weight) for part in parts])


def pulled_squares_of(columns: Any, weight: FloatArray) -> FloatArray:
    """Return the transposed squares of columns times a number for each row."""
    if is_mapped(columns):
        return _summed_parts(
            columns, weight, lambda part, own: np.einsum("ij,ij,i->j", part, part, own)
        )
    if isinstance(columns, np.ndarray):  # without a copy of its squares
        return np.asarray(np.einsum("ij,ij,i->j", columns, columns, weight), dtype=np.float64)
    own = getattr(columns, "pulled_squares", None)
    return np.asarray(own(weight) if own else columns.power(2).T @ weight, dtype=np.float64)


def is_many(n: int) -> bool:
    """Return whether so many requests are read in shards."""
    return n >= LARGE


def is_large(vectors: Any) -> bool:
    """Return whether vectors are those of many requests, which are multiplied and never copied."""
    if isinstance(vectors, np.ndarray):
        return is_many(len(vectors))
    return not sp.issparse(vectors)


def standardised(vectors: Any, known: NDArray[np.bool_]) -> tuple[Design, FloatArray, FloatArray]:
    """Return vectors as heads are fitted on them, and what is subtracted from each column and what
    it is divided by: dense ones are standardised on the known rows, n-grams are as they are.
    """
    if isinstance(vectors, Beside) and isinstance(vectors.left, np.ndarray):
        left, right = (_standardised(part, known) for part in (vectors.left, vectors.right))
        mean, deviation = (np.concatenate(both) for both in zip(left[1:], right[1:], strict=True))
        return Beside(left[0], right[0]), mean, deviation
    if isinstance(vectors, np.ndarray):
        return _standardised(vectors, known)
    return vectors, np.zeros(vectors.shape[1]), np.ones(vectors.shape[1])


def _standardised(
    vectors: Any, known: NDArray[np.bool_]
) -> tuple[ScaledColumns, FloatArray, FloatArray]:
    n = max(1, int(known.sum()))
    mean = _pulled_of_rows(vectors, known.astype(np.float64)) / n
    if is_mapped(vectors):
        squares = _summed_parts(
            vectors, known.astype(np.float64), lambda part, own: own @ (part - mean) ** 2
        )
        deviation = np.sqrt(squares / n)
    elif isinstance(vectors, np.ndarray):
        rows = vectors if known.all() else vectors[known]
        deviation = rows.std(axis=0, dtype=np.float64)
    else:  # marks of 1
        deviation = np.sqrt(np.maximum(mean - mean**2, 0.0))
    deviation = np.where(deviation > 1e-9, deviation, 1.0)
    return ScaledColumns(vectors, mean, deviation), mean, deviation


def _pulled_of_rows(vectors: Any, residual: FloatArray) -> FloatArray:
    """Return the transposed vectors times a number each, of mapped ones a part at a time."""
    if is_mapped(vectors):
        return _summed_parts(vectors, residual, lambda part, own: own @ part)
    return pulled_of(vectors, residual)


def _summed_parts(
    vectors: NDArray[Any],
    numbers: FloatArray,
    read: Callable[[NDArray[Any], FloatArray], FloatArray],
) -> FloatArray:
    """Return the sum of what is read of parts of mapped vectors and a number for each row."""
    total, done = np.zeros(vectors.shape[1]), 0
    for part in parts_of_rows(vectors):
        total += read(part, numbers[done : done + len(part)])
        done += len(part)
    return total


def pulled_of(columns: Any, residual: FloatArray) -> FloatArray:
    """Return the transposed columns times a number for each row."""
    own = getattr(columns, "pulled", None)
    return np.asarray(own(residual) if own else columns.T @ residual, dtype=np.float64)


def _narrow(counts: sp.csr_array) -> sp.csr_array:
    data = counts.data.astype(np.uint16)
    return _of(data, counts.indices.astype(np.int32), counts.indptr, counts.shape)


def _on_disk(part: sp.csr_array) -> sp.csr_array:
    """Return the same shard in a file, which is gone when nobody holds the shard any more."""
    data, indices = (_mapped(array) for array in (part.data, part.indices))
    return _of(data, indices, part.indptr, part.shape)


def _mapped(array: NDArray[Any]) -> NDArray[Any]:
    rows = GrowingRows(array.dtype, most=0)
    rows.add(array)
    return rows.whole()


def _file_of(part: sp.csr_array) -> tuple[NDArray[Any], ...]:
    """Return the arrays of a shard that are mapped."""
    return tuple(array for array in (part.data, part.indices) if is_mapped(array))


def _with_data(part: sp.csr_array, data: NDArray[Any]) -> sp.csr_array:
    return _of(data, part.indices, part.indptr, part.shape)


def _of(
    data: NDArray[Any], indices: NDArray[np.int32], indptr: NDArray[Any], shape: tuple[int, int]
) -> sp.csr_array:
    """Return a matrix of arrays, none of them copied."""
    return sp.csr_array((data, indices, indptr.astype(np.int32)), shape=shape, copy=False)


def _halved(part: sp.csr_array, data: NDArray[Any], split: int) -> sp.csr_array:
    """Return each row as two, the columns below ``split`` and the others: the same entries with
    twice as many ends.
    """
    below = np.concatenate([[0], np.cumsum(part.indices < split)])
    ends = np.empty(2 * part.shape[0] + 1, dtype=np.int32)
    ends[::2] = part.indptr
    ends[1::2] = part.indptr[:-1] + np.diff(below[part.indptr])
    return _of(data, part.indices, ends, (2 * part.shape[0], part.shape[1]))
