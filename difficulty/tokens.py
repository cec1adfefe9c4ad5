"""Texts to token ids, the same way in training and serving.

The tokenizer is a Hugging Face ``tokenizer.json``. A text of more than ``max_tokens`` tokens keeps
its first ``max_tokens - max_tokens // 2`` and its last ``max_tokens // 2`` ids: requests put the
task at one end and the question at the other.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from difficulty.wordpiece import WordIds

IntArray = NDArray[np.int64]


class TokenIds(NamedTuple):
    """Token ids of one text."""

    ids: list[int]
    total: int
    """Number of tokens before head and tail were kept."""


class RequestTokenizer:
    """A Hugging Face tokenizer with the head-and-tail cut.

    Parameters
    ----------
    tokenizer : tokenizers.Tokenizer
        Loaded tokenizer; its own truncation and padding are switched off.
    max_tokens : int, default 512
        Most ids the scorer sees.
    """

    def __init__(self, tokenizer: Tokenizer, *, max_tokens: int = 512) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self._head = max_tokens - max_tokens // 2
        self._tail = max_tokens // 2
        self._words = WordIds(tokenizer)

    @classmethod
    def from_file(cls, path: Path, *, max_tokens: int = 512) -> RequestTokenizer:
        """Load ``tokenizer.json``."""
        return cls(Tokenizer.from_file(str(path)), max_tokens=max_tokens)

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, added tokens included."""
        return int(self.tokenizer.get_vocab_size(with_added_tokens=True))

    @cached_property
    def unknown_id(self) -> int | None:
        """The id that stands for whatever the vocabulary does not hold; ``None`` for a tokenizer
        that needs none.
        """
        model = json.loads(self.tokenizer.to_str())["model"]
        if model.get("unk_id") is not None:
            return int(model["unk_id"])
        token = model.get("unk_token")
        found = self.tokenizer.token_to_id(token) if token else None
        return None if found is None else int(found)

    def encode(self, text: str) -> TokenIds:
        """Return the ids of one text."""
        ids = self._words(text)
        if ids is None:
            ids = self.tokenizer.encode_batch_fast([text])[
                0
            ].ids  # the one call that does not track offsets
        return self._cut(ids)

    def forget(self) -> None:
        """Drop the words that are kept for :meth:`encode`: they come back as they are met."""
        self._words.forget()

    def encode_batch(self, texts: Sequence[str]) -> list[TokenIds]:
        """Return the ids of many texts, in order."""
        return [
            self._cut(encoding.ids) for encoding in self.tokenizer.encode_batch_fast(list(texts))
        ]

    def _cut(self, ids: list[int]) -> TokenIds:
        total = len(ids)
        if total <= self.max_tokens:
            return TokenIds(ids, total)
        return TokenIds(ids[: self._head] + ids[total - self._tail :], total)


def pad(rows: Sequence[Sequence[int]]) -> tuple[IntArray, IntArray]:
    """Return ``input_ids`` and ``attention_mask``, both int64 of shape (n_rows, longest row, at
    least 1).
    """
    width = max((len(row) for row in rows), default=0) or 1
    ids = np.zeros((len(rows), width), dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
    return ids, mask
