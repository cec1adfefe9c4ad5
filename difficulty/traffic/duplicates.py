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
from collections import Counter
from collections.abc import Iterable
from hashlib import blake2b, sha256
from typing import NamedTuple

from difficulty.records import Sample
from difficulty.traffic.near import NearIndex

KEY_BYTES = 16
"""Length of :func:`bare_key`."""
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
    return blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()


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
