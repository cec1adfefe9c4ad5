"""Texts remembered well enough to know nearly the same ones again, and not well enough to be read.

Of each value of a MinHash signature one byte is kept: 128 bytes a text. Two unlike texts agree in a
byte by chance once in 256, which moves the estimate by less than 0.004; candidates are found by the
same bands as in :mod:`difficulty.traffic.duplicates`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from difficulty.traffic.signatures import BAND_SIZE, N_PERMUTATIONS, THRESHOLD, Signer

Sketches = NDArray[np.uint8]

_UNSIGNED = 255
_MOST_CANDIDATES = 2_000
NO_SKETCHES: Sketches = np.empty((0, N_PERMUTATIONS), dtype=np.uint8)


def sketches_of(texts: Iterable[str]) -> Sketches:
    """Return a sketch of each text, shape (n, 128); a text of fewer than three words has one that
    is near to none.
    """
    signer, unsigned = Signer(), np.full(N_PERMUTATIONS, _UNSIGNED, dtype=np.uint8)
    rows = [
        unsigned if (signature := signer.sign(text)) is None else signature.astype(np.uint8)
        for text in texts
    ]
    return np.stack(rows) if rows else NO_SKETCHES


def near_any(asked: Sketches, known: Sketches) -> NDArray[np.bool_]:
    """Return for each of n sketches whether it is near to any that is known, shape (n,).

    Of a template that is known thousands of times the first 2,000 texts are compared in each band.
    """
    found = np.zeros(len(asked), dtype=bool)
    known = known[_is_signed(known)]
    signed = _is_signed(asked)
    for start in range(0, N_PERMUTATIONS, BAND_SIZE):
        ours, theirs = (_bands(rows, start) for rows in (asked, known))
        order = np.argsort(theirs, kind="stable")
        low, high = (np.searchsorted(theirs[order], ours, side=side) for side in ("left", "right"))
        for row in np.flatnonzero((high > low) & signed & ~found):
            candidates = known[order[low[row] : min(high[row], low[row] + _MOST_CANDIDATES)]]
            found[row] = bool(((candidates == asked[row]).mean(axis=1) >= THRESHOLD).any())
    return found


def _is_signed(sketches: Sketches) -> NDArray[np.bool_]:
    signed: NDArray[np.bool_] = (sketches != _UNSIGNED).any(axis=1)
    return signed


def _bands(sketches: Sketches, start: int) -> NDArray[np.uint64]:
    """Return one band of each sketch as a number; which byte comes first in it does not matter."""
    return np.ascontiguousarray(sketches[:, start : start + BAND_SIZE]).view(np.uint64).ravel()
