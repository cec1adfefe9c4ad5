"""What is compared of a text: its letters and digits, and the hashes of their runs.

Letters and digits alone, in one case and without spaces; each number counts as one 0 where there
are letters enough to know the text by. Hashes of many texts are made together: on texts of some
hundred characters calls of numpy take longer than what they do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from difficulty.traffic.hashes import Hashes

RUN = 12  # characters: two or three words
LEAST_LETTERS = 40
_MOST_RUNS = 4_096  # of one text that are counted
_NUMBER = re.compile(r"\d+")
# Of a rolling hash; odd, so that no character loses its low bits.
_MULTIPLIER = np.uint32(0x02000327)
_POWERS = {n: np.uint32(pow(0x02000327, n, 1 << 32)) for n in (2, 4)}
_SIGNS = bytes(code for code in range(128) if not chr(code).isalnum())
_SIGNS_AND_DIGITS = _SIGNS + b"0123456789"
_AS_NOUGHT = bytes.maketrans(b"0123456789", b"0" * 10)
_MOST_LETTERS = 1 << 19
"""Of a block whose hashes are made together: some 20 MiB of arrays."""


class Letters(NamedTuple):
    """The letters and digits of a comparable text, each number as one 0 where there are letters
    enough to know the text by; and the letters alone.
    """

    text: str
    letters: str

    @classmethod
    def of(cls, text: str) -> Letters:
        """Leave out of a text what is not compared."""
        if text.isascii():
            # Nearly all texts, and twenty times as fast.
            said = text.encode("ascii")
            letters = said.translate(None, _SIGNS_AND_DIGITS)
            if len(letters) < LEAST_LETTERS:
                return cls(said.translate(None, _SIGNS).decode("ascii"), letters.decode("ascii"))
            squeezed = said.translate(_AS_NOUGHT, _SIGNS)
            while b"00" in squeezed:
                squeezed = squeezed.replace(b"00", b"0")
            return cls(squeezed.decode("ascii"), letters.decode("ascii"))
        whole = "".join(filter(str.isalnum, text))
        number = _NUMBER.sub("0", whole)
        said_so = number.replace("0", "")
        return cls(number if len(said_so) >= LEAST_LETTERS else whole, said_so)


def bag_key(bare: Letters) -> bytes:
    """Return 16 bytes that texts with the same letters share; with few letters, the same order and
    digits too.
    """
    # Equal counts of all letters by chance: not in texts of this length.
    if len(bare.letters) >= LEAST_LETTERS:
        said = _in_order(bare.letters)
    else:
        said = f"whole {bare.text}".encode("utf-8", "replace")
    return blake2b(said, digest_size=16).digest()


def _in_order(letters: str) -> bytes:
    """Return the sorted letters as UTF-8."""
    if letters.isascii():
        # Of bytes numpy counts, where sorting a text compares.
        return np.sort(np.frombuffer(letters.encode("ascii"), np.uint8), kind="stable").tobytes()
    return "".join(sorted(letters)).encode("utf-8", "replace")


def blocks(lengths: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield bounds of blocks of texts that are short together, or one long text."""
    start = total = 0
    for place, length in enumerate(lengths):
        if place > start and total + length > _MOST_LETTERS:
            yield start, place
            start, total = place, 0
        total += length
    if start < len(lengths):
        yield start, len(lengths)


def runs_of(bare: Sequence[str]) -> tuple[Hashes, list[int]]:
    """Return the distinct hashes of the runs of texts, ascending in each text and of a very long
    one the smallest, and where each text's begin and the last one's end.
    """
    lengths = np.fromiter(map(len, bare), dtype=np.int64, count=len(bare))
    hashes = _all_runs("".join(bare))
    # Runs that begin in the last characters of a text go on into the next.
    text = np.repeat(np.arange(len(bare)), np.maximum(lengths - (RUN - 1), 0))
    within = np.repeat(np.cumsum(lengths) - lengths, np.maximum(lengths - (RUN - 1), 0))
    n_before = np.cumsum(np.maximum(lengths - (RUN - 1), 0)) - np.maximum(lengths - (RUN - 1), 0)
    within += np.arange(len(text)) - n_before[text]
    keys = (text.astype(np.uint64) << np.uint64(32)) | hashes[within]
    keys.sort()
    distinct = np.ones(len(keys), dtype=np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=distinct[1:])
    keys = keys[distinct]
    bounds = np.searchsorted(keys, np.arange(len(bare) + 1, dtype=np.uint64) << np.uint64(32))
    runs = (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    if np.diff(bounds).max(initial=0) <= _MOST_RUNS:
        return runs, bounds.tolist()
    kept = np.arange(len(runs)) - np.repeat(bounds[:-1], np.diff(bounds)) < _MOST_RUNS
    ends = np.cumsum(np.minimum(np.diff(bounds), _MOST_RUNS))
    return runs[kept], [0, *ends.tolist()]


def _all_runs(bare: str) -> Hashes:
    """Return the hash of the run that begins at each character of a text but the last 11."""
    codes = np.frombuffer(bare.encode("utf-32-le", "replace"), dtype=np.uint32)
    if len(codes) < RUN:
        return np.empty(0, dtype=np.uint32)
    # A polynomial in the characters of a run, from runs of 2, 4 and 8. Arithmetic wraps around at
    # 32 bits, which is what a hash wants.
    twos = codes[:-1] * _MULTIPLIER + codes[1:]
    fours = twos[:-2] * _POWERS[2] + twos[2:]
    eights = fours[:-4] * _POWERS[4] + fours[4:]
    return mixed(eights[:-4] * _POWERS[4] + fours[8:])


def mixed(values: Hashes) -> Hashes:
    """Scatter hashes over 32 bits (the finaliser of MurmurHash3)."""
    values = (values ^ (values >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    values = (values ^ (values >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return values ^ (values >> np.uint32(16))
