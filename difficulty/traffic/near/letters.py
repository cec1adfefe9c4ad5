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
from numpy.typing import NDArray

RUN = 12  # characters: two or three words
LONG_RUN = 3 * RUN
"""Characters of the runs by which texts are compared whose short ones many have."""
LEAST_LETTERS = 40
_MOST_RUNS = 4_096  # of one text that are counted
_NUMBER = re.compile(r"\d+")
_OTHER = re.compile(r"[\W_]+")
# Of a rolling hash; odd, so that no character loses its low bits.
_MULTIPLIER = np.uint32(0x02000327)
_POWERS = {n: np.uint32(pow(0x02000327, n, 1 << 32)) for n in (2, 4, 12)}
_SAMPLED = np.uint32(0b11)
"""Bits of the hash of a long run that have to be 0: one in four stands for all."""
_SIGNS = bytes(code for code in range(128) if not chr(code).isalnum())
_SIGNS_AND_DIGITS = _SIGNS + b"0123456789"
_AS_NOUGHT = bytes.maketrans(b"0123456789", b"0" * 10)
MOST_TEXTS = 512
"""Of a block whose hashes are made together."""
_MOST_LETTERS = 1 << 19
"""Of such a block: some 20 MiB of arrays."""
_HALF = np.uint64(32)
Hashes = NDArray[np.uint32]
Rows = NDArray[np.uint32]


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
        # Spaces first: they are most of it, and leaving out one text is fast.
        whole = _OTHER.sub("", text.replace(" ", ""))
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


def blocks(bare: Sequence[Letters]) -> Iterator[tuple[int, int]]:
    """Yield bounds of blocks of texts that are few and short together, or one long text."""
    start = total = 0
    for place, each in enumerate(bare):
        full = place - start == MOST_TEXTS or total + len(each.text) > _MOST_LETTERS
        if place > start and full:
            yield start, place
            start, total = place, 0
        total += len(each.text)
    if start < len(bare):
        yield start, len(bare)


def runs_of(bare: Sequence[Letters]) -> tuple[Rows, Hashes]:
    """Return the distinct runs of texts, of a very long one the smallest 4,096: the place of the
    text and the hash of each, ascending by text and hash.
    """
    runs = _distinct(bare, by_text=True)
    texts, hashes = (runs >> _HALF).astype(np.uint32), runs.astype(np.uint32)
    few = _are_few(bare, texts)
    return (texts, hashes) if few is None else (texts[few], hashes[few])


def runs_by_hash(bare: Sequence[Letters], *, long: bool = False) -> tuple[Hashes, Rows]:
    """Return the same: the hash and the place of the text of each run, ascending by hash and
    text; or of a fourth of the long runs.
    """
    runs = _distinct(bare, by_text=False, long=long)
    hashes, texts = (runs >> _HALF).astype(np.uint32), runs.astype(np.uint32)
    few = _are_few(bare, texts)
    return (hashes, texts) if few is None else (hashes[few], texts[few])


def _distinct(bare: Sequence[Letters], *, by_text: bool, long: bool = False) -> NDArray[np.uint64]:
    """Return text and hash of each distinct run in one value, ascending."""
    lengths = np.fromiter((len(each.text) for each in bare), dtype=np.int64, count=len(bare))
    hashes = _all_runs("".join(each.text for each in bare), long=long)
    texts = np.repeat(np.arange(len(bare), dtype=np.uint32), lengths)
    # Runs that begin in the last characters of a text go on into the next.
    whole = texts[: len(hashes)] == texts[len(texts) - len(hashes) :]
    if long:
        whole &= hashes & _SAMPLED == 0
    higher, lower = (texts[: len(hashes)], hashes) if by_text else (hashes, texts[: len(hashes)])
    runs = (higher[whole].astype(np.uint64) << _HALF) | lower[whole]
    runs.sort()
    first = np.ones(len(runs), dtype=np.bool_)
    np.not_equal(runs[1:], runs[:-1], out=first[1:])
    distinct: NDArray[np.uint64] = runs[first]
    return distinct


def _are_few(bare: Sequence[Letters], texts: Rows) -> NDArray[np.bool_] | None:
    """Return which runs, ascending in each text, are among the first 4,096 of theirs; ``None``
    where all are.
    """
    if max((len(each.text) for each in bare), default=0) < _MOST_RUNS + RUN:
        return None
    within = np.empty(len(texts), dtype=np.int64)
    counts = np.bincount(texts, minlength=len(bare))
    within[np.argsort(texts, kind="stable")] = places_within(counts)
    return within < _MOST_RUNS


def places_within(counts: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return 0, 1, 2 and so on for each count, one after the other."""
    places: NDArray[np.intp] = np.arange(counts.sum())
    places -= np.repeat(np.cumsum(counts) - counts, counts)
    return places


def _all_runs(bare: str, *, long: bool = False) -> Hashes:
    """Return the hash of the run that begins at each character of a text but the last 11, or of
    the long one at each but the last 35.
    """
    codes = np.frombuffer(bare.encode("utf-32-le", "replace"), dtype=np.uint32)
    if len(codes) < (LONG_RUN if long else RUN):
        return np.empty(0, dtype=np.uint32)
    # A polynomial in the characters of a run, from runs of 2, 4 and 8. Arithmetic wraps around at
    # 32 bits, which is what a hash wants.
    twos = codes[:-1] * _MULTIPLIER + codes[1:]
    fours = twos[:-2] * _POWERS[2] + twos[2:]
    eights = fours[:-4] * _POWERS[4] + fours[4:]
    twelves = eights[:-4] * _POWERS[4] + fours[8:]
    if not long:
        return _mixed(twelves)
    return _mixed((twelves[:-24] * _POWERS[12] + twelves[12:-12]) * _POWERS[12] + twelves[24:])


def _mixed(values: Hashes) -> Hashes:
    """Scatter hashes over 32 bits (the finaliser of MurmurHash3)."""
    values = (values ^ (values >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    values = (values ^ (values >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return values ^ (values >> np.uint32(16))
