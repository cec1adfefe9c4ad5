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
standard error of at most 0.05 for longer ones. Candidates are the texts that have two of its 16
smallest rare hashes among theirs: of pairs that share just half of their runs one in 3,900 is
missed (17 / 2**16), as it is by one hash of 12, and a phrase of two words makes no candidate.

References
----------
Broder (1997), "On the resemblance and containment of documents"; Cormode and Muthukrishnan (2005),
"An improved data stream summary: the count-min sketch".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.traffic.hashes import NO_HASH, Hashes, HashTable, Sketches, SketchIndex
from difficulty.traffic.near.letters import Letters, bag_key, blocks, mixed, runs_of

SKETCH = 128
LEAST_SHARE = 0.5
LEAST_SHARED = 16  # runs: some 27 characters on end
MOST_LOST, MOST_LOST_SHARE = 32, 0.15  # runs of the shorter text, and share of them
_LEAST_SEEN = 4  # runs of a sample, whatever they are worth
KEYS = 16  # of each text in the index
_UNTIED, _TIED, _COMMON = 8, 2, 40  # five texts of their own, or 17 of one family
MOST_OF_A_BAG = 1 + (_COMMON - _UNTIED) // _TIED
_CELLS = 1 << 24
# Counts halve after this many, so that chance does not fill the cells of a long stream.
_WINDOW = 1 << 23
NO_SKETCHES: Hashes = np.empty((0, SKETCH + 2), dtype=np.uint32)
_BAG_COUNTS = 32
"""A power of two above what is counted of texts with the same letters."""


class NearIndex:
    """The texts seen so far; :meth:`add` tells which of them a new one is nearly the same as, and
    :meth:`add_many` the same of many, whose hashes are made together in a third of the time.

    Parameters
    ----------
    folder : Path, optional
        Where sketches lie that memory is too small for, 512 bytes each; by default where temporary
        files do.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._sketches = Sketches(SKETCH, folder)
        self._index = SketchIndex(self._sketches, KEYS)
        self._bags = HashTable()
        self._counts = _RunCounts()

    def add(self, text: str) -> list[int]:
        """Add a text and return the earlier entries that are near to it, oldest first; entries
        count from 0.
        """
        return self.add_many([text])[0]

    def add_many(self, texts: Sequence[str]) -> list[list[int]]:
        """Add texts in order and return for each what :meth:`add` does."""
        bare = list(map(Letters.of, texts))
        near: list[list[int]] = []
        for start, end in blocks([len(each.text) for each in bare]):
            runs, bounds = runs_of([each.text for each in bare[start:end]])
            cells = self._counts.cells_of(runs)
            for each, first, last in zip(bare[start:end], bounds, bounds[1:], strict=False):
                found = self._add(each, runs[first:last], tuple(row[first:last] for row in cells))
                near.append(sorted(found))
        return near

    def _add(self, bare: Letters, runs: Hashes, cells: Cells) -> set[int]:
        entry = len(self._sketches)
        near = set(self._same_letters(bare, entry))
        rare = runs[:0]
        if len(runs):
            counts = self._counts.look_up(cells)
            rare = runs[~counts.common][:SKETCH]
            places = self._index.places_of(rare)
            near |= self._near_runs(rare, places)
            self._counts.add(cells, counts, _TIED if near else _UNTIED)
        self._sketches.add(rare)
        if len(rare):
            self._index.add(places, entry)
        return near

    def _same_letters(self, bare: Letters, entry: int) -> list[int]:
        """Return the first entry with the same letters, unless many had them."""
        if not bare.text:
            return []
        key = int.from_bytes(bag_key(bare)[:8])
        # Its first entry, and in the lowest bits how many had them.
        first, n_texts = divmod(self._bags.get(key) or entry * _BAG_COUNTS, _BAG_COUNTS)
        if n_texts < MOST_OF_A_BAG + 1:
            self._bags[key] = first * _BAG_COUNTS + n_texts + 1
        return [first] if 1 <= n_texts < MOST_OF_A_BAG else []

    def _near_runs(self, rare: Hashes, places: NDArray[np.intp]) -> set[int]:
        """Return the entries that share enough rare runs."""
        entries = self._index.sharing(places)
        if not len(entries):
            return set()
        theirs = self._sketches.of(entries)
        # Most share a phrase and no more: told before it is asked which of their runs are common.
        shared = _shared(rare, theirs)
        enough = np.count_nonzero(shared, axis=1) >= _LEAST_SEEN
        if not enough.any():
            return set()
        entries, theirs, shared = entries[enough], theirs[enough], shared[enough]
        # What was rare when an entry came may be common now: it counts in neither text.
        ignored = self._counts.look_up(self._counts.cells_of(theirs)).common
        near = _are_near(rare, _end_of(rare), theirs, ignored, shared)
        return set(entries[near].tolist())


Cells = tuple[NDArray[np.intp], ...]


class _Counts(NamedTuple):
    """What is known of the runs of a text: which many texts have, and what their cells hold."""

    common: NDArray[np.bool_]
    cells: tuple[NDArray[np.uint8], NDArray[np.uint8]]


class _RunCounts:
    """How many texts had a run, in a table of fixed size: two cells a run, of which the smaller
    counts, so a rare run is hardly ever taken for a common one.
    """

    def __init__(self) -> None:
        self._cells = np.zeros((2, _CELLS), dtype=np.uint8)
        self._counted = 0

    @staticmethod
    def cells_of(runs: Hashes) -> Cells:
        """Return where each of the tables counts runs."""
        mask = np.uint32(_CELLS - 1)
        return (runs & mask).astype(np.intp), (mixed(runs) & mask).astype(np.intp)

    def look_up(self, cells: Cells) -> _Counts:
        """Return what is known of runs, by their cells; good until the next :meth:`add`."""
        counts = self._cells[0].take(cells[0]), self._cells[1].take(cells[1])
        return _Counts(np.minimum(*counts) >= _COMMON, counts)

    def add(self, cells: Cells, known: _Counts, weight: int) -> None:
        """Count the runs of a text."""
        for table, places, counts in zip(self._cells, cells, known.cells, strict=True):
            # Never past what makes a run common, which also keeps a byte from overflowing.
            table[places] = np.minimum(counts + np.uint8(weight), np.uint8(2 * _COMMON))
        self._counted += len(known.common)
        if self._counted >= _WINDOW:
            self._cells >>= 1
            self._counted = 0


def _end_of(sketch: Hashes) -> np.uint32:
    """Return the hash up to which a sketch is whole: one that is not full is whole everywhere."""
    return np.uint32(sketch[SKETCH - 1]) if len(sketch) >= SKETCH else NO_HASH


def _shared(rare: Hashes, sketches: Hashes) -> NDArray[np.bool_]:
    """Return which hashes of n sketches, shape (n, 128), are among ascending ones."""
    place = rare.searchsorted(sketches)
    shared: NDArray[np.bool_] = rare.take(place, mode="clip") == sketches
    return shared


def _are_near(
    rare: Hashes,
    own_end: np.uint32,
    sketches: Hashes,
    ignored: NDArray[np.bool_],
    shared_runs: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Return which of n sketches, shape (n, 128), share at least half of their runs with a text.

    ``rare`` are hashes of the text, ascending and whole up to ``own_end``; ``ignored`` marks those
    of the sketches that are common, which ``rare`` leaves out already; ``shared_runs`` those that
    are among ``rare``.
    """
    # Both are compared below the lower of their ends: above it one of them was cut.
    end = np.minimum(sketches[:, -1], own_end)
    own = np.searchsorted(rare, end, side="right")
    return alike_up_to(end, own, sketches, ignored, shared_runs)


def alike_up_to(
    end: Hashes,
    own: NDArray[np.intp],
    sketches: Hashes,
    ignored: NDArray[np.bool_],
    shared_runs: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Return the same where the texts, of which ``own`` rare hashes stand up to ``end``, may be one
    for each sketch; arrays of shape (n,) and (n, 128).
    """
    counted = (sketches <= end[:, None]) & (sketches != NO_HASH) & ~ignored
    shared = (counted & shared_runs).sum(axis=1)
    theirs = counted.sum(axis=1)
    # A cut sketch is a sample, in which fewer runs stand for as many.
    sampled = end.astype(np.float64) / float(NO_HASH)
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
    bare = list(map(Letters.of, texts))
    sketches: list[Hashes] = []
    for start, end in blocks([len(each.text) for each in bare]):
        runs, bounds = runs_of([each.text for each in bare[start:end]])
        rows = zip(bare[start:end], bounds, bounds[1:], strict=False)
        sketches += [_sketch_of(each, runs[first:last][:SKETCH]) for each, first, last in rows]
    return np.stack(sketches) if sketches else NO_SKETCHES


def _sketch_of(bare: Letters, runs: Hashes) -> Hashes:
    padded = np.pad(runs, (0, SKETCH - len(runs)), constant_values=NO_HASH)
    # A text without a letter or digit is near to none.
    letters = np.frombuffer(bag_key(bare)[:8] if bare.text else bytes(8), dtype="<u4")
    return np.concatenate([padded, letters.astype(np.uint32)])


def near_any(asked: Hashes, seen: Hashes) -> NDArray[np.bool_]:
    """Return for each of n sketches whether it is near to any that was seen, shape (n,).

    Runs, and letters, that 17 or more of the seen texts have do not count.
    """
    letters = _letters_of(asked)
    near: NDArray[np.bool_] = np.isin(letters, _rare(_letters_of(seen))) & (letters != 0)
    asked, seen = asked[:, :SKETCH], seen[:, :SKETCH]
    ignored = ~np.isin(seen, _rare(seen[seen != NO_HASH]))
    index: dict[int, list[int]] = {}
    for entry, sketch in enumerate(seen):
        for key in sketch[~ignored[entry]][:KEYS].tolist():
            index.setdefault(key, []).append(entry)
    common = np.unique(seen[ignored])
    for row in np.flatnonzero(~near).tolist():
        sketch = asked[row]
        rare = sketch[(sketch != NO_HASH) & ~np.isin(sketch, common)]
        rows = sorted({entry for key in rare[:KEYS].tolist() for entry in index.get(key, ())})
        if rows:
            theirs = seen[rows]
            shared = _shared(rare, theirs)
            near[row] = _are_near(rare, sketch[-1], theirs, ignored[rows], shared).any()
    return near


def _letters_of(sketches: Hashes) -> NDArray[np.uint64]:
    high, low = (sketches[:, place].astype(np.uint64) for place in (SKETCH, SKETCH + 1))
    letters: NDArray[np.uint64] = (high << np.uint64(32)) | low
    return letters


def _rare(values: NDArray[Any]) -> NDArray[Any]:
    """Return the values that fewer than 17 texts have."""
    distinct, n_texts = np.unique(values, return_counts=True)
    return distinct[n_texts < MOST_OF_A_BAG]
