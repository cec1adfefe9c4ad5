"""Samples as columns, as ingested traffic holds them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from difficulty.records import ANSWERS, Sample
from difficulty.traffic.table import SCHEMA, pa

if TYPE_CHECKING:
    import pyarrow

_COPIED = [
    name
    for name in SCHEMA.names
    if name not in ("messages", "marks", "tools", "extra", "split_group", "near_groups")
]


class SampleTable(NamedTuple):
    """Samples whose keys are not known yet."""

    table: pyarrow.Table
    sizes: list[int]
    """Characters of each."""

    def with_ids(self, ids: Mapping[int, str]) -> SampleTable:
        """Return the samples with other ids, by their places."""
        if not ids:
            return self
        own = self.table["id"].to_pylist()
        for place, name in ids.items():
            own[place] = name
        column = pa.array(own, type=pa.string())
        return self._replace(table=self.table.set_column(0, SCHEMA.field("id"), column))


def sample_table(samples: Sequence[Sample]) -> SampleTable:
    """Return samples as columns; the keys of the split are empty."""
    columns: dict[str, list[Any]] = {
        name: [getattr(sample, name) for sample in samples] for name in _COPIED
    }
    columns["messages"] = [
        [{"role": message.role, "content": message.content} for message in sample.messages]
        for sample in samples
    ]
    marks = [[message.marks for message in sample.messages] for sample in samples]
    columns["marks"] = [own if any(own) else None for own in marks]
    columns["tools"] = [as_json(sample.tools) if sample.tools else None for sample in samples]
    columns["extra"] = [as_json(sample.extra) if sample.extra else None for sample in samples]
    columns["split_group"] = [""] * len(samples)
    columns["near_groups"] = [[]] * len(samples)
    texts = [columns[name] for name in (*ANSWERS, "tools")]
    sizes = [
        sum(len(message.content) for message in sample.messages)
        + sum(len(text or "") for text in beside)
        for sample, *beside in zip(samples, *texts, strict=True)
    ]
    arrays = [_column(columns[field.name], field.type) for field in SCHEMA]
    return SampleTable(pa.Table.from_arrays(arrays, schema=SCHEMA), sizes)


def _column(values: list[Any], type: pyarrow.DataType) -> pyarrow.Array:
    # Of thirty columns most say nothing, and that is told a hundred times as fast.
    if values.count(None) == len(values):
        return pa.nulls(len(values), type)
    return pa.array(values, type=type)


def as_json(value: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> str:
    """Return one line of ASCII JSON; what JSON has no word for becomes text, so no column can stop
    an ingest.
    """
    try:
        return json.dumps(value, default=str, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        # Only of columns that nobody checked: tools were JSON before.
        assert isinstance(value, Mapping)
        return json.dumps({str(name): repr(item) for name, item in value.items()})
