"""Token ids of traffic, with what is to be known of each request beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.conversation.request_numbers import NUMBERS
from difficulty.engine import Engine
from difficulty.metrics.coded_names import CodedNames, pick_names
from difficulty.text import TextView
from difficulty.tokens import RequestTokenizer, TokenRows, pick
from difficulty.traffic.stored.text_columns import ASKED
from difficulty.traffic.stored.token_reading import read_tokens

if TYPE_CHECKING:
    from difficulty.traffic.table import Traffic


class Tokenized(NamedTuple):
    """Token ids of n requests, cut to the scorer's limit, how many tokens each has in all, and
    their tasks.
    """

    ids: Sequence[Sequence[int]]
    """With the numbers of requests that offer functions, see
    :class:`~difficulty.conversation.request_numbers.NumberedIds`.
    """
    totals: NDArray[np.int64]
    tasks: Sequence[str | None]
    """``None`` also for a request of which the tokenizer keeps nothing: serving does not score
    those.
    """
    shortened: NDArray[np.bool_]
    """Whether the text is not the whole request's, so that the total is an estimate."""
    masked: NDArray[np.bool_] | None = None
    """Whether that is so as context was left out alone, and nothing was cut; ``None``: of none."""

    def as_arrays(self) -> dict[str, NDArray[Any]]:
        """Return all but the tasks, as :meth:`of_arrays` reads it."""
        ids = self.ids if isinstance(self.ids, TokenRows) else TokenRows(self.ids, "")
        having = sorted(
            place for place, numbers in ids.numbers.items() if not np.isnan(numbers).all()
        )
        numbers = np.full((len(having), len(NUMBERS)), np.nan, dtype=np.float32)
        for place, row in enumerate(having):
            numbers[place] = ids.numbers[row]
        arrays: dict[str, NDArray[Any]] = {
            "flat": ids.flat,
            "ends": ids.ends,
            "rows": np.array(having, dtype=np.int64),
            "numbers": numbers,
        }
        masked = np.zeros(len(ids), bool) if self.masked is None else self.masked
        return arrays | {"totals": self.totals, "shortened": self.shortened, "masked": masked}

    @classmethod
    def of_arrays(
        cls, arrays: Mapping[str, NDArray[Any]], tasks: Sequence[str | None], tokenizer: str
    ) -> Tokenized:
        """Return what :meth:`as_arrays` said, of requests with these tasks."""
        numbers = dict(zip(arrays["rows"].tolist(), arrays["numbers"], strict=True))
        ids = TokenRows.of(arrays["flat"], arrays["ends"], tokenizer, numbers)
        known = _of_read(tasks, ids)
        return cls(ids, arrays["totals"], known, arrays["shortened"], arrays["masked"])

    def at(self, rows: NDArray[np.intp]) -> Tokenized:
        """Return some requests."""
        return Tokenized(
            pick(self.ids, rows),
            self.totals[rows],
            pick_names(self.tasks, rows),
            self.shortened[rows],
            None if self.masked is None else self.masked[rows],
        )


def tokenize(
    traffic: Traffic,
    *,
    view: TextView,
    tokenizer: RequestTokenizer,
    engine: Engine | None = None,
    progress: Callable[[int], None] | None = None,
) -> Tokenized:
    """Return the token ids of all requests; the parameters are those of
    :func:`~difficulty.traffic.stored.token_reading.read_tokens`.
    """
    read = read_tokens(traffic.sent(ASKED), view, tokenizer, engine=engine, progress=progress)
    tasks = _of_read(traffic.tasks, read.ids)
    return Tokenized(read.ids, read.totals, tasks, read.shortened, read.shortened & ~read.cut)


def _of_read(tasks: Sequence[str | None], ids: TokenRows) -> Sequence[str | None]:
    """Return the tasks of the requests of which there are tokens, and ``None`` of the others."""
    if isinstance(tasks, CodedNames):
        nothing = ids.lengths == 0
        return tasks.without(nothing) if nothing.any() else tasks
    sizes = ids.lengths.tolist()
    return [task if size else None for task, size in zip(tasks, sizes, strict=True)]
