"""The console view of a search: what was tried, the best first, and which candidate was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text


def search_table(report: Mapping[str, Any], *, most: int = 8) -> RenderableType:
    """Return a search's report as a table of the best candidates and the chosen one, with a line on
    what was left untried.

    Parameters
    ----------
    report : mapping
        ``search`` of run.json.
    most : int, default 8
        Candidates shown.
    """
    ranked = sorted(report["tried"], key=lambda entry: entry["behind_best"])
    shown = [entry for place, entry in enumerate(ranked) if place < most or entry["chosen"]]
    figure = report["figure"].upper()
    table = Table(
        "tried",
        f"inner {figure}",
        "behind the best (standard error)",
        title="search",
        title_justify="left",
    )
    for entry in shown:
        value = f"{entry['value']:.3f} [{entry['low']:.3f}, {entry['high']:.3f}]"
        behind = (
            "best"
            if entry["name"] == report["best"]
            else f"{entry['behind_best']:.3f} ({entry['standard_error']:.3f})"
        )
        name = f"{entry['name']}{'  <- chosen' if entry['chosen'] else ''}"
        table.add_row(Text(name), Text(value), behind, style="bold" if entry["chosen"] else None)
    tried, untried = len(ranked), report["untried"]
    counted = (
        f"{tried} candidates tried in {report['seconds']:.0f} s; chosen is the simplest within one"
        " standard error of the best."
    )
    missed = (
        f" Left untried for want of time ({report['minutes']:g} minutes): {len(untried)}, see"
        " run.json."
        if untried
        else ""
    )
    return Group(table, Text(counted + missed), Text(report["note"]))
