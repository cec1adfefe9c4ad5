"""Answers of many requests to their facts and token ids, a block of a few thousand at a time.

In this process, or in others, which are to import nothing that learns; the rows are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from difficulty.answers.answer import Answer, Asked
from difficulty.answers.facts import FACTS, read_facts
from difficulty.engine import Engine
from difficulty.text import TextView
from difficulty.tokens import RequestTokenizer, flattened
from difficulty.traffic.stored.text_columns import answered_of, received

_Block: TypeAlias = "tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int64]]"
"""Facts of some answers, their token ids, and how many each has."""


def read_answers(
    blocks: Iterable[bytes],
    view: TextView,
    tokenizer: RequestTokenizer,
    *,
    engine: Engine | None = None,
) -> dict[str, NDArray[Any]]:
    """Return facts, token ids and where those of each answer end, by these names.

    Parameters
    ----------
    blocks : iterable of bytes
        Messages, tools, task and answer of some requests, as ``Traffic.sent`` yields them.
    view, tokenizer
        As requests are read.
    engine : Engine, optional
        Where blocks are read; by default here.
    """
    if engine is None or engine.workers == 1:
        each: Iterable[_Block] = map(partial(_read_block, view, tokenizer), blocks)
    else:
        asked = tokenizer.tokenizer.to_str(), tokenizer.max_tokens
        each = engine.map_blocks(partial(_open_reader, view, *asked), blocks)
    first = np.zeros((0, len(FACTS)), np.float32), np.zeros(0, np.int32), np.zeros(1, np.int64)
    facts, flat, sizes = (np.concatenate(one) for one in zip(first, *each, strict=True))
    return {"facts": facts, "flat": flat, "ends": np.cumsum(sizes)}


def _open_reader(view: TextView, tokenizer: str, max_tokens: int) -> Callable[[bytes], _Block]:
    own = RequestTokenizer.from_text(tokenizer, max_tokens=max_tokens)
    return partial(_read_block, view, own)


def _read_block(view: TextView, tokenizer: RequestTokenizer, sent: bytes) -> _Block:
    """Read what some requests ask and what was answered."""
    rows = answered_of(received(sent))
    facts, texts = np.zeros((len(rows), len(FACTS)), dtype=np.float32), []
    for row, (messages, tools, task, text) in enumerate(rows):
        answer = Answer.parse(text)
        asked = Asked.of({"messages": messages, "tools": tools}, task=task)
        facts[row] = read_facts(asked, answer)
        texts.append(view.plain(answer.as_text()).text)
    flat, ends = flattened([row.ids for row in tokenizer.encode_batch(texts)])
    return facts, flat, np.diff(ends)
