"""Parquet, in batches. A null is unknown; a NaN is a value, and is judged as one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from difficulty.errors import TrafficError
from difficulty.traffic.columns import VERSION_KEY, pa, pq
from difficulty.traffic.readers.raw import RawRow

_BATCH_ROWS = 512


def read_parquet(path: Path) -> Iterator[RawRow]:
    """Yield one row a record. A file that ``ingest`` wrote gives its samples back as they came
    in.
    """
    try:
        with pq.ParquetFile(path) as file:
            ingested = VERSION_KEY in (file.schema_arrow.metadata or {}) or VERSION_KEY in (
                file.metadata.metadata or {}
            )
            number = 0
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                for fields in plain_rows(batch):
                    number += 1
                    yield RawRow(str(path), number, _before_ingest(fields) if ingested else fields)
    except pa.ArrowException as error:
        raise TrafficError(
            f"{path} must be a Parquet file: {error}. Check that the file is complete."
        ) from error


def plain_rows(batch: Any) -> list[dict[str, Any]]:
    """Return the rows of an Arrow batch; times in nanoseconds, which Python has none of, become
    microseconds.
    """
    fields = [
        field.with_type(pa.timestamp("us", tz=field.type.tz))
        if pa.types.is_timestamp(field.type)
        else field
        for field in batch.schema
    ]
    return list(batch.cast(pa.schema(fields), safe=False).to_pylist())


def _before_ingest(fields: dict[str, Any]) -> dict[str, Any]:
    """Undo what the writer adds: groups are found again, and unknown columns stand beside the
    others.
    """
    extra = json.loads(fields.pop("extra", None) or "{}")
    fields.pop("split_group", None)
    fields.pop("near_groups", None)
    return {**extra, **fields}
