"""Texts of many requests to token ids, a block of a few thousand at a time.

In this process, or in others: the rows are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.conversation.request_numbers import read_numbers
from difficulty.engine import Engine
from difficulty.text import TextView
from difficulty.tokens import RequestTokenizer, TokenRows, flattened
from difficulty.traffic.stored.text_columns import asked_of, received


class ReadTokens(NamedTuple):
    """What was read of n requests."""

    ids: TokenRows
    totals: NDArray[np.int64]
    """Tokens of the whole request, an estimate where the text was shortened."""
    shortened: NDArray[np.bool_]
    cut: NDArray[np.bool_]
    """Whether some of it was cut, and not just left out as context."""


class _TokenBlock(NamedTuple):
    flat: NDArray[np.int32]
    sizes: NDArray[np.int64]
    totals: NDArray[np.int64]
    shortened: NDArray[np.bool_]
    cut: NDArray[np.bool_]
    numbers: dict[int, NDArray[np.float32]]


def read_tokens(
    blocks: Iterable[bytes],
    view: TextView,
    tokenizer: RequestTokenizer,
    *,
    engine: Engine | None = None,
    progress: Callable[[int], None] | None = None,
) -> ReadTokens:
    """Return the token ids of requests.

    Parameters
    ----------
    blocks : iterable of bytes
        Messages, marks and offered tools of some requests, as ``Traffic.sent`` yields them.
    view : TextView
    tokenizer : RequestTokenizer
    engine : Engine, optional
        Where blocks are read; by default here.
    progress : callable, optional
        Told how many requests are read.
    """
    if engine is None or engine.workers == 1:
        parts: Iterable[_TokenBlock] = map(partial(_read, view, tokenizer), blocks)
    else:
        asked = tokenizer.tokenizer.to_str(), tokenizer.max_tokens
        parts = engine.map_blocks(partial(_open, view, *asked), blocks)
    read, numbers, done = [_NOTHING], dict[int, NDArray[np.float32]](), 0
    for part in parts:
        read.append(part)
        numbers |= {done + place: found for place, found in part.numbers.items()}
        done += len(part.sizes)
        if progress:
            progress(done)
    flat, sizes, totals, shortened, cut = (
        np.concatenate(columns) for columns in list(zip(*read, strict=True))[:-1]
    )
    ends = np.concatenate([[0], np.cumsum(sizes)])
    ids = TokenRows.of(flat, ends, tokenizer.digest, numbers)
    return ReadTokens(ids, totals, shortened, cut)


def _open(view: TextView, tokenizer: str, max_tokens: int) -> Callable[[bytes], _TokenBlock]:
    return partial(_read, view, RequestTokenizer.from_text(tokenizer, max_tokens=max_tokens))


def _read(view: TextView, tokenizer: RequestTokenizer, block: bytes) -> _TokenBlock:
    messages, tools = asked_of(received(block))
    texts = [view(each) for each in messages]
    rows = tokenizer.encode_batch([text.text for text in texts])
    totals = [text.whole(row.total) for text, row in zip(texts, rows, strict=True)]
    questions = (text.question for text in texts)
    found = enumerate(map(read_numbers, messages, tools, questions))
    flat, ends = flattened([row.ids for row in rows])
    return _TokenBlock(
        flat,
        np.diff(ends),
        np.array(totals, dtype=np.int64),
        np.array([text.shortened for text in texts], dtype=bool),
        np.array([text.truncated for text in texts], dtype=bool),
        {place: numbers for place, numbers in found if numbers is not None},
    )


_NOTHING = _TokenBlock(
    np.zeros(0, np.int32),
    np.zeros(0, np.int64),
    np.zeros(0, np.int64),
    np.zeros(0, bool),
    np.zeros(0, bool),
    {},
)
