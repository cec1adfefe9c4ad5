"""Whether routing pays for the team: the verdict, the break-even plot, the ways to host, the
conditions, and what all that rests on.

It shows what ``economics.json`` holds; without it there is no such section.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from difficulty.evaluation.result import Evaluation
from difficulty.records import Estimate
from difficulty.report.blocks import Block, Notice, Paragraph, Picture, Row, Section, Table, Tone
from difficulty.report.extras import Extras
from difficulty.report.plot import Axis, Plot
from difficulty.report.wording import estimate_text

_ANSWERS: Final[dict[str, tuple[Tone, str]]] = {
    "build": ("good", "Build"),
    "wait": ("warning", "Wait"),
    "unsure": ("info", "Not sure"),
}
_SHAPES: Final = {
    "own": "own GPUs",
    "cloud": "cloud GPU by the hour",
    "aggregator": "aggregator by the token",
    "dedicated": "hosted, dedicated",
}
_STYLES: Final = {
    "own": "task_mean",
    "cloud": "without_task",
    "aggregator": "router",
    "dedicated": "oracle",
}
_COLUMNS: Final = {
    "cost": "hosting, USD a month",
    "saving": "saving, USD a month",
    "net_saving": "after the cost to keep it",
    "break_even": "break-even, requests a month",
}
_EVERY = 10


def economics_section(evaluation: Evaluation, extras: Extras) -> Section | None:
    """Return the section, where the money was looked at."""
    form = extras.economics
    if form is None:
        return None
    verdict = form["verdict"]
    tone, word = _ANSWERS.get(verdict["answer"], ("info", str(verdict["answer"])))
    blocks: list[Block] = [
        Notice(tone, word, _sentence(verdict["text"])),
        Paragraph(f"By prices of {form['prices_date']}."),
        _picture(form["plot"]),
        _hosting(form),
        _conditions(form),
        *(Paragraph(f"Assumed: {text}") for text in form["assumed"].values()),
        *(Paragraph(f"Missing: {text}") for text in form["missing"].values()),
        *(Paragraph(note) for note in form["notes"]),
    ]
    return Section("economics", "Does it pay?", tuple(blocks))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _picture(form: Mapping[str, Any]) -> Picture:
    """Return saving against volume; above the line at zero it pays."""
    volumes, curves = form["volumes"], form["curves"]
    known = {
        shape: curve
        for shape, curve in curves.items()
        if any(value is not None for value in curve["value"])
    }
    ends = [
        value
        for curve in known.values()
        for part in ("value", "low", "high")
        for value in curve[part]
    ]
    after = (
        "after the cost to keep it"
        if form["measure"] == "net_saving"
        else "without the cost to keep it, which is not known"
    )
    plot = Plot(
        Axis.over("requests a month", volumes, margin=0.01, most=5),
        Axis.over("USD saved a month", [0.0, *ends]),
    )
    for shape, curve in known.items():
        plot.band(
            volumes, curve["low"], curve["high"], style=f"area {_STYLES.get(shape, 'router')}"
        )
    plot.segment((plot.x.low, 0.0), (plot.x.high, 0.0), style="line zero")
    for shape, curve in known.items():
        plot.line(volumes, curve["value"], style=f"line {_STYLES.get(shape, 'other')}")
    legend = tuple((f"line {_STYLES.get(shape, 'other')}", _name(shape)) for shape in known)
    description = (
        f"Saving a month {after}. Where a line crosses zero, that way to host breaks even. Shaded:"
        " 95 % intervals."
    )
    return Picture(
        "break-even", "Saving against volume", plot, legend, description, _points(volumes, known)
    )


def _points(volumes: list[float], curves: Mapping[str, Any]) -> Table:
    rows = [
        Row(
            f"{volumes[place]:,.0f}",
            tuple(
                estimate_text(
                    Estimate(
                        value=curve["value"][place],
                        low=curve["low"][place],
                        high=curve["high"][place],
                        note="unknown",
                    )
                )
                for curve in curves.values()
            ),
        )
        for place in range(0, len(volumes), _EVERY)
    ]
    return Table.of(
        "USD saved a month by volume",
        ["requests a month", *(_name(shape) for shape in curves)],
        rows,
    )


def _hosting(form: Mapping[str, Any]) -> Table:
    """Return a row for each way to host the cheap model; those that an answer excludes say why."""
    rows = []
    for shape, name in _SHAPES.items():
        cells = [form["share"].get(f"{shape}_{column}") for column in _COLUMNS]
        if any(cells):
            texts = tuple(estimate_text(Estimate(**cell)) if cell else "unknown" for cell in cells)
            rows.append(Row(name, texts, mark=form["barred"].get(shape, "")))
    return Table.of(
        "Ways to host the cheap model, the simplest requests kept on it",
        ["hosting", *_COLUMNS.values()],
        rows,
    )


def _conditions(form: Mapping[str, Any]) -> Table:
    rows = [
        Row(one["name"].replace("_", " "), (one["state"], one["text"]))
        for one in form["conditions"]
    ]
    return Table.of(
        "Conditions under which it does not pay", ["condition", "state", "what was found"], rows
    )


def _name(shape: str) -> str:
    return _SHAPES.get(shape, shape)
