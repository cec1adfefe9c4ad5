"""Columns of text that stay in the traffic's file: a million requests with their answers are
gigabytes, and every step reads them once, in order.

What is asked for is read a row group at a time. The file is held open, so that it may be moved or
replaced meanwhile.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import MissingExtraError, TrafficError
from difficulty.views.marks import with_marks

try:
    import pyarrow
    import pyarrow.compute
    import pyarrow.parquet
except ImportError as error:  # pragma: no cover - the base install
    raise MissingExtraError(
        "working with traffic files", package="pyarrow", extra="train"
    ) from error

pa, pq = pyarrow, pyarrow.parquet

TEXTS = ("messages", "cheap_answer", "frontier_answer", "tools", "extra")
"""Columns without a bound on what stands in a row."""
ASKED = ("messages", "marks", "tools")
ANSWERED = ("messages", "tools", "task", "cheap_answer")
MOST_IN_MEMORY = 1 << 26
"""Bytes of a file's columns, unpacked, that are read whole."""
_GROUPS_KEPT = 2


def is_large(file: pyarrow.parquet.ParquetFile) -> bool:
    """Return whether texts of a file are to stay in it."""
    metadata = file.metadata
    sizes = (metadata.row_group(place).total_byte_size for place in range(metadata.num_row_groups))
    return int(sum(sizes)) > MOST_IN_MEMORY


class TextColumns:
    """The text columns of some rows of an ingested file.

    Parameters
    ----------
    file : ParquetFile
        Open, and written by ``ingest``.
    rows : ndarray of shape (n,), int64, optional
        Places in the file; all of them by default.
    """

    def __init__(
        self, file: pyarrow.parquet.ParquetFile, rows: NDArray[np.int64] | None = None
    ) -> None:
        metadata = file.metadata
        self._file = file
        self._rows = np.arange(metadata.num_rows) if rows is None else rows
        sizes = [metadata.row_group(place).num_rows for place in range(metadata.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    def at(self, rows: NDArray[np.int64]) -> TextColumns:
        """Return some of the rows."""
        return TextColumns(self._file, self._rows[rows])

    def batches(self, names: Sequence[str], size: int) -> Iterator[pyarrow.Table]:
        """Yield some columns, ``size`` rows at a time.

        Raises
        ------
        TrafficError
            If a row group cannot be read.
        """
        kept: OrderedDict[int, pyarrow.Table] = OrderedDict()
        for start in range(0, len(self._rows), size):
            yield self._read(self._rows[start : start + size], names, kept)

    def _read(
        self, rows: NDArray[np.int64], names: Sequence[str], kept: OrderedDict[int, Any]
    ) -> pyarrow.Table:
        """Return some rows; row groups are taken from those kept, the newest two stay."""
        order = np.argsort(rows, kind="stable")
        ascending = rows[order]
        groups = np.searchsorted(self._starts, ascending, side="right") - 1
        cuts = [0, *(np.flatnonzero(np.diff(groups)) + 1).tolist(), len(rows)]
        parts = []
        for first, last in pairwise(cuts):
            if first == last:
                continue
            place = int(groups[first])
            if place not in kept:
                kept[place] = self._group(place, names)
                while len(kept) > _GROUPS_KEPT:
                    kept.popitem(last=False)
            parts.append(kept[place].take(pa.array(ascending[first:last] - self._starts[place])))
        if not parts:
            return self._file.schema_arrow.empty_table().select(list(names))
        table = pa.concat_tables(parts)
        if (np.diff(order) == 1).all():
            return table
        return table.take(pa.array(np.argsort(order)))

    def _group(self, place: int, names: Sequence[str]) -> pyarrow.Table:
        there = [name for name in names if name in self._file.schema_arrow.names]
        try:
            table = self._file.read_row_group(place, columns=there, use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise TrafficError(
                f"row group {place} of the traffic, from row"
                f" {int(self._starts[place]) + 1:,} on, cannot be read: {error}. Ingest again."
            ) from error
        return with_missing(table.select(there), names)


def marked_messages(batch: pyarrow.Table) -> list[list[dict[str, str]]]:
    """Return the messages of a batch with their marks in them."""
    messages, marks = batch.column("messages").to_pylist(), batch.column("marks")
    if marks.null_count == len(batch):  # nearly all traffic
        return list(messages)
    return [*map(with_marks, messages, marks.to_pylist())]


def asked_of(batch: pyarrow.Table) -> tuple[list[Any], list[Any]]:
    """Return messages with their marks, and offered tools, of a batch with ``ASKED``."""
    tools = batch.column("tools").to_pylist()
    return marked_messages(batch), [json.loads(text) if text else None for text in tools]


def answered_of(batch: pyarrow.Table) -> list[tuple[Any, Any, str | None, str]]:
    """Return messages, tools, task and the cheap model's answer of a batch with ``ANSWERED``."""
    messages, tools, tasks, answers = (batch.column(name).to_pylist() for name in ANSWERED)
    offered = [json.loads(text) if text else None for text in tools]
    return list(zip(messages, offered, tasks, answers, strict=True))


def as_sent(batch: pyarrow.Table) -> bytes:
    """Return a batch as another process is sent it: of a slice its rows alone."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_table(batch)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def received(content: bytes) -> pyarrow.Table:
    """Return the batch that was sent."""
    with pa.ipc.open_stream(content) as stream:
        return stream.read_all()


def with_missing(table: pyarrow.Table, names: Sequence[str]) -> pyarrow.Table:
    """Return a table with some columns, all unknown where an earlier version wrote none."""
    for name in names:
        if name not in table.schema.names:
            table = table.append_column(name, pa.nulls(len(table), pa.large_string()))
    return table.select(list(names))
