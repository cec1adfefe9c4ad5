"""The score and the decision of every row of a table: a pure function, for whoever has blocks.

Local processes, Ray actors, DuckDB and Spark call the same one, so they write the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from difficulty.bundle.store import Bundle, read_bundle
from difficulty.errors import InvalidValueError
from difficulty.request import RequestRow
from difficulty.runtime.decision import Decision
from difficulty.runtime.scorer import Score
from difficulty.stages.bulk.block_graph import block_graph
from difficulty.stages.bulk.block_requests import BlockRequests, requests_of
from difficulty.stages.bulk.scoring_router import (
    SCORES,
    PlainDecisions,
    QuickReading,
    ScoringRouter,
)
from difficulty.traffic.table import pa

WINDOW = 8_192
"""Rows that are sorted by length and scored together."""

BLOCK_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        *((name, pa.float32()) for name in SCORES),
        pa.field("route", pa.string(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        ("threshold", pa.float64()),
        ("fallback", pa.string()),
        ("tokens", pa.int64()),
        ("tokens_source", pa.string()),
        ("truncated", pa.bool_()),
        ("masked_share", pa.float32()),
        ("can_take", pa.string()),
        ("ineligible", pa.string()),
        pa.field("bundle_version", pa.string(), nullable=False),
        ("error", pa.string()),
    ]
)
"""Columns that are written for each row, in this order; columns to keep stand behind them.

The scores are the scorer's, of every row that has one, those decided without it too; null where
none can be had, with the reason in ``error``. ``ineligible`` joins the rules by a space.
"""


class BlockScorer:
    """Score tables with one bundle; see :func:`score_block`."""

    def __init__(self, bundle: Bundle, *, keep: Sequence[str] = ()) -> None:
        # The early graph saves time where the scorer is not asked; here it scores every row.
        policy = replace(bundle.policy, early=None)
        self._router = cast(
            ScoringRouter, ScoringRouter.from_bundle(replace(bundle, policy=policy))
        )
        scorer = self._router.scorer
        scorer.graph = block_graph(
            scorer.graph, bundle.files["scorer.onnx"], vocabulary=scorer.tokenizer.vocabulary_size
        )
        self.keep = tuple(keep)
        refuse_reserved(self.keep)

    def __call__(self, table: Any, first_row: int = 0) -> Any:
        """Return one row of :data:`BLOCK_SCHEMA` and the kept columns for each row of a table.

        Parameters
        ----------
        table : pyarrow.Table
        first_row : int
            Rows of the file before the table; where a row has no ``id``, its number is one.
        """
        windows = [
            self._score(requests_of(table.slice(start, WINDOW), first_row=first_row + start))
            for start in range(0, len(table), WINDOW)
        ]
        scored = pa.Table.from_batches(windows, BLOCK_SCHEMA)
        for name in self.keep:
            column = table.column(name)
            scored = scored.append_column(pa.field(name, column.type), column)
        return scored

    def score_rows(self, rows: Sequence[RequestRow]) -> Any:
        """Return one row of :data:`BLOCK_SCHEMA` for each request."""
        return self.score_requests(BlockRequests.of(rows))

    def score_requests(self, block: BlockRequests) -> Any:
        """Return the same for a block of requests."""
        return pa.Table.from_batches([self._score(block)], BLOCK_SCHEMA)

    def _score(self, block: BlockRequests) -> Any:
        decided = self._router.decide_block(block)
        if decided is None:
            rows = [*block]
            return _batch_of(block.names, _columns_of(rows, *self._router.score_and_decide(rows)))
        reading, plain, scores, decisions = decided
        others = np.ones(len(block), bool)
        others[reading.places] = False
        rows = [block[place] for place in np.flatnonzero(others).tolist()]
        columns = _columns_of(rows, scores, decisions)
        if not reading.places:
            return _batch_of(block.names, columns)
        ours = _plain_columns(block, reading, plain)
        if not rows:
            return _batch_of(block.names, ours)
        whole = {}
        for name, values in ours.items():
            column = np.empty(len(block), object)
            column[reading.places] = values
            column[others] = columns[name]
            whole[name] = column
        return _batch_of(block.names, whole)


def score_block(bundle: str | Path, *, keep: Sequence[str] = ()) -> Callable[..., Any]:
    """Return what scores tables with a bundle; made once in each worker.

    Parameters
    ----------
    bundle : str or Path
        A bundle's folder or URL.
    keep : sequence of str
        Columns of the input to have in the output.

    Returns
    -------
    callable
        Takes a ``pyarrow.Table`` of requests (and ``first_row``, see :class:`BlockScorer`); returns
        a table with as many rows, in their order.
    """
    return BlockScorer(read_bundle(bundle), keep=keep)


def refuse_reserved(keep: Sequence[str]) -> None:
    """Refuse to keep a column under the name of one that is written."""
    for name in keep:
        if name in BLOCK_SCHEMA.names:
            raise InvalidValueError(
                "a kept column",
                name,
                rule="have another name than the columns that are written",
                hint="Rename it in the input, or leave it out.",
            )


def _columns_of(
    rows: Sequence[RequestRow], scores: Sequence[Score | None], decisions: Sequence[Decision]
) -> dict[str, Any]:
    """Return the columns but the id of requests that were decided one by one."""
    columns: dict[str, Any] = {
        name: [None if score is None else score[place] for score in scores]
        for place, name in enumerate(SCORES)
    }
    for name in BLOCK_SCHEMA.names[1 + len(columns) :]:
        columns[name] = [_value_of(decision, name) for decision in decisions]
    columns["error"] = [
        row.problem or told for row, told in zip(rows, columns["error"], strict=True)
    ]
    return columns


def _plain_columns(
    block: BlockRequests, reading: QuickReading, plain: PlainDecisions
) -> dict[str, Any]:
    """Return the columns but the id of requests that were decided in groups."""
    n, groups = len(reading.places), plain.groups
    columns: dict[str, Any] = {
        name: plain.scores.get(name, np.full(n, None, object)) for name in SCORES
    }
    for name in BLOCK_SCHEMA.names[1 + len(columns) :]:
        values = np.empty(len(plain.decisions), object)
        values[:] = [_value_of(decision, name) for decision in plain.decisions]
        columns[name] = values[groups]
    counts = [block.counts[place] for place in reading.places]
    totals = zip(counts, reading.totals, strict=True)
    columns["tokens"] = [total if count is None else count for count, total in totals]
    sources = zip(counts, reading.estimated, strict=True)
    columns["tokens_source"] = [
        "request" if count is not None else "estimate" if guessed else "tokenizer"
        for count, guessed in sources
    ]
    # Whoever brings a count with a task that the rule decides by is not read for the decision.
    is_read = np.array([count is None for count in counts])
    is_read |= np.array([each.difficulty_score is not None for each in plain.decisions])[groups]
    columns["truncated"] = np.array(reading.truncated) & is_read
    columns["masked_share"] = np.where(is_read, np.array(reading.masked, np.float32), 0)
    return columns


def _value_of(decision: Decision, name: str) -> Any:
    return (
        " ".join(decision.ineligible) or None if name == "ineligible" else getattr(decision, name)
    )


def _batch_of(names: Sequence[str], columns: Mapping[str, Any]) -> Any:
    # Lone surrogates of an id: no file can hold them.
    ids = [name if name.isascii() else _well_formed(name) for name in names]
    arrays = [
        pa.array(ids if field.name == "id" else columns[field.name], field.type)
        for field in BLOCK_SCHEMA
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=BLOCK_SCHEMA)


def _well_formed(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
