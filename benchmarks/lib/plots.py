"""Pictures of the benchmark's results, made from its JSON alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

COLOURS = {"ours": "#c2410c", "peer": "#1d4ed8", "reference": "#6b7280"}
LABELS = {
    "ours": "this project",
    "peer": "other projects' routers",
    "reference": "reference methods",
}
OURS = ("#c2410c", "#f59e0b", "#7f1d1d", "#ec4899")
"""Colours of our recipes' curves, in the order in which they were asked for."""
DRAWN = {"tfidf": "#15803d", "task_mean": "#0d9488", "length": "#6b7280"}
"""References whose curves are drawn, beside ours and the best peer's."""
COLUMNS = 3

Methods = Mapping[str, Mapping[str, Any]]


def plot_apgr(results: Mapping[str, Any], path: Path) -> None:
    """Draw every method's APGR with its interval: one panel a set, methods in the order of the
    first.
    """
    sets = results["sets"]
    order = _order(sets)
    n_rows = -(-len(sets) // COLUMNS)
    figure = Figure(figsize=(12.0, n_rows * (1.2 + 0.22 * len(order))), layout="constrained")
    panels = figure.subplots(n_rows, COLUMNS, sharey=True, squeeze=False)
    for panel, found in zip(panels.flat, sets.values(), strict=False):
        _dots(panel, found, order)
    for panel in panels.flat[len(sets) :]:
        panel.set_visible(False)
    titles = {
        name: _plain(method) for found in sets.values() for name, method in found["methods"].items()
    }
    for row in panels:
        row[0].set_yticks(range(len(order)), [titles[name] for name in order], fontsize=8)
    handles = [
        Line2D([], [], color=COLOURS[kind], marker="o", linestyle="", label=LABELS[kind])
        for kind in COLOURS
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    save(figure, path)


def plot_curves(found: Mapping[str, Any], path: Path) -> None:
    """Draw mean quality against the share of requests sent to the frontier model."""
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    panel = figure.subplots()
    share = np.linspace(0.0, 1.0, 101)
    panel.plot(
        [0, 1],
        [found["cheap_quality"], found["frontier_quality"]],
        color="#9ca3af",
        linestyle=":",
        label="random",
    )
    for name, colour, style in _drawn(found["methods"]):
        method = found["methods"][name]
        width = 2.0 if method["kind"] == "ours" else 1.2
        panel.plot(
            share,
            method["curve"],
            linestyle=style,
            color=colour,
            linewidth=width,
            label=_plain(method),
        )
    panel.set(
        xlabel="share of requests sent to the frontier model",
        ylabel="mean quality",
        title=found["title"],
        xlim=(0, 1),
    )
    panel.legend(frameon=False, fontsize=8)
    panel.grid(alpha=0.25)
    save(figure, path)


def _order(sets: Mapping[str, Any]) -> list[str]:
    """Return all methods but the oracle, by APGR on the first set, the best last; those that it
    does not have come first.
    """
    first = next(iter(sets.values()))["methods"]
    names = dict.fromkeys(
        name
        for found in sets.values()
        for name, method in found["methods"].items()
        if "apgr" in method
    )
    return sorted(
        (name for name in names if name != "oracle"), key=lambda name: _apgr(first.get(name, {}))
    )


def _drawn(methods: Methods) -> list[tuple[str, str, str]]:
    """Return name, colour and line style of what is drawn: our recipes, the best of them with the
    task told, the best peer, references.
    """
    run = {name: method for name, method in methods.items() if "curve" in method}
    ours = [name for name in run if run[name]["kind"] == "ours" and not name.endswith("_task")]
    colours = {name: OURS[place % len(OURS)] for place, name in enumerate(ours)}
    with_task = sorted(
        (name for name in run if name.removesuffix("_task") in ours and name not in ours),
        key=lambda name: -_apgr(run[name]),
    )
    peers = sorted(
        (name for name in run if run[name]["kind"] == "peer"), key=lambda name: -_apgr(run[name])
    )
    return [
        *((name, colours[name], "-") for name in ours),
        *((name, colours[name.removesuffix("_task")], "--") for name in with_task[:1]),
        *((name, COLOURS["peer"], "-") for name in peers[:1]),
        *((name, colour, "-") for name, colour in DRAWN.items() if name in run),
    ]


def _dots(panel: Axes, found: Mapping[str, Any], order: list[str]) -> None:
    for place, name in enumerate(order):
        method = found["methods"].get(name, {})
        if "apgr" in method:
            apgr, colour = method["apgr"], COLOURS[method["kind"]]
            panel.plot([apgr["low"], apgr["high"]], [place, place], color=colour, linewidth=1.5)
            panel.plot(apgr["value"], place, "o", color=colour, markersize=5)
    panel.axvline(0.5, color="#9ca3af", linestyle=":")
    panel.set_title(f"{found['title']}\n{found['rows']:,} requests", fontsize=9)
    panel.set_xlabel("APGR (random: 0.5)", fontsize=8)
    panel.grid(axis="x", alpha=0.25)


def _apgr(method: Mapping[str, Any]) -> float:
    return float(method["apgr"]["value"]) if "apgr" in method else -1.0


def _plain(method: Mapping[str, Any]) -> str:
    return str(method["title"]).replace("`", "")


def save(figure: Figure, path: Path) -> None:
    """Write an SVG that is the same for the same figures, its text as text."""
    with rc_context({"svg.hashsalt": "difficulty", "svg.fonttype": "none"}):
        figure.savefig(path, metadata={"Date": None})
