"""Read Parquet and saved datasets, in batches. A null is unknown; a NaN is a value, and is judged
as one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

from difficulty.errors import MissingExtraError, TrafficError, TrafficNotFoundError
from difficulty.kinds import PathKind, kind_of
from difficulty.request import (
    RequestRow,
    names_requests,
    read_requests,
    request_row,
    unreadable_row,
)
from difficulty.text import quantity_text
from difficulty.traffic.lines import LARGEST_RATIO
from difficulty.traffic.readers import RawRow, read_rows, readable_files, refuse_wide
from difficulty.traffic.table import VERSION_KEY, pa, pq
from difficulty.views.marks import with_marks

# Small, because a row may hold megabytes of text, and a dictionary one of them for all rows.
_BATCH_ROWS = 64
_MOST_ENTRIES = 10_000_000  # of a column of a row group, however few bytes they take
_HARMLESS = 2**30  # bytes that a row group may take, however well it is packed
_MAY_HOLD_REQUESTS = (PathKind.ROWS, PathKind.TRAFFIC, PathKind.LOG, PathKind.FOLDER, PathKind.FILE)
_AS_JSON = ("messages", "tools", "held", "response_format", "metadata", "languages", "residency")
_AS_COUNT = ("prompt_tokens", "max_tokens", "max_completion_tokens", "max_output_tokens")
_MOST_DIGITS = 19


def read_parquet(path: Path) -> Iterator[RawRow]:
    """Yield one row a record. A file that ``ingest`` wrote gives its samples back as they came
    in.
    """
    try:
        with pq.ParquetFile(path) as file:
            _refuse_bomb(path, file.metadata)
            # Which of the two holds the key depends on the library that wrote the file.
            metadata = (file.schema_arrow.metadata or {}) | (file.metadata.metadata or {})
            before_ingest = _before_ingest if VERSION_KEY in metadata else dict
            batches = file.iter_batches(batch_size=_BATCH_ROWS)
            rows = chain.from_iterable(map(plain_rows, batches))
            for number, fields in enumerate(rows, start=1):
                yield RawRow(str(path), number, before_ingest(fields))
    except pa.ArrowException as error:
        raise TrafficError(
            f"{path} must be a Parquet file: {str(error).rstrip('.')}. Check that the file is"
            " complete."
        ) from error
    # Times that Python has none of, and an 'extra' that ingest did not write.
    except (TypeError, OverflowError, RecursionError, json.JSONDecodeError) as error:
        raise TrafficError(
            f"{path} must hold values that Python has: {error}. Check where the file comes from."
        ) from error


def read_request_rows(path: Path) -> Iterator[RequestRow]:
    """Yield the requests of a file to decide on, in order: JSON lines as
    :func:`~difficulty.request.read_requests` reads them, or any type of file that traffic is read
    from (Parquet, CSV, a saved dataset, a folder of such), ingested or with the same columns.
    """
    if str(path) == "-" or names_requests(path):
        yield from read_requests(path)
        return
    if not path.exists():
        raise TrafficNotFoundError(f"no request file at {str(path)!r}. Check the path.")
    if (kind := kind_of(path)) not in _MAY_HOLD_REQUESTS:
        raise TrafficError(
            f"{str(path)!r} must hold requests: it is {kind}. Name the file that they stand in."
        )
    rows = chain.from_iterable(map(read_rows, readable_files(path)))
    for number, row in enumerate(rows, start=1):
        if row.fields is None:
            yield unreadable_row(str(number), f"row {number}: {row.problem}")
        else:
            yield request_row(request_fields(row.fields), number, noun="row")


def request_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a row with what a table can hold as text only as what it says; what
    says nothing of the kind stays as it is.
    """
    read = dict(fields)
    for name, text in fields.items():
        if not isinstance(text, str):
            continue
        if name in _AS_JSON and text.lstrip()[:1] in ("[", "{"):
            with suppress(ValueError, RecursionError):
                read[name] = json.loads(text)
        elif name in _AS_COUNT and text.isdecimal() and len(text) <= _MOST_DIGITS:
            read[name] = int(text)
        elif name == "checked":
            read[name] = text.strip().lower() not in ("false", "0", "no")
    return read


def _refuse_bomb(path: Path, metadata: Any) -> None:
    refuse_wide(path, metadata.num_columns)
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        packed = sum(group.column(i).total_compressed_size for i in range(group.num_columns))
        if group.total_byte_size > max(_HARMLESS, LARGEST_RATIO * packed):
            raise TrafficError(
                f"{path} must hold row groups of at most 1 GiB, or packed up to {LARGEST_RATIO}"
                f" times: group {number} has {group.total_byte_size // 2**20:,} MiB out of"
                f" {packed / 2**20:,.1f} MiB. Check where the file comes from."
            )
        # Nulls and empty lists take no bytes at all there, and a list of them memory for each.
        entries = max((group.column(i).num_values for i in range(group.num_columns)), default=0)
        if entries > max(_MOST_ENTRIES, LARGEST_RATIO * packed) and entries > 64 * group.num_rows:
            raise TrafficError(
                f"{path} must hold lists of traffic: a column of group {number} has"
                f" {entries:,} entries in {quantity_text(group.num_rows, 'row')}, out of"
                f" {packed / 2**20:,.1f} MiB. Check where the file comes from."
            )


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
    # Unsafe: what is cut off are nanoseconds.
    return list(batch.cast(pa.schema(fields), safe=False).to_pylist())


def _before_ingest(fields: dict[str, Any]) -> dict[str, Any]:
    """Undo what the writer adds: groups are found again, and unknown columns stand beside the
    others.
    """
    extra = json.loads(fields.pop("extra", None) or "{}")
    # Keys are found again, together with those of the new rows.
    fields.pop("split_group", None)
    fields.pop("near_groups", None)
    marks = fields.pop("marks", None)
    if marks:
        fields["messages"] = with_marks(fields["messages"], marks)
    return {**extra, **fields}


def read_saved_dataset(path: Path) -> Iterator[RawRow]:
    """Yield the rows of every split, in order; images and audio in other columns are not
    decoded.
    """
    for source, dataset in _splits(path):
        refuse_wide(source, len(dataset.features))
        # The Arrow form leaves media columns as stored bytes, and the files stay memory-mapped.
        batches = dataset.with_format("arrow").iter(batch_size=_BATCH_ROWS)
        for number, fields in enumerate(chain.from_iterable(map(plain_rows, batches)), start=1):
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
    # Several splits are read one after the other; which is which stands in the source of a row.
    if isinstance(loaded, DatasetDict):
        return [(f"{path}:{name}", split) for name, split in loaded.items()]
    return [(str(path), loaded)]
