"""Decisions summed up by day, so that millions of them never stand in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from difficulty.alarms.day_sums import DaySums, Members
from difficulty.alarms.sources import AMOUNTS, SOURCES, Cuts, Decisions, Source, Values
from difficulty.errors import InvalidValueError
from difficulty.metrics.arrays import FloatArray, IntArray

MOST_GROUPS = 5_000
"""Groups of a day that sums are taken over; of more, these are picked by a hash. So many make
everything plain that is worth an alarm.
"""
MOST_WORDS = 200
OTHER = "(all others)"


@dataclass(frozen=True, slots=True, kw_only=True)
class DailySummaries:
    """A log, day by day.

    Attributes
    ----------
    days : ndarray of shape (T,), datetime64[D]
        Ascending, without gaps: a day without traffic has sums of 0.
    requests : ndarray of shape (T,)
    largest_group : ndarray of shape (T,)
        Requests of the day's largest group; 0 where no group is known.
    sums : mapping of str to DaySums
        By the names of ``SOURCES``; what no request says is not there.
    amounts : mapping of str to ndarray of shape (T, 2)
        By the names of ``AMOUNTS``: requests with a known value, and their sum.
    """

    days: NDArray[np.datetime64]
    requests: FloatArray
    largest_group: FloatArray
    sums: Mapping[str, DaySums]
    amounts: Mapping[str, FloatArray]

    @classmethod
    def joined(cls, parts: Sequence[DailySummaries]) -> DailySummaries:
        """Return parts of a log as one; no two of them share a day, and any may be empty.

        Raises
        ------
        InvalidValueError
            If two parts hold requests of the same day: their groups cannot be told apart.
        """
        parts = [part for part in parts if len(part.days)]
        if not parts:
            return summarise({"day": np.zeros(0, dtype="datetime64[D]")})
        busy = np.concatenate([part.days[part.requests > 0] for part in parts])
        days, counts = np.unique(busy, return_counts=True)
        if (counts > 1).any():
            raise InvalidValueError(
                "a day", str(days[counts > 1][0]), rule="be in one part of the log alone"
            )
        days = np.arange(min(part.days[0] for part in parts), max(p.days[-1] for p in parts) + 1)
        places = [(part.days - days[0]).astype(np.intp) for part in parts]

        def spread(shape: tuple[int, ...], pieces: Sequence[FloatArray | None]) -> FloatArray:
            whole = np.zeros((len(days), *shape))
            for place, piece in zip(places, pieces, strict=True):
                if piece is not None:
                    # Added, as the days without traffic of two parts may be the same.
                    whole[place] += piece
            return whole

        sums = {}
        for name in SOURCES:
            pieces = [part.sums.get(name) for part in parts]
            columns = tuple(dict.fromkeys(c for piece in pieces if piece for c in piece.columns))
            if columns:
                wide = [None if piece is None else _widened(piece, columns) for piece in pieces]
                totals, squares = (
                    spread(
                        (len(columns),),
                        [None if piece is None else getattr(piece, part) for piece in wide],
                    )
                    for part in ("total", "squares")
                )
                groups, requests = (
                    spread((), [None if piece is None else getattr(piece, part) for piece in wide])
                    for part in ("groups", "requests")
                )
                sums[name] = DaySums(
                    groups=groups, requests=requests, total=totals, squares=squares, columns=columns
                )
        return cls(
            days=days,
            requests=spread((), [part.requests for part in parts]),
            largest_group=spread((), [part.largest_group for part in parts]),
            sums=sums,
            amounts={
                name: spread((2,), [part.amounts.get(name) for part in parts]) for name in AMOUNTS
            },
        )

    def mean(self, name: str, days: slice) -> float:
        """Return the mean of an amount over the requests of some days; NaN without any."""
        amounts = self.amounts.get(name)
        if amounts is None:
            return float("nan")
        count, total = amounts[days].sum(axis=0)
        return float(total / count) if count else float("nan")

    def requests_a_month(self, days: slice) -> float:
        """Return how many requests 30 days have at the rate of some days."""
        return float(30.0 * self.requests[days].mean()) if len(self.requests[days]) else 0.0


def summarise(decisions: Decisions, *, most_groups: int = MOST_GROUPS) -> DailySummaries:
    """Return decisions summed up by day.

    Parameters
    ----------
    decisions : mapping of str to ndarray of shape (n,)
        Columns by the names of ``COLUMNS``, in any order of time; ``day`` as datetime64. Those that
        are missing are not watched. ``group`` holds strings or whole numbers; a request whose group
        is None, NaN or empty is a group of its own. All decisions of a day must be here.
    most_groups : int
        Groups of a day to take sums over.

    Raises
    ------
    InvalidValueError
        If there is no column ``day``, or columns differ in length.
    """
    if "day" not in decisions:
        raise InvalidValueError("decisions", sorted(decisions), rule="have a column 'day'")
    lengths = {len(values) for values in decisions.values()}
    if len(lengths) > 1:
        raise InvalidValueError(
            "columns of decisions", sorted(lengths), rule="have the same length"
        )
    n = len(decisions["day"])
    dates = np.asarray(decisions["day"]).astype("datetime64[D]")
    dated = ~np.isnat(dates)
    if not dated.any():
        nothing = np.zeros(0)
        return DailySummaries(
            days=np.zeros(0, dtype="datetime64[D]"),
            requests=nothing,
            largest_group=nothing,
            sums={},
            amounts={},
        )
    first, last = dates[dated].min(), dates[dated].max()
    days = np.arange(first, last + 1)
    day = np.where(dated, (dates - first).astype(np.int64), -1).astype(np.intp)
    groups, has_group = _group_numbers(decisions.get("group"), n)
    cells, cell = np.unique(day * (int(groups.max()) + 1) + groups, return_inverse=True)
    sizes = np.bincount(cell[dated & has_group], minlength=len(cells))
    day_of_cell = np.full(len(cells), -1)
    day_of_cell[cell] = day
    largest = np.zeros(len(days))
    np.maximum.at(largest, day_of_cell[day_of_cell >= 0], sizes[day_of_cell >= 0])
    kept = np.flatnonzero(dated & _picked(day_of_cell, most_groups)[cell])
    members = Members(day=day[kept], cell=cell[kept], n_days=len(days))
    read = {name: np.asarray(values)[kept] for name, values in decisions.items()}
    return DailySummaries(
        days=days,
        requests=np.bincount(day[dated], minlength=len(days)).astype(np.float64),
        largest_group=largest,
        sums={
            name: sums
            for name, source in SOURCES.items()
            if all(column in decisions for column in source.needs)
            if (sums := _summed(source, read, members)) is not None
        },
        amounts={
            name: _amounts(decisions[name], day, dated, len(days))
            for name in AMOUNTS
            if name in decisions
        },
    )


def _summed(source: Source, decisions: Decisions, members: Members) -> DaySums | None:
    """Return a source's sums; ``None`` where nothing is known of any request."""
    if isinstance(source, Values):
        values = source.read(decisions)
        known = ~np.isnan(values[:, 0])
        return members[known].sum_values(values[known], source.columns) if known.any() else None
    if isinstance(source, Cuts):
        numbers = source.read(decisions)
        known = ~np.isnan(numbers)
        bins = np.searchsorted(source.cuts, numbers[known], side="left")
        columns = tuple(f"above {cut:.3g} {source.unit}".strip() for cut in source.cuts)
    else:
        words = source.read(decisions)
        known = np.asarray(words != None, dtype=bool)  # noqa: E711
        bins, columns = _numbered(words[known])
    if not known.any():
        return None
    return members[known].sum_bins(bins, columns, above=isinstance(source, Cuts))


def _numbered(words: NDArray[np.object_]) -> tuple[IntArray, tuple[str, ...]]:
    """Return words as numbers, and the words, frequent ones first; what is beyond 200 is one."""
    seen: dict[str, int] = {}
    codes = np.fromiter(
        (seen.setdefault(word, len(seen)) for word in words.tolist()), np.intp, len(words)
    )
    order = np.argsort(-np.bincount(codes, minlength=len(seen)), kind="stable")
    numbers = np.empty(len(seen), dtype=np.intp)
    numbers[order] = np.arange(len(seen))
    names = list(seen)
    columns = tuple(str(names[place]) for place in order[:MOST_WORDS])
    bins = np.minimum(numbers[codes], MOST_WORDS)
    return bins, (*columns, OTHER) if len(seen) > MOST_WORDS else columns


def _group_numbers(groups: NDArray[Any] | None, n: int) -> tuple[IntArray, NDArray[np.bool_]]:
    """Return a number for each request's group, and whether it has one."""
    if groups is None:
        return np.arange(n), np.zeros(n, dtype=bool)
    if groups.dtype.kind in "iu":
        return np.unique(groups, return_inverse=True)[1], np.ones(n, dtype=bool)
    seen: dict[Any, int] = {}
    # A NaN is not itself.
    numbers = np.fromiter(
        (
            -1
            if group is None or group == "" or group != group
            else seen.setdefault(group, len(seen))
            for group in groups.tolist()
        ),
        dtype=np.intp,
        count=n,
    )
    has_group = numbers >= 0
    numbers[~has_group] = len(seen) + np.arange(int((~has_group).sum()))
    return numbers, has_group


def _picked(day_of_cell: IntArray, most: int) -> NDArray[np.bool_]:
    """Return which groups of days are summed: at most so many a day."""
    # Multiplicative hashing (Knuth): spreads numbers in a row over the range.
    number = np.arange(len(day_of_cell), dtype=np.uint64)
    hashes = (number * np.uint64(2654435761)) % np.uint64(1 << 32)
    order = np.lexsort((hashes, day_of_cell))
    _, first = np.unique(day_of_cell[order], return_index=True)
    starts = np.repeat(first, np.diff(np.append(first, len(order))))
    picked = np.zeros(len(day_of_cell), dtype=bool)
    picked[order] = np.arange(len(order)) - starts < most
    return picked


def _amounts(
    values: NDArray[Any], day: IntArray, dated: NDArray[np.bool_], n_days: int
) -> FloatArray:
    """Return, for each day, how many values are known, and their sum."""
    numbers = np.asarray(values, dtype=np.float64)
    known = dated & ~np.isnan(numbers)
    counts = np.bincount(day[known], minlength=n_days).astype(np.float64)
    return np.stack([counts, np.bincount(day[known], numbers[known], minlength=n_days)], axis=1)


def _widened(sums: DaySums, columns: tuple[str, ...]) -> DaySums:
    """Return sums with more columns, which are 0 here."""
    if sums.columns == columns:
        return sums
    places = [columns.index(name) for name in sums.columns]
    total, squares = np.zeros((2, len(sums.groups), len(columns)))
    total[:, places], squares[:, places] = sums.total, sums.squares
    return DaySums(
        groups=sums.groups, requests=sums.requests, total=total, squares=squares, columns=columns
    )
