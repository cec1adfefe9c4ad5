"""What the scorer could not read of some requests: texts that were cut, and tokens that its
tokenizer does not know.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.encoders.base import Encoder
from difficulty.encoders.transformer import TransformerEncoder
from difficulty.form import SavedForm
from difficulty.text import part_text, quantity_text
from difficulty.tokens import RequestTokenizer, TokenRows, flattened, lengths_of
from difficulty.traffic.stored.tokenized import Tokenized

MANY_UNKNOWN = 0.05
"""Share of unknown tokens, or of requests that are mostly unknown, from which on a note says so."""
_MOSTLY = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading(SavedForm):
    """Counts over n requests.

    Attributes
    ----------
    requests : int
    cut_by_chars : int
        Longer than ``max_chars`` characters: head and tail were kept.
    cut_by_tokens : int
        Of the others, those longer than ``max_tokens`` tokens: head and tail were kept.
    beyond_encoder : int or None
        Those of which a transformer encoder reads head and tail only; ``None`` where the encoder
        reads what the other features read.
    encoder_tokens : int or None
        Most tokens of text that it reads.
    max_tokens : int
    unknown_tokens : float
        Share of the tokens that were read which the tokenizer does not know.
    mostly_unknown : int
        Requests of which it does not know more than half.
    masked : int
        Requests whose context the text view left out, in part or whole; the others alone are
        counted as cut.
    """

    requests: int
    cut_by_chars: int
    cut_by_tokens: int
    beyond_encoder: int | None
    encoder_tokens: int | None
    max_tokens: int
    unknown_tokens: float
    mostly_unknown: int
    masked: int = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader has to know, as sentences; none where everything was read."""
        return tuple(self._sentences())

    def _sentences(self) -> Iterator[str]:
        if cut := self.cut_by_chars + self.cut_by_tokens:
            yield (
                f"{part_text(cut, self.requests, 'request', 'was', 'were')} cut to head and tail:"
                f" {self.cut_by_chars:,} by characters, {self.cut_by_tokens:,} at"
                f" {self.max_tokens:,} tokens."
            )
        if self.masked:
            yield (
                f"Of {self.masked:,} of {quantity_text(self.requests, 'request')} the text view"
                " left out context"
                " that says nothing about the ask."
            )
        if self.beyond_encoder:
            yield (
                f"Of {self.beyond_encoder:,} of {quantity_text(self.requests, 'request')} the"
                " encoder reads head"
                f" and tail only, {self.encoder_tokens:,} tokens; n-grams read the rest."
            )
        if (
            self.unknown_tokens >= MANY_UNKNOWN
            or self.mostly_unknown >= MANY_UNKNOWN * self.requests
        ):
            yield (
                f"{self.unknown_tokens:.0%} of the tokens are unknown to this tokenizer, and more"
                f" than half in {self.mostly_unknown:,} of"
                f" {quantity_text(self.requests, 'request')}; unknown"
                " tokens all look alike. Name a multilingual encoder as features.encoder."
            )


class ReadCounts(NamedTuple):
    """What was read of each of n requests; arrays of shape (n,)."""

    sizes: NDArray[np.int64]
    """Tokens read."""
    unknown: NDArray[np.int64]
    """Those of them that the tokenizer does not know."""
    shortened: NDArray[np.bool_]
    """Whether the text was cut before it was tokenized."""
    cut: NDArray[np.bool_]
    """Whether, if not, its tokens were."""
    masked: NDArray[np.bool_]
    """Whether context was left out, and nothing cut."""

    @classmethod
    def of(cls, tokens: Tokenized, tokenizer: RequestTokenizer) -> ReadCounts:
        """Count what a scorer reads of tokenized requests."""
        ids, unknown_id = tokens.ids, tokenizer.unknown_id
        blocks = ids.blocks() if isinstance(ids, TokenRows) else [ids]
        unknown = -1 if unknown_id is None else unknown_id
        counts = np.concatenate(
            [np.zeros(0, np.int64), *(_count_of(unknown, block) for block in blocks)]
        )
        sizes = lengths_of(ids)
        masked = np.zeros(len(sizes), bool) if tokens.masked is None else tokens.masked
        cut = ~tokens.shortened & (tokens.totals > sizes)
        return cls(sizes, counts, tokens.shortened & ~masked, cut, masked)

    @classmethod
    def joined(cls, parts: Sequence[ReadCounts]) -> ReadCounts:
        """Return the counts of parts as those of the whole."""
        return cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _count_of(token: int, ids: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """Return how often each row has a token."""
    flat, ends = flattened(ids)
    return np.diff(np.concatenate([[0], np.cumsum(flat == token)])[ends])


def reading_of(
    counts: ReadCounts, tokenizer: RequestTokenizer, encoder: Encoder | None = None
) -> Reading:
    """Return what was read; without an ``encoder``, what that leaves out is inside a bundle's graph
    and not known.
    """
    room = encoder.frame.room if isinstance(encoder, TransformerEncoder) else None
    return Reading(
        requests=len(counts.sizes),
        cut_by_chars=int(counts.shortened.sum()),
        cut_by_tokens=int(counts.cut.sum()),
        beyond_encoder=None if room is None else int((counts.sizes > room).sum()),
        encoder_tokens=room,
        max_tokens=tokenizer.max_tokens,
        unknown_tokens=float(counts.unknown.sum() / max(1, counts.sizes.sum())),
        mostly_unknown=int((counts.unknown > _MOSTLY * counts.sizes).sum()),
        masked=int(counts.masked.sum()),
    )
