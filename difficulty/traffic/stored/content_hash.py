"""The hash by which traffic is known, whatever file it lies in."""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow


def hash_of(batches: Iterable[pyarrow.RecordBatch], *, version: int) -> str:
    """Return SHA-256 over the version and the JSON of each batch, 64 hex digits.

    JSON of the values, not the bytes of Arrow, which differ with its version. One batch is hashed
    while the next is written out.
    """
    digest = sha256(f"difficulty.traffic.{version}\n".encode())
    with ThreadPoolExecutor(1) as pool:
        hashing: Future[None] | None = None
        for batch in batches:
            text = json.dumps(batch.to_pydict(), sort_keys=True, default=datetime.isoformat)
            if hashing:
                hashing.result()
            hashing = pool.submit(digest.update, text.encode())
    return digest.hexdigest()
