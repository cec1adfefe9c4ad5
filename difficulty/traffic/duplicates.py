"""Which samples must stay on one side of a split: those of one group, the same text, nearly the
same text.

Every sample gets a key when it comes and keeps it for good, so samples that are added later move
none of the old ones. Where a sample ties keys together that already exist, it takes the oldest and
lists the others: the split sets it aside if they fall on different sides.

What nearly the same means stands in :mod:`difficulty.traffic.near`.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Iterable
from hashlib import blake2b, sha256
from pathlib import Path
from typing import NamedTuple

from difficulty.records import Sample
from difficulty.traffic.hashes import HashTable
from difficulty.traffic.near import NearIndex

KEY_BYTES = 16
"""Length of :func:`bare_key`, and of a key of the split."""
INSTRUCTIONS = ("system", "developer")
"""Roles whose text many requests share."""


# What makes another calculation or another number of the same digits.
_SIGN = re.compile(r"(?<=\d)\s*[-*/]\s*(?=\d)|(?<!\w)-(?=\d)")
_SIGN_PLACE = 0xE000
"""Where kept signs stand: a private area, so that translating drops the others alone."""


class _Bare(dict[int, int | None]):
    """What becomes of each code point: itself, nothing, or the sign that was kept."""

    def __missing__(self, code: int) -> int | None:
        if _SIGN_PLACE <= code < _SIGN_PLACE + 128:
            kept: int | None = code - _SIGN_PLACE
        else:
            # A backtick is a symbol too, and marks code as quotes mark words.
            kept = code if unicodedata.category(chr(code))[0] in "LMNS" and code != 0x60 else None
        self[code] = kept
        return kept


_BARE = _Bare()


def _kept_sign(match: re.Match[str]) -> str:
    return chr(_SIGN_PLACE + ord(match[0].strip()))


def comparable_text(messages: Iterable[tuple[str, str]]) -> str:
    """Return the text of (role, content) pairs in one case, one Unicode form (NFKC) and with single
    spaces.

    Instructions count only where nothing else is said: one system prompt before all requests would
    make them all alike.
    """
    pairs = list(messages)
    own = [content for role, content in pairs if role not in INSTRUCTIONS]
    said = own if any(part.strip() for part in own) else [content for _, content in pairs]
    joined = "\n".join(said)
    if not joined.isascii():
        joined = unicodedata.normalize("NFKC", joined)
    return " ".join(joined.casefold().split())


def text_hash(text: str) -> str:
    """Return 32 hex digits of BLAKE2b, the same on every machine; ``text`` as
    :func:`comparable_text` returns it.
    """
    return _digest(text).hex()


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "replace"), digest_size=KEY_BYTES).digest()


def bare_key(text: str) -> bytes:
    """Return the key that a text shares with its copies in other case, spaces and punctuation:
    SHA-256 over its letters, marks, numbers and symbols, or over all of it where it has none;
    ``text`` as :func:`comparable_text` returns it. A sign between numbers or before one is kept.
    """
    bare = _SIGN.sub(_kept_sign, text).translate(_BARE) or text
    return sha256(bare.encode("utf-8", "replace")).digest()[:KEY_BYTES]


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

    Kept of a sample are 64 bits of its text's hash and of its group's, and the number of its key: a
    text is never held.

    Parameters
    ----------
    near : bool, default True
        Look for nearly equal texts too; without it only equal texts and groups share a key.
    folder : Path, optional
        Where what that search keeps lies, half a gigabyte for a million texts; by default where
        temporary files do.

    Attributes
    ----------
    exact_duplicates, near_duplicates : int
        Samples whose text was there before, and whose text is new but near to one that was.
    """

    def __init__(self, *, near: bool = True, folder: Path | None = None) -> None:
        self.exact_duplicates = 0
        self.near_duplicates = 0
        self._index = NearIndex(folder) if near else None
        # Keys are numbered as they come, so the older one has the lower number.
        self._keys = bytearray()
        self._sizes = array("I")
        self._by_text, self._by_group = HashTable(), HashTable()
        self._key_of_text = array("I")  # of each different text, which are numbered too
        self._others: dict[int, tuple[int, ...]] = {}  # further keys of a text

    @property
    def n_groups(self) -> int:
        """Number of different keys."""
        return len(self._sizes)

    @property
    def largest_group(self) -> int:
        """Samples of the most frequent key."""
        return max(self._sizes, default=0)

    def add(self, sample: Sample) -> Placement:
        """Return the placement of the next sample."""
        text = comparable_text((message.role, message.content) for message in sample.messages)
        # Equal texts are found by hash and never reach the index, which holds each text once.
        digest = _digest(text)
        number = self._by_text.setdefault(_short(digest), len(self._key_of_text))
        is_new = number == len(self._key_of_text)
        tied = self._near_keys(text) if is_new else self._keys_of(number)
        group = None if sample.group is None else _digest(f"group:{sample.group}")
        of_group = None if group is None else self._by_group.get(_short(group))
        if of_group is not None:
            tied.add(of_group)
        # The older key stays, so the rows that have it need not move.
        key, *others = sorted(tied) or [self._new_key(digest if group is None else group)]
        self._sizes[key] += 1
        # The first placement stands for good; a later one may name other keys.
        if is_new:
            self._key_of_text.append(key)
            if others:
                self._others[number] = tuple(others)
        if group is not None and of_group is None:
            self._by_group[_short(group)] = key
        return Placement(self._name(key), tuple(map(self._name, others)))

    def _keys_of(self, number: int) -> set[int]:
        """Return the keys of a text that was there before."""
        self.exact_duplicates += 1
        return {self._key_of_text[number], *self._others.get(number, ())}

    def _near_keys(self, text: str) -> set[int]:
        """Return the keys of near texts; a new text enters the index."""
        if self._index is None:
            return set()
        near = {self._key_of_text[entry] for entry in self._index.add(text)}
        self.near_duplicates += bool(near)
        return near

    def _new_key(self, digest: bytes) -> int:
        self._keys += digest
        self._sizes.append(0)
        return len(self._sizes) - 1

    def _name(self, key: int) -> str:
        return self._keys[KEY_BYTES * key : KEY_BYTES * (key + 1)].hex()


def _short(digest: bytes) -> int:
    return int.from_bytes(digest[:8])
