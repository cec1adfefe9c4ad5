"""What an ingest of millions of rows keeps by hash, in little memory: numbers (a dict of strings
takes 150 to 300 bytes an entry, :class:`HashTable` 18 to 36), and the sketches of texts, found
again by their smallest hashes.

A sketch is a row of ascending 32-bit hashes. The latest ones stay in memory, the others lie in a
file without a name. The index keeps no hashes: a bucket holds the entries of which a hash falls
into it, so an entry costs 4 bytes for each of its hashes, and an entry that a bucket gives wrongly
is found out by its sketch.
"""

from __future__ import annotations

import weakref
from array import array
from collections.abc import Iterator
from hashlib import blake2b
from io import FileIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import cast

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint32]
Entries = NDArray[np.int32]

NO_HASH = np.uint32(0xFFFFFFFF)
"""Pads a sketch."""
_IN_MEMORY = 1 << 15  # sketches of 128 hashes: 16 MiB
_DEPTH = 16  # entries of a bucket, one line of the processor's cache
_FIRST_BUCKETS = 1 << 12
_FULL = 0.5  # of the places, from which on there are twice as many buckets
_FIRST_CELLS = 1 << 10  # a power of two
_CELLS_FULL = 0.6  # the same of the cells of a table
_SCATTER = np.uint32(0x9E3779B1)  # odd; keys are the smallest hashes and would fall together


class Sketches:
    """Sketches by the number of their entry, from 0.

    Parameters
    ----------
    width : int
        Hashes of a sketch.
    folder : Path, optional
        Where the file lies; by default where temporary files do.
    """

    def __init__(self, width: int, folder: Path | None = None) -> None:
        self._width, self._folder = width, folder
        self._latest = np.empty((1 << 10, width), dtype=np.uint32)
        self._n_filed, self._n_latest = 0, 0
        self._file: FileIO | None = None

    def __len__(self) -> int:
        return self._n_filed + self._n_latest

    def add(self, hashes: Hashes) -> None:
        """Add the sketch of the next entry; a short one is padded."""
        if self._n_latest == len(self._latest):
            if self._n_latest < _IN_MEMORY:
                self._latest = np.concatenate([self._latest, np.empty_like(self._latest)])
            else:
                self._write()
        sketch = self._latest[self._n_latest]
        sketch[: len(hashes)] = hashes
        sketch[len(hashes) :] = NO_HASH
        self._n_latest += 1

    def of(self, entries: Entries) -> Hashes:
        """Return the sketches of some entries, shape (n, width)."""
        filed = entries < self._n_filed
        if not filed.any():
            latest: Hashes = self._latest[entries - self._n_filed]
            return latest
        sketches = np.empty((len(entries), self._width), dtype=np.uint32)
        sketches[~filed] = self._latest[entries[~filed] - self._n_filed]
        for place in np.flatnonzero(filed).tolist():
            sketches[place] = self._read(int(entries[place]), 1)[0]
        return sketches

    def blocks(self) -> Iterator[Hashes]:
        """Yield all sketches, some thousand at a time, in order."""
        for start in range(0, self._n_filed, _IN_MEMORY):
            yield self._read(start, _IN_MEMORY)
        yield self._latest[: self._n_latest]

    def _write(self) -> None:
        if self._file is None:
            # Without a buffer: entries are read one by one, from anywhere.
            self._file = TemporaryFile(buffering=0, dir=self._folder)
            weakref.finalize(self, self._file.close)
        self._file.seek(0, 2)
        self._file.write(self._latest.tobytes())
        self._n_filed, self._n_latest = len(self), 0

    def _read(self, start: int, n: int) -> Hashes:
        assert self._file is not None
        row = 4 * self._width
        self._file.seek(start * row)
        data = bytearray(n * row)
        read, view = 0, memoryview(data)
        while read < len(data):  # a raw file may give less than was asked for
            read += cast(int, self._file.readinto(view[read:]))
        return np.frombuffer(data, dtype=np.uint32).reshape(n, self._width)


class SketchIndex:
    """Which entries share hashes with a sketch.

    Parameters
    ----------
    sketches : Sketches
        What is indexed; an entry is added to both in turn.
    n_keys : int
        Hashes of an entry, its smallest, by which it is found.
    """

    def __init__(self, sketches: Sketches, n_keys: int) -> None:
        self._sketches, self._n_keys = sketches, n_keys
        self._n_placed = 0
        self._empty(_FIRST_BUCKETS)

    def places_of(self, hashes: Hashes) -> NDArray[np.intp]:
        """Return the buckets of the keys of a sketch; good until the next :meth:`add`."""
        places: NDArray[np.intp] = ((hashes[: self._n_keys] * _SCATTER) >> self._shift).astype(
            np.intp
        )
        return places

    def sharing(self, places: NDArray[np.intp]) -> Entries:
        """Return the entries that share at least two keys with a sketch, once each, ascending, and
        hardly any others.
        """
        # An empty place is 0, so entries stand there counted from 1.
        entries = self._buckets[places].ravel()
        entries = np.sort(entries[entries > 0])
        twice = entries[1:][entries[1:] == entries[:-1]]
        return twice - 1 if len(twice) < 2 else np.unique(twice) - 1

    def add(self, places: NDArray[np.intp], entry: int) -> None:
        """Add an entry, whose sketch has been added."""
        used = self._used[places]
        free = used < _DEPTH  # the first entries of a bucket stay
        places, used = places[free], used[free]
        self._buckets[places, used] = entry + 1
        self._used[places] = used + 1
        self._n_placed += len(free)
        if self._n_placed > _FULL * self._buckets.size:
            self._rebuild()

    def _empty(self, n_buckets: int) -> None:
        self._shift = np.uint32(33 - n_buckets.bit_length())
        self._buckets = np.zeros((n_buckets, _DEPTH), dtype=np.int32)
        self._used = np.zeros(n_buckets, dtype=np.uint8)

    def _rebuild(self) -> None:
        """Place all entries into twice as many buckets."""
        n_buckets = 2 * len(self._buckets)
        del self._buckets  # both at once would be half as much again
        self._empty(n_buckets)
        first = 0
        for sketches in self._sketches.blocks():
            self._place(sketches[:, : self._n_keys], first)
            first += len(sketches)

    def _place(self, keys: Hashes, first: int) -> None:
        rows, columns = np.nonzero(keys != NO_HASH)
        places = ((keys[rows, columns] * _SCATTER) >> self._shift).astype(np.intp)
        order = np.argsort(places, kind="stable")
        places, entries = places[order], rows[order] + first
        # How many entries came into the same bucket before.
        starts = np.flatnonzero(np.concatenate([[True], places[1:] != places[:-1]]))
        counts = np.diff(np.append(starts, len(places)))
        within = np.arange(len(places)) - np.repeat(starts, counts) + self._used[places]
        free = within < _DEPTH
        self._buckets[places[free], within[free]] = entries[free] + 1
        into = places[starts]
        self._used[into] = np.minimum(self._used[into] + counts, _DEPTH)


def hash_of(text: str) -> int:
    """Return 64 bits of BLAKE2b; of a million texts two share them once in 37 million times."""
    return int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest())


class HashTable:
    """Numbers below 2**32 by 64-bit hashes, with linear probing; nothing is ever removed."""

    def __init__(self) -> None:
        self._resize(_FIRST_CELLS)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def get(self, key: int) -> int | None:
        """Return the number of a hash; ``None`` where it has none."""
        cell = self._cell(key)
        return self._numbers[cell] if self._hashes[cell] else None

    def setdefault(self, key: int, number: int) -> int:
        """Return the number of a hash, which becomes ``number`` where it has none."""
        cell = self._cell(key)
        if self._hashes[cell]:
            return self._numbers[cell]
        self._put(cell, key, number)
        return number

    def __setitem__(self, key: int, number: int) -> None:
        cell = self._cell(key)
        if self._hashes[cell]:
            self._numbers[cell] = number
        else:
            self._put(cell, key, number)

    def _cell(self, key: int) -> int:
        """Return the cell of a hash, or the empty one where it belongs."""
        key = key or 1  # 0 marks an empty cell
        hashes, mask = self._hashes, self._mask
        cell = key & mask
        while (other := hashes[cell]) and other != key:
            cell = (cell + 1) & mask
        return cell

    def _put(self, cell: int, key: int, number: int) -> None:
        self._hashes[cell], self._numbers[cell] = key or 1, number
        self._size += 1
        if self._size > _CELLS_FULL * (self._mask + 1):
            hashes, numbers = self._hashes, self._numbers
            self._resize(2 * (self._mask + 1))
            for other, kept in zip(hashes, numbers, strict=True):
                if other:
                    place = self._cell(other)
                    self._hashes[place], self._numbers[place] = other, kept

    def _resize(self, n_cells: int) -> None:
        self._mask = n_cells - 1
        self._hashes = array("Q", bytes(8 * n_cells))
        self._numbers = array("I", bytes(4 * n_cells))
