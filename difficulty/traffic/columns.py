"""The columns of ingested traffic: the Parquet schema that the writer writes and
:class:`~difficulty.traffic.table.Traffic` reads.

The file metadata carries ``difficulty.traffic.version``. To change a column, raise ``VERSION`` and
keep reading the older ones in ``table.py``; a reader refuses a version it does not know.
"""

from __future__ import annotations

from difficulty.errors import MissingExtraError

try:
    import pyarrow
    import pyarrow.parquet
except ImportError as error:  # pragma: no cover - the base install
    raise MissingExtraError(
        "working with traffic files", package="pyarrow", extra="train"
    ) from error

pa, pq = pyarrow, pyarrow.parquet


VERSION = 1
VERSION_KEY = b"difficulty.traffic.version"
ROWS_KEY = b"difficulty.traffic.rows"
REJECTED_KEY = b"difficulty.traffic.rejected"

_MESSAGE = pa.struct(
    [("role", pa.string()), ("content", pa.large_string())]
)  # large: more than 2 GiB of text in a column
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("messages", pa.list_(_MESSAGE), nullable=False),
        ("task", pa.string()),
        ("group", pa.string()),
        ("timestamp", pa.timestamp("us", tz="UTC")),
        ("cheap_model", pa.string()),
        ("frontier_model", pa.string()),
        ("cheap_quality", pa.float64()),
        ("frontier_quality", pa.float64()),
        ("cheap_passed", pa.bool_()),
        ("preference", pa.string()),
        ("prompt_tokens", pa.int64()),
        ("cheap_tokens", pa.int64()),
        ("frontier_tokens", pa.int64()),
        ("route", pa.string()),
        ("propensity", pa.float64()),
        pa.field("weight", pa.float64(), nullable=False),
        ("extra", pa.large_string()),
        pa.field("split_group", pa.string(), nullable=False),
        pa.field("near_groups", pa.list_(pa.string()), nullable=False),
    ]
)
