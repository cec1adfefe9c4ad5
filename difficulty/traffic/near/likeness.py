"""Nearly the same texts: copies that differ in case, punctuation, numbers, a word, a few words in
front or behind, or in the order of their parts.

Compared are letters and digits alone, in one case and without spaces; each number counts as one 0,
because the same story with other numbers is as hard (in a text of fewer than 40 letters numbers
are most of what is said, and stay). Two texts are nearly the same when

- their letters are the same, in whatever order: options or sentences changed places; or
- at least half of their runs of 12 characters are in both, 16 runs or more. A word that was changed
  breaks about 18 runs, so half of the runs of 12 is what four fifths of shingles of five characters
  are, or of three words.

Runs that many texts share do not count: a template, a header, the examples of a prompt and the
phrases of a domain say nothing of what is asked. A run is common for a text once 16 earlier texts
had it: of short questions behind a long header the first sixteen are tied and the others are not,
and a family of more different copies than that counts as a template too. Which runs are common is
known from what came before, never from what comes later: that is what lets a key stand for good.

Where requests are filled from some hundred sentences run after run becomes common, and copies are
no longer known by what is left. So a text of whose runs fewer than half are rare when it comes is
compared by its runs of 36 characters too, which tell *which* sentences stand beside each other: it
is nearly the same as an earlier one where six in ten of all their runs are in both, common ones
too, and a fifth of the long runs that fewer than 16 earlier texts had, 16 or more. A header's long
runs are common as well, so what stands behind one is not tied by it.

A text is kept as its 128 smallest run hashes (Broder's bottom-k sketch: all runs of a text of up
to 139 characters, a sample of a longer one), so the share is exact for short texts and has a
standard error of at most 0.05 for longer ones.

References
----------
Broder (1997), "On the resemblance and containment of documents".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.traffic.near.letters import Letters, bag_key, blocks, places_within, runs_of

Hashes = NDArray[np.uint32]
NO_HASH = np.uint32(0xFFFFFFFF)
"""Pads a sketch."""
SKETCH = 128
LEAST_SHARE = 0.5
LEAST_SHARED = 16  # runs: some 27 characters on end
LEAST_SEEN = 4  # runs of a sample, whatever they are worth
LONG_KEYS = 24
WHOLE_SKETCH = 64  # runs of a text, common ones too
KEYS = 16  # the smallest rare runs, by which texts meet
COMMON_TEXTS = 16
"""Earlier texts that make a run common."""
MOST_OF_A_BAG = 17
"""Texts with the same letters that are tied to the first of them; further ones are a template."""
NO_SKETCHES: Hashes = np.empty((0, SKETCH + 2), dtype=np.uint32)


def shared_of(own: Hashes, theirs: Hashes) -> NDArray[np.bool_]:
    """Return which hashes of each row of ``theirs``, shape (n, 128), are in the same row of
    ``own``; rows ascend.
    """
    both = np.concatenate([own.astype(np.uint64) << 1, (theirs.astype(np.uint64) << 1) | 1], axis=1)
    both.sort(axis=1)  # one of theirs stands right behind the same of ours
    same = np.zeros(both.shape, dtype=np.bool_)
    np.equal(both[:, 1:] >> 1, both[:, :-1] >> 1, out=same[:, 1:])
    shared: NDArray[np.bool_] = same[(both & 1).astype(np.bool_)].reshape(theirs.shape)
    shared &= theirs != NO_HASH
    return shared


class Alike(NamedTuple):
    """What two sketches have to share."""

    share: float
    """Of the runs that are in either."""
    runs: int
    """At least; fewer in sketches that were cut."""


ALIKE = Alike(LEAST_SHARE, LEAST_SHARED)
MOSTLY = Alike(0.6, LEAST_SEEN)
"""Of a fourth of all runs, common ones too, of texts that are made of common runs."""
LONG_ALIKE = Alike(0.2, LEAST_SEEN)
"""Of a fourth of their long runs."""


def may_be_alike(own: Hashes, theirs: Hashes, *, least: Alike = ALIKE) -> NDArray[np.bool_]:
    """Return which of n pairs of sketches, shape (n, 128), share so many hashes that they may be
    of nearly equal texts, whichever of ``theirs`` are common: in a part of the time of
    :func:`are_alike`.
    """
    end = np.minimum(own[:, -1], theirs[:, -1])
    both = np.concatenate([own, theirs], axis=1)
    both.sort(axis=1)
    # The last of a row is never counted: where a sketch is full no hash above its own is.
    last = np.minimum(end, NO_HASH - np.uint32(1))[:, None]
    shared = ((both[:, 1:] == both[:, :-1]) & (both[:, 1:] <= last)).sum(axis=1)
    n_own = (own <= last).sum(axis=1)
    near: NDArray[np.bool_] = shared >= np.maximum(_least_shared(end, least), least.share * n_own)
    return near


def are_alike(
    own: Hashes,
    theirs: Hashes,
    ignored: NDArray[np.bool_],
    *,
    own_ignored: NDArray[np.bool_] | None = None,
    least: Alike = ALIKE,
) -> NDArray[np.bool_]:
    """Return which of n pairs of sketches, shape (n, 128), are of nearly equal texts; ``ignored``
    marks those of ``theirs`` that are common, ``own_ignored`` those of ``own`` where it does not
    leave them out already.
    """
    # Both are compared below the lower of their ends: above it one of them was cut.
    end = np.minimum(own[:, -1], theirs[:, -1])
    own_counted = (own <= end[:, None]) & (own != NO_HASH)
    n_own = (own_counted if own_ignored is None else own_counted & ~own_ignored).sum(axis=1)
    counted = (theirs <= end[:, None]) & (theirs != NO_HASH) & ~ignored
    shared = (counted & shared_of(own, theirs)).sum(axis=1)
    either = n_own + counted.sum(axis=1) - shared
    near: NDArray[np.bool_] = (shared >= _least_shared(end, least)) & (
        shared >= least.share * either
    )
    return near


def _least_shared(end: Hashes, alike: Alike) -> NDArray[np.float64]:
    """Return how many runs have to be shared by sketches that are whole up to ``end``."""
    # A cut sketch is a sample, in which fewer runs stand for as many.
    sampled = end.astype(np.float64) / float(NO_HASH)
    least: NDArray[np.float64] = np.maximum(alike.runs * sampled, LEAST_SEEN)
    return least


def filled(
    sketches: Hashes, sizes: NDArray[np.intp], texts: NDArray[Any], hashes: Hashes
) -> NDArray[np.intp]:
    """Put hashes behind those that sketches hold, as far as there is room, and return the sizes of
    the sketches; hashes ascend by text, and in each are above what its sketch holds.
    """
    counts = np.bincount(texts, minlength=len(sketches))
    places = np.repeat(sizes, counts) + places_within(counts)
    room = places < sketches.shape[1]
    sketches[texts[room], places[room]] = hashes[room]
    size: NDArray[np.intp] = np.minimum(sizes + counts, sketches.shape[1])
    return size


def empty_sketches(n: int) -> Hashes:
    """Return n sketches without a hash, shape (n, 128)."""
    return np.full((n, SKETCH), NO_HASH, dtype=np.uint32)


def sketches_of(texts: Iterable[str]) -> Hashes:
    """Return what :func:`near_any` compares of each text, shape (n, 130): its sketch, common runs
    included, and a hash of its letters in two values.
    """
    bare = list(map(Letters.of, texts))
    # A text without a letter or digit is near to none.
    bags = b"".join(bag_key(each)[:8] if each.text else bytes(8) for each in bare)
    sketches = empty_sketches(len(bare))
    for start, end in blocks(bare):
        places, hashes = runs_of(bare[start:end])
        filled(sketches[start:end], np.zeros(end - start, dtype=np.intp), places, hashes)
    letters = np.frombuffer(bags, dtype="<u4").reshape(-1, 2).astype(np.uint32)
    return np.concatenate([sketches, letters], axis=1)


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
        is_common = np.isin(sketch, common)
        keys = sketch[(sketch != NO_HASH) & ~is_common][:KEYS].tolist()
        rows = sorted({entry for key in keys for entry in index.get(key, ())})
        if rows:
            own = np.broadcast_to(sketch, (len(rows), SKETCH))
            near[row] = are_alike(own, seen[rows], ignored[rows], own_ignored=is_common).any()
    return near


def _letters_of(sketches: Hashes) -> NDArray[np.uint64]:
    high, low = (sketches[:, place].astype(np.uint64) for place in (SKETCH, SKETCH + 1))
    letters: NDArray[np.uint64] = (high << np.uint64(32)) | low
    return letters


def _rare(values: NDArray[Any]) -> NDArray[Any]:
    """Return the values that fewer than 17 texts have."""
    distinct, n_texts = np.unique(values, return_counts=True)
    return distinct[n_texts < MOST_OF_A_BAG]
