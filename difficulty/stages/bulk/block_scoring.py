"""The score and the decision of every row of a table: a pure function, for whoever has blocks.

Local processes, Ray actors, DuckDB and Spark call the same one, so they write the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from difficulty.bundle.store import Bundle, read_bundle
from difficulty.errors import InvalidValueError
from difficulty.request import RequestRow
from difficulty.runtime.decision import Decision
from difficulty.runtime.router import Router
from difficulty.runtime.scorer import Score
from difficulty.stages.bulk.block_requests import requests_of
from difficulty.stages.bulk.unpacked_table import with_unpacked_tables
from difficulty.traffic.table import pa

WINDOW = 8_192
"""Rows that are sorted by length and scored together."""
_SCORES = Score._fields

BLOCK_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        *((name, pa.float32()) for name in _SCORES),
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
        bundle = with_unpacked_tables(replace(bundle, policy=policy))
        self._router = cast(_ScoringRouter, _ScoringRouter.from_bundle(bundle))
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
        return pa.Table.from_batches([self._score(rows)], BLOCK_SCHEMA)

    def _score(self, rows: Sequence[RequestRow]) -> Any:
        scores, decisions = self._router.score_and_decide(rows)
        columns: dict[str, list[Any]] = {"id": [row.id for row in rows]}
        for place, name in enumerate(_SCORES):
            columns[name] = [None if score is None else score[place] for score in scores]
        for name in BLOCK_SCHEMA.names[len(columns) :]:
            columns[name] = [getattr(decision, name) for decision in decisions]
        columns["ineligible"] = [" ".join(rules) or None for rules in columns["ineligible"]]
        columns["error"] = [
            row.problem or told for row, told in zip(rows, columns["error"], strict=True)
        ]
        # Lone surrogates of an id: no file can hold them.
        columns["id"] = [name if name.isascii() else _well_formed(name) for name in columns["id"]]
        return pa.RecordBatch.from_pydict(columns, BLOCK_SCHEMA)


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


def _well_formed(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


class _ScoringRouter(Router):
    """A router that scores what it would decide without the score, too."""

    def score_and_decide(
        self, rows: Sequence[RequestRow]
    ) -> tuple[list[Score | None], list[Decision]]:
        """Return the score of each request, where it has one, and the decision."""
        looks = [self._look_at(row.request) for row in rows]
        scored = [look if look.is_open else self._apart(look) for look in looks]
        self._score_at_once([look for look in scored if look.error is None and look.ids])
        decisions = [self._conclude(look) for look in looks]
        return [look.score for look in scored], decisions

    def _score_at_once(self, looks: list[Any]) -> None:
        """Score in batches, as :meth:`_score_all` does, in a third of its time a row."""
        try:
            columns = self.scorer.score_many([look.ids for look in looks])
        except Exception:
            self._score_all(looks)  # one at a time, so that none takes others along
            return
        none = [None] * len(looks)
        read = [columns[name].tolist() if name in columns else none for name in _SCORES]
        read[-1] = [share if share is None else min(share, 1.0) for share in read[-1]]
        is_whole = np.all([np.isfinite(column) for column in columns.values()], axis=0).tolist()
        for look, values, whole in zip(looks, zip(*read, strict=True), is_whole, strict=True):
            if whole:
                look.score = Score(*values)
            else:
                self._score_all([look])  # says what is wrong with it

    def _apart(self, look: Any) -> Any:
        """Return a look at a request that is decided already, to score it without a bearing on
        that.
        """
        apart = replace(look, verdict=None)
        if apart.error is None and not apart.ids:
            try:
                request = look.request
                encoded = self.scorer.encode(request.messages, request.task, request.tools)
                apart.ids = encoded.ids
            except Exception as error:
                apart.error = error
        return apart
