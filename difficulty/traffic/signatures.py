"""MinHash signatures of texts: how many runs of three words two texts share, estimated without
comparing them.
"""

from __future__ import annotations

import re
import zlib

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import MissingExtraError

N_PERMUTATIONS = 128
BANDS, BAND_SIZE = 16, 8
THRESHOLD = 0.75
"""Share of equal values from which on two texts are nearly the same; chosen as
:mod:`difficulty.traffic.duplicates` tells.
"""
_RUN = 3  # words
_CHUNK = 16_384  # runs hashed at a time, so that a text of megabytes needs no gigabyte
_MULTIPLIER = np.uint32(0x02000327)
# Scripts written without spaces give one word a character: Thai to Lao, Burmese, Khmer, kana, Han.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[^\W{_UNSPACED}]+|\S")


class Signer:
    """Sign texts, each as in any other process."""

    def __init__(self) -> None:
        try:
            from datasketch import MinHash
        except ImportError as error:
            raise MissingExtraError(
                "finding near-duplicates", package="datasketch", extra="train"
            ) from error
        self._empty = MinHash(num_perm=N_PERMUTATIONS, seed=1, hashfunc=int)
        self._word_hashes = _WordHashes()

    def sign(self, text: str) -> NDArray[np.uint32] | None:
        """Return the signature of a text, shape (128,); ``None`` for fewer than three words:
        nothing can be said of those.
        """
        runs = _runs(text, self._word_hashes)
        if not len(runs):
            return None
        sketch = self._empty.copy()
        for start in range(0, len(runs), _CHUNK):
            sketch.update_batch(runs[start : start + _CHUNK].tolist())
        signature: NDArray[np.uint32] = sketch.hashvalues.astype(np.uint32)
        return signature


class _WordHashes(dict[str, int]):
    """A hash of 32 bits for each word, kept so that a frequent word is hashed once."""

    _MOST = 1 << 20

    def __missing__(self, word: str) -> int:
        if len(self) >= self._MOST:
            self.clear()
        value = self[word] = zlib.crc32(word.encode("utf-8", "replace"))
        return value


def _runs(text: str, word_hashes: _WordHashes) -> NDArray[np.uint32]:
    """Return the distinct hashes of runs of three words."""
    words = _WORD.findall(text)
    hashes = np.array([word_hashes[word] for word in words], dtype=np.uint32)
    n_runs = len(hashes) - _RUN + 1
    if n_runs < 1:
        return np.empty(0, dtype=np.uint32)
    runs = np.zeros(n_runs, dtype=np.uint32)
    for offset in range(_RUN):
        runs = runs * _MULTIPLIER + hashes[offset : offset + n_runs]
    return np.unique(runs)
