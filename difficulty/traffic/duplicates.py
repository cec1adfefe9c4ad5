"""Which samples must stay on one side of a split: those of one group, the same text, nearly the
same text.

Every sample gets a key when it comes and keeps it for good, so samples that are added later move
none of the old ones. Where a sample ties keys together that already exist, it takes the oldest and
lists the others: the split sets it aside if they fall on different sides.

Nearly the same means: of the runs of three words in either text, at least three quarters are in
both, as estimated from MinHash signatures of 128 permutations (standard error 0.04). Candidates
come from 16 bands of 8 values: a pair at 0.75 is found with probability 0.82, at 0.8 with 0.95, at
0.9 with 0.9999.

Three words and 0.75 were chosen on RouteLLM's MMLU (14,042 questions), linking every pair above a
threshold of the exact measure. The 895 questions of moral_scenarios, which open with the same
sentence, fall into one group of 663 at 0.6 and into groups of at most 5 from 0.7 on; at 0.75 pairs
remain that share a whole scenario, or a passage under another question. Runs of five or eight
characters join templates of formal_logic (10 and 6 questions) at the same threshold. With the
estimate and the bands: 105 equal texts, 212 near ones, 13,725 keys, the largest of 5; of the pairs
at 0.8 and above all were found, of those from 0.75 to 0.8 78 %.

The LSH tables of datasketch, which makes the signatures, keep a set for every bucket (5.8 GB for a
million samples); the table here keeps a number (2 GB).
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import MissingExtraError
from difficulty.records import Sample

N_PERMUTATIONS = 128
BANDS, BAND_SIZE = 16, 8
THRESHOLD = 0.75
"""Share of equal values from which on two texts are nearly the same."""
_RUN = 3  # words
_CHUNK = 16_384  # runs hashed at a time, so that a text of megabytes needs no gigabyte
# Of a rolling hash; odd, so that no word loses its low bits.
_MULTIPLIER = np.uint32(0x02000327)
# Words whose hash is kept; begun anew when there are more.
_MOST_WORDS = 1 << 20
# Past this many, entries of one template would be compared with each other quadratically.
_MOST_CANDIDATES = 2_000
# Roles whose text many requests share.
_INSTRUCTIONS = ("system", "developer")
# Scripts written without spaces give one word a character: Thai to Lao, Burmese, Khmer, kana, Han.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[^\W{_UNSPACED}]+|\S")


def comparable_text(messages: Iterable[tuple[str, str]]) -> str:
    """Return the text of (role, content) pairs in one case, one Unicode form (NFKC) and with single
    spaces.

    Instructions count only where nothing else is said: one system prompt before all requests would
    make them all alike.
    """
    pairs = list(messages)
    own = [content for role, content in pairs if role not in _INSTRUCTIONS]
    said = own if any(part.strip() for part in own) else [content for _, content in pairs]
    joined = "\n".join(said)
    if not joined.isascii():
        joined = unicodedata.normalize("NFKC", joined)
    return " ".join(joined.casefold().split())


def text_hash(text: str) -> str:
    """Return 32 hex digits of BLAKE2b, the same on every machine; ``text`` as
    :func:`comparable_text` returns it.
    """
    return blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()


class Placement(NamedTuple):
    """Where a sample belongs."""

    split_group: str
    """Key that decides the side of the split; 32 hex digits made from the first sample's group or
    text.
    """
    near_groups: tuple[str, ...]
    """Other keys that this sample is tied to, oldest first."""


class Grouper:
    """Give each sample of a stream its key, in the order they come.

    Parameters
    ----------
    near : bool, default True
        Look for nearly equal texts too; without it only equal texts and groups share a key.

    Attributes
    ----------
    exact_duplicates, near_duplicates : int
        Samples whose text was there before, and whose text is new but near to one that was.
    sizes : Counter of str
        Number of samples of each key.
    """

    def __init__(self, *, near: bool = True) -> None:
        self.exact_duplicates = 0
        self.near_duplicates = 0
        self.sizes: Counter[str] = Counter()
        self._index = NearIndex() if near else None
        self._by_text: dict[str, Placement] = {}
        self._by_group: dict[str, str] = {}
        self._texts: list[str] = []  # text hash of each entry of the index
        self._age: dict[str, int] = {}

    def add(self, sample: Sample) -> Placement:
        """Return the placement of the next sample."""
        text = comparable_text((message.role, message.content) for message in sample.messages)
        # Equal texts are found by hash and never reach the index, which holds each text once.
        digest = text_hash(text)
        tied = self._tied_by_text(text, digest)
        if sample.group is not None and sample.group in self._by_group:
            tied.add(self._by_group[sample.group])
        placement = self._placement(tied, sample.group, digest)
        self._remember(placement, sample.group, digest)
        return placement

    def _tied_by_text(self, text: str, digest: str) -> set[str]:
        """Return the keys of equal texts, else those of near ones; a new text enters the index."""
        same = self._by_text.get(digest)
        if same is not None:
            self.exact_duplicates += 1
            return {same.split_group, *same.near_groups}
        if self._index is None:
            return set()
        near = {self._by_text[self._texts[entry]].split_group for entry in self._index.add(text)}
        self.near_duplicates += bool(near)
        self._texts.append(digest)
        return near

    def _placement(self, tied: set[str], group: str | None, digest: str) -> Placement:
        if not tied:
            return Placement(digest if group is None else text_hash(f"group:{group}"), ())
        # The older key stays, so the rows that have it need not move.
        oldest, *others = sorted(tied, key=self._age.__getitem__)
        return Placement(oldest, tuple(others))

    def _remember(self, placement: Placement, group: str | None, digest: str) -> None:
        self._age.setdefault(placement.split_group, len(self._age))
        self.sizes[placement.split_group] += 1
        # The first placement stands for good; a later one may name other keys.
        self._by_text.setdefault(digest, placement)
        if group is not None:
            self._by_group.setdefault(group, placement.split_group)


class NearIndex:
    """The texts seen so far, by MinHash signature; a text of fewer than three words is near to
    none.
    """

    def __init__(self) -> None:
        self._signer = _Signer()
        self._signatures = np.empty((1024, N_PERMUTATIONS), dtype=np.uint32)
        self._size = 0
        self._buckets: list[dict[int, int | list[int]]] = [{} for _ in range(BANDS)]

    def add(self, text: str) -> list[int]:
        """Add a text and return the earlier entries that are near to it, oldest first; entries
        count from 0.
        """
        entry = self._size
        self._grow()
        signature = self._signer.sign(text)
        if signature is None:
            return []
        self._signatures[entry] = signature
        bands = [
            hash(signature[start : start + BAND_SIZE].tobytes())
            for start in range(0, BANDS * BAND_SIZE, BAND_SIZE)
        ]
        candidates = self._candidates(bands)
        if len(candidates) <= _MOST_CANDIDATES:
            self._insert(bands, entry)
        # Sorted, so that the oldest come first whatever the order of the buckets.
        rows = np.fromiter(sorted(candidates), dtype=np.intp, count=len(candidates))
        near: NDArray[np.bool_] = (self._signatures[rows] == signature).mean(axis=1) >= THRESHOLD
        return [int(row) for row in rows[near]]

    def _grow(self) -> None:
        self._size += 1
        if self._size > len(self._signatures):
            # Doubled, so that adding stays cheap on average.
            more = np.empty((len(self._signatures), N_PERMUTATIONS), dtype=np.uint32)
            self._signatures = np.concatenate([self._signatures, more])

    def _candidates(self, bands: Iterable[int]) -> set[int]:
        candidates: set[int] = set()
        for bucket, band in zip(self._buckets, bands, strict=True):
            entries = bucket.get(band, ())
            candidates.update((entries,) if isinstance(entries, int) else entries)
        return candidates

    def _insert(self, bands: Iterable[int], entry: int) -> None:
        for bucket, band in zip(self._buckets, bands, strict=True):
            entries = bucket.get(band)
            if entries is None:
                bucket[band] = entry  # most buckets hold one entry: a bare number costs no list
            elif isinstance(entries, int):
                bucket[band] = [entries, entry]
            else:
                entries.append(entry)


class _Signer:
    """Sign texts, each as in any other process."""

    def __init__(self) -> None:
        try:
            from datasketch import MinHash
        except ImportError as error:
            raise MissingExtraError(
                "finding near-duplicates", package="datasketch", extra="train"
            ) from error
        # The seed is fixed for good: signatures of a run are compared with those of later traffic.
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

    def __missing__(self, word: str) -> int:
        if len(self) >= _MOST_WORDS:
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
    # Arithmetic wraps around at 32 bits, which is what a hash wants.
    runs = np.zeros(n_runs, dtype=np.uint32)
    for offset in range(_RUN):
        runs = runs * _MULTIPLIER + hashes[offset : offset + n_runs]
    # A minimum over permutations counts each run once anyway, and the permutations are the cost.
    return np.unique(runs)


Sketches = NDArray[np.uint8]
"""The low byte of each value of a signature: by chance two agree in one value of 256, far below the
threshold, and a run remembers its texts in a quarter of the space.
"""
_UNSIGNED = 255
NO_SKETCHES: Sketches = np.empty((0, N_PERMUTATIONS), dtype=np.uint8)


def sketches_of(texts: Iterable[str]) -> Sketches:
    """Return a sketch of each text, shape (n, 128); a text of fewer than three words has one that
    is near to none.
    """
    signer, unsigned = _Signer(), np.full(N_PERMUTATIONS, _UNSIGNED, dtype=np.uint8)
    rows = [
        unsigned if (signature := signer.sign(text)) is None else signature.astype(np.uint8)
        for text in texts
    ]
    return np.stack(rows) if rows else NO_SKETCHES


def near_any(asked: Sketches, seen: Sketches) -> NDArray[np.bool_]:
    """Return for each of n sketches whether it is near to any that was seen, shape (n,).

    Of a template that was seen thousands of times the first 2,000 texts are compared in each band.
    """
    near = np.zeros(len(asked), dtype=bool)
    seen = seen[_is_signed(seen)]
    signed = _is_signed(asked)
    for start in range(0, N_PERMUTATIONS, BAND_SIZE):
        # A sorted column stands in for the hash table of a band: sketches are only looked up, never
        # added.
        ours, theirs = (_bands(rows, start) for rows in (asked, seen))
        order = np.argsort(theirs, kind="stable")
        low, high = (np.searchsorted(theirs[order], ours, side=side) for side in ("left", "right"))
        for row in np.flatnonzero((high > low) & signed & ~near):
            candidates = seen[order[low[row] : min(high[row], low[row] + _MOST_CANDIDATES)]]
            near[row] = bool(((candidates == asked[row]).mean(axis=1) >= THRESHOLD).any())
    return near


def _is_signed(sketches: Sketches) -> NDArray[np.bool_]:
    signed: NDArray[np.bool_] = (sketches != _UNSIGNED).any(axis=1)
    return signed


def _bands(sketches: Sketches, start: int) -> NDArray[np.uint64]:
    """Return one band of each sketch as a number; which byte comes first in it does not matter."""
    return np.ascontiguousarray(sketches[:, start : start + BAND_SIZE]).view(np.uint64).ravel()
