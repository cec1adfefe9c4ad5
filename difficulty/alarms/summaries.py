"""Decisions summed up by day, so that millions of them never stand in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from difficulty.alarms.day_sums import DaySums, sum_bins, sum_values
from difficulty.alarms.sources import AMOUNTS, SOURCES, Cuts, Decisions, Source, Values
from difficulty.errors import InvalidValueError
from difficulty.metrics.arrays import FloatArray, IntArray

MOST_GROUPS = 20_000
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
    dates = np.asarray(decisions["day"]).astype("datetime64[D]")
    order = np.argsort(dates, kind="stable")
    order = order[~np.isnat(dates[order])]
    dates = dates[order]
    days = np.arange(dates[0], dates[-1] + 1) if len(dates) else dates
    bounds = np.searchsorted(dates, np.append(days, days[-1:] + 1))
    if not len(days):
        bounds = np.zeros(1, dtype=np.intp)
    groups, has_group = _group_numbers(decisions.get("group"), len(lengths and decisions["day"]))
    rows = [order[first:last] for first, last in zip(bounds[:-1], bounds[1:], strict=True)]
    kept = [_picked(day, groups, most_groups) for day in rows]
    return DailySummaries(
        days=days,
        requests=np.array([len(day) for day in rows], dtype=np.float64),
        largest_group=np.array(
            [
                np.unique(groups[d], return_counts=True)[1].max() if len(d) else 0
                for d in (day[has_group[day]] for day in rows)
            ],
            dtype=np.float64,
        ),
        sums={
            name: sums
            for name, source in SOURCES.items()
            if all(column in decisions for column in source.needs)
            if (sums := _summed(source, decisions, kept, groups)) is not None
        },
        amounts={
            name: np.array([_amount(decisions[name], day) for day in rows]).reshape(-1, 2)
            for name in AMOUNTS
            if name in decisions
        },
    )


def _summed(
    source: Source, decisions: Decisions, days: Sequence[IntArray], groups: IntArray
) -> DaySums | None:
    """Return a source's sums; ``None`` where nothing is known of any request."""
    if isinstance(source, Values):
        values, columns = source.read(decisions), source.columns
        known, width = ~np.isnan(values[:, 0]), len(columns)
    elif isinstance(source, Cuts):
        numbers = source.read(decisions)
        known, width = ~np.isnan(numbers), len(source.cuts)
        bins = np.searchsorted(source.cuts, numbers, side="left")
        columns = tuple(f"above {cut:.3g} {source.unit}".strip() for cut in source.cuts)
    else:
        words = source.read(decisions)
        known = np.array([word is not None for word in words], dtype=bool)
        bins, columns = _numbered(words, known)
        width = len(columns)
    if not known.any():
        return None
    rows = [day[known[day]] for day in days]
    empty = (0.0, 0.0, np.zeros(width), np.zeros(width))
    if isinstance(source, Values):
        sums = [sum_values(values[day], groups[day]) if len(day) else empty for day in rows]
    else:
        above = isinstance(source, Cuts)
        sums = [
            sum_bins(bins[day], groups[day], width + above, above=above) if len(day) else empty
            for day in rows
        ]
    return DaySums(
        groups=np.array([day[0] for day in sums]),
        requests=np.array([day[1] for day in sums]),
        total=np.array([day[2] for day in sums]),
        squares=np.array([day[3] for day in sums]),
        columns=columns,
    )


def _numbered(
    words: NDArray[np.object_], known: NDArray[np.bool_]
) -> tuple[IntArray, tuple[str, ...]]:
    """Return words as numbers, and the words; rare ones beyond 200 are one."""
    names, inverse, counts = np.unique(
        words[known].astype(str), return_inverse=True, return_counts=True
    )
    frequent = np.argsort(-counts, kind="stable")[:MOST_WORDS]
    numbers = np.full(len(names), len(frequent), dtype=np.intp)
    numbers[frequent] = np.arange(len(frequent))
    bins = np.zeros(len(words), dtype=np.intp)
    bins[known] = numbers[inverse]
    columns = tuple(str(names[place]) for place in frequent)
    return bins, (*columns, OTHER) if len(names) > MOST_WORDS else columns


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


def _picked(rows: IntArray, groups: IntArray, most: int) -> IntArray:
    """Return the rows of at most so many groups."""
    if len(rows) <= most:
        return rows
    names = np.unique(groups[rows])
    if len(names) <= most:
        return rows
    # Multiplicative hashing (Knuth): spreads numbers in a row over the range.
    hashes = (names.astype(np.uint64) * np.uint64(2654435761)) % np.uint64(1 << 32)
    chosen = names[np.argsort(hashes, kind="stable")[:most]]
    return rows[np.isin(groups[rows], chosen)]


def _amount(values: NDArray[Any], rows: IntArray) -> tuple[float, float]:
    numbers = np.asarray(values[rows], dtype=np.float64)
    known = ~np.isnan(numbers)
    return float(known.sum()), float(numbers[known].sum())


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
