"""Requests of an Arrow table, as :func:`difficulty.request.request_row` reads them from JSON.

Nearly all traffic is one user message a row: of such rows the text alone is made a Python object.
Every other row takes the road of all request files, so it means the same here as there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from difficulty.needs.request_needs import BODY_FIELDS
from difficulty.request import Request, RequestRow, read_count, request_row, unreadable_row
from difficulty.traffic.columnar import plain_rows, request_fields
from difficulty.traffic.table import pa

ASKED = ("messages", "prompt", "input")
READ = (
    *ASKED,
    *("id", "task", "prompt_tokens", "tools", "toolConfig", "checked", "held"),
    *BODY_FIELDS,
)
"""Columns that say what a request is; others are not read from the file."""
MOST_BYTES = 16_000_000
"""Of a request's texts, as of a call of the service: a larger one is told, and not scored."""
# With these alone a row can be read without the rest.
_QUICK = {"id", "messages", "prompt", "task", "prompt_tokens", "tools"}


@dataclass(frozen=True, slots=True)
class BlockRequests:
    """The requests of a table, one a row: columns of the plain ones, and the others as they are.

    Parameters
    ----------
    names : list of str
        The ``id`` of each row.
    texts : list of str or None
        Of each row that is one user message and nothing else; ``None``: it is one of ``others``.
    tasks : list of str or None
    counts : list of int or None
        Tokens as the row has them.
    others : dict of int to RequestRow
        By place.
    """

    names: list[str]
    texts: Sequence[str | None]
    tasks: list[str | None]
    counts: list[int | None]
    others: Mapping[int, RequestRow]

    @classmethod
    def of(cls, rows: Sequence[RequestRow]) -> BlockRequests:
        """Return requests that are read already."""
        none = [None] * len(rows)
        return cls([row.id for row in rows], none, [*none], [*none], dict(enumerate(rows)))

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[RequestRow]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, place: int) -> RequestRow:
        """Return one request."""
        if (row := self.others.get(place)) is not None:
            return row
        request = Request(self.texts[place] or "", self.tasks[place], self.counts[place])
        return RequestRow(self.names[place], request)


def requests_of(table: Any, *, first_row: int = 0) -> BlockRequests:
    """Return the requests of a table, one a row.

    Parameters
    ----------
    table : pyarrow.Table
        With ``messages``, ``prompt`` or ``input``, and perhaps more of :data:`READ`.
    first_row : int
        Rows of the file before the table; where a row has no ``id``, its number is one.
    """
    table = table.select([name for name in READ if name in table.column_names])
    large, n = _find_large(table), len(table)
    texts = _quick_texts(table)
    if texts is None:
        rows = [*_rows_of(table, range(first_row + 1, first_row + n + 1))]
        return BlockRequests.of(
            [
                row if not size else unreadable_row(row.id, too_large(size))
                for row, size in zip(rows, large, strict=True)
            ]
        )
    names = [
        str(name if isinstance(name, str | int | float) and name != "" else number)
        for number, name in enumerate(_column(table, "id", n), first_row + 1)
    ]
    others = {
        place: unreadable_row(names[place], too_large(size))
        for place, size in enumerate(large)
        if size
    }
    apart = [place for place, text in enumerate(texts) if text is None and place not in others]
    if apart:
        # All at once: an Arrow call for each would take longer than the reading.
        read = _rows_of(table.take(apart), [first_row + place + 1 for place in apart])
        others |= dict(zip(apart, read, strict=True))
    return BlockRequests(
        names,
        [None if size else text for text, size in zip(texts, large, strict=True)],
        [task or None for task in _column(table, "task", n)],
        [*map(read_count, _column(table, "prompt_tokens", n))],
        others,
    )


def too_large(size: int) -> str:
    """Return what is said of a request with too many bytes."""
    return f"a request must have at most {MOST_BYTES:,} bytes: got {size:,}"


def _rows_of(table: Any, numbers: Sequence[int]) -> Iterator[RequestRow]:
    forms = chain.from_iterable(map(plain_rows, table.to_batches()))
    for fields, number in zip(forms, numbers, strict=True):
        yield request_row(request_fields(fields), number, noun="row")


def _column(table: Any, name: str, n: int) -> list[Any]:
    return table.column(name).to_pylist() if name in table.column_names else [None] * n


def _quick_texts(table: Any) -> list[str | None] | None:
    """Return the text of each row that is one user message and nothing else, ``None`` for the
    others; ``None`` for all where the table says more, or says it otherwise.
    """
    names = set(table.column_names)
    if not names <= _QUICK or len(names & {*ASKED}) != 1:
        return None
    schema = table.schema
    if "task" in names and not _is_text(schema.field("task").type):
        return None
    if "prompt_tokens" in names and not pa.types.is_integer(schema.field("prompt_tokens").type):
        return None
    offered = table.column("tools").is_valid().to_pylist() if "tools" in names else None
    if "prompt" in names:
        if not _is_text(schema.field("prompt").type):
            return None
        texts: list[str | None] = table.column("prompt").to_pylist()
    else:
        found = _single_messages(table.column("messages"))
        if found is None:
            return None
        texts = found
    if offered is None:
        return list(texts)
    return [None if more else text for text, more in zip(texts, offered, strict=True)]


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _single_messages(column: Any) -> list[str | None] | None:
    """Return the content of each row that is one user message, of a column of lists of objects
    with ``role`` and ``content`` as text.
    """
    kind = column.type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if not is_list or not pa.types.is_struct(kind.value_type):
        return None
    parts = {field.name: field.type for field in kind.value_type}
    if parts.keys() != {"role", "content"} or not all(map(_is_text, parts.values())):
        return None
    texts: list[str | None] = []
    for chunk in column.chunks:
        values = chunk.flatten()  # those of valid rows alone
        roles, contents = values.field("role").to_pylist(), values.field("content").to_pylist()
        lengths = pa.compute.list_value_length(chunk).fill_null(0).to_numpy()
        ends = np.cumsum(lengths).tolist()
        for end, length in zip(ends, lengths.tolist(), strict=True):
            is_plain = length == 1 and roles[end - 1] == "user"
            texts.append(contents[end - 1] if is_plain else None)
    return texts


def _find_large(table: Any) -> list[int]:
    """Return the bytes of each request that has too many; 0 for the others."""
    if table.nbytes <= MOST_BYTES:  # one request has no more than all
        return [0] * len(table)
    if len(table) == 1:
        return [table.nbytes]
    half = len(table) // 2
    return _find_large(table.slice(0, half)) + _find_large(table.slice(half))
