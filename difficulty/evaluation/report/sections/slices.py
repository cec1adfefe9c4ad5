"""The figures by task, length and whatever else requests are told apart by; slices too small to
judge are marked.
"""

from __future__ import annotations

from collections.abc import Mapping

from difficulty.evaluation.numbers import label_of
from difficulty.evaluation.report.blocks import Block, Paragraph, Row, Section, Table
from difficulty.evaluation.report.extras import Extras
from difficulty.evaluation.report.wording import cells_of
from difficulty.evaluation.result import Estimates, Evaluation
from difficulty.evaluation.slices import in_order, is_too_small

_FIGURES = (
    "frontier_share", "quality", "routing_precision", "routing_recall", "cheap_route_precision",
    "risk", "gap_recovered", "cost", "apgr",
    "ece",
)  # fmt: skip
_SHOWN = 10
_MOST = 60
"""Rows of a folded table; the smallest beyond them stand in metrics.json."""


def slices_section(evaluation: Evaluation, extras: Extras) -> Section:
    """Return a table for each kind of slice."""
    if not evaluation.slices:
        return Section(
            "slices",
            "Slices",
            (
                Paragraph(
                    "Requests are not told apart by anything: no task, no length, no other label."
                ),
            ),
        )
    text = (
        "The same figures for parts of the requests. Many slices are compared here, and some stand"
        " out by chance: look at the intervals, and conclude nothing from those marked too few to"
        " judge."
    )
    return Section(
        "slices",
        "Slices",
        (
            Paragraph(text),
            *(block for kind, parts in evaluation.slices.items() for block in _tables(kind, parts)),
        ),
    )


def _tables(kind: str, parts: Mapping[str, Estimates]) -> list[Block]:
    """Return the largest slices of a kind and, where there are more, all of them folded."""
    title = f"By {kind.replace('_', ' ')}"
    if len(parts) <= _SHOWN:
        return [_table(title, kind, parts)]
    first = dict(list(parts.items())[:_SHOWN])
    most = dict(list(parts.items())[:_MOST])
    left = f", {len(parts) - _MOST:,} smaller ones in metrics.json" if len(parts) > _MOST else ""
    return [
        _table(f"{title}: the {_SHOWN} largest of {len(parts):,}", kind, first),
        _table(
            f"{title}: {f'the {_MOST} largest' if left else 'all'} of {len(parts):,}{left}",
            kind,
            most,
            folded=True,
        ),
    ]


def _table(
    caption: str, kind: str, parts: Mapping[str, Estimates], *, folded: bool = False
) -> Table:
    every = list(parts.values())
    names = [
        name
        for name in _FIGURES
        if any(name in row and row[name].value is not None for row in every)
    ]
    rows = [
        Row(
            name,
            (_requests(estimates), *cells_of(estimates, names)),
            mark="too few to judge" if is_too_small(estimates) else "",
        )
        for name, estimates in in_order(list(parts.items()))
    ]
    return Table.of(
        caption,
        [kind.replace("_", " "), "requests", *(label_of(name) for name in names)],
        rows,
        folded=folded,
    )


def _requests(estimates: Estimates) -> str:
    return f"{max(estimate.n for estimate in estimates.values()):,}"
