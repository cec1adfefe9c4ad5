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
from difficulty.storage.mapped import GrowingRows
from difficulty.text import TextView
from difficulty.tokens import Numbers, RequestTokenizer, TokenRows, flattened
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
    sizes: NDArray[np.int32]
    totals: NDArray[np.int32]
    shortened: NDArray[np.bool_]
    cut: NDArray[np.bool_]
    numbers: dict[int, Numbers]


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
    columns = [[np.zeros(0, each)] for each in (np.int32, np.int32, bool, bool)]
    flat, numbers, done = GrowingRows(np.int32), dict[int, Numbers](), 0
    for part in parts:
        flat.add(part.flat)
        for column, block in zip(columns, part[1:-1], strict=True):
            column.append(block)
        numbers |= {done + place: found for place, found in part.numbers.items()}
        done += len(part.sizes)
        if progress:
            progress(done)
    sizes, totals, shortened, cut = map(np.concatenate, columns)
    ends = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=ends[1:])
    ids = TokenRows.of(flat.whole(), ends, tokenizer.digest, numbers)
    return ReadTokens(ids, totals.astype(np.int64), shortened, cut)


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
        np.diff(ends).astype(np.int32),
        np.array(totals, dtype=np.int32),
        np.array([text.shortened for text in texts], dtype=bool),
        np.array([text.truncated for text in texts], dtype=bool),
        {place: numbers for place, numbers in found if numbers is not None},
    )
