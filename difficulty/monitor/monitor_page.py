"""monitor.md: what a log says of a router, to be read as a comment of a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta

from difficulty.evaluation.words import UNKNOWN, as_percent
from difficulty.monitor.watch import Watch
from difficulty.monitor.watched_figures import LABELS, RATIOS
from difficulty.monitor.watched_table import NONE
from difficulty.records import Estimate
from difficulty.report.blocks import Paragraph, Points, Row, Section, Table
from difficulty.report.page import Markdown
from difficulty.text import quantity_text

SHARES = {
    "traffic_share",
    "catch_rate",
    "saving",
    *(
        figure.name
        for figure in RATIOS
        if figure.unit is not None
        and not figure.name.startswith("mean_")
        and not figure.name.endswith("quality")
    ),
}
"""Figures that are shown in percent."""
WEEKLY = ("requests", "frontier_share", "fallback_rate", "quality", "risk", "cost", "latency_p95")
"""Figures of the tables by week and by slice."""
_SLICED = ("traffic_share", *WEEKLY[1:])
_MOST_WEEKS, _MOST_ROWS = 13, 12
KINDS_SHOWN = {
    "route": "By route",
    "task": "By task",
    "ineligible": "By what a model could not take",
    "bundle_version": "By bundle",
    "cheap_model": "By version of the cheap model",
    "frontier_model": "By version of the frontier model",
}


def figure_text(
    name: str, estimate: Estimate | None, *, signed: bool = False, ends: bool = True
) -> str:
    """Return a figure as people read it: ``28.7 % (25.8 to 31.4)``, ``1.27 (1.25 to 1.28)``;
    without its interval where ``ends`` is false.
    """
    if estimate is None or estimate.value is None:
        return UNKNOWN
    if not ends:
        estimate = Estimate(value=estimate.value, n=estimate.n)
    if name in SHARES and not signed:
        return as_percent(estimate)
    scale, unit = (100.0, " %" if not signed else " points") if name in SHARES else (1.0, "")
    three = (estimate.value, estimate.low, estimate.high)
    value, low, high = (
        None if part is None else _number(name, scale * part, signed) for part in three
    )
    return f"{value}{unit}" + ("" if None in (low, high) else f" ({low} to {high})")


def _number(name: str, value: float, signed: bool) -> str:
    sign = "+" if signed else ""
    if name == "requests" or abs(value) >= 1000.0:
        return f"{value:{sign},.0f}"
    if name in SHARES:
        return f"{value:{sign}.1f}"
    digits = 3 if abs(value) < 10.0 else 2 if abs(value) < 100.0 else 1
    return f"{value:{sign}.{digits}f}"


def monitor_markdown(
    watch: Watch, sentence: str, next_step: str, *, alarms: Sequence[Section] = ()
) -> str:
    """Return the page.

    Parameters
    ----------
    watch : Watch
    sentence : str
        The result.
    next_step : str
        What to do now.
    alarms : sequence of Section
        What stands, before the figures.
    """
    name = watch.bundle_version or "all bundles"
    sections = [*alarms, figures_section(watch), _weeks(watch)]
    sections += [slices_section(watch, kind) for kind in KINDS_SHOWN if _is_split(watch, kind)]
    sections += [log_section(watch)]
    head = [Paragraph(sentence), Paragraph(f"Next: {next_step}")]
    return Markdown().page(f"Monitor: {name}", sections, head=head) + "\n"


def figures_section(watch: Watch) -> Section:
    """Return all figures over the whole time, beside what was expected."""
    rows = []
    for name, estimate in watch.overall.items():
        expected = watch.expected.get(name)
        if name == "traffic_share" or (estimate.value is None and expected is None):
            continue
        rows.append(
            Row(
                LABELS[name],
                (
                    figure_text(name, estimate),
                    figure_text(name, expected) if expected else "",
                    figure_text(name, watch.differences.get(name), signed=True)
                    if name in watch.differences
                    else "",
                    f"{estimate.n:,}",
                ),
            )
        )
    unknown = [LABELS[name] for name, figure in watch.overall.items() if figure.value is None]
    points = [Points((f"Unknown: {'; '.join(unknown)}.",))] if unknown else []
    columns = ("figure", "found", "expected", "difference", "requests")
    return Section.of("figures", "Figures", Table.of("", columns, rows), *points)


def _weeks(watch: Watch) -> Section:
    shown = watch.weeks[-_MOST_WEEKS:]
    rows = [Row(_week(monday), weekly_cells(watch.by_week.get(monday), WEEKLY)) for monday in shown]
    earlier = len(watch.weeks) - len(shown)
    caption = (
        f"The last {quantity_text(len(shown), 'week')}; {earlier} earlier ones in monitor.json"
        if earlier
        else ""
    )
    return Section.of("weeks", "By week", _table(caption, "week of", WEEKLY, rows))


def _week(monday: str) -> str:
    first = date.fromisoformat(monday)
    return f"{first:%Y-%m-%d} to {first + timedelta(days=6):%m-%d}"


def _is_split(watch: Watch, kind: str) -> bool:
    return len(named_slices(watch, kind)) > 1


def named_slices(watch: Watch, kind: str) -> dict[str, Mapping[str, Estimate]]:
    """Return the slices of a kind; requests that did not call a model are no version of it."""
    left_out = {NONE} if kind.endswith("_model") else set()
    return {name: part for name, part in watch.slices[kind].items() if name not in left_out}


def slices_section(watch: Watch, kind: str) -> Section:
    """Return the slices of a kind, the largest first."""
    parts = list(named_slices(watch, kind).items())
    rows = [Row(name, weekly_cells(figures, _SLICED)) for name, figures in parts[:_MOST_ROWS]]
    more = len(parts) - len(rows)
    points = [Points((f"{more} more in monitor.json.",))] if more > 0 else []
    if rare := watch.rare.get(kind):
        points.append(Points((f"other: {rare:,} rarer ones together.",)))
    return Section.of(
        kind, KINDS_SHOWN[kind], _table("", kind.replace("_", " "), _SLICED, rows), *points
    )


def _table(caption: str, head: str, names: Iterable[str], rows: Sequence[Row]) -> Table:
    return Table.of(caption, (head, *(LABELS[name] for name in names)), rows)


def weekly_cells(figures: Mapping[str, Estimate] | None, names: Sequence[str]) -> tuple[str, ...]:
    """Return the figures of a week or a slice as texts; None: there was no traffic."""
    if figures is None:  # a week without traffic
        return tuple("no traffic" if name == "requests" else "" for name in names)
    return tuple(_short(name, figures.get(name)) for name in names)


def _short(name: str, estimate: Estimate | None) -> str:
    # How many there were is no guess, here.
    if name == "requests" and estimate is not None and estimate.value is not None:
        return f"{estimate.value:,.0f}"
    return figure_text(name, estimate)


def log_section(watch: Watch) -> Section:
    """Return what was read, and what was wrong with it."""
    return Section.of("log", "What was read", Points(tuple(_told(watch))))


def _told(watch: Watch) -> Iterator[str]:
    reading = watch.reading
    yield (
        f"Events: {reading.events:,}; files: {reading.files:,}; processes that wrote:"
        f" {reading.writers:,}; {watch.first} to {watch.last} (UTC)."
    )
    if reading.outcomes:
        yield f"Late outcomes: {reading.outcomes:,}; requests with one: {reading.joined:,}."
    yield from watch.sentences
    yield from watch.notes
