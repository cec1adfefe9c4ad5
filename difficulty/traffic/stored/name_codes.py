"""Columns of words in a traffic's file, as numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from difficulty.metrics.coded_names import CodedNames
from difficulty.traffic.stored.text_columns import pa


def read_names(arrays: Iterable[pa.Array]) -> CodedNames:
    """Return the words of a column that has few different ones."""
    codes, names = code_names(arrays)
    return CodedNames(codes, names.to_pylist())


def names_in(read: Callable[[], Iterable[pa.Array]]) -> list[str]:
    """Return the different words of a column, ascending."""
    names: list[str] = code_names(read())[1].to_pylist()
    return names


def code_names(arrays: Iterable[pa.Array]) -> tuple[NDArray[np.int32], pa.Array]:
    """Return the place of each word among the different ones, -1 where there is none, and those,
    ascending.
    """
    parts = pa.chunked_array([array.cast(pa.string()) for array in arrays], type=pa.string())
    coded = parts.dictionary_encode()
    if not coded.num_chunks:
        return np.zeros(0, np.int32), pa.array([], pa.string())
    names = coded.chunk(coded.num_chunks - 1).dictionary  # chunks of one column share the longest
    order = pa.compute.array_sort_indices(names).to_numpy()
    places = np.empty(len(order) + 1, np.int32)
    places[order], places[-1] = np.arange(len(order)), -1
    codes, done = np.empty(len(parts), np.int32), 0
    for chunk in coded.chunks:
        part = chunk.indices.fill_null(len(order)).to_numpy()
        codes[done : done + len(part)] = places[part]
        done += len(part)
    return codes, names.take(pa.array(order))
