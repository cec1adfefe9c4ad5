"""The picture of a simulated year, made from its figures alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.lib.plots import save
from benchmarks.lib.year_world import (
    BETTER,
    FLOOD,
    HARDER,
    NEW_TASK,
    NO_LABELS,
    QUARTER,
    VALIDATOR,
    WORSE,
)

COLOURS = {
    "fixed": "#6b7280",
    "recalibrated": "#c2410c",
    "recalibrated, whole quarter": "#f59e0b",
    "retrained": "#15803d",
    "oracle": "#1d4ed8",
}
_PANELS = {
    "risk": "risk: share of the kept requests\nthat the cheap model fails",
    "share": "share sent to\nthe frontier model",
    "cost": "USD per 1,000 requests",
    "quality": "quality",
}
_SPANS = {
    "harder subjects": HARDER,
    "a client floods": FLOOD,
    "no labels": NO_LABELS,
    "validator broken": VALIDATOR,
}
_DAYS = {"new task": NEW_TASK, "better model": BETTER, "worse model": WORSE}


def plot_year(results: Mapping[str, Any], path: Path) -> None:
    """Draw risk, share, cost and quality by week, each policy's mean over the seeds with the least
    and the most.
    """
    figure = Figure(figsize=(10.0, 11.0), layout="constrained")
    panels = figure.subplots(len(_PANELS), 1, sharex=True)
    runs: dict[str, list[Mapping[str, Any]]] = {"oracle": [results["oracle"]]}
    for seed in results["seed_figures"]:
        for name, year in seed.items():
            runs.setdefault(name, []).append(year)
    for panel, (key, label) in zip(panels, _PANELS.items(), strict=True):
        for name in COLOURS:
            if name in runs:
                _line(panel, name, runs[name], key)
        _events(panel)
        panel.set_ylabel(label, fontsize=9)
        panel.set_xlim(0, QUARTER[-1])
        panel.grid(axis="y", alpha=0.25)
    panels[0].axhline(results["risk"], color="#111827", linewidth=1.0, linestyle="--")
    panels[-1].set_xlabel("day of the year; dotted: quarters", fontsize=9)
    _name_events(panels[0])
    handles = [Line2D([], [], color=COLOURS[name], label=name) for name in COLOURS if name in runs]
    handles.append(Line2D([], [], color="#111827", linestyle="--", label="promise"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    save(figure, path)


def _line(panel: Axes, name: str, years: Sequence[Mapping[str, Any]], key: str) -> None:
    days = [week["day"] + 3.5 for week in years[0]["weeks"]]
    values = np.array([[week[key] for week in year["weeks"]] for year in years])
    panel.plot(days, values.mean(axis=0), color=COLOURS[name], linewidth=1.6)
    if len(years) > 1:
        low, high = values.min(axis=0), values.max(axis=0)
        panel.fill_between(days, low, high, color=COLOURS[name], alpha=0.15, linewidth=0)


def _events(panel: Axes) -> None:
    for begin, end in _SPANS.values():
        panel.axvspan(begin, end, color="#9ca3af", alpha=0.15, linewidth=0)
    for day in _DAYS.values():
        panel.axvline(day, color="#111827", linewidth=0.8)
    for day in QUARTER[1:-1]:
        panel.axvline(day, color="#6b7280", linestyle=":", linewidth=1.0)


def _name_events(panel: Axes) -> None:
    places = {name: (begin + end) / 2 for name, (begin, end) in _SPANS.items()} | _DAYS
    for name, day in places.items():
        panel.annotate(
            name,
            (day, 1.02),
            xycoords=("data", "axes fraction"),
            rotation=35,
            ha="left",
            va="bottom",
            fontsize=8,
        )
