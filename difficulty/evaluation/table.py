"""The console view of an evaluation: tables that the command line prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from difficulty.evaluation.result import Estimates, Evaluation
from difficulty.records import Estimate

__all__ = ["as_text", "evaluation_table"]

_MEANINGS = {
    "apgr": "APGR: gap recovered, averaged over frontier shares",
    "cpt_50": "CPT(50 %): least frontier share that recovers half the gap",
    "cpt_80": "CPT(80 %): least frontier share that recovers 80 % of the gap",
    "auroc": "AUROC: needed the frontier model or not",
    "brier": "Brier score of p_cheap_fails",
    "ece": "ECE of p_cheap_fails",
    "brier_frontier": "Brier score of p_frontier_fails",
    "ece_frontier": "ECE of p_frontier_fails",
    "frontier_share": "frontier share",
    "routing_precision": "routing precision: sent to the frontier and needed it",
    "routing_recall": "routing recall: needed the frontier and sent to it",
    "cheap_route_precision": "cheap route precision: kept and did not need the frontier",
    "risk": "risk: kept requests that the cheap model fails",
    "quality": "quality of the routed answers",
    "gap_recovered": "PGR: share of the quality gap recovered",
    "cost": "cost, USD per 1,000 requests",
}
_BASELINE_COLUMNS = {
    "apgr": "APGR", "cpt_50": "CPT(50 %)", "cpt_80": "CPT(80 %)", "quality": "quality", "cost": "USD per 1,000",
    "apgr_difference": "APGR, score minus this",
}  # fmt: skip
_SLICE_COLUMNS = {"apgr": "APGR", "auroc": "AUROC", "frontier_share": "frontier share", "quality": "quality", "risk": "risk"}


def evaluation_table(evaluation: Evaluation, *, most_slices: int = 8) -> RenderableType:
    """Return the evaluation as rich tables: the score, the baselines beside it, the largest slices of each kind, the notes.

    Parameters
    ----------
    evaluation : Evaluation
        What :func:`evaluate` returned.
    most_slices : int
        Slices shown of each kind; 0 shows none.
    """
    tables: list[RenderableType] = [_overall(evaluation), _baselines(evaluation)]
    if most_slices:
        tables += [_slices(kind, parts, most_slices) for kind, parts in evaluation.slices.items()]
    return Group(*tables, *(Text(f"- {note}") for note in _notes(evaluation)))


def as_text(estimate: Estimate | None) -> str:
    """Return an estimate as ``0.697 [0.678, 0.716]``; ``unknown`` without a value."""
    if estimate is None or estimate.value is None:
        return "unknown"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _overall(evaluation: Evaluation) -> Table:
    """Return the figures of the score."""
    at = "no threshold" if evaluation.threshold is None else f"threshold {evaluation.threshold:.4g}"
    table = Table(title=f"difficulty_score for target {evaluation.target}, {at}", title_justify="left")
    for heading, side in (("figure", "left"), ("value [95 % interval]", "right"), ("requests", "right")):
        table.add_column(heading, justify="right" if side == "right" else "left", overflow="fold")
    for name, meaning in _MEANINGS.items():
        if name in evaluation.overall:
            estimate = evaluation.overall[name]
            table.add_row(meaning, as_text(estimate), f"{estimate.n:,}")
    return table


def _baselines(evaluation: Evaluation) -> Table:
    """Return the score's row and one row for each baseline."""
    table = _side_by_side("Beside the baselines (quality and cost at the same frontier share)", "routed by", _BASELINE_COLUMNS)
    table.add_row("the score", *_cells(evaluation.overall, _BASELINE_COLUMNS), style="bold")
    for name, estimates in evaluation.baselines.items():
        table.add_row(name.replace("_", " "), *_cells(estimates, _BASELINE_COLUMNS))
    return table


def _slices(kind: str, parts: Mapping[str, Estimates], most: int) -> Table:
    """Return the largest slices of one kind; those too small to judge are marked."""
    left = len(parts) - most
    title = f"By {kind}" + (f" (the {most} largest; {left} more in metrics.json)" if left > 0 else "")
    table = _side_by_side(title, kind, {"n": "requests", **_SLICE_COLUMNS})
    for name, estimates in list(parts.items())[:most]:
        small = any(estimate.note.startswith("too few") for estimate in estimates.values())
        requests = max(estimate.n for estimate in estimates.values())
        table.add_row(Text(name + (" (too few to judge)" if small else "")), f"{requests:,}", *_cells(estimates, _SLICE_COLUMNS))
    return table


def _side_by_side(title: str, first: str, columns: Mapping[str, str]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first, overflow="fold")
    for heading in columns.values():
        table.add_column(heading, justify="right", overflow="fold")
    return table


def _cells(estimates: Estimates, columns: Mapping[str, str]) -> list[str]:
    """Return a cell for each column; empty where the figure does not apply."""
    return [as_text(estimates[name]) if name in estimates else "" for name in columns]


def _notes(evaluation: Evaluation) -> Iterator[str]:
    """Yield the notes, and why each unknown figure is unknown."""
    yield from evaluation.notes
    for name, estimate in evaluation.overall.items():
        if estimate.value is None:
            yield f"{name} is unknown: {estimate.note}."
