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
LABELS = {"ours": "this project", "peer": "other projects' routers", "reference": "reference methods"}
DRAWN = ("tfidf", "task_mean", "length")
"""References whose curves are drawn, beside ours and the best peer's."""


def plot_apgr(results: Mapping[str, Any], path: Path) -> None:
    """Draw every method's APGR with its interval, one panel a set."""
    sets = results["sets"]
    columns = -(-len(sets) // 2)
    figure = Figure(figsize=(5.2 * columns, 10.5), layout="constrained")
    panels = figure.subplots(2, columns, squeeze=False)
    for panel, found in zip(panels.flat, sets.values(), strict=False):
        _dots(panel, found)
    for panel in panels.flat[len(sets) :]:
        panel.set_visible(False)
    handles = [Line2D([], [], color=COLOURS[kind], marker="o", linestyle="", label=LABELS[kind]) for kind in COLOURS]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    _save(figure, path)


def plot_curves(found: Mapping[str, Any], path: Path) -> None:
    """Draw mean quality against the share of requests sent to the frontier model."""
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    panel = figure.subplots()
    share = np.linspace(0.0, 1.0, 101)
    panel.plot([0, 1], [found["cheap_quality"], found["frontier_quality"]], color="#9ca3af", linestyle=":", label="random")
    for place, (name, method) in enumerate(_drawn(found["methods"])):
        style = "--" if name.endswith("_task") else "-"
        colour = COLOURS["ours"] if method["kind"] == "ours" else f"C{place}"
        panel.plot(
            share, method["curve"], linestyle=style, color=colour, linewidth=2 if method["kind"] == "ours" else 1.2, label=_plain(method)
        )
    panel.set(xlabel="share of requests sent to the frontier model", ylabel="mean quality", title=found["title"], xlim=(0, 1))
    panel.legend(frameon=False, fontsize=8)
    panel.grid(alpha=0.25)
    _save(figure, path)


def _drawn(methods: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return ours, the best peer and some references."""
    run = {name: method for name, method in methods.items() if "curve" in method}
    peers = sorted((name for name in run if run[name]["kind"] == "peer"), key=lambda name: -run[name]["apgr"]["value"])
    chosen = [*(name for name in run if run[name]["kind"] == "ours"), *peers[:1], *(name for name in DRAWN if name in run)]
    return [(name, run[name]) for name in chosen]


def _dots(panel: Axes, found: Mapping[str, Any]) -> None:
    methods = [method for name, method in found["methods"].items() if "apgr" in method and name != "oracle"]
    methods.sort(key=lambda method: method["apgr"]["value"])
    for place, method in enumerate(methods):
        apgr, colour = method["apgr"], COLOURS[method["kind"]]
        panel.plot([apgr["low"], apgr["high"]], [place, place], color=colour, linewidth=1.5)
        panel.plot(apgr["value"], place, "o", color=colour, markersize=5)
    panel.axvline(0.5, color="#9ca3af", linestyle=":")
    panel.set_yticks(range(len(methods)), [_plain(method) for method in methods], fontsize=8)
    panel.set(title=f"{found['title']}\n{found['rows']:,} requests", xlabel="APGR (random: 0.5)")
    panel.grid(axis="x", alpha=0.25)


def _plain(method: Mapping[str, Any]) -> str:
    return str(method["title"]).replace("`", "")


def _save(figure: Figure, path: Path) -> None:
    """Write an SVG that is the same for the same figures."""
    with rc_context({"svg.hashsalt": "difficulty"}):
        figure.savefig(path, metadata={"Date": None})
