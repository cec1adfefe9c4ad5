"""``seen.bin``: by which a bundle knows the requests again that it was made from, and holds none of
them.

Salted Bloom filters, one a file part: of the samples that training fitted and calibrated on, and of
those that a later threshold was chosen on. A filter says "never" with certainty and "seen" of one
other text in a hundred. Its bytes follow from what is put in alone, so that the same run ships the
same file; they are specified in ``docs/bundle.md``. A change of them needs another ``MAGIC``, and a
reader of this one.

Our own few lines, as the libraries of such filters write bytes of a release or a machine.

References
----------
Bloom (1970), "Space/time trade-offs in hash coding with allowable errors"; Kirsch and Mitzenmacher
(2006), "Less hashing, same performance: building a better Bloom filter".
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import BundleError

Part = Literal["training", "threshold"]
"""What a filter remembers: samples of fit and calibration; those of a threshold chosen later."""
PARTS: tuple[Part, ...] = get_args(Part)

MAGIC = b"dfseen\x00\x01"
SALT_BYTES, KEY_BYTES = 16, 16
_PROBES = 7
_BLOCK = 1 << 16  # keys whose bits are looked for at a time
# 9.6 bits a key at 7 probes: (1 - exp(-7 / 9.6))^7 = 0.00997 of other keys look seen.
_BITS, _KEYS = 48, 5
_LEAST_BITS = 512
_HEAD = struct.Struct("<I")
_FILTER = struct.Struct(f"<II{SALT_BYTES}sQQ")
_BIT_OF = np.array([1 << bit for bit in range(8)], dtype=np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class SeenFilter:
    """A Bloom filter of keys of 16 bytes, see :func:`~difficulty.traffic.duplicates.bare_key`."""

    part: Part
    salt: bytes
    n: int
    """Different keys that were put in."""
    content: NDArray[np.uint8]
    """Its bits, eight a byte, the lowest first."""

    @classmethod
    def of(cls, keys: Iterable[bytes], *, part: Part, salt: bytes) -> SeenFilter:
        """Return the filter of some keys, whatever their order; each one alone, or several on
        end.
        """
        # All are of one length, so that zeros at their ends, which numpy drops, are in all of them.
        distinct = np.unique(np.frombuffer(b"".join(keys), f"S{KEY_BYTES}"))
        # A small filter wants some bits more: of few, many are hit twice.
        bits = max(_LEAST_BITS, -(-len(distinct) * _BITS // (8 * _KEYS)) * 8)
        content = np.zeros(bits // 8, dtype=np.uint8)
        for start in range(0, len(distinct), _BLOCK):
            some = distinct[start : start + _BLOCK].tobytes()
            block = [some[at : at + KEY_BYTES] for at in range(0, len(some), KEY_BYTES)]
            places = _places(block, salt, bits).ravel()
            np.bitwise_or.at(content, places >> 3, _BIT_OF[places & 7])
        return cls(part, salt, len(distinct), content)

    @property
    def chance(self) -> float:
        """Probability that a key which was not put in looks as if it had been."""
        filled = int(np.unpackbits(self.content).sum()) / (8 * len(self.content))
        return float(filled**_PROBES)

    def holds(self, keys: Sequence[bytes]) -> NDArray[np.bool_]:
        """Return which of n keys were put in, or look so; shape (n,)."""
        bits, held = 8 * len(self.content), np.zeros(len(keys), dtype=np.bool_)
        for start in range(0, len(keys), _BLOCK):
            places = _places(keys[start : start + _BLOCK], self.salt, bits)
            found = self.content[places >> 3] & _BIT_OF[places & 7]
            held[start : start + _BLOCK] = found.all(axis=1)
        return held

    @property
    def as_bytes(self) -> bytes:
        """The filter as it stands in the file."""
        head = _FILTER.pack(
            PARTS.index(self.part), _PROBES, self.salt, self.n, 8 * len(self.content)
        )
        return head + self.content.tobytes()


def salt_of(text: str) -> bytes:
    """Return the salt that belongs to a hash of the samples: another set, another salt, and the
    same one on every machine.
    """
    return sha256(f"seen.bin 1\n{text}".encode()).digest()[:SALT_BYTES]


def seen_bytes(filters: Sequence[SeenFilter]) -> bytes:
    """Return the content of ``seen.bin``; parts stand in the order of ``PARTS``."""
    ordered = sorted(filters, key=lambda one: PARTS.index(one.part))
    return MAGIC + _HEAD.pack(len(ordered)) + b"".join(one.as_bytes for one in ordered)


def read_seen(content: bytes) -> tuple[SeenFilter, ...]:
    """Return the filters in the content of ``seen.bin``.

    Raises
    ------
    BundleError
        If it is damaged, or of a version that is not known.
    """
    if not content.startswith(MAGIC):
        raise BundleError(
            f"seen.bin must begin with {MAGIC!r}: got {content[: len(MAGIC)]!r}. Upgrade"
            " difficulty, or ship the bundle again."
        )
    try:
        (count,) = _HEAD.unpack_from(content, len(MAGIC))
        filters, at = [], len(MAGIC) + _HEAD.size
        # As many as there are parts: a count that lies must not keep a reader busy.
        for _ in range(min(count, len(PARTS) + 1)):
            part, probes, salt, n, bits = _FILTER.unpack_from(content, at)
            at += _FILTER.size
            if part >= len(PARTS) or probes != _PROBES or not bits or bits % 8:
                raise ValueError(f"part {part}, {probes} probes, {bits} bits")
            filters.append(
                SeenFilter(
                    PARTS[part], salt, n, np.frombuffer(content, np.uint8, bits // 8, offset=at)
                )
            )
            at += bits // 8
        if at != len(content) or len({one.part for one in filters}) != count:
            raise ValueError(f"{count} filters that end at {at:,} of {len(content):,} bytes")
    except (struct.error, ValueError) as error:
        raise BundleError(f"seen.bin is damaged ({error}). Ship the bundle again.") from error
    return tuple(filters)


def _places(keys: Sequence[bytes], salt: bytes, bits: int) -> NDArray[np.uint64]:
    """Return the bits of n keys, shape (n, probes)."""
    digests = b"".join(sha256(salt + key).digest()[:16] for key in keys)
    first, step = np.frombuffer(digests, dtype="<u8").reshape(-1, 2).astype(np.uint64).T
    # Sums wrap around at 64 bits, as the specification has it.
    probes = np.arange(_PROBES, dtype=np.uint64)
    places: NDArray[np.uint64] = (first[:, None] + probes * (step | np.uint64(1))[:, None]) % bits
    return places
