"""Columns that stay in the traffic's file: a million requests with their answers are gigabytes, ten
million are without them, and every step reads what it needs once, in order.

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
_COLUMN_ROWS = 1 << 16


def is_large(file: pyarrow.parquet.ParquetFile) -> bool:
    """Return whether the columns of a file are to stay in it."""
    metadata = file.metadata
    sizes = (metadata.row_group(place).total_byte_size for place in range(metadata.num_row_groups))
    return int(sum(sizes)) > MOST_IN_MEMORY


class StoredColumns:
    """The columns of some rows of an ingested file.

    Parameters
    ----------
    file : ParquetFile
        Open, and written by ``ingest``.
    schema : Schema
        Of all columns; those that the file lacks are unknown.
    rows : ndarray of shape (n,), int64, optional
        Places in the file; all of them by default.
    """

    def __init__(
        self,
        file: pyarrow.parquet.ParquetFile,
        schema: pyarrow.Schema,
        rows: NDArray[np.int64] | None = None,
    ) -> None:
        metadata = file.metadata
        self._file, self._schema = file, schema
        self._rows = rows
        sizes = [metadata.row_group(place).num_rows for place in range(metadata.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    def __len__(self) -> int:
        return int(self._starts[-1]) if self._rows is None else len(self._rows)

    def at(self, rows: NDArray[np.int64]) -> StoredColumns:
        """Return some of the rows."""
        places = rows if self._rows is None else self._rows[rows]
        return StoredColumns(self._file, self._schema, places)

    def column(self, name: str) -> Iterator[pyarrow.ChunkedArray]:
        """Yield a column, some row groups at a time."""
        for batch in self.batches([name], _COLUMN_ROWS):
            yield batch.column(0)

    def batches(self, names: Sequence[str], size: int) -> Iterator[pyarrow.Table]:
        """Yield some columns, ``size`` rows at a time.

        Raises
        ------
        TrafficError
            If a row group cannot be read.
        """
        kept: OrderedDict[int, pyarrow.Table] = OrderedDict()
        for start in range(0, len(self), size):
            stop = min(start + size, len(self))
            rows = np.arange(start, stop) if self._rows is None else self._rows[start:stop]
            yield self._read(rows, names, kept)

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
            inside = ascending[first:last] - self._starts[place]
            if (
                len(inside) == kept[place].num_rows == inside[-1] + 1
                and (np.diff(inside) == 1).all()
            ):
                parts.append(kept[place])
            else:
                parts.append(kept[place].take(pa.array(inside)))
        if not parts:
            return self._schema.empty_table().select(list(names))
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
                f" {int(self._starts[place]) + 1:,} on, cannot be read: {str(error).rstrip('.')}."
                " Ingest again."
            ) from error
        n = int(self._starts[place + 1] - self._starts[place])
        for name in names:
            if name not in there:
                nothing = pa.nulls(n, self._schema.field(name).type)
                table = (
                    table.append_column(name, nothing)
                    if table.num_columns
                    else pa.table({name: nothing})
                )
        return table.select(list(names))


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
