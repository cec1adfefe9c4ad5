"""What of each text waits on disk until texts were compared: its sketch, its keys, and the pairs
that met. In memory are some bytes a text.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.traffic.near.common_runs import (
    N_BUCKETS,
    CommonRuns,
    Hashes,
    Rows,
    RunFile,
    TextPart,
    windows_of,
)
from difficulty.traffic.near.likeness import KEYS, NO_HASH, SKETCH, filled

KEY_BUCKETS = 1 << 10
"""In which keys lie, by the remainder of their hash."""
_PART_TEXTS = 1 << 17
"""Texts of a worker whose sketches are made together: 64 MiB."""
_HALF = np.uint64(32)


class Share(NamedTuple):
    """One of n parts of what is sorted."""

    number: int
    n: int


def shares_of(size: int, most: int) -> list[Share]:
    """Return as many shares of ``size`` as have ``most`` each."""
    n = -(-size // most) or 1
    return [Share(number, n) for number in range(n)]


class SketchFile:
    """The smallest rare runs of each text, and the very smallest as keys.

    Parameters
    ----------
    runs : RunFile
    common : CommonRuns, optional
        Runs that are not rare; by default all are.
    folder : Path, optional
        Where the file lies, up to 640 bytes a text; by default where temporary files do.
    width : int
        Runs that are kept of a text.
    keys : int
        Of these, those by which texts meet.
    end : int
        Bucket before which the runs are that are looked at.

    Attributes
    ----------
    n_keys : int
    made_of_common : ndarray of bool
        Texts of whose runs most are common.
    """

    def __init__(
        self,
        runs: RunFile,
        common: CommonRuns | None,
        folder: Path | None = None,
        *,
        width: int = SKETCH,
        keys: int = KEYS,
        end: int = N_BUCKETS,
    ) -> None:
        self._width, self._common, self._end = width, common, end
        self._file = TemporaryFile(dir=folder)
        self._keys = TemporaryFile(dir=folder)
        weakref.finalize(self, self._file.close)
        weakref.finalize(self, self._keys.close)
        sizes, starts = [np.zeros(0, np.uint8)], [np.zeros((0, KEY_BUCKETS + 1), np.int64)]
        made = [np.zeros(0, np.bool_)]
        for part in runs.parts(_PART_TEXTS):
            sketches, own, is_common = self._sketched(runs, part)
            # Of requests that are filled from templates hardly a run is rare.
            self._file.write(sketches[np.arange(width) < own[:, None]].tobytes())
            sizes.append(own.astype(np.uint8))
            made.append(is_common)
            by_bucket, begun = _by_bucket(sketches[:, :keys], runs.first + part.first)
            self._keys.write(by_bucket.tobytes())
            starts.append(begun[None])
        self._sizes, self._starts = np.concatenate(sizes), np.concatenate(starts)
        self._offsets = np.concatenate([[0], np.cumsum(self._sizes, dtype=np.int64)])
        self._file.flush()
        self._keys.flush()
        self.n_keys, self.made_of_common = int(self._starts[:, -1].sum()), np.concatenate(made)

    def _sketched(
        self, runs: RunFile, part: TextPart
    ) -> tuple[Hashes, NDArray[np.intp], NDArray[np.bool_]]:
        """Return the sketches of a part of the texts, how many runs are in each, and which of the
        texts are made of common runs.
        """
        n, first = part.end - part.first, np.uint64(runs.first + part.first)
        sketches = np.full((n, self._width), NO_HASH, dtype=np.uint32)
        sizes, n_rare, n_all = (np.zeros(n, dtype=np.intp) for _ in range(3))
        for window in windows_of(runs.size_of(part, end=self._end), end=self._end):
            rare = runs.runs_in(window, part)
            if self._common is not None:
                n_all += np.bincount(_texts_of(rare, first), minlength=n)
                rare = self._common.rare_of(rare)
                n_rare += np.bincount(_texts_of(rare, first), minlength=n)
            texts = _texts_of(rare, first)
            # By text, and of those alone that have room yet.
            open_ = sizes[texts] < self._width
            rare = ((texts.astype(np.uint64) << _HALF) | (rare >> _HALF))[open_]
            rare.sort()
            texts, hashes = (rare >> _HALF).astype(np.intp), rare.astype(np.uint32)
            sizes = filled(sketches, sizes, texts, hashes)
        return sketches, sizes, 2 * n_rare < n_all

    def of(self, texts: Rows) -> Hashes:
        """Return the sketches of some texts, shape (n, width)."""
        distinct, places = np.unique(texts, return_inverse=True)
        sketches = np.full((len(distinct), self._width), NO_HASH, dtype=np.uint32)
        content = sketches.reshape(-1).view(np.uint8).data
        # Read and not mapped: pages of a file that are looked at here and there stay in memory.
        file = self._file.fileno()
        sizes, offsets = 4 * self._sizes[distinct].astype(np.int64), 4 * self._offsets[distinct]
        at = 0
        for size, offset in zip(sizes.tolist(), offsets.tolist(), strict=True):
            if os.preadv(file, [content[at : at + size]], offset) != size:
                raise OSError("a sketch ended early")
            at += 4 * self._width
        found: Hashes = sketches[places]
        return found

    def keys_in(self, share: Share) -> NDArray[np.uint64]:
        """Return a share of the keys, each with the number of its text in the lower 32 bits."""
        first, end = (
            KEY_BUCKETS * number // share.n for number in (share.number, share.number + 1)
        )
        offsets = np.concatenate([[0], np.cumsum(self._starts[:, -1])])
        read = []
        for offset, starts in zip(offsets.tolist(), self._starts, strict=False):
            begin, stop = int(starts[first]), int(starts[end])
            content = os.pread(self._keys.fileno(), 8 * (stop - begin), 8 * (offset + begin))
            read.append(np.frombuffer(content, np.uint64))
        return np.concatenate([np.zeros(0, np.uint64), *read])


def _texts_of(runs: NDArray[np.uint64], first: np.uint64) -> NDArray[np.intp]:
    """Return the texts of runs, counted from the first."""
    texts: NDArray[np.intp] = ((runs & np.uint64(0xFFFFFFFF)) - first).astype(np.intp)
    return texts


def _by_bucket(keys: Hashes, first: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return keys by their buckets, each with the number of its text, and where buckets begin."""
    texts, _ = np.nonzero(keys != NO_HASH)
    values = keys[keys != NO_HASH].astype(np.uint64) << _HALF
    values |= (texts + first).astype(np.uint64)
    buckets = ((values >> _HALF) % np.uint64(KEY_BUCKETS)).astype(np.uint16)
    begun = np.concatenate([[0], np.cumsum(np.bincount(buckets, minlength=KEY_BUCKETS))])
    return values[np.argsort(buckets, kind="stable")], begun.astype(np.int64)


class PairFile:
    """Pairs of texts by the number of the later one, which is in the higher 32 bits.

    Parameters
    ----------
    part_texts : int
        Later texts whose pairs are read together.
    folder : Path, optional
        Where the file lies; by default where temporary files do.
    """

    def __init__(self, part_texts: int, folder: Path | None = None) -> None:
        self._part_texts = part_texts
        self._file = TemporaryFile(dir=folder)
        self._pieces: dict[int, list[tuple[int, int]]] = {}
        self._size = 0

    def add(self, pairs: NDArray[np.uint64]) -> None:
        """Add pairs, ascending."""
        if not len(pairs):
            return
        last = int(pairs[-1] >> _HALF) // self._part_texts
        firsts = np.arange(last + 1, dtype=np.uint64) * np.uint64(self._part_texts) << _HALF
        bounds = [*np.searchsorted(pairs, firsts).tolist(), len(pairs)]
        for part, (begin, end) in enumerate(zip(bounds, bounds[1:], strict=False)):
            if begin < end:
                self._pieces.setdefault(part, []).append((self._size + begin, end - begin))
        self._file.write(pairs.tobytes())
        self._size += len(pairs)

    def parts(self) -> Iterator[NDArray[np.uint64]]:
        """Yield the pairs of each part, in no order."""
        self._file.flush()
        for part in sorted(self._pieces):
            yield np.concatenate(
                [
                    np.frombuffer(os.pread(self._file.fileno(), 8 * n, 8 * begin), np.uint64)
                    for begin, n in self._pieces[part]
                ]
            )

    def close(self) -> None:
        """Remove the pairs."""
        self._file.close()
