"""The console view of an evaluation: tables that the command line prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from difficulty.economics.analysis import Economics
from difficulty.economics.prices import SHAPES, Shape
from difficulty.evaluation.result import Estimates, Evaluation
from difficulty.evaluation.slices import in_order, is_too_small
from difficulty.records import Estimate
from difficulty.report.wording import LABELS, as_text, estimate_text

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


_OVERALL = {
    "requests_per_month": "requests a month",
    "frontier_spend": "frontier model, USD a month",
    "frontier_input_spend": "  of it for reading",
    "frontier_output_spend": "  of it for writing",
    "frontier_cost": "frontier model, USD per 1,000 requests",
    "input_tokens_per_month": "tokens read a month",
    "output_tokens_per_month": "tokens written a month",
    "gain_free_share": "requests that the frontier model answers no better",
    "scorer_cost": "scorer, USD a month",
    "keep_cost": "cost to keep it, USD a month",
    "setup_cost": "cost to set it up, USD",
}
_PLAN = {
    "kept_share": "share kept on the cheap model",
    "frontier_spend": "their price on the frontier model, USD a month",
    "input_tokens_per_month": "their tokens read a month",
    "output_tokens_per_month": "their tokens written a month",
    "cheap_quality": "quality of the cheap model on them",
    "frontier_quality": "quality of the frontier model on them",
    "caught_share": "caught by validation",
    "quality_after": "quality with fallback",
    "quality_loss": "fall of the quality over all requests",
    "fallback_cost": "fallback to the frontier model, USD a month",
    "lost_answers_cost": "cost of lost answers, USD a month",
}
_HOSTING = {
    "cost": "hosting",
    "replicas": "replicas",
    "utilisation": "busy",
    "saving": "saving",
    "net_saving": "after cost to keep it",
    "break_even": "break-even, requests a month",
    "payback_months": "payback, months",
}
_WITH_ENDS = ("net_saving", "break_even")


def economics_table(economics: Economics) -> RenderableType:
    """Return verdict, figures, conditions and what they rest on, as rich tables."""
    parts: list[RenderableType] = [_today(economics), _plans(economics)]
    parts += [
        _hosting(name, figures, economics.barred) for name, figures in economics.plans.items()
    ]
    parts.append(_conditions(economics))
    spaced = [item for part in parts for item in (part, Text(""))]
    verdict = Text.assemble((economics.verdict.answer, "bold"), f": {economics.verdict.text}")
    return Group(*spaced, *(Text(f"- {line}") for line in _lines(economics)), Text(""), verdict)


def _today(economics: Economics) -> Table:
    table = _money_table("Today: every request on the frontier model", "", "value [95 % interval]")
    for name, label in _OVERALL.items():
        table.add_row(label, estimate_text(economics.overall[name]))
    return table


def _plans(economics: Economics) -> Table:
    how = "at random" if "score" in economics.assumed else "by score"
    names = {"share": f"the simplest {economics.share:.0%} {how}", "policy": "the bundle's policy"}
    table = _money_table(
        "Kept on the cheap model", "", *(names.get(name, name) for name in economics.plans)
    )
    for name, label in _PLAN.items():
        if any(name in figures for figures in economics.plans.values()):
            table.add_row(
                label, *(estimate_text(figures.get(name)) for figures in economics.plans.values())
            )
    return table


def _hosting(plan: str, figures: Mapping[str, Estimate], barred: Mapping[Shape, str]) -> Table:
    which = "the simplest requests kept" if plan == "share" else "the bundle's policy"
    table = _money_table(f"Hosting, USD a month: {which}", "", *_HOSTING.values())
    for shape in SHAPES:
        if f"{shape}_cost" in figures:
            cells = [
                estimate_text(figures.get(f"{shape}_{name}"), ends=name in _WITH_ENDS)
                for name in _HOSTING
            ]
            table.add_row(shape + (" (excluded)" if shape in barred else ""), *cells)
    return table


def _conditions(economics: Economics) -> Table:
    table = Table(
        "it does not pay with",
        "",
        "",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        header_style="dim",
    )
    for condition in economics.conditions:
        table.add_row(condition.name.replace("_", " "), condition.state, Text(condition.text))
    return table


def _lines(economics: Economics) -> Iterator[str]:
    yield from (f"assumed {name}: {sentence}." for name, sentence in economics.assumed.items())
    yield from (f"missing {name}: {sentence}." for name, sentence in economics.missing.items())
    yield from (f"excluded {shape}: {reason}." for shape, reason in economics.barred.items())
    yield from economics.notes


def _money_table(title: str, *headings: str) -> Table:
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
            heading, justify="right" if place else "left", overflow="fold", header_style="dim"
        )
    return table
