"""What fitting and calibration saw, remembered without the texts: so that they are known again in
other traffic, and by a bundle.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from difficulty.engine import Engine, LocalEngine
from difficulty.storage.mapped import GrowingRows, write_arrays
from difficulty.traffic.duplicates import KEY_BYTES, ask_text, bare_key, comparable_text, text_hash
from difficulty.traffic.near import NO_SKETCHES, near_any, sketches_of
from difficulty.traffic.stored.text_columns import received
from difficulty.traffic.table import Traffic

_HASH, _KEY = f"U{2 * KEY_BYTES}", f"S{KEY_BYTES}"
_MOST_PACKED = 1 << 25
"""Bytes of sketches that are packed in ``seen.npz``."""


class Overlap(NamedTuple):
    """Whether the text, the group, or nearly the text of each of n samples was seen; arrays of
    shape (n,).
    """

    same_text: NDArray[np.bool_]
    same_group: NDArray[np.bool_]
    near: NDArray[np.bool_]

    @property
    def any(self) -> NDArray[np.bool_]:
        """Whether the sample was seen in any way."""
        return self.same_text | self.same_group | self.near

    @property
    def counts(self) -> dict[str, int]:
        """How many were seen, each counted once, by the surest reason."""
        group_alone = self.same_group & ~self.same_text
        near_alone = self.near & ~self.same_group & ~self.same_text
        masks = {
            "same text": self.same_text,
            "same group": group_alone,
            "nearly the same text": near_alone,
        }
        return {name: int(mask.sum()) for name, mask in masks.items()}


@dataclass(frozen=True, slots=True)
class Seen:
    """What fitting and calibration saw: sorted 64-bit hashes, and sketches of the texts."""

    texts: NDArray[np.uint64]
    groups: NDArray[np.uint64]
    sketches: NDArray[np.uint32] = field(default_factory=lambda: NO_SKETCHES)
    """Of the texts, see ``traffic.near``; runs of earlier versions have none that can be
    compared.
    """
    keys: NDArray[np.uint8] | None = None
    """By which a bundle knows the texts again, a row each, see ``traffic.duplicates.bare_key``;
    ``None`` in runs of earlier versions.
    """

    @classmethod
    def of(cls, traffic: Traffic, engine: Engine | None = None) -> SeenTexts:
        """Return what is remembered of some samples; an engine reads their texts elsewhere."""
        engine = engine or LocalEngine()
        hashes, sketches = GrowingRows(_HASH), GrowingRows(NO_SKETCHES.dtype, NO_SKETCHES.shape[1:])
        texts, keys = [_hashes(())], [np.zeros(0, _KEY)]
        for own, bare, drawn in engine.map_blocks(_open_texts, traffic.sent(["messages"])):
            texts.append(_hashes(own))
            keys.append(np.frombuffer(b"".join(bare), _KEY))
            hashes.add(np.array(own, _HASH))
            sketches.add(drawn)
        groups = (_hashes(block) for block in traffic.blocks("split_group"))
        seen = cls(
            np.unique(np.concatenate(texts)),
            np.unique(np.concatenate([_hashes(()), *groups])),
            sketches.whole(),
            # Of one length: what a string of bytes drops at its end, zeros, is in all of them.
            np.unique(np.concatenate(keys)).view(np.uint8).reshape(-1, KEY_BYTES),
        )
        return SeenTexts(seen, hashes.whole())

    @classmethod
    def read(cls, path: Path) -> Seen:
        """Read what :meth:`write` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            # "sketches", of earlier versions, were made in another way: copies are not known by
            # them.
            runs = arrays.get("runs", NO_SKETCHES)
            return cls(arrays["texts"], arrays["groups"], runs, arrays.get("keys"))

    def write(self, path: Path) -> None:
        """Write ``seen.npz``."""
        arrays: dict[str, Any] = {"texts": self.texts, "groups": self.groups, "runs": self.sketches}
        if self.keys is not None:
            arrays["keys"] = self.keys
        # Hashes hold no pattern: packing many of them takes minutes and saves next to nothing.
        write_arrays(path, arrays, packed=self.sketches.nbytes < _MOST_PACKED)

    def holds(self, traffic: Traffic, *, ingested_together: bool = False) -> NDArray[np.bool_]:
        """Return, for each sample, whether its text, its group or nearly its text was seen; shape
        (n,).
        """
        return self.look_up(traffic, ingested_together=ingested_together).any

    def look_up(self, traffic: Traffic, *, ingested_together: bool = False) -> Overlap:
        """Return which samples were seen, and how that is known.

        Nearly the same texts are searched for, but in traffic that was ingested together with what
        was seen: that was done then, or switched off.
        """
        near = np.zeros(len(traffic), dtype=bool)
        rows = np.repeat(np.arange(len(traffic)), [len(keys) for keys in traffic.near_groups])
        near[rows[np.isin(_hashes(chain.from_iterable(traffic.near_groups)), self.groups)]] = True
        if not ingested_together and len(self.sketches):
            near |= near_any(sketches_of(traffic.comparable_texts()), self.sketches)
        same_text = np.isin(_hashes(traffic.text_hashes()), self.texts)
        return Overlap(same_text, np.isin(_hashes(traffic.split_groups), self.groups), near)


class SeenTexts(NamedTuple):
    """What is remembered of n samples, and the hash of each normalised text."""

    seen: Seen
    text_hashes: NDArray[np.str_]


_ReadTexts: TypeAlias = "tuple[list[str], set[bytes], NDArray[np.uint32]]"


def _open_texts() -> Callable[[bytes], _ReadTexts]:
    return _read_texts


def _read_texts(sent: bytes) -> _ReadTexts:
    """Return hashes, bare keys and sketches of some texts; keys of an ask that stands on its own
    too.
    """
    pairs = [
        [(message["role"], message["content"]) for message in messages]
        for messages in received(sent).column("messages").to_pylist()
    ]
    texts = [comparable_text(each) for each in pairs]
    asks = (ask for ask in map(ask_text, pairs) if ask is not None)
    keys = {bare_key(text) for text in chain(texts, asks)}
    return [text_hash(text) for text in texts], keys, sketches_of(texts)


def _hashes(names: Iterable[str]) -> NDArray[np.uint64]:
    digests = b"".join(hashlib.sha256(name.encode()).digest()[:8] for name in names)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)
