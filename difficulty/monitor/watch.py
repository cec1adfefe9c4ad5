"""Watch a router by its log: every figure with its interval, over all, by slice and by week, and
what the bundle promised beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import hypot
from typing import Any, ClassVar, Literal

from difficulty.decisions import DecisionTable, LogReading
from difficulty.form import Record
from difficulty.monitor.bucket_sums import (
    PartSums,
    estimates_of,
    part_weights,
    sum_cells,
    weeks_between,
)
from difficulty.monitor.watched_table import KINDS, WatchedLog, make_watched
from difficulty.records import Estimate, Prices
from difficulty.text import quantity_text

WATCH_FORMAT = 1
"""Of monitor.json. To change the meaning of a part, raise it; a part that is added does not."""
_LITTLE = 0.01
"""Share of requests without a way to the other model above which a figure is no word on all."""
_Figures = Mapping[str, Estimate]


@dataclass(frozen=True, slots=True, kw_only=True)
class Promised:
    """What a bundle says of itself.

    Attributes
    ----------
    bundle_version : str or None
        As its events have it; None: the events of all bundles are looked at.
    target : {"benefit", "failure"}
        What its score predicts.
    expected : mapping of str to Estimate
        Name of a figure of the log to what was expected of it.
    objective, guarantee : str
        How its threshold was chosen and what is promised; empty where nothing is.
    """

    bundle_version: str | None = None
    target: Literal["benefit", "failure"] = "failure"
    expected: _Figures = field(default_factory=dict)
    objective: str = ""
    guarantee: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch(Record):
    """A router as its log shows it; monitor.json holds exactly this."""

    _also: ClassVar[tuple[str, ...]] = ("sentences",)
    format: int = WATCH_FORMAT
    bundle_version: str | None
    target: str
    objective: str
    guarantee: str
    first: str
    last: str
    """Days of the first and the last request, ISO 8601."""
    weeks: tuple[str, ...]
    """Mondays, those of weeks without traffic among them. The first and the last week may be cut by
    the log's ends.
    """
    overall: _Figures
    expected: _Figures
    """What the bundle promised, under the name of the figure that it is of."""
    differences: _Figures
    """Found minus expected, with intervals that count what is unsure of both."""
    by_week: Mapping[str, _Figures]
    """Monday to figures; weeks without traffic are left out."""
    slices: Mapping[str, Mapping[str, _Figures]]
    """Kind, then slice, then figure; those of ``bundle_version`` count the events of all bundles,
    all others those of this one.
    """
    slices_by_week: Mapping[str, Mapping[str, Mapping[str, _Figures]]]
    """Kind, then slice, then Monday, then figure."""
    rare: Mapping[str, int]
    """Kind to the values that fall together in the slice ``other``."""
    reading: LogReading
    """What was in the log, and what was wrong with it."""
    notes: tuple[str, ...] = ()
    """What a reader has to know of the figures."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """What was wrong with the log, a sentence each."""
        return tuple(self.reading.sentences())


def watch_log(
    table: DecisionTable,
    promised: Promised,
    *,
    prices: Prices | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Watch:
    """Return what a log says of a router.

    Parameters
    ----------
    table : DecisionTable
        The log.
    promised : Promised
        The bundle that is watched, and what it promised.
    prices : Prices, optional
        For calls whose cost the log does not have.
    since, until : datetime, optional
        First moment, and first moment no more.
    seed : int
        Of the bootstrap.
    progress : callable, optional
        Told what is being done.

    Raises
    ------
    LogError
        If no event of this bundle and time is there.
    """
    say = progress or (lambda _: None)
    say("weighing events")
    log = make_watched(
        table,
        bundle_version=promised.bundle_version,
        target=promised.target,
        prices=prices,
        since=since,
        until=until,
    )
    say("adding up figures")
    cells = sum_cells(table, per_group=log.own / max(1.0, log.groups))
    marks, weights = cells.marks, part_weights(seed)
    ((_, everything),) = cells.of_kind(None, own=True)
    total = everything[None]
    overall = estimates_of(total, total, weights, marks, log=total)
    by_week = {
        week: estimates_of(part, part, weights, marks, log=total)
        for week, part in everything.items()
        if week is not None
    }
    slices: dict[str, dict[str, _Figures]] = {}
    slices_by_week: dict[str, dict[str, dict[str, _Figures]]] = {}
    for kind in KINDS:
        say(f"figures by {kind.replace('_', ' ')}")
        own = kind != "bundle_version"
        slices[kind], slices_by_week[kind] = {}, {}
        parts = dict(cells.of_kind(kind, own=own))
        whole = everything if own else _added(parts)
        for name, sums in parts.items():
            by_slice = {
                week: estimates_of(part, whole[week], weights, marks, log=total)
                for week, part in sums.items()
            }
            slices[kind][name] = by_slice.pop(None)
            slices_by_week[kind][name] = {str(week): part for week, part in by_slice.items()}
    overall, notes = _told(overall, log)
    expected = {name: value for name, value in promised.expected.items() if name in overall}
    return Watch(
        bundle_version=promised.bundle_version,
        target=promised.target,
        objective=promised.objective,
        guarantee=promised.guarantee,
        first=log.first.isoformat(),
        last=log.last.isoformat(),
        weeks=weeks_between(min(by_week), max(by_week)),
        overall=overall,
        expected=expected,
        differences={
            name: difference
            for name, value in expected.items()
            if (difference := _difference(overall[name], value)) is not None
        },
        by_week=by_week,
        slices=slices,
        slices_by_week=slices_by_week,
        rare=log.rare,
        reading=table.reading,
        notes=notes,
    )


def _added(parts: Mapping[str, Mapping[str | None, PartSums]]) -> dict[str | None, PartSums]:
    """Return the sums of several slices together; only their requests are read."""
    added: dict[str | None, PartSums] = {}
    for sums in parts.values():
        for week, part in sums.items():
            known = added.get(week)
            requests = part.sums["requests"] + (known.sums["requests"] if known else 0.0)
            groups = part.groups + (known.groups if known else 0.0)
            added[week] = PartSums({"requests": requests}, groups, {})
    return added


def _difference(found: Estimate, expected: Estimate) -> Estimate | None:
    """Return found minus expected; its interval adds up what is unsure of both (MOVER)."""
    if found.value is None or expected.value is None:
        return None
    value = found.value - expected.value
    ends = (found.low, found.high, expected.low, expected.high)
    if None in ends:
        return Estimate(value=value, n=found.n)
    low, high, least, most = (float(end) for end in ends if end is not None)
    return Estimate(
        value=value,
        low=value - hypot(found.value - low, most - expected.value),
        high=value + hypot(high - found.value, expected.value - least),
        n=found.n,
    )


def _told(
    overall: dict[str, Estimate], log: WatchedLog
) -> tuple[dict[str, Estimate], tuple[str, ...]]:
    """Return the figures and what has to be said of them."""
    notes = [
        "Intervals are of 95 % and count groups (conversations, users) whole; those of shares are"
        " exact for as many requests as the groups are worth."
    ]
    figures = dict(overall)
    for side, unsupported in (
        ("cheap", log.unsupported_cheap),
        ("frontier", log.unsupported_frontier),
    ):
        name = f"{side}_quality"
        figure = figures[name]
        if unsupported > _LITTLE * log.own and not log.audited:
            note = (
                f"of the requests that were sent there: {unsupported:,} of {log.own:,} could not"
                f" have gone to the {side} model: the rule left no chance"
            )
            if figure.value is not None:
                figures[name] = Estimate(
                    value=figure.value, low=figure.low, high=figure.high, n=figure.n, note=note
                )
                notes.append(f"{name} is {note}.")
    notes += _hidden(figures, log.hidden)
    for side, imputed in (("frontier", log.imputed_frontier), ("cheap", log.imputed_cheap)):
        name = f"cost_always_{side}"
        if imputed and figures[name].value is not None:
            notes.append(
                f"{name}: {imputed:,} of {quantity_text(log.own, 'request')} did not go to that"
                " model; what such cost there is taken from those of the same task that went."
            )
    labelled = figures["labelled_share"].value or 0.0
    if 0.0 < labelled < 1.0:
        notes.append(
            f"Late outcomes are known of {100 * labelled:.1f} % of the requests: quality and risk"
            " are of those, and of all only where outcomes came by chance."
        )
    if log.without_propensity:
        notes.append(
            "without a propensity"
            f" {quantity_text(log.without_propensity, 'request takes', 'requests take')} no"
            " part in figures of"
            " the rule."
        )
    return figures, tuple(notes)


def _hidden(figures: dict[str, Estimate], refused: int) -> list[str]:
    """Say in figures of the cheap model that refused answers hide it; return what is to be said."""
    if not refused:
        return []
    note = (
        f"of {refused:,} cheap answers that were refused none is judged, and those that were kept"
        " are the better ones: have some refused answers judged"
    )
    for name in ("cheap_quality", "sent_cheap_fails"):
        if figures[name].value is None:
            figures[name] = replace(figures[name], note=note)
    return [f"cheap_quality is not known: {note}."]


def flat(figures: _Figures) -> dict[str, Any]:
    """Return figures as metrics.json writes them."""
    return {name: estimate.as_dict() for name, estimate in figures.items()}
