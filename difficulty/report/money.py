"""Whether routing pays for the team: the verdict, the break-even plot, the ways to host, the
conditions, and what all that rests on.

It shows what ``economics.json`` holds; without it there is no such section.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from difficulty.evaluation.result import Evaluation
from difficulty.evaluation.words import UNKNOWN
from difficulty.records import Estimate
from difficulty.report.blocks import Extras, Paragraph, Picture, Row, Section, Table
from difficulty.report.plot import Axis, Plot
from difficulty.report.wording import amount_text

# Way to host the cheap model: its name, and the line whose style it borrows.
_SHAPES: Final = {
    "own": ("own GPUs", "task_mean"),
    "cloud": ("cloud GPU by the hour", "without_task"),
    "aggregator": ("aggregator by the token", "router"),
    "dedicated": ("hosted, dedicated", "oracle"),
}
_COLUMNS: Final = {
    "cost": "hosting, USD a month",
    "saving": "saving, USD a month",
    "net_saving": "after the cost to keep it",
    "break_even": "break-even, requests a month",
}
_PLANS: Final = {
    "policy": "what the bundle's policy keeps on it",
    "keep_cheap": "the simplest requests kept on it",
}
_EVERY = 10  # every tenth volume stands in the table behind the picture.


def economics_section(evaluation: Evaluation, extras: Extras) -> Section | None:
    """Return the section, where the money was looked at."""
    economics = extras.economics
    if economics is None:
        return None
    # A sentence, no notice: the verdict of the page is one, and has weighed it.
    text = economics["verdict"]["text"]
    said = evaluation.verdict.money if evaluation.verdict else None
    return Section.of(
        "economics",
        "Does it pay?",
        said.sentence if said else f"{text[:1].upper()}{text[1:]}.",
        f"By prices of {economics['prices_date']}.",
        _draw_break_even(economics["plot"]),
        _tabulate_hosting(economics),
        _tabulate_conditions(economics),
        *(f"Assumed: {text}" for text in economics["assumed"].values()),
        *(f"Missing: {text}" for text in economics["missing"].values()),
        *economics["notes"],
        short="Money",
    )


def _draw_break_even(plotted: Mapping[str, Any]) -> Picture | Paragraph:
    """Return saving against volume; above the line at zero it pays. Where nothing is known there is
    no picture: its axes would be made up.
    """
    volumes: Sequence[float] = plotted["volumes"]
    curves = {
        shape: curve
        for shape, curve in plotted["curves"].items()
        if any(value is not None for value in curve["value"])
    }
    if not curves:
        return Paragraph("Saving against volume cannot be worked out: see what is missing below.")
    savings = [
        value
        for curve in curves.values()
        for part in ("value", "low", "high")
        for value in curve[part]
    ]
    plot = Plot(
        Axis.over("requests a month", volumes, margin=0.01, most=5),
        Axis.over("USD saved a month", [0.0, *savings]),
    )
    for shape, curve in curves.items():
        area = f"area {_SHAPES.get(shape, ('', 'router'))[1]}"
        plot.band(volumes, curve["low"], curve["high"], style=area)
    plot.segment((plot.x.low, 0.0), (plot.x.high, 0.0), style="line zero")  # break-even
    lines = {shape: f"line {_SHAPES.get(shape, ('', 'other'))[1]}" for shape in curves}
    for shape, curve in curves.items():  # lines after all areas, so that none is covered
        plot.line(volumes, curve["value"], style=lines[shape])
    after = (
        "after the cost to keep it"
        if plotted["measure"] == "net_saving"
        else "without the cost to keep it, which is not known"
    )
    return Picture(
        "break-even",
        "Saving against volume",
        plot,
        tuple((style, _name(shape)) for shape, style in lines.items()),
        f"Saving a month {after}. Where a line crosses zero, that way to host breaks even. Shaded:"
        " 95 % intervals.",
        _tabulate_points(volumes, curves),
    )


def _tabulate_points(volumes: Sequence[float], curves: Mapping[str, Any]) -> Table:
    def saving(curve: Mapping[str, Any], place: int) -> str:
        value, low, high = (curve[part][place] for part in ("value", "low", "high"))
        return amount_text(Estimate(value=value, low=low, high=high, note=UNKNOWN))

    rows = [
        Row(f"{volumes[place]:,.0f}", tuple(saving(curve, place) for curve in curves.values()))
        for place in range(0, len(volumes), _EVERY)
    ]
    return Table.of("USD saved a month by volume", ["requests a month", *map(_name, curves)], rows)


def _tabulate_hosting(economics: Mapping[str, Any]) -> Table:
    """Return a row for each way to host the cheap model; those that an answer excludes say why."""
    plan, rows = economics["plan"], []
    for shape, (name, _) in _SHAPES.items():
        figures = [economics[plan].get(f"{shape}_{column}") for column in _COLUMNS]
        if any(figures):
            cells = (amount_text(Estimate(**figure)) if figure else UNKNOWN for figure in figures)
            rows.append(Row(name, tuple(cells), mark=economics["barred"].get(shape, "")))
    return Table.of(
        f"Ways to host the cheap model: {_PLANS[plan]}", ["hosting", *_COLUMNS.values()], rows
    )


def _tabulate_conditions(economics: Mapping[str, Any]) -> Table:
    rows = [
        Row(condition["name"].replace("_", " "), (condition["state"], condition["text"]))
        for condition in economics["conditions"]
    ]
    columns = ["condition", "state", "what was found"]
    return Table.of("Conditions under which it does not pay", columns, rows)


def _name(shape: str) -> str:
    return _SHAPES.get(shape, (shape,))[0]
