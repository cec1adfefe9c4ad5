"""The console view of the economics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from difficulty.economics.numbers import estimate_text
from difficulty.economics.result import Economics
from difficulty.economics.sections import SHAPES, Shape
from difficulty.records import Estimate

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
    table = _plain("Today: every request on the frontier model", "", "value [95 % interval]")
    for name, label in _OVERALL.items():
        table.add_row(label, estimate_text(economics.overall[name]))
    return table


def _plans(economics: Economics) -> Table:
    how = "at random" if "score" in economics.assumed else "by score"
    names = {"share": f"the simplest {economics.share:.0%} {how}", "policy": "the bundle's policy"}
    table = _plain(
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
    table = _plain(f"Hosting, USD a month: {which}", "", *_HOSTING.values())
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


def _plain(title: str, *headings: str) -> Table:
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
