"""The console view of an evaluation: tables that the command line prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from difficulty.evaluation.numbers import LABELS, as_text
from difficulty.evaluation.result import Estimates, Evaluation
from difficulty.evaluation.slices import in_order, is_too_small
from difficulty.records import Estimate

_STYLES = {"error": "bold red", "warning": "yellow", "info": ""}
_WITH_INTERVAL = {"apgr", "apgr_difference"}
_BASELINE_COLUMNS = {
    "apgr": "APGR",
    "apgr_difference": "score minus this",
    "quality": "quality",
    "cost": "cost",
}
_SLICE_COLUMNS = {
    "apgr": "APGR",
    "frontier_share": "share",
    "routing_precision": "routing\nprecision",
    "quality": "quality",
    "risk": "risk",
}
"""Few enough for a terminal of 80 columns; metrics.json and the report have all."""


def evaluation_table(evaluation: Evaluation, *, most_slices: int = 8) -> RenderableType:
    """Return the evaluation as rich tables: the score, the baselines beside it, the largest slices
    of each kind, findings and notes.

    Parameters
    ----------
    evaluation : Evaluation
        What :func:`evaluate` returned.
    most_slices : int
        Slices shown of each kind; 0 shows none.
    """
    tables = [_overall(evaluation), _baselines(evaluation)]
    if most_slices:
        tables += [_slices(kind, parts, most_slices) for kind, parts in evaluation.slices.items()]
    spaced = [item for table in tables for item in (table, Text(""))]
    return Group(
        *spaced, *_findings(evaluation), *(Text(f"- {note}") for note in _notes(evaluation))
    )


def _overall(evaluation: Evaluation) -> Table:
    """Return the figures of the score; those that are unknown stand in the notes."""
    at = (
        "no threshold chosen yet"
        if evaluation.threshold is None
        else f"threshold {evaluation.threshold:.4g}"
    )
    table = _plain(
        f"difficulty_score for target {evaluation.target}, {at}",
        ["figure", "value [95 % interval]", "requests"],
    )
    for name, label in LABELS.items():
        estimate = evaluation.overall.get(name)
        if estimate is not None and estimate.value is not None:
            table.add_row(label, as_text(estimate), f"{estimate.n:,}")
    return table


def _baselines(evaluation: Evaluation) -> Table:
    """Return the score's row and one row for each baseline."""
    columns = _known(_BASELINE_COLUMNS, [evaluation.overall, *evaluation.baselines.values()])
    at = "" if evaluation.threshold is None else ", at the same frontier share"
    table = _plain(f"Beside the baselines{at}", ["routed by", *columns.values()])
    table.add_row("the score", *_cells(evaluation.overall, columns), style="bold")
    for name, estimates in evaluation.baselines.items():
        table.add_row(name.replace("_", " "), *_cells(estimates, columns))
    return table


def _slices(kind: str, parts: Mapping[str, Estimates], most: int) -> Table:
    """Return the largest slices of one kind, bands in their order; those too small to judge are
    marked.
    """
    left = len(parts) - most
    title = f"By {kind.replace('_', ' ')}" + (
        f" (the {most} largest; {left} more in metrics.json)" if left > 0 else ""
    )
    columns = _known(_SLICE_COLUMNS, list(parts.values()))
    table = _plain(title, [kind, "requests", *columns.values()])
    for name, estimates in in_order(list(parts.items())[:most]):
        small = is_too_small(estimates)
        requests = max(estimate.n for estimate in estimates.values())
        table.add_row(
            Text(name + (" (too few to judge)" if small else "")),
            f"{requests:,}",
            *_cells(estimates, columns),
        )
    return table


def _findings(evaluation: Evaluation) -> Iterator[Text]:
    """Yield what the honesty checks found, the gravest first."""
    for finding in evaluation.findings:
        yield Text(
            f"{finding.severity}: {finding.message} ({finding.name})",
            style=_STYLES[finding.severity],
        )
    if evaluation.findings:
        yield Text("")


def _plain(title: str, headings: Sequence[str]) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    for place, heading in enumerate(headings):
        table.add_column(
            heading,
            justify="right" if place else "left",
            overflow="fold",
            no_wrap=place > 0,
            header_style="dim",
        )
    return table


def _known(columns: Mapping[str, str], rows: Sequence[Estimates]) -> dict[str, str]:
    """Return the columns in which any row has a value."""
    return {
        name: label
        for name, label in columns.items()
        if any(name in row and row[name].value is not None for row in rows)
    }


def _cells(estimates: Estimates, columns: Mapping[str, str]) -> list[str]:
    """Return a cell for each column; empty where the figure does not apply."""
    return [_cell(name, estimates[name]) if name in estimates else "" for name in columns]


def _cell(name: str, estimate: Estimate) -> str:
    if name in _WITH_INTERVAL or estimate.value is None:
        return as_text(estimate)
    return f"{estimate.value:.3f}"


def _notes(evaluation: Evaluation) -> Iterator[str]:
    """Yield the notes, and why each unknown figure is unknown, figures of one reason together."""
    yield from evaluation.notes
    reasons: dict[str, list[str]] = {}
    for name, estimate in evaluation.overall.items():
        if estimate.value is None and (evaluation.threshold is not None or estimate.n):
            reasons.setdefault(estimate.note, []).append(name)
    for reason, names in reasons.items():
        yield f"Unknown: {', '.join(names)} ({reason})."
