"""Sums of a log by slice, week and part of the groups, and figures with intervals out of them.

Each figure is a ratio of two sums. Their sums over 256 parts, into which groups fall whole, say how
much a figure would move with other groups: an exact interval for a share, with as many requests as
its variance between the parts is worth (:mod:`difficulty.metrics.intervals`), the accelerated
bootstrap of the parts for everything else. So memory does not grow with the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from difficulty.decisions import DecisionTable, exact_sum, plain_sum
from difficulty.metrics.arrays import FloatArray
from difficulty.metrics.intervals import Support, interval_of, support_of
from difficulty.monitor.watched_figures import CATCH_RATE, LATENCIES, RATIOS, WatchedFigure
from difficulty.monitor.watched_table import BUCKETS, KINDS
from difficulty.records import Estimate

DRAWS = 400
_NORMAL = 1.959963984540054
_STRATA = {
    "caught": "caught",
    "caught_known": "caught AND cheap_quality IS NOT NULL",
    "caught_bad": "caught AND cheap_quality < 0.5",
    "uncaught": "route = 'cheap' AND NOT caught",
    "uncaught_known": "route = 'cheap' AND NOT caught AND cheap_quality IS NOT NULL",
    "uncaught_bad": "route = 'cheap' AND NOT caught AND cheap_quality < 0.5",
}
_PER_OCTAVE = 32
"""Bins of latencies: 2 % wide."""


@dataclass(frozen=True, slots=True, eq=False)
class PartSums:
    """Sums over one slice, or one week of it.

    Attributes
    ----------
    sums : mapping of str to ndarray of shape (256,)
        Name of a sum to its value in each part of the groups.
    groups : float
        About how many groups there are.
    bins : mapping of str to ndarray of shape (n_bins, 2)
        Column of latencies to bins and the requests in them.
    """

    sums: Mapping[str, FloatArray]
    groups: float
    bins: Mapping[str, FloatArray]

    @property
    def requests(self) -> int:
        """How many there are."""
        return int(self.sums["requests"].sum())


@dataclass(frozen=True, slots=True)
class CellSums:
    """The sums of a log by every combination of slices, week and part, from which those of any kind
    of slice are added up; see :func:`sum_cells`.
    """

    table: DecisionTable
    marks: Mapping[str, float]
    """Latency figure to its value over all own requests; NaN where the log has no times."""
    per_group: float
    """Requests of a group, on average."""

    def of_kind(
        self, kind: str | None, *, own: bool
    ) -> Iterator[tuple[str, dict[str | None, PartSums]]]:
        """Yield the slices of a kind, the largest first, each with the sums of all weeks (key None)
        and of each week (its Monday, ISO 8601).

        Parameters
        ----------
        kind : str or None
            One of ``KINDS``; None: all requests are one slice.
        own : bool
            Whether only the bundle's own requests count.
        """
        query, where = self.table.query, " WHERE own" if own else ""
        name = f"by_{kind}" if kind else "'all'"
        totals = {sum_name: f"sum({sum_name})" for sum_name in _sums(self.marks)}
        totals |= {sum_name: plain_sum(totals[sum_name]) for sum_name in _exact_sums()}
        added = ", ".join(f"{total} AS {sum_name}" for sum_name, total in totals.items())
        self.table.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE part_sums AS SELECT {name} AS slice, week, bucket,"
            f" {added} FROM cells{where} GROUP BY ALL"
        )
        self.table.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE part_bins AS SELECT {name} AS slice, week, of_column,"
            f" bin, sum(n) AS n FROM cell_bins{where} GROUP BY ALL"
        )
        slices = query(
            "SELECT slice FROM part_sums GROUP BY slice ORDER BY sum(requests) DESC, slice"
        )["slice"]
        for slice_name in slices.tolist():
            # In one order: numpy adds floats, of the parts over all weeks.
            sums = query(
                "SELECT * EXCLUDE (slice) FROM part_sums WHERE slice = ? ORDER BY week, bucket",
                [slice_name],
            )
            bins = query(
                "SELECT week, of_column, bin, n FROM part_bins WHERE slice = ? ORDER BY bin",
                [slice_name],
            )
            yield slice_name, _by_week(sums, bins, self.per_group)


def sum_cells(table: DecisionTable, *, per_group: float) -> CellSums:
    """Go through the view ``watched`` twice: for latencies, and for everything else.

    Parameters
    ----------
    table : DecisionTable
        With the view ``watched``.
    per_group : float
        Requests of a group, on average.
    """
    kinds = ", ".join(f"by_{kind}" for kind in KINDS)
    columns = dict.fromkeys(column for column, _ in LATENCIES.values())
    binned = " UNION ALL ".join(
        f"SELECT {kinds}, own, week, '{column}' AS of_column, {_bin(column)} AS bin, count(*) AS n"
        f" FROM watched WHERE {column} IS NOT NULL GROUP BY ALL"
        for column in columns
    )
    table.gather("bin_parts", binned)
    _add_up(table, "cell_bins", "bin_parts", f"{kinds}, own, week, of_column, bin", ["n"])
    marks = _marks(table)
    sums = _sums(marks)
    cells = ", ".join(f"{sql} AS {name}" for name, sql in sums.items())
    keys = f"{kinds}, own, week, bucket"
    table.gather("cell_parts", f"SELECT {keys}, {cells} FROM watched GROUP BY ALL")
    _add_up(table, "cells", "cell_parts", keys, [*sums])
    return CellSums(table, marks, per_group)


def _add_up(table: DecisionTable, name: str, parts: str, keys: str, columns: Iterable[str]) -> None:
    """Make a table of the sums of whole numbers that each place gave."""
    added = ", ".join(f"sum({column}) AS {column}" for column in columns)
    table.connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT {keys}, {added} FROM {parts} GROUP BY ALL"
    )
    table.connection.execute(f"DROP TABLE {parts}")


def _sums(marks: Mapping[str, float]) -> dict[str, str]:
    """Return the sums that all figures are made of, by name."""
    sums = {"requests": "count(*)"} | _exact_sums()
    for figure in RATIOS:
        sums[f"{figure.name}__n"] = f"count(*) FILTER ({_known(figure)} AND ({figure.below}) <> 0)"
    for side in _imputed_sides():
        sums[f"imputed_{side}"] = f"count(*) FILTER (imputed_{side})"
    sums |= {name: f"count(*) FILTER ({condition})" for name, condition in _STRATA.items()}
    for name, (column, _) in LATENCIES.items():
        mark = marks.get(name, float("nan"))
        sums[f"{name}__n"] = f"count({column})"
        below = "FALSE" if np.isnan(mark) else f"{column} <= {mark!r}"
        sums[f"{name}__above"] = f"count(*) FILTER ({below})"
    return sums


def _exact_sums() -> dict[str, str]:
    """Return those sums that are not counts, in whole parts."""
    sums = {f"unsure_{side}": exact_sum(f"unsure_{side}") for side in _imputed_sides()}
    for figure in RATIOS:
        amounts = {"above": f"({figure.above})"}
        if figure.below != "1":
            below = f"({figure.below})"
            amounts |= {"below": below, "squares": f"({below} * {below})"}
        for part, amount in amounts.items():
            total = exact_sum(amount, _known(figure))
            sums[f"{figure.name}__{part}"] = f"coalesce({total}, 0)"
    return sums


def _known(figure: WatchedFigure) -> str:
    return f"({figure.above}) IS NOT NULL AND ({figure.below}) IS NOT NULL"


def _imputed_sides() -> list[str]:
    return list(dict.fromkeys(figure.imputed for figure in RATIOS if figure.imputed))


def _bin(column: str) -> str:
    # Below a thousandth of a millisecond nothing is told apart.
    return f"CAST(floor(log2(greatest({column}, 0.001)) * {_PER_OCTAVE}) AS INTEGER)"


def _by_week(
    sums: dict[str, Any], bins: Mapping[str, Any], per_group: float
) -> dict[str | None, PartSums]:
    weeks, buckets = _iso(sums.pop("week")), sums.pop("bucket").astype(np.intp)
    parts: dict[str | None, PartSums] = {}
    for week in (None, *sorted(set(weeks.tolist()))):
        rows = np.ones(len(weeks), bool) if week is None else weeks == week
        total = {
            column: np.bincount(buckets[rows], values[rows], BUCKETS).astype(np.float64)
            for column, values in sums.items()
        }
        # A part of a group counts as one too: rather too few than too many.
        groups = max(1.0, float(total["requests"].sum()) / per_group)
        parts[week] = PartSums(total, groups, _bins(bins, week))
    return parts


def _bins(bins: Mapping[str, Any], week: str | None) -> dict[str, FloatArray]:
    weeks = _iso(bins["week"])
    in_week = np.ones(len(weeks), bool) if week is None else weeks == week
    found = {}
    for column in dict.fromkeys(column for column, _ in LATENCIES.values()):
        rows = in_week & (bins["of_column"] == column)
        places, inverse = np.unique(bins["bin"][rows], return_inverse=True)
        counts = np.bincount(inverse, weights=bins["n"][rows], minlength=len(places))
        found[column] = np.column_stack([places, counts])
    return found


def _iso(weeks: Any) -> Any:
    return np.datetime_as_string(weeks.astype("datetime64[D]"))


def part_weights(seed: int = 0) -> FloatArray:
    """Return how often each part of the groups is drawn, shape (n_draws, 256)."""
    rng = np.random.default_rng(seed)
    drawn: FloatArray = rng.multinomial(BUCKETS, np.full(BUCKETS, 1.0 / BUCKETS), DRAWS).astype(
        np.float64
    )
    return drawn


def estimates_of(
    part: PartSums,
    whole: PartSums,
    weights: FloatArray,
    marks: Mapping[str, float],
    *,
    log: PartSums,
) -> dict[str, Estimate]:
    """Return every figure of a slice or a week, by name.

    Parameters
    ----------
    part, whole : PartSums
        The requests, and all those of the same time that they are a part of.
    weights : ndarray of shape (n_draws, 256)
        From :func:`part_weights`.
    marks : mapping of str to float
        Those of :class:`CellSums`.
    log : PartSums
        All own requests of all weeks.
    """
    figures = {"requests": _volume(part), "traffic_share": _traffic_share(part, whole)}
    figures |= {figure.name: ratio_of(figure, part, weights, log=log) for figure in RATIOS}
    figures[CATCH_RATE] = catch_rates(part, weights)
    figures |= {name: _quantile(name, part, marks) for name in LATENCIES}
    return figures


def _volume(part: PartSums) -> Estimate:
    """Return the number of requests; groups come at random, each with all of its requests."""
    counts = part.sums["requests"]
    n = part.requests
    half = _NORMAL * float(np.sqrt(BUCKETS * np.var(counts, ddof=1)))
    return Estimate(value=float(n), low=max(0.0, n - half), high=n + half, n=n)


def _traffic_share(part: PartSums, whole: PartSums) -> Estimate:
    if part is whole:
        return Estimate(value=1.0, n=part.requests)
    above, below = part.sums["requests"], whole.sums["requests"]
    return _share(above, below, n=whole.requests, rows=float(below.sum()), groups=whole.groups)


def _share(
    above: FloatArray, below: FloatArray, *, n: int, rows: float, groups: float, whole: bool = True
) -> Estimate:
    value = float(above.sum() / below.sum())
    support = _support(above, below, value, rows=rows, groups=groups)
    if support is None:
        return Estimate(value=value, n=n)
    ends = interval_of(value, np.empty(0), replace(support, unit=1.0, whole=whole))
    return _estimate(value, ends, n)


def _support(
    above: FloatArray, below: FloatArray, value: float, *, rows: float, groups: float
) -> Support | None:
    some = below != 0.0
    support = support_of(below[some], above[some] - value * below[some], None)
    if support is None:
        return None
    # Parts of groups are what varies; how many requests and groups there are is known better.
    return replace(support, rows=rows, groups=max(support.groups, min(groups, rows)))


def ratio_of(
    figure: WatchedFigure, part: PartSums, weights: FloatArray, *, log: PartSums | None = None
) -> Estimate:
    """Return a ratio with its interval; ``log`` is where imputed costs are taken from."""
    sums = part.sums
    n, above = int(sums[f"{figure.name}__n"].sum()), sums[f"{figure.name}__above"]
    if figure.below == "1":
        below, rows = sums[f"{figure.name}__n"], float(n)
    else:
        below = sums[f"{figure.name}__below"]
        squares = float(sums[f"{figure.name}__squares"].sum())
        rows = float(below.sum()) ** 2 / squares if squares > 0.0 else 0.0
    if n == 0 or below.sum() <= 0.0:
        return Estimate(value=None, n=n, note=figure.unknown)
    value = float(above.sum() / below.sum())
    if figure.imputed and log is not None:
        # For the interval alone: the sum over all calls is 0.
        unsure = _unsure_of(figure.imputed, part, log)
        above = above + unsure
        below = below + unsure if figure.below != "1" else below
    support = _support(above, below, value, rows=rows, groups=part.groups)
    if support is None:
        return Estimate(value=figure.scale * value, n=n)
    if figure.unit is not None:
        support = replace(support, unit=figure.unit, whole=figure.whole)
        ends = interval_of(value, np.empty(0), support)
    else:
        totals = weights @ below
        draws = np.full(len(weights), np.nan)
        np.divide(weights @ above, totals, out=draws, where=totals > 0.0)
        support = support if figure.signed else replace(support, bounds=(0.0, np.inf))
        ends = interval_of(value, draws, support)
    return _estimate(figure.scale * value, (figure.scale * ends[0], figure.scale * ends[1]), n)


def _unsure_of(side: str, part: PartSums, log: PartSums) -> FloatArray:
    """Return what each part of the groups adds to costs that are taken from the calls of the whole
    log, as far as they are taken for requests of this part.
    """
    imputed = float(log.sums[f"imputed_{side}"].sum())
    share = float(part.sums[f"imputed_{side}"].sum()) / imputed if imputed else 0.0
    return share * log.sums[f"unsure_{side}"]


def _estimate(value: float, ends: tuple[float, float], n: int) -> Estimate:
    low, high = (None if np.isnan(end) else float(end) for end in ends)
    return Estimate(value=value, low=low, high=high, n=n)


def catch_rates(part: PartSums, weights: FloatArray) -> Estimate:
    """Return the share of the cheap model's failures that was caught.

    Outcomes are seldom known of caught answers, as the user never saw them. So the share of
    failures is reckoned apart among caught and uncaught answers, and each stands for all of its
    kind; without outcomes of either kind nothing is known.
    """
    sums = part.sums
    n = int(sums["caught_known"].sum() + sums["uncaught_known"].sum())
    unseen = [
        words
        for name, words in (("caught", "was refused"), ("uncaught", "was kept"))
        if not sums[f"{name}_known"].sum() and sums[name].sum()
    ]
    if n == 0 or unseen:
        which = " nor ".join(unseen) or "was called"
        return Estimate(
            value=None,
            n=n,
            note=f"of no cheap answer that {which} is the quality known: have some judged",
        )
    value = float(_caught_share({name: sums[name].sum() for name in _STRATA}))
    if np.isnan(value):
        return Estimate(value=None, n=n, note="the cheap model is not known to have failed")
    draws = _caught_share({name: weights @ sums[name] for name in _STRATA})
    bad = sums["caught_bad"] + sums["uncaught_bad"]
    support = support_of(bad[bad > 0], np.zeros(int((bad > 0).sum())), None)
    if support is not None:
        support = replace(support.plain(), bounds=(0.0, 1.0)).resting_on(float((bad > 0).sum()))
    return _estimate(value, interval_of(value, draws, support), n)


def _caught_share(sums: Mapping[str, Any]) -> Any:
    """Return the share of failures that is caught, from counts of any one shape."""
    with np.errstate(divide="ignore", invalid="ignore"):
        bad = {
            name: np.where(
                np.asarray(sums[name]) > 0,
                sums[name] * np.divide(sums[f"{name}_bad"], sums[f"{name}_known"]),
                0.0,
            )
            for name in ("caught", "uncaught")
        }
        return np.divide(bad["caught"], bad["caught"] + bad["uncaught"])


def _quantile(name: str, part: PartSums, marks: Mapping[str, float]) -> Estimate:
    """Return a quantile of latencies: within a bin of 2 %, and its interval by that of the share
    below it (Woodruff, 1952), with as many requests as the groups are worth.
    """
    column, level = LATENCIES[name]
    bins = part.bins[column]
    n = int(bins[:, 1].sum())
    if n == 0:
        return Estimate(value=None, n=0, note="the log has no times of such requests")
    value = _at_level(bins, level)
    above, below = part.sums[f"{name}__above"], part.sums[f"{name}__n"]
    share = float(above.sum() / n)
    support = _support(above, below, share, rows=float(n), groups=part.groups)
    if support is None or np.isnan(marks.get(name, float("nan"))):
        return Estimate(value=value, n=n)
    # What the groups are worth is seen at the mark of all requests, and taken to hold here.
    plain = share * (1.0 - share) / n
    worth = n * min(1.0, plain / support.variance) if support.variance > 0.0 and plain else n
    half = support.stretch * _NORMAL * float(np.sqrt(level * (1.0 - level) / worth))
    if level - half <= 0.0 or level + half >= 1.0:
        return Estimate(value=value, n=n, note="too few requests for an interval")
    return Estimate(
        value=value, low=_at_level(bins, level - half), high=_at_level(bins, level + half), n=n
    )


def _at_level(bins: FloatArray, level: float) -> float:
    """Return the value below which a share of the requests lies, within its bin evenly."""
    places, counts = bins[:, 0], bins[:, 1]
    upto = np.cumsum(counts)
    at = int(np.searchsorted(upto, level * upto[-1]))
    at = min(at, len(counts) - 1)
    into = (level * upto[-1] - (upto[at] - counts[at])) / counts[at]
    return float(2.0 ** ((places[at] + np.clip(into, 0.0, 1.0)) / _PER_OCTAVE))


def _marks(table: DecisionTable) -> dict[str, float]:
    marks = {}
    for name, (column, level) in LATENCIES.items():
        bins = table.query(
            "SELECT bin, sum(n) AS n FROM cell_bins WHERE own AND of_column = ? GROUP BY bin"
            " ORDER BY bin",
            [column],
        )
        pairs = np.column_stack([bins["bin"], bins["n"]])
        marks[name] = _at_level(pairs, level) if len(pairs) else float("nan")
    return marks


def weeks_between(first: str, last: str) -> tuple[str, ...]:
    """Return the Mondays from one to another, both among them, ISO 8601."""
    days = np.arange(np.datetime64(first, "D"), np.datetime64(last, "D") + 1, 7)
    return tuple(np.datetime_as_string(days).tolist())
