"""The hash by which traffic is known, whatever file it lies in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from difficulty.engine import LocalEngine
from difficulty.engine.threads import count_cores
from difficulty.traffic.stored.text_columns import pa

if TYPE_CHECKING:
    import pyarrow

_MANY_ROWS = 131_072
"""From so many on other processes pay for their start."""


def hash_of(batches: Iterable[pyarrow.Table], *, version: int, n_rows: int) -> str:
    """Return SHA-256 over the version and the JSON of each batch, 64 hex digits.

    JSON of the values, not the bytes of Arrow, which differ with its version. One batch is hashed
    while the next is written out; of many rows by a process a core.
    """
    digest = sha256(f"difficulty.traffic.{version}\n".encode())
    with ThreadPoolExecutor(1) as pool:
        hashing: Future[None] | None = None
        for text in _written(batches, n_rows):
            if hashing:
                hashing.result()
            hashing = pool.submit(digest.update, text)
    return digest.hexdigest()


def _written(batches: Iterable[pyarrow.Table], n_rows: int) -> Iterable[bytes]:
    if n_rows < _MANY_ROWS:
        return map(_write, batches)
    # As a stream: a slice of a table would take the whole of it along.
    blocks = map(_packed, batches)
    return LocalEngine(processes=count_cores()).map_blocks(_open_writer, blocks)


def _packed(batch: pyarrow.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_table(batch)
    return bytes(sink.getvalue().to_pybytes())


def _open_writer() -> Callable[[bytes], bytes]:
    return _unpack_and_write


def _unpack_and_write(block: bytes) -> bytes:
    return _write(pa.ipc.open_stream(block).read_all())


def _write(batch: pyarrow.Table) -> bytes:
    return json.dumps(batch.to_pydict(), sort_keys=True, default=datetime.isoformat).encode()
