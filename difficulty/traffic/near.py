"""Nearly the same texts: copies that differ in case, punctuation, numbers, a word, a few words in
front or behind, or in the order of their parts.

Compared are letters and digits alone, in one case and without spaces; each number counts as one 0,
because the same story with other numbers is as hard (in a text of fewer than 40 letters numbers
are most of what is said, and stay). Two texts are nearly the same when

- their letters are the same, in whatever order: options or sentences changed places; or
- at least half of their runs of 12 characters are in both, 16 runs or more, and of the shorter one
  hardly any is missing: at most 32 runs (a word that was changed breaks about 18) or 15 %. Without
  the last rule two questions behind a header longer than they are would be copies.

Runs that many texts share do not count: a template, a header, the examples of a prompt and the
phrases of a domain say nothing of what is asked. A run is common once five texts without a near one
had it, or seventeen texts of one family: of short questions behind a long header the first sixteen
are tied and the others are not, and a family of more different copies than that counts as a
template too. Which runs are common is known from what came before, never from what comes later:
that is what lets a key stand for good.

A text is kept as its 128 smallest run hashes (Broder's bottom-k sketch: all runs of a text of up
to 139 characters, a sample of a longer one), so the share is exact for short texts and has a
standard error of at most 0.05 for longer ones. Candidates are the texts that have one of its 12
smallest rare hashes among theirs: a pair that shares half of its runs is missed once in thousands.

References
----------
Broder (1997), "On the resemblance and containment of documents"; Cormode and Muthukrishnan (2005),
"An improved data stream summary: the count-min sketch".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint32]

RUN = 12  # characters: two or three words
SKETCH = 128
LEAST_SHARE = 0.5
LEAST_SHARED = 16  # runs: some 27 characters on end
MOST_LOST, MOST_LOST_SHARE = 32, 0.15  # runs of the shorter text, and share of them
LEAST_LETTERS = 40
_LEAST_SEEN = 4  # runs of a sample, whatever they are worth
_KEYS = 12  # of each text in the index
_UNTIED, _TIED, _COMMON = 8, 2, 40  # five texts of their own, or 17 of one family
_MOST_OF_A_BAG = 1 + (_COMMON - _UNTIED) // _TIED
_MOST_RUNS = 4_096  # of one text that are counted
_CELLS = 1 << 24
# Counts halve after this many, so that chance does not fill the cells of a long stream.
_WINDOW = 1 << 23
_NO_HASH = np.uint32(0xFFFFFFFF)  # pads a sketch
NO_SKETCHES: Hashes = np.empty((0, SKETCH + 2), dtype=np.uint32)
_NUMBER = re.compile(r"\d+")
# Of a rolling hash; odd, so that no character loses its low bits.
_MULTIPLIER = np.uint32(0x02000327)


class NearIndex:
    """The texts seen so far; :meth:`add` tells which of them a new one is nearly the same as."""

    def __init__(self) -> None:
        self._sketches = np.full((1024, SKETCH), _NO_HASH, dtype=np.uint32)
        self._size = 0
        self._index: dict[int, int | list[int]] = {}
        self._bags: dict[bytes, list[int]] = {}
        self._counts = _RunCounts()

    def add(self, text: str) -> list[int]:
        """Add a text and return the earlier entries that are near to it, oldest first; entries
        count from 0.
        """
        entry = self._size
        self._grow()
        bare = _bare_text(text)
        near = set(self._same_letters(bare, entry))
        runs = _run_hashes(bare)
        if len(runs):
            rare = runs[~self._counts.common(runs)]
            near |= self._near_runs(rare[:SKETCH])
            self._counts.add(runs, _TIED if near else _UNTIED)
            self._insert(rare[:SKETCH], entry)
        return sorted(near)

    def _same_letters(self, bare: str, entry: int) -> list[int]:
        """Return the first entry with the same letters, unless many had them."""
        if not bare:
            return []
        bag = self._bags.setdefault(_bag_key(bare), [entry, 0])
        bag[1] += 1
        return [bag[0]] if 1 < bag[1] <= _MOST_OF_A_BAG else []

    def _near_runs(self, rare: Hashes) -> set[int]:
        """Return the entries that share enough rare runs."""
        candidates: set[int] = set()
        for key in rare[:_KEYS].tolist():
            entries = self._index.get(key, ())
            candidates.update((entries,) if isinstance(entries, int) else entries)
        if not candidates:
            return set()
        rows = np.fromiter(candidates, dtype=np.intp, count=len(candidates))
        theirs = self._sketches[rows]
        # What was rare when an entry came may be common now: it counts in neither text.
        ignored = self._counts.common(theirs)
        return set(rows[_are_near(rare, _end_of(rare), theirs, ignored)].tolist())

    def _insert(self, rare: Hashes, entry: int) -> None:
        self._sketches[entry, : len(rare)] = rare
        for key in rare[:_KEYS].tolist():
            entries = self._index.get(key)
            if entries is None:
                self._index[key] = entry  # most hold one entry: a bare number costs no list
            elif isinstance(entries, int):
                self._index[key] = [entries, entry]
            elif len(entries) < _COMMON:
                entries.append(entry)

    def _grow(self) -> None:
        self._size += 1
        if self._size > len(self._sketches):
            # Doubled, so that adding stays cheap on average.
            more = np.full((len(self._sketches), SKETCH), _NO_HASH, dtype=np.uint32)
            self._sketches = np.concatenate([self._sketches, more])


class _RunCounts:
    """How many texts had a run, in a table of fixed size: two cells a run, of which the smaller
    counts, so a rare run is hardly ever taken for a common one.
    """

    def __init__(self) -> None:
        self._cells = np.zeros((2, _CELLS), dtype=np.uint8)
        self._counted = 0

    def common(self, runs: Hashes) -> NDArray[np.bool_]:
        """Return which runs many texts have."""
        first, second = self._places(runs)
        counts = np.minimum(self._cells[0, first], self._cells[1, second])
        common: NDArray[np.bool_] = counts >= _COMMON
        return common

    def add(self, runs: Hashes, weight: int) -> None:
        """Count the runs of a text."""
        for cells, places in zip(self._cells, self._places(runs), strict=True):
            # Never past what makes a run common, which also keeps a byte from overflowing.
            cells[places] = np.minimum(cells[places] + np.uint8(weight), 2 * _COMMON)
        self._counted += len(runs)
        if self._counted >= _WINDOW:
            self._cells >>= 1
            self._counted = 0

    @staticmethod
    def _places(runs: Hashes) -> tuple[Hashes, Hashes]:
        return runs & np.uint32(_CELLS - 1), _mixed(runs) & np.uint32(_CELLS - 1)


def _bare_text(text: str) -> str:
    """Return the letters and digits of a comparable text, each number as one 0 where there are
    letters enough to know the text by.
    """
    bare = "".join(filter(str.isalnum, text))
    return _NUMBER.sub("0", bare) if len(_letters(bare)) >= LEAST_LETTERS else bare


def _letters(bare: str) -> str:
    return _NUMBER.sub("", bare)


def _bag_key(bare: str) -> bytes:
    """Return 16 bytes that texts with the same letters share; with few letters, the same order and
    digits too.
    """
    letters = _letters(bare)
    # Equal counts of all letters by chance: not in texts of this length.
    said = "".join(sorted(letters)) if len(letters) >= LEAST_LETTERS else f"whole {bare}"
    return blake2b(said.encode("utf-8", "replace"), digest_size=16).digest()


def _run_hashes(bare: str) -> Hashes:
    """Return the distinct hashes of the runs of a text, ascending; of a very long text the
    smallest.
    """
    codes = np.frombuffer(bare.encode("utf-32-le", "replace"), dtype=np.uint32)
    n_runs = len(codes) - RUN + 1
    if n_runs < 1:
        return np.empty(0, dtype=np.uint32)
    # Arithmetic wraps around at 32 bits, which is what a hash wants.
    runs = np.zeros(n_runs, dtype=np.uint32)
    for offset in range(RUN):
        runs = runs * _MULTIPLIER + codes[offset : offset + n_runs]
    return np.unique(_mixed(runs))[:_MOST_RUNS]


def _end_of(sketch: Hashes) -> np.uint32:
    """Return the hash up to which a sketch is whole: one that is not full is whole everywhere."""
    return np.uint32(sketch[SKETCH - 1]) if len(sketch) >= SKETCH else _NO_HASH


def _are_near(
    rare: Hashes, own_end: np.uint32, sketches: Hashes, ignored: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which of n sketches, shape (n, 128), share at least half of their runs with a text.

    ``rare`` are hashes of the text, ascending and whole up to ``own_end``; ``ignored`` marks those
    of the sketches that are common, which ``rare`` leaves out already.
    """
    # Both are compared below the lower of their ends: above it one of them was cut.
    end = np.minimum(sketches[:, -1], own_end)
    counted = (sketches <= end[:, None]) & (sketches != _NO_HASH) & ~ignored
    place = np.minimum(np.searchsorted(rare, sketches), len(rare) - 1)
    shared = (counted & (rare[place] == sketches)).sum(axis=1)
    theirs, own = counted.sum(axis=1), np.searchsorted(rare, end, side="right")
    # A cut sketch is a sample, in which fewer runs stand for as many.
    sampled = end.astype(np.float64) / float(_NO_HASH)
    enough = shared >= np.maximum(LEAST_SHARED * sampled, _LEAST_SEEN)
    alike = shared >= LEAST_SHARE * (theirs + own - shared)
    shorter = np.minimum(theirs, own)
    whole = shorter - shared <= np.maximum(MOST_LOST * sampled, MOST_LOST_SHARE * shorter)
    near: NDArray[np.bool_] = enough & alike & whole
    return near


def sketches_of(texts: Iterable[str]) -> Hashes:
    """Return what :func:`near_any` compares of each text, shape (n, 130): its sketch, common runs
    included, and a hash of its letters in two values.
    """
    sketches = [_sketch_of(_bare_text(text)) for text in texts]
    return np.stack(sketches) if sketches else NO_SKETCHES


def _sketch_of(bare: str) -> Hashes:
    runs = _run_hashes(bare)[:SKETCH]
    padded = np.pad(runs, (0, SKETCH - len(runs)), constant_values=_NO_HASH)
    # A text without a letter or digit is near to none.
    letters = np.frombuffer(_bag_key(bare)[:8] if bare else bytes(8), dtype="<u4")
    return np.concatenate([padded, letters.astype(np.uint32)])


def near_any(asked: Hashes, seen: Hashes) -> NDArray[np.bool_]:
    """Return for each of n sketches whether it is near to any that was seen, shape (n,).

    Runs, and letters, that 17 or more of the seen texts have do not count.
    """
    letters = _letters_of(asked)
    near: NDArray[np.bool_] = np.isin(letters, _rare(_letters_of(seen))) & (letters != 0)
    asked, seen = asked[:, :SKETCH], seen[:, :SKETCH]
    ignored = ~np.isin(seen, _rare(seen[seen != _NO_HASH]))
    index: dict[int, list[int]] = {}
    for entry, sketch in enumerate(seen):
        for key in sketch[~ignored[entry]][:_KEYS].tolist():
            index.setdefault(key, []).append(entry)
    common = np.unique(seen[ignored])
    for row in np.flatnonzero(~near).tolist():
        sketch = asked[row]
        rare = sketch[(sketch != _NO_HASH) & ~np.isin(sketch, common)]
        rows = sorted({entry for key in rare[:_KEYS].tolist() for entry in index.get(key, ())})
        if rows:
            near[row] = _are_near(rare, sketch[-1], seen[rows], ignored[rows]).any()
    return near


def _letters_of(sketches: Hashes) -> NDArray[np.uint64]:
    high, low = (sketches[:, place].astype(np.uint64) for place in (SKETCH, SKETCH + 1))
    letters: NDArray[np.uint64] = (high << np.uint64(32)) | low
    return letters


def _rare(values: NDArray[Any]) -> NDArray[Any]:
    """Return the values that fewer than 17 texts have."""
    distinct, n_texts = np.unique(values, return_counts=True)
    return distinct[n_texts < _MOST_OF_A_BAG]


def _mixed(values: Hashes) -> Hashes:
    """Scatter hashes over 32 bits (the finaliser of MurmurHash3)."""
    values = (values ^ (values >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    values = (values ^ (values >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return values ^ (values >> np.uint32(16))
