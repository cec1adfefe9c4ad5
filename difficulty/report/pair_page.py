"""Two bundles side by side: which is better, by how much, and where, as one page and in short."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from difficulty.evaluation.comparison import Paired
from difficulty.evaluation.decision.pair_verdict import PairAnswer, is_clear
from difficulty.evaluation.decision.side_by_side import PairedFigures, SideBySide
from difficulty.records import Estimate
from difficulty.report.blocks import (
    BeforeAfter,
    Block,
    Definitions,
    FirstScreen,
    Heat,
    HeatRow,
    LargeFigure,
    Notice,
    Picture,
    Remark,
    Row,
    Section,
    Table,
    Tone,
)
from difficulty.report.opening import strip_row
from difficulty.report.page import Markdown, escape_markdown, pair_page_html
from difficulty.report.plot import Axis, Plot
from difficulty.report.wording import DEFINITIONS, difference_text, figure_text, label_of
from difficulty.text import quantity_text

_TONES: Final[dict[PairAnswer, Tone]] = {
    "prefer_a": "good",
    "prefer_b": "good",
    "trade_off": "warning",
    "unsure": "warning",
    "no_difference": "info",
}
_LARGE: Final = (
    ("cost", "USD per 1,000, B against A"),
    ("quality", "points of quality, B against A"),
    ("frontier_share", "points of requests sent, B against A"),
)
_MOST_SHOWN: Final = 8
_LEVELS: Final = 5


def pair_html(result: SideBySide) -> str:
    """Return the page."""
    return pair_page_html(_title(result), _about(result), [*_sections(result), _terms()])


def pair_markdown(result: SideBySide) -> str:
    """Return the short form."""
    about = escape_markdown(_about(result))
    return Markdown().page(_title(result), _sections(result)) + f"\n{about}.\n"


def _title(result: SideBySide) -> str:
    return f"A {result.a} and B {result.b}"


def _about(result: SideBySide) -> str:
    return (
        f"{quantity_text(result.requests, 'request')} of {result.traffic} that neither was"
        " made from"
    )


def _sections(result: SideBySide) -> list[Section]:
    return [
        Section.of("decision", "Decision", _screen(result)),
        Section.of("chart", "Cost and quality", *_chart(result), short="Chart"),
        Section.of("figures", "Figures", _tabulate(result)),
        Section.of("slices", "Slices", *_slices(result)),
        Section.of("notes", "What it rests on", *_notes(result), short="Notes"),
    ]


def _terms() -> Section:
    return Section.of("terms", "Terms", Definitions(DEFINITIONS))


def _screen(result: SideBySide) -> FirstScreen:
    money, *figures = (_large(name, meaning, result.figures) for name, meaning in _LARGE)
    verdict = result.verdict
    clear = verdict.answer in ("unsure", "no_difference")
    more = "More labelled requests narrow the ranges." if clear else ""
    # A warning is a reason to read the rest of the page otherwise.
    more = result.warnings[0] if result.warnings else more
    return FirstScreen(
        tone=_TONES[verdict.answer],
        word=verdict.word,
        why=verdict.sentence,
        command="",
        money=money,
        volume=None,
        figures=tuple(figures),
        strip=tuple(_strip(result)),
        remarks=(Remark(more),) if more else (),
    )


def _large(name: str, meaning: str, figures: PairedFigures) -> LargeFigure:
    difference = figures[name].difference
    if difference.value is None:
        return LargeFigure("unknown", "", f"{meaning}: {difference.note}", False)
    value, _, ends = difference_text(name, difference).partition(" (")
    noise = "" if is_clear(difference) else ", no difference shown"
    return LargeFigure(value.removesuffix(" %"), ends.rstrip(")"), f"{meaning}{noise}")


def _strip(result: SideBySide) -> Iterator[BeforeAfter]:
    costs, qualities = result.figures["cost"], result.figures["quality"]
    ends = {name: end.get("cost") for name, end in result.ends.items()}
    known = [costs.champion.value, costs.challenger.value, *ends.values()]
    longest = max([cost for cost in known if cost is not None], default=0.0)
    best = {"prefer_a": "champion", "prefer_b": "challenger"}.get(result.verdict.answer)
    for letter, side in (("A", "champion"), ("B", "challenger")):
        cost, quality = getattr(costs, side), getattr(qualities, side)
        if cost.value is None and quality.value is None:
            continue
        yield strip_row(letter, cost, quality, longest=longest, strong=side == best)


def _chart(result: SideBySide) -> Iterator[Block | str]:
    """Yield where both lie, with their ranges; nothing is drawn where quality is not known."""
    quality = result.figures["quality"]
    along = "cost" if result.figures["cost"].champion.value is not None else "frontier_share"
    place = result.figures[along]
    if quality.champion.value is None or quality.challenger.value is None:
        yield "Quality is unknown, so that nothing can be drawn: add outcomes of both models."
        return
    unit = 100.0 if along == "frontier_share" else 1.0
    spots = [
        (_times(getattr(place, side), unit), _times(getattr(quality, side), 100.0))
        for side in ("champion", "challenger")
    ]
    ends = [
        (_scale(end.get(along), unit), _scale(end.get("quality"), 100.0))
        for end in result.ends.values()
    ]
    xs = [x for spot, _ in spots for x in (spot.value, spot.low, spot.high)]
    ys = [y for _, spot in spots for y in (spot.value, spot.low, spot.high)]
    title = "USD per 1,000 requests" if along == "cost" else "requests sent to the frontier, %"
    plot = Plot(
        Axis.over(title, [*xs, *(x for x, _ in ends)]),
        Axis.over("mean quality, %", [*ys, *(y for _, y in ends)]),
    )
    if len(ends) == 2:
        plot.segment(ends[0], ends[1], style="line random")
    for (x, y), words in zip(ends, ("all cheap", "all frontier"), strict=False):
        plot.point(x, y, style="point end")
        plot.label(x, y, words, before=words == "all frontier")
    for (across, up), letter in zip(spots, "AB", strict=True):
        style = "router" if letter == "A" else "b"
        plot.segment((across.low, up.value), (across.high, up.value), style=f"line {style}")
        plot.segment((across.value, up.low), (across.value, up.high), style=f"line {style}")
        plot.point(across.value, up.value, style=f"point {style}")
        plot.label(across.value, up.value, letter)
    yield Picture(
        "pair",
        f"Quality against {'cost' if along == 'cost' else 'share sent'}",
        plot,
        (
            ("line router", "A, 95 % ranges"),
            ("line b", "B, 95 % ranges"),
            ("line random", "random"),
        ),
        "Further up is better, further left is cheaper. Crosses that overlap may still differ: what"
        " both share does not count in the difference.",
    )


def _times(estimate: Estimate, unit: float) -> Estimate:
    value, low, high = (
        _scale(part, unit) for part in (estimate.value, estimate.low, estimate.high)
    )
    return Estimate(value=value, low=low, high=high, n=estimate.n)


def _scale(value: float | None, unit: float) -> float | None:
    return None if value is None else unit * value


def _tabulate(result: SideBySide) -> Table:
    rows = [
        Row(label_of(name), (*_cells(name, pair), _say(pair.difference)))
        for name, pair in result.figures.items()
        if pair.challenger.value is not None or pair.champion.value is not None
    ]
    columns = ["figure", "A", "B", "B minus A", "says"]
    return Table.of("Every figure, with its 95 % range", columns, rows)


def _cells(name: str, pair: Paired) -> tuple[str, ...]:
    return (
        figure_text(name, pair.champion),
        figure_text(name, pair.challenger),
        difference_text(name, pair.difference),
    )


def _say(difference: Estimate, among: int = 1) -> str:
    if difference.value is None:
        return "unknown"
    return "differs" if is_clear(difference, among=among) else "no difference shown"


def _slices(result: SideBySide) -> Iterator[Block | str]:
    if not result.slices:
        yield "Requests are not told apart by anything: no task, no length, no other label."
        return
    yield (
        f"Differences of {result.n_slices:,} slices are looked at together: a winner is named only"
        " where a difference is beyond the noise of all of them. Most at stake first."
    )
    for kind, parts in result.slices.items():
        if parts:
            yield _strip_of(result, kind, parts)


def _strip_of(result: SideBySide, kind: str, parts: Mapping[str, PairedFigures]) -> Heat:
    worth = result.verdict.worth or "quality"
    price = result.verdict.price or "frontier_share"

    def stake(pairs: PairedFigures) -> float:
        value = pairs[worth].difference.value if worth in pairs else None
        return -1.0 if value is None else abs(value) * pairs[worth].difference.n

    ranked = sorted(parts.items(), key=lambda part: (-stake(part[1]), part[0]))
    shown, most = ranked[:_MOST_SHOWN], max((stake(pairs) for _, pairs in ranked), default=0.0)
    rows = [
        HeatRow(
            name,
            (
                (f"{pairs['frontier_share'].difference.n:,}", None),
                (
                    _bare(worth, pairs[worth].difference),
                    _level(stake(pairs) / most) if most > 0.0 else None,
                ),
                (_bare(price, pairs[price].difference), None),
                (_winner(result, kind, name, pairs, worth), None),
            ),
            mark="too few to judge" if f"{kind}: {name}" in result.small else "",
        )
        for name, pairs in shown
    ]
    left = len(parts) - len(shown)
    title = f"By {kind.replace('_', ' ')}: B minus A"
    columns = (
        kind.replace("_", " "),
        "requests",
        label_of(worth),
        label_of(price),
        "better answers",
    )
    every = [Row(name, tuple(_range(figure, pairs) for figure in pairs)) for name, pairs in ranked]
    names = list(next(iter(parts.values())))
    table = Table.of(
        f"By {kind.replace('_', ' ')}, every difference",
        [kind.replace("_", " "), *map(label_of, names)],
        every,
        folded=True,
    )
    return Heat(title, columns, tuple(rows), table, f"{left:,} more." if left > 0 else "")


def _bare(name: str, difference: Estimate) -> str:
    return difference_text(name, difference).partition(" (")[0]


def _range(name: str, pairs: PairedFigures) -> str:
    return difference_text(name, pairs[name].difference)


def _winner(result: SideBySide, kind: str, name: str, pairs: PairedFigures, worth: str) -> str:
    """Return whose answers are better in a slice, where that can be told."""
    difference = pairs[worth].difference
    if f"{kind}: {name}" in result.small or not is_clear(difference, among=result.n_slices):
        return "\u2013"
    more = (difference.value or 0.0) > 0.0
    return "B" if more == (worth == "quality") else "A"


def _level(share: float) -> int:
    return min(_LEVELS, round(_LEVELS * share))


def _notes(result: SideBySide) -> Sequence[Block | str]:
    warnings = [Notice("warning", "Warning", text) for text in result.warnings]
    notes = [f"{note[:1].upper()}{note[1:]}" for note in result.notes]
    return [
        *warnings,
        "Ranges are 95 % confidence intervals from"
        f" {quantity_text(result.requests, 'request')}; those of"
        " differences come from the same draws of the same requests for both bundles.",
        *notes,
    ]
