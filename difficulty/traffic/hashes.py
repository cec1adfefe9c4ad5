"""What an ingest of millions of rows keeps by hash, in little memory: a dict of strings takes 150
to 300 bytes an entry, :class:`HashTable` 18 to 36.
"""

from __future__ import annotations

from array import array
from hashlib import blake2b

_FIRST_CELLS = 1 << 10  # a power of two
_CELLS_FULL = 0.6  # of the cells, from which on there are twice as many


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
