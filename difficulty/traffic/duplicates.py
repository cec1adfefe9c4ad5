"""Which samples must stay on one side of a split: those of one group, the same text, nearly the
same text, the same ask with other text around it.

Every sample gets a key when it comes and keeps it for good, so samples that are added later move
none of the old ones. Where a sample ties keys together that already exist, it takes the oldest and
lists the others: the split sets it aside if they fall on different sides.

What nearly the same means stands in :mod:`difficulty.traffic.near`.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b, sha256
from itertools import repeat
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import NamedTuple, Self

from difficulty.engine import Engine, LocalEngine
from difficulty.records import Sample
from difficulty.traffic.hashes import HashTable
from difficulty.traffic.near import NearSearch
from difficulty.views.wrapped import wrapped_ask

KEY_BYTES = 16
"""Length of :func:`bare_key`, and of a key of the split."""
_IN_MEMORY = 1 << 22  # bytes of samples that wait for the search, before they lie in a file
_BLOCK_ROWS = 512  # that are looked at together
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


def known_text(messages: Iterable[tuple[str, str]]) -> str:
    """Return the text by which a request is known again: the ask that :func:`wrapped_ask` finds,
    else all of it; both as :func:`comparable_text` returns them.
    """
    pairs = list(messages)
    ask = ask_text(pairs)
    return comparable_text(pairs) if ask is None else ask


def ask_text(messages: Iterable[tuple[str, str]]) -> str | None:
    """Return the ask that :func:`wrapped_ask` finds as :func:`comparable_text` returns it; ``None``
    where there is none.
    """
    ask = wrapped_ask(list(messages))
    return None if ask is None else comparable_text([("user", ask)])


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


class TextKeys(NamedTuple):
    """What is known of the texts of some samples from each alone."""

    digests: bytes
    """16 bytes of each."""
    asks: array[int]
    """64 bits of the hash of the text by which each is known in other clothes."""
    groups: list[bytes | None]
    texts: list[str]
    """As :func:`comparable_text` returns them."""


def text_keys(samples: Iterable[Sample]) -> TextKeys:
    """Return what :class:`Grouper` asks of samples; a block of them on any worker."""
    digests, asks, groups, texts = [], array("Q"), [], []
    for sample in samples:
        pairs = [(message.role, message.content) for message in sample.messages]
        text = comparable_text(pairs)
        ask = wrapped_ask(pairs)
        own = text if ask is None else comparable_text([("user", ask)])
        digests.append(_digest(text))
        asks.append(_short(_digest(f"ask:{own}")))
        groups.append(None if sample.group is None else _digest(f"group:{sample.group}"))
        texts.append(text)
    return TextKeys(b"".join(digests), asks, groups, texts)


class _Begun(NamedTuple):
    """Samples of a block."""

    digests: bytes
    numbers: array[int]
    """Of their texts."""
    asks: array[int]
    flags: bytes
    """1 for a sample of a group, 2 for one whose text was not there before."""
    groups: bytes

    def samples(self) -> Iterator[tuple[bytes, int, int, bool, bytes | None]]:
        """Yield digest, number and ask of each text, whether it is new, and the group."""
        rows = zip(self.numbers, self.asks, self.flags, strict=True)
        for place, (number, ask, flag) in enumerate(rows):
            part = slice(KEY_BYTES * place, KEY_BYTES * (place + 1))
            group = self.groups[part] if flag & 1 else None
            yield self.digests[part], number, ask, flag >= 2, group


class _BegunFile:
    """All samples of an ingest, 49 bytes each, which wait for the search."""

    def __init__(self, folder: Path | None) -> None:
        # Closed with the last reference: who places all without a search need not close it.
        self._file = SpooledTemporaryFile(_IN_MEMORY, dir=None if folder is None else str(folder))
        self._sizes: deque[int] = deque()

    def add(self, begun: _Begun) -> None:
        """Lay a block by."""
        parts = (begun.digests, begun.numbers.tobytes(), begun.asks.tobytes())
        for part in (*parts, begun.flags, begun.groups):
            self._file.write(part)
        self._sizes.append(len(begun.flags))

    def take(self) -> Iterator[_Begun]:
        """Yield the blocks, in order; none stays."""
        self._file.seek(0)
        while self._sizes:
            size = self._sizes.popleft()
            digests = self._file.read(KEY_BYTES * size)
            numbers, asks = array("Q"), array("Q")
            for values in (numbers, asks):
                values.frombytes(self._file.read(8 * size))
            flags, groups = self._file.read(size), self._file.read(KEY_BYTES * size)
            yield _Begun(digests, numbers, asks, flags, groups)
        self._file.seek(0)
        self._file.truncate()

    def close(self) -> None:
        """Remove what is left."""
        self._file.close()


class Grouper:
    """Give each sample its key, in the order they come: :meth:`begin` for all of them, then
    :meth:`place_all`. A context manager, as texts lie in a file until they were searched.

    Kept in memory of a sample are 64 bits of its text's hash and of its ask's, the number of its
    key, and 64 bits of each different group; the rest lies in a file until all are placed.

    Parameters
    ----------
    near : bool, default True
        Look for nearly equal texts too; without it only equal texts and groups share a key.
    folder : Path, optional
        Where texts lie for that search, two gigabytes for a million texts of 400 characters; by
        default where temporary files do.
    engine : Engine, optional
        What searches; by default this process. All find the same.

    Attributes
    ----------
    exact_duplicates, near_duplicates : int
        Samples whose text was there before, and whose text is new but near to one that was.
    wrapped_copies : int
        Samples of which nothing but the ask was there before, with other text around it.
    """

    def __init__(
        self, *, near: bool = True, folder: Path | None = None, engine: Engine | None = None
    ) -> None:
        self.exact_duplicates = 0
        self.near_duplicates = 0
        self.wrapped_copies = 0
        self._search = NearSearch(engine or LocalEngine(), folder) if near else None
        self._begun = _BegunFile(folder)
        self._n_texts = 0
        # Keys are numbered as they come, so the older one has the lower number.
        self._keys = bytearray()
        self._sizes = array("I")
        self._by_text, self._by_group, self._by_ask = HashTable(), HashTable(), HashTable()
        self._key_of_text = array("I")  # of each different text, which are numbered too
        self._others: dict[int, tuple[int, ...]] = {}  # further keys of a text

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._begun.close()
        if self._search:
            self._search.close()

    @property
    def n_groups(self) -> int:
        """Number of different keys."""
        return len(self._sizes)

    @property
    def largest_group(self) -> int:
        """Samples of the most frequent key."""
        return max(self._sizes, default=0)

    def begin(self, keys: TextKeys) -> None:
        """Add samples. Equal texts are told by their hash: the search holds each once."""
        numbers, new, flags = array("Q"), [], bytearray()
        places = range(0, len(keys.digests), KEY_BYTES)
        for place, text, group in zip(places, keys.texts, keys.groups, strict=True):
            digest = _short(keys.digests[place : place + KEY_BYTES])
            number = self._by_text.setdefault(digest, self._n_texts)
            if is_new := number == self._n_texts:
                self._n_texts += 1
                new.append(text)
            numbers.append(number)
            flags.append(2 * is_new + (group is not None))
        groups = b"".join(group or bytes(KEY_BYTES) for group in keys.groups)
        self._begun.add(_Begun(keys.digests, numbers, keys.asks, bytes(flags), groups))
        if self._search and new:
            self._search.begin(new)

    def place_all(self) -> Iterator[Placement]:
        """Yield the placements of the samples that :meth:`begin` was given, in order."""
        near = self._search.find() if self._search else repeat([])
        for block in self._begun.take():
            for begun in block.samples():
                yield self._placed(*begun, near)

    def _placed(
        self,
        digest: bytes,
        number: int,
        ask: int,
        is_new: bool,
        group: bytes | None,
        near: Iterator[list[int]],
    ) -> Placement:
        tied = self._near_keys(next(near)) if is_new else self._keys_of(number)
        of_group = None if group is None else self._by_group.get(_short(group))
        if of_group is not None:
            tied.add(of_group)
        of_ask = self._by_ask.get(ask) if is_new else None
        if of_ask is not None:
            self.wrapped_copies += of_ask not in tied
            tied.add(of_ask)
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
        if is_new and of_ask is None:
            self._by_ask[ask] = key
        return Placement(self._name(key), tuple(map(self._name, others)))

    def _keys_of(self, number: int) -> set[int]:
        """Return the keys of a text that was there before."""
        self.exact_duplicates += 1
        return {self._key_of_text[number], *self._others.get(number, ())}

    def _near_keys(self, entries: Sequence[int]) -> set[int]:
        """Return the keys of the texts that a new one is near to."""
        self.near_duplicates += bool(entries)
        return {self._key_of_text[entry] for entry in entries}

    def _new_key(self, digest: bytes) -> int:
        self._keys += digest
        self._sizes.append(0)
        return len(self._sizes) - 1

    def _name(self, key: int) -> str:
        return self._keys[KEY_BYTES * key : KEY_BYTES * (key + 1)].hex()


def place_together(samples: Sequence[Sample], grouper: Grouper) -> list[Placement]:
    """Return the placements of samples that are all there."""
    for start in range(0, len(samples), _BLOCK_ROWS):
        grouper.begin(text_keys(samples[start : start + _BLOCK_ROWS]))
    return list(grouper.place_all())


def _short(digest: bytes) -> int:
    return int.from_bytes(digest[:8])
