"""``kinds.json``: kinds of requests that the bundle was trained on, with their outcomes, so that a
decision can be explained by what came of requests like this one. It holds none of the texts.

A kind is a cluster of requests by their words. A request is a vector of :data:`DIM` numbers: each
token's id is hashed to one of them, with a sign, and adds 1 + log of how often it occurs. The
traffic's mean is taken off, the rest divided by the root of its standard deviation and brought to
unit length; the nearest kind is the one with the largest cosine. So the router needs token ids
alone, and no output of the scorer. With some 60 tokens of a vocabulary to a number, and at least
:data:`LEAST_GROUPS` groups to a kind, no word of a request can be read back.

On 24 kinds of RouteLLM's MMLU and of tool calls (BFCL), such vectors tell tasks apart about as well
as static embeddings do (adjusted mutual information .36 and .26, embeddings .45 and .20), and a
kind's mean gain in one half of the requests correlates as much with the gains of the other half
(.12 and .27, embeddings .11 and .27). 256 numbers do a little worse on MMLU, 1,024 no better in
outcomes; so do the plain deviation and none.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import FieldError
from difficulty.form import SavedForm, Share, at_least, finite
from difficulty.tokens import flattened

KINDS_FORMAT = 1
DIM = 512
LEAST_GROUPS = 20
"""Fewer groups (conversations, users, templates) make no kind: nobody's own traffic is one."""
MOST_KINDS = 256
_HASH, _SIGN = 0x9E3779B1, 0x85EBCA6B
_SHIFT = 32 - DIM.bit_length() + 1
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class KindFigure(SavedForm):
    """A mean outcome of a kind's requests, with its 95 % interval, groups being drawn whole."""

    value: Annotated[float, finite]
    low: Annotated[float, finite] | None = None
    high: Annotated[float, finite] | None = None
    n: Annotated[int, at_least(0)]


@dataclass(frozen=True, kw_only=True)
class TrafficKind(SavedForm):
    """Requests of one kind."""

    n: Annotated[int, at_least(1)]
    groups: Annotated[int, at_least(LEAST_GROUPS)]
    share: Share
    """Of all requests."""
    tasks: dict[str, Share]
    """The most frequent tasks, with the share of the kind's requests that each has."""
    script: str | None
    """Of most of the texts; ``None`` where no script has half of them."""
    tokens: tuple[Annotated[float, at_least(0)], ...]
    """Tenth, median and ninetieth percentile of their tokens."""
    closeness: Annotated[float, finite]
    """Cosine that 95 of 100 of them pass; a request below it is like none of them."""
    cheap_quality: KindFigure | None = None
    """``None`` where nothing is known, as below."""
    frontier_quality: KindFigure | None = None
    gain: KindFigure | None = None
    """Frontier minus cheap, votes included."""


class NearKind(NamedTuple):
    """A kind beside a request."""

    kind: TrafficKind
    cosine: float

    @property
    def is_like(self) -> bool:
        """Whether the request lies among the kind's own."""
        return self.cosine >= self.kind.closeness


@dataclass(frozen=True, kw_only=True)
class TrafficKinds(SavedForm):
    """Kinds of the requests that the heads were fitted and calibrated on."""

    format: Annotated[int, at_least(1)]
    n: Annotated[int, at_least(1)]
    dim: Annotated[int, at_least(1)]
    mean: str
    """``dim`` little-endian float32 in base64, as ``spread``."""
    spread: str
    centres: str
    """``dim`` float16 for each kind, a unit vector, in the order of ``kinds``."""
    kinds: tuple[TrafficKind, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, known in (("format", KINDS_FORMAT), ("dim", DIM)):
            if getattr(self, name) != known:
                raise FieldError(
                    f"must be {known}: got {getattr(self, name)}. Upgrade difficulty to read it",
                    where=(name,),
                )
        if not 0 < len(self.kinds) <= MOST_KINDS:
            raise FieldError(
                f"must hold 1 to {MOST_KINDS} kinds: got {len(self.kinds):,}", where=("kinds",)
            )
        for name in ("mean", "spread", "centres"):
            self._array(name)
        if not (self._array("spread") > 0).all():
            raise FieldError("must hold numbers above 0 alone", where=("spread",))

    def _array(self, name: str) -> FloatArray:
        kind, rows = ("<f2", len(self.kinds)) if name == "centres" else ("<f4", 1)
        try:
            content = base64.b64decode(getattr(self, name), validate=True)
            values = np.frombuffer(content, kind).astype(np.float64).reshape(rows, self.dim)
        except (ValueError, binascii.Error) as error:
            raise FieldError(
                f"must hold {rows * self.dim:,} numbers in base64: got something else",
                where=(name,),
            ) from error
        if not np.isfinite(values).all():
            raise FieldError("must hold finite numbers alone", where=(name,))
        return values

    @cached_property
    def _scale(self) -> tuple[FloatArray, FloatArray]:
        return self._array("mean")[0], self._array("spread")[0]

    @cached_property
    def _centres(self) -> FloatArray:
        return self._array("centres")

    def nearest(self, ids: Sequence[int], *, most: int = 3) -> list[NearKind]:
        """Return the kinds that a text's token ids are nearest to, the nearest first."""
        cosines = self._centres @ standard(word_vectors([ids]), *self._scale)[0]
        order = np.argsort(-cosines, kind="stable")[:most]
        return [NearKind(self.kinds[place], float(cosines[place])) for place in order]


def word_vectors(rows: Sequence[Sequence[int]]) -> FloatArray:
    """Return hashed counts of token ids, of shape (n_requests, DIM)."""
    flat, ends = flattened(rows)
    # Row and token as one number, so that equal tokens of a row are found in one pass.
    row = np.repeat(np.arange(len(rows), dtype=np.int64), np.diff(ends))
    keys, counts = np.unique((row << 32) | flat, return_counts=True)
    mixed = (keys & 0xFFFFFFFF).astype(np.uint64)
    place = ((mixed * np.uint64(_HASH)) & np.uint64(0xFFFFFFFF)) >> np.uint64(_SHIFT)
    sign = ((mixed * np.uint64(_SIGN)) & np.uint64(0xFFFFFFFF)) >> np.uint64(31)
    weight = (1.0 - 2.0 * sign.astype(np.float64)) * (1.0 + np.log(counts))
    cell = (keys >> 32) * DIM + place.astype(np.int64)
    vectors = np.bincount(cell, weight, len(rows) * DIM).reshape(len(rows), DIM)
    return vectors.astype(np.float64)


def standard(vectors: FloatArray, mean: FloatArray, spread: FloatArray) -> FloatArray:
    """Return vectors from the mean, on the scale of the spread, at unit length."""
    moved = (vectors - mean) / spread
    length = np.linalg.norm(moved, axis=1, keepdims=True)
    unit: FloatArray = np.divide(moved, length, out=np.zeros_like(moved), where=length > 0)
    return unit


def packed(values: FloatArray, kind: str) -> str:
    """Return numbers as :class:`TrafficKinds` holds them; ``kind`` is numpy's name of the type."""
    return base64.b64encode(np.ascontiguousarray(values, dtype=kind).tobytes()).decode("ascii")
