"""From the rows of tables to rows of the traffic contract, by what the user said: columns mapped,
answers split off, several rows a request joined.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from difficulty.kinds import PathKind, kind_of
from difficulty.traffic.labels import SourceReport
from difficulty.traffic.readers import RawRow
from difficulty.traffic.reading.dialect import ReadOptions
from difficulty.traffic.reading.last_answer import LastAnswers
from difficulty.traffic.reading.mapping import Mapper, PivotSection, TableMapping
from difficulty.traffic.reading.named_pair import ModelPair
from difficulty.traffic.reading.pivot import Pivot


def with_mapping(options: ReadOptions, mapping: TableMapping) -> ReadOptions:
    """Return what is known of the files with what the mapping says; what was given counts."""
    file, pivot = mapping.file, mapping.pivot or PivotSection(model="")
    pair = options.pair
    return ReadOptions(
        delimiter=options.delimiter or file.delimiter,
        encoding=options.encoding or file.encoding,
        decimal=options.decimal or file.decimal,
        pair=ModelPair(cheap=pair.cheap or pivot.cheap, frontier=pair.frontier or pivot.frontier),
        numbers=options.numbers | mapping.number_columns,
    )


class Shaping:
    """What makes rows of the contract of those of tables.

    Parameters
    ----------
    mapping : TableMapping
        Which column is which.
    pair : ModelPair
        The two models.
    tables : iterable of Path
        Files in format ``native``; rows of others are of the contract already.
    folder : Path
        Where rows may be laid by.
    """

    def __init__(
        self, mapping: TableMapping, pair: ModelPair, tables: Iterable[Path], *, folder: Path
    ) -> None:
        self._mapper = None if mapping.is_empty else Mapper(mapping, pair)
        self._answers = LastAnswers(pair)
        self._pivot = mapping.pivot and Pivot(mapping.pivot, pair, folder=folder)
        # What was ingested is of the contract.
        self._tables = {str(path) for path in tables if kind_of(path) is not PathKind.TRAFFIC}

    def rows(self, rows: Iterator[RawRow]) -> Iterator[RawRow]:
        """Yield rows of the contract; those of other formats, and ingested ones, as they are."""
        if not self._tables:
            return rows
        if self._mapper:
            rows = self._mapper.rows(rows, passes=self._passes)
        rows = self._answers.rows(rows, passes=self._passes)
        return self._pivot.rows(rows, passes=self._passes) if self._pivot else rows

    def reports(self) -> list[SourceReport]:
        """Return what was found."""
        reports = (self._answers.report(), self._pivot.report() if self._pivot else None)
        return [report for report in reports if report]

    def _passes(self, row: RawRow) -> bool:
        # A saved dataset names its split behind the folder.
        return row.source not in self._tables and row.source.rpartition(":")[0] not in self._tables
