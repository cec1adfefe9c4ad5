"""Traffic as token ids: what models are fitted on and compared by."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.text import TextView
from difficulty.tokens import RequestTokenizer
from difficulty.traffic.table import Traffic


class Tokenized(NamedTuple):
    """Token ids of n requests, cut to the scorer's limit, how many tokens each has in all, and
    their tasks.
    """

    ids: list[list[int]]
    totals: NDArray[np.int64]
    tasks: list[str | None]
    """``None`` also for a request of which the tokenizer keeps nothing: serving does not score
    those.
    """
    shortened: NDArray[np.bool_]
    """Whether the text was cut before it was tokenized, so that the total is an estimate."""

    def at(self, rows: NDArray[np.intp]) -> Tokenized:
        """Return some requests."""
        return Tokenized(
            [self.ids[row] for row in rows],
            self.totals[rows],
            [self.tasks[row] for row in rows],
            self.shortened[rows],
        )


def tokenize(traffic: Traffic, *, view: TextView, tokenizer: RequestTokenizer) -> Tokenized:
    """Return the token ids of all requests."""
    texts = traffic.views(view)
    rows = tokenizer.encode_batch([text.text for text in texts])
    totals = [text.whole(row.total) for text, row in zip(texts, rows, strict=True)]
    tasks = [task if row.ids else None for task, row in zip(traffic.tasks, rows, strict=True)]
    shortened = np.array([text.truncated for text in texts], dtype=bool)
    return Tokenized([row.ids for row in rows], np.array(totals, dtype=np.int64), tasks, shortened)
