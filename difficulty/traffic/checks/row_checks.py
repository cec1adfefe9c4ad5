"""What an ingest makes of rows that need not know each other: checked samples, the keys of their
texts, what is counted of them. Blocks of rows are checked on whichever worker; what rows have to
agree in (an id of their own, the keys of the split) is for who takes the blocks in their order.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from difficulty.errors import DifficultyError, TrafficError
from difficulty.traffic.checks.sample_table import SampleTable, sample_table
from difficulty.traffic.duplicates import TextKeys, text_hash, text_keys
from difficulty.traffic.hashes import hash_of
from difficulty.traffic.readers import RawRow
from difficulty.traffic.rows import ParsedRow, parse_row
from difficulty.traffic.summary import RequestOutcomes, Tally, request_outcomes

_BLOCK_ROWS, _BLOCK_CHARS = 512, 1 << 20


class CheckedRows(NamedTuple):
    """What became of the rows of a block; everything but ``reasons`` is of those that can be used,
    in order.
    """

    reasons: dict[int, str]
    """Place of each row that cannot be used, and why."""
    ids: list[str]
    id_hashes: array[int]
    longer_ids: list[str | None]
    """Of each sample whose row had no id: one that another file of the same name has not."""
    samples: SampleTable
    keys: TextKeys
    outcomes: RequestOutcomes
    tally: Tally


def open_checks() -> Callable[[Sequence[RawRow]], CheckedRows]:
    """Return :func:`check_rows`, as an engine asks for it."""
    return check_rows


def check_rows(rows: Sequence[RawRow]) -> CheckedRows:
    """Check the rows of a block."""
    reasons: dict[int, str] = {}
    kept: list[ParsedRow] = []
    for place, row in enumerate(rows):
        try:
            kept.append(_parsed(row))
        except DifficultyError as error:
            reasons[place] = str(error)
    samples, tally = [parsed.sample for parsed in kept], Tally()
    for parsed in kept:
        tally.keep(parsed)
    keys = text_keys(samples)
    return CheckedRows(
        reasons,
        [sample.id for sample in samples],
        array("Q", [hash_of(sample.id) for sample in samples]),
        [_longer_id(parsed) if parsed.generated_id else None for parsed in kept],
        sample_table(samples),
        keys,
        request_outcomes(samples, keys.texts),
        tally,
    )


def _parsed(row: RawRow) -> ParsedRow:
    if row.fields is None or row.problem:
        raise TrafficError(row.problem)
    return parse_row(row.fields, default_id=f"{_stem(row.source)}-{row.line}")


def _longer_id(parsed: ParsedRow) -> str:
    # Of the text and not counted up, so that the same sources give the same ids again.
    text = "\n".join(message.content for message in parsed.sample.messages)
    return f"{parsed.sample.id}-{text_hash(text)[:8]}"


@lru_cache(maxsize=64)
def _stem(source: str) -> str:
    return Path(source).name.partition(".")[0]


def row_blocks(rows: Iterable[RawRow]) -> Iterator[list[RawRow]]:
    """Yield rows in blocks that are bounded in rows and in characters."""
    block: list[RawRow] = []
    chars = 0
    for row in rows:
        block.append(row)
        chars += _size(row.fields or {})
        if len(block) >= _BLOCK_ROWS or chars >= _BLOCK_CHARS:
            yield block
            block, chars = [], 0
    if block:
        yield block


def _size(value: Any) -> int:
    """Return about how many characters a value holds."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(_size, value.values()))
    return sum(map(_size, value)) if isinstance(value, list | tuple) else 1
