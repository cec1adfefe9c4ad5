"""A folder written by ``save_to_disk`` of the ``datasets`` library, one split or several, read
shard by shard.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from difficulty.errors import MissingExtraError, TrafficError
from difficulty.traffic.readers.parquet import plain_rows
from difficulty.traffic.readers.raw import RawRow

_BATCH_ROWS = 512


def read_saved_dataset(path: Path) -> Iterator[RawRow]:
    """Yield the rows of every split, in order; images and audio in other columns are not
    decoded.
    """
    for source, dataset in _splits(path):
        number = 0
        # The Arrow form leaves media columns as stored bytes, and the files stay memory-mapped.
        for batch in dataset.with_format("arrow").iter(batch_size=_BATCH_ROWS):
            for fields in plain_rows(batch):
                number += 1
                yield RawRow(source, number, fields)


def _splits(path: Path) -> list[tuple[str, Any]]:
    try:
        from datasets import DatasetDict, load_from_disk
    except ImportError as error:
        raise MissingExtraError(
            "reading a saved dataset", package="datasets", extra="train"
        ) from error
    try:
        loaded = load_from_disk(str(path))
    except Exception as error:  # the library raises whatever its readers meet in a damaged folder
        raise TrafficError(
            f"{path} must be a folder saved by the datasets library: {error}. Save it again."
        ) from error
    if isinstance(loaded, DatasetDict):
        return [(f"{path}:{name}", split) for name, split in loaded.items()]
    return [(str(path), loaded)]
