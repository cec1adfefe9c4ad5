"""monitor.html: whether a router does what was promised, what stands against it, and every figure
week by week beside what was expected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from difficulty.alarms import Alarm, Watched
from difficulty.monitor.monitor_page import (
    KINDS_SHOWN,
    SHARES,
    WEEKLY,
    figure_text,
    figures_section,
    log_section,
    named_slices,
    slices_section,
    weekly_cells,
)
from difficulty.monitor.watch import Watch
from difficulty.monitor.watched_figures import LABELS, MEANINGS
from difficulty.records import Estimate
from difficulty.report.blocks import (
    Block,
    Explorer,
    Facts,
    Notice,
    Paragraph,
    Picture,
    Points,
    Row,
    Section,
    Table,
    Tiles,
    Tone,
)
from difficulty.report.page import monitor_html
from difficulty.report.plot import Axis, Number, Plot

BEARABLE = {"rule_cost": 0.1}
"""By how much a figure may be worse than promised, of its expected value, and the promise still be
called kept; see also :data:`BEARABLE_SHARE`.
"""
BEARABLE_SHARE = 0.05
"""The same for shares and qualities, of 1."""
_PROMISED = ("rule_frontier_share", "rule_quality", "rule_risk", "rule_cost", "rule_fallback_share")
_BETTER_HIGH = {"rule_quality"}
# What is shown where the rule's own figure is not known.
_INSTEAD = {
    "rule_frontier_share": "frontier_share",
    "rule_quality": "quality",
    "rule_cost": "cost",
    "rule_fallback_share": "fallback_share",
}
_TILES = ("rule_frontier_share", "rule_quality", "rule_cost")
_DRAWN = (
    ("rule_frontier_share",),
    ("rule_quality",),
    ("rule_cost",),
    ("fallback_rate",),
    ("latency_p95", "latency_p50"),
)
"""Figures of the pictures and of the slider; where the first has no value the next is taken."""
_MOST_POINTS = 26
_MOST_SLICES, _MOST_WEEKS = 6, 13
_SLICE_FIGURES = ("requests", "frontier_share", "fallback_rate", "quality", "cost", "latency_p95")


@dataclass(frozen=True, slots=True)
class PromiseVerdict:
    """Whether a router does what was promised, and why that is said."""

    tone: Tone
    word: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WeekAxis(Axis):
    """An axis of weeks, each a whole number from 0 on."""

    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, mondays: Sequence[str], *, most: int = 5) -> WeekAxis:
        """Return an axis of some Mondays, at most ``most`` of them written out."""
        days = [date.fromisoformat(monday) for monday in mondays]
        one_year = days[0].year == days[-1].year
        names = tuple(f"{day:%m-%d}" if one_year else f"{day:%y-%m-%d}" for day in days)
        step = -(-len(days) // most)
        ticks = tuple(float(place) for place in range(0, len(days), step))
        title = f"week of {days[0].year}" if one_year else "week"
        return cls(title, -0.5, len(days) - 0.5, ticks, 0, names=names)

    def text(self, tick: float) -> str:
        """Return the day on which a week begins."""
        return self.names[round(tick)]


def judge_promise(watch: Watch, alarms: Watched) -> PromiseVerdict:
    """Return whether a router does what was promised: an alarm, yes, or that it cannot be told.

    Yes is said where no alarm stands, and the interval of every promised figure ends within the one
    that was expected, or no more than is bearable beyond the value that was.
    """
    if alarms.standing:
        return PromiseVerdict("error", "Alarm", tuple(_subject(alarm) for alarm in alarms.standing))
    promised = [name for name in _PROMISED if name in watch.expected]
    if not promised:
        return PromiseVerdict(
            "warning",
            "Cannot tell",
            ("the bundle promises no figure that a log can be held against",),
        )
    doubts = [doubt for name in promised if (doubt := _doubt(watch, name))]
    if doubts:
        return PromiseVerdict("warning", "Cannot tell", tuple(doubts))
    held = tuple(
        f"{LABELS[name]} {figure_text(name, watch.overall[name])}, expected"
        f" {figure_text(name, watch.expected[name], ends=False)}"
        for name in promised
    )
    return PromiseVerdict("good", "Yes", held)


def _subject(alarm: Alarm) -> str:
    return alarm.subject + (f", since about {alarm.since}" if alarm.since else "")


def _doubt(watch: Watch, name: str) -> str | None:
    """Return why a promised figure does not show that its promise is kept; None: it does."""
    label, found = LABELS[name], watch.overall[name]
    difference = watch.differences.get(name)
    if found.value is None or difference is None:
        return f"{label} is unknown" + (f": {found.note}" if found.note else "")
    expected = watch.expected[name]
    beside = f"{label} {figure_text(name, found)}, expected {figure_text(name, expected)}"
    # As if more were worse: what is better when high is turned round.
    sign = -1.0 if name in _BETTER_HIGH else 1.0
    ends = [sign * end for end in (found.low, found.high) if end is not None]
    if len(ends) < 2:
        return f"{beside}: it has no interval"
    if max(ends) <= _most_bearable(name, expected, sign):
        return None
    lead = [sign * end for end in (difference.low, difference.high) if end is not None]
    if lead and min(lead) > 0.0:
        return f"{beside}: worse than expected, and no test that holds at every look has said so"
    return f"{beside}: too few requests tell to say that it is kept"


def _most_bearable(name: str, expected: Estimate, sign: float) -> float:
    """Return the worst value that is still within what was expected, or near enough to it."""
    value = sign * (expected.value or 0.0)
    room = BEARABLE[name] * abs(value) if name in BEARABLE else BEARABLE_SHARE
    return max(
        value + room,
        *(sign * end for end in (expected.low, expected.high) if end is not None),
        value,
    )


def monitor_page(
    watch: Watch,
    alarms: Watched,
    *,
    sentence: str,
    next_step: str,
    remarks: Sequence[str] = (),
    beside: Sequence[Section] = (),
) -> str:
    """Return the page.

    Parameters
    ----------
    watch : Watch
    alarms : Watched
    sentence, next_step : str
        The result, and what to do now.
    remarks : sequence of str
        What else is to be said below the verdict.
    beside : sequence of Section
        Put after the weeks: what is expected without labels.
    """
    sections = [
        _opening(watch, alarms, next_step, remarks),
        _weeks(watch, alarms),
        *(_captioned(section, ": the figures") for section in beside),
        *(
            _sliced(watch, kind)
            for kind in KINDS_SHOWN
            if len(named_slices(watch, kind)) > 1 or kind == "route"
        ),
        _alarms(alarms),
        _captioned(figures_section(watch)),
        log_section(watch),
        _words(watch),
    ]
    return monitor_html(f"Monitor: {watch.bundle_version or 'all bundles'}", sentence, sections)


def _opening(watch: Watch, alarms: Watched, next_step: str, remarks: Sequence[str]) -> Section:
    verdict = judge_promise(watch, alarms)
    lead = Notice(verdict.tone, verdict.word, _because(verdict), lead=True)
    blocks: list[Block] = [lead, Tiles(tuple(_tiles(watch)))]
    for alarm in alarms.standing:
        blocks += [
            Notice("error", f"Alarm: {alarm.subject}", _moved(alarm)),
            Facts(tuple(_facts(alarm))),
        ]
    blocks += [Paragraph(remark) for remark in remarks if remark]
    facts = [("promised", watch.guarantee)] if watch.guarantee else []
    facts += [("chosen for", watch.objective)] if watch.objective else []
    blocks.append(Facts((*facts, ("next", next_step))))
    return Section.of("answer", "Does it do what was promised?", *blocks)


def _because(verdict: PromiseVerdict) -> str:
    reasons = "; ".join(verdict.reasons)
    if verdict.word == "Alarm":
        n = len(verdict.reasons)
        return f"{n} {'alarm stands' if n == 1 else 'alarms stand'}: {reasons}."
    if verdict.word == "Yes":
        return (
            "No alarm stands, and every promised figure is surely within what was expected, or"
            f" near to it: {reasons}."
        )
    return f"No alarm stands, but {reasons}."


def _moved(alarm: Alarm) -> str:
    return f"Found {alarm.found}, expected {alarm.expected}."


def _facts(alarm: Alarm) -> Iterator[tuple[str, str]]:
    if alarm.since:
        crossed = f"; it rose on {alarm.crossed}" if alarm.crossed else ""
        yield "since", f"about {alarm.since}{crossed}"
    yield "how sure", alarm.odds or f"evidence {alarm.evidence:,.3g} of {alarm.threshold:,.3g}"
    yield "cost", alarm.cost or "not known"
    if alarm.answer:
        yield "what answers it", alarm.answer


def _best(watch: Watch, name: str) -> str:
    """Return the figure of the rule alone where it is known, else that of all that happened."""
    other = _INSTEAD.get(name)
    if other and watch.overall[name].value is None and watch.overall[other].value is not None:
        return other
    return name


def _tiles(watch: Watch) -> Iterator[tuple[str, str, str]]:
    for promised in _TILES:
        name = _best(watch, promised)
        found, expected = watch.overall[name], watch.expected.get(name)
        if found.value is None:
            yield LABELS[name], "unknown", f"{found.note or 'nothing in the log says'}."
            continue
        value = figure_text(name, found, ends=False)
        parts = [_range(name, found) or "no interval"]
        if expected:
            parts.append(f"expected {figure_text(name, expected)}")
        saving = watch.overall["saving"]
        if promised == "rule_cost" and saving.value is not None:
            parts.append(f"{figure_text('saving', saving)} less than always frontier")
        yield LABELS[name], value, "; ".join(parts) + "."


def _range(name: str, estimate: Estimate) -> str:
    _, opened, rest = figure_text(name, estimate).partition(" (")
    return rest.removesuffix(")") if opened else ""


def _weeks(watch: Watch, alarms: Watched) -> Section:
    axis = WeekAxis.of(watch.weeks)
    shown = [name for names in _DRAWN if (name := _first_known(watch, names))]
    pictures: list[Block] = [_draw(watch, name, axis, alarms) for name in shown]
    missing = [names[0] for names in _DRAWN if not _first_known(watch, names)]
    points = tuple(
        f"{_begin(LABELS[name])} is not drawn: {watch.overall[name].note or 'unknown'}."
        for name in missing
    )
    blocks: list[Block | str] = [
        "Each disc is a week; the area around the line is its 95 % interval, the band across is"
        " what the bundle was expected to do. The first and the last week may be cut by the log's"
        " ends."
    ]
    if len(watch.weeks) > 1:
        blocks.append(_explorer(watch, shown))
    blocks += pictures
    if points:
        blocks.append(Points(points))
    return Section.of("weeks", "Week by week", *blocks)


def _first_known(watch: Watch, names: Sequence[str]) -> str | None:
    for name in names:
        for candidate in (name, _INSTEAD.get(name)):
            if candidate and any(
                (figure := week.get(candidate)) and figure.value is not None
                for week in watch.by_week.values()
            ):
                return candidate
    return None


def _explorer(watch: Watch, shown: Sequence[str]) -> Explorer:
    names = ("requests", *shown)
    plot = Plot(WeekAxis.of(watch.weeks), Axis.between("", 0.0, 1.0))
    rows = []
    for place, monday in enumerate(watch.weeks):
        cells = weekly_cells(watch.by_week.get(monday), names)
        rows.append(Row(monday, cells, at=(("week", f"{plot.at_x(place):.1f}"),)))
    columns = ("week of", *(_with_expected(watch, name) for name in names))
    return Explorer(
        start=len(rows) - 1,
        chosen=None,
        name="Week",
        low=f"first: {watch.weeks[0]}",
        high=f"last: {watch.weeks[-1]}",
        table=Table.of("Figures by week", columns, rows),
    )


def _with_expected(watch: Watch, name: str) -> str:
    expected = watch.expected.get(name)
    if expected is None:
        return LABELS[name]
    return f"{LABELS[name]} (expected {figure_text(name, expected, ends=False)})"


def _draw(watch: Watch, name: str, axis: WeekAxis, alarms: Watched) -> Picture:
    scale = 100.0 if name in SHARES else 1.0
    weeks = [watch.by_week.get(monday, {}).get(name) for monday in watch.weeks]
    values, lows, highs = (
        [_scaled(week, end, scale) for week in weeks] for end in ("value", "low", "high")
    )
    expected = watch.expected.get(name)
    ends = [_scaled(expected, end, scale) for end in ("value", "low", "high")]
    unit = ", %" if name in SHARES else ""
    plot = Plot(axis, Axis.over(f"{LABELS[name]}{unit}", [*values, *lows, *highs, *ends]))
    legend = []
    if expected is not None:
        legend += list(_draw_expected(plot, ends))
    places = [float(place) for place in range(len(weeks))]
    plot.band(places, lows, highs, style="area found")
    plot.line(places, values, style="line found")
    if len(weeks) <= _MOST_POINTS or _is_isolated(values):
        for place, value in zip(places, values, strict=True):
            plot.point(place, value, style="point")
    if _is_isolated(values):  # an area of no width is not seen
        for place, low, high in zip(places, lows, highs, strict=True):
            plot.segment((place, low), (place, high), style="line whisker")
    legend += [("line found", "found"), ("area found", "95 % interval")]
    since = sorted({alarm.since for alarm in alarms.standing if alarm.since})
    first = date.fromisoformat(watch.weeks[0])
    for day in since:
        plot.upright((day - first).days / 7.0 - 0.5, style="line alarm")
    if since:
        legend.append(("line alarm", "an alarm's begin"))
    plot.markers.append("week")
    return Picture(
        f"week-{name.replace('_', '-')}",
        _begin(LABELS[name]),
        plot,
        tuple(legend),
        _describe(watch, name),
    )


def _begin(text: str) -> str:
    """Return a text that begins a sentence: names within it keep their capitals."""
    return text[:1].upper() + text[1:]


def _draw_expected(plot: Plot, ends: Sequence[Number]) -> Iterator[tuple[str, str]]:
    value, low, high = ends
    across = [plot.x.low, plot.x.high]
    if low is not None and high is not None:
        plot.band(across, [low, low], [high, high], style="area expected")
        yield "area expected", "expected, 95 %"
    plot.line(across, [value, value], style="line expected")
    yield "line expected", "expected"


def _is_isolated(values: Sequence[Number]) -> bool:
    """Return whether some week stands between two unknown ones, where no line would show it."""
    padded = [None, *values, None]
    return any(
        now is not None and before is None and after is None
        for before, now, after in zip(padded, values, padded[2:], strict=False)
    )


def _scaled(estimate: Estimate | None, end: str, scale: float) -> Number:
    value = None if estimate is None else getattr(estimate, end)
    return None if value is None else scale * value


def _describe(watch: Watch, name: str) -> str:
    known = [
        (monday, figure)
        for monday in watch.weeks
        if (figure := watch.by_week.get(monday, {}).get(name)) and figure.value is not None
    ]
    first, last = known[0], known[-1]
    told = f"{figure_text(name, last[1])} in the week of {last[0]}"
    if len(known) > 1:
        told = f"{figure_text(name, first[1])} in the week of {first[0]}, {told}"
    expected = watch.expected.get(name)
    promise = (
        f" Expected {figure_text(name, expected)}."
        if expected
        else " The bundle says nothing of what to expect."
    )
    return f"{MEANINGS[name]} {_begin(told)}.{promise}"


def _sliced(watch: Watch, kind: str) -> Section:
    section = _captioned(slices_section(watch, kind))
    rows = []
    for name in list(named_slices(watch, kind))[:_MOST_SLICES]:
        weeks = watch.slices_by_week[kind].get(name, {})
        rows += [
            Row(f"{name}, {monday}", weekly_cells(weeks[monday], _SLICE_FIGURES))
            for monday in watch.weeks[-_MOST_WEEKS:]
            if monday in weeks
        ]
    columns = (f"{kind.replace('_', ' ')}, week of", *(LABELS[name] for name in _SLICE_FIGURES))
    table = Table.of(f"{section.title}, week by week", columns, rows, folded=True)
    return replace(section, blocks=(*section.blocks, table))


def _captioned(section: Section, end: str = ", all weeks") -> Section:
    """Return a section whose tables all have a caption, for those who hear it."""
    blocks = tuple(
        replace(block, caption=f"{section.title}{end}")
        if isinstance(block, Table) and not block.caption
        else block
        for block in section.blocks
    )
    return replace(section, blocks=blocks)


def _alarms(alarms: Watched) -> Section:
    rows = [
        Row(
            alarm.subject,
            (
                "stands" if alarm.standing else "quiet",
                str(alarm.since or ""),
                f"{alarm.evidence:,.3g} of {alarm.threshold:,.3g}",
                alarm.odds,
            ),
            strong=alarm.standing,
        )
        for alarm in alarms.alarms
    ]
    columns = ("what is watched", "alarm", "since about", "evidence, of that needed", "how sure")
    points = list(_idle(alarms.idle)) + [str(flood) for flood in alarms.floods]
    if alarms.reference is not None:
        first, last = alarms.reference
        points.append(f"Compared with the log from {first} to {last}.")
    points.append(
        f"Of quiet quarters at most {100 * alarms.rate:g} % raise any alarm, however often one"
        " looks."
    )
    tables = [Table.of("All that is watched", columns, rows)] if rows else []
    return Section.of("alarms", "What is watched", *tables, Points(tuple(points)))


def _idle(idle: Mapping[str, str]) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for name, reason in idle.items():
        reasons.setdefault(reason, []).append(name.replace("_", " "))
    for reason, names in reasons.items():
        yield f"Not watched: {', '.join(names)} ({reason})."


def _words(watch: Watch) -> Section:
    shown = [
        name
        for name, figure in watch.overall.items()
        if figure.value is not None or name in watch.expected or name in WEEKLY
    ]
    return Section.of("words", "Words", Facts(tuple((LABELS[n], MEANINGS[n]) for n in shown)))
