"""Products of rows of n-grams with vectors, shard after shard: by threads of this process, or,
where it is asked for, by an engine whose workers hold the shards for as long as a fit lasts.

Each shard does the same either way and its products come back in the order of the shards, so a sum
over them has the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from difficulty.engine import Engine, HeldShards
from difficulty.engine.threads import count_cores, one_after_the_other
from difficulty.storage.mapped import let_go

FloatArray = NDArray[np.float64]
Product = Literal["times", "pulled", "pulled_squares"]
_ENGINE: ContextVar[Engine | None] = ContextVar("engine of fits", default=None)


@dataclass(frozen=True, slots=True)
class RowShard:
    """Rows of n-grams, each one row of the block or, in halves, two.

    Parameters
    ----------
    block : csr_array
        Float32; ones where there are halves.
    scale : ndarray of shape (n, 1) or (n, 2)
        What a row, or each of its halves, is multiplied by.
    first : int
        Number of the first row.
    file : tuple of ndarray
        Arrays of the block that are mapped from a file: they are let go of after each product.
    """

    block: sp.csr_array
    scale: FloatArray
    first: int
    file: tuple[NDArray[Any], ...] = ()

    def __call__(self, asked: tuple[Product, NDArray[Any]]) -> FloatArray:
        """Return a product by its name."""
        name, vector = asked
        product: FloatArray = getattr(self, name)(vector)
        for array in self.file:
            let_go(array)
        return product

    def times(self, weighted: NDArray[np.float32]) -> FloatArray:
        """Return the rows times a number for each column."""
        parts = (self.block @ weighted).reshape(self.scale.shape)
        return np.asarray((parts * self.scale).sum(axis=1), dtype=np.float64)

    def pulled(self, residual: FloatArray) -> FloatArray:
        """Return the transposed rows times a number each; ``residual`` is of all rows there are."""
        own = self._own(residual) * self.scale
        return np.asarray(self.block.T @ own.ravel().astype(np.float32))

    def pulled_squares(self, weight: FloatArray) -> FloatArray:
        """Return the transposed squares of the rows times a number each."""
        own = self._own(weight) * self.scale**2
        data = self.block.data if self._halves else self.block.data**2
        arrays = (data, self.block.indices, self.block.indptr)
        squared = sp.csr_array(arrays, shape=self.block.shape, copy=False)
        return np.asarray(squared.T @ own.ravel().astype(np.float32))

    def __reduce__(self) -> tuple[Any, ...]:
        # Ones need not be sent, which is two fifths of a shard.
        data = None if self._halves else self.block.data
        arrays = (data, self.block.indices, self.block.indptr)
        return _restored, (arrays, self.block.shape, self.scale, self.first)

    @property
    def _halves(self) -> bool:
        return bool(self.scale.shape[1] == 2)

    def _own(self, vector: FloatArray) -> FloatArray:
        return vector[self.first : self.first + len(self.scale), None]


def _restored(
    arrays: tuple[NDArray[Any] | None, NDArray[Any], NDArray[Any]],
    shape: tuple[int, int],
    scale: FloatArray,
    first: int,
) -> RowShard:
    data, indices, indptr = arrays
    if data is None:
        data = np.ones(len(indices), dtype=np.float32)
    return RowShard(sp.csr_array((data, indices, indptr), shape=shape, copy=False), scale, first)


def by_threads(
    shards: Sequence[RowShard], name: Product, vector: NDArray[Any]
) -> Iterable[FloatArray]:
    """Return a product of each shard, in order; several are under way at once."""
    return _threads().map(lambda shard: shard((name, vector)), shards)


@cache
def _threads() -> ThreadPoolExecutor:
    """Return threads for products, which hold no lock of Python's."""
    return ThreadPoolExecutor(count_cores(), thread_name_prefix="shards")


@contextmanager
def fitting_on(engine: Engine | None) -> Iterator[None]:
    """Have the heads that this thread fits on many requests hold their shards on an engine, one
    after the other: an engine is asked by one thread.
    """
    token = _ENGINE.set(engine)
    try:
        with one_after_the_other() if engine else nullcontext():
            yield
    finally:
        _ENGINE.reset(token)


def held(design: Any) -> AbstractContextManager[Any]:
    """Give a design, held on the engine that was asked for, where it is one that can be."""
    engine = _ENGINE.get()
    own = getattr(design, "held_on", None)
    if engine is None or own is None:
        return nullcontext(design)
    context: AbstractContextManager[Any] = own(engine)
    return context


def hold(engine: Engine, shards: Sequence[RowShard]) -> AbstractContextManager[HeldShards]:
    """Open shards where workers are."""
    return engine.hold(_as_sent, shards)


def _as_sent(shard: RowShard) -> RowShard:
    return shard
