"""Slices as strips of four columns, the darker the more is at stake, with every figure behind
them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from difficulty.evaluation.result import Estimates, Evaluation
from difficulty.evaluation.slices import in_order, is_too_small
from difficulty.records import Estimate
from difficulty.report.blocks import Block, Extras, Heat, HeatRow, Row, Section, Table
from difficulty.report.wording import bare_percent, cells_of, columns_with_values, label_of

_FIGURES: Final = (
    "frontier_share", "quality", "answers_worse", "calls_avoided", "routing_precision",
    "routing_recall", "cheap_route_precision", "risk", "gap_recovered", "cost", "apgr",
    "calibration_error",
)  # fmt: skip
_COLUMNS: Final = {
    "frontier_share": "sent to the frontier",
    "quality": "quality",
    "answers_worse": "answers worse",
}
_INSTEAD: Final = {"answers_worse": ("risk", "risk")}
"""What stands in a strip where the figure is known of no slice."""
_MOST_SHOWN: Final = 8
# Rows of a folded table; the smallest beyond them stand in metrics.json.
_MOST_FOLDED: Final = 60
_LEVELS: Final = 5


def slices_section(evaluation: Evaluation, extras: Extras) -> Section:
    """Return a strip for each kind of slice."""
    if not evaluation.slices:
        text = "Requests are not told apart by anything: no task, no length, no other label."
        return Section.of("slices", "Slices", text)
    blocks: list[Block | str] = [
        "The kinds of requests where most is at stake come first: requests times the share of"
        " answers that get worse. The darker, the more. Many slices are compared, and some stand"
        " out by chance: open the figures for their ranges."
    ]
    blocks += [_strip(kind, parts) for kind, parts in evaluation.slices.items()]
    return Section.of("slices", "Slices", *blocks)


def size_of(estimates: Estimates) -> int:
    """Return how many requests a slice holds: figures may rest on fewer."""
    return max(estimate.n for estimate in estimates.values())


def at_stake(estimates: Estimates, figure: str = "answers_worse") -> float:
    """Return the requests of a slice times what goes wrong in it; negative where that is not
    known, so that it comes last.
    """
    value = estimates[figure].value if figure in estimates else None
    return -1.0 if value is None else size_of(estimates) * value


def _strip(kind: str, parts: Mapping[str, Estimates]) -> Heat:
    columns = dict(_COLUMNS)
    worse = "answers_worse"
    if not columns_with_values([worse], parts.values()):
        other, label = _INSTEAD[worse]
        del columns[worse]
        columns[other], worse = label, other
    ranked = sorted(parts.items(), key=lambda part: (-at_stake(part[1], worse), part[0]))
    shown = ranked[:_MOST_SHOWN]
    total = sum(map(size_of, parts.values())) or 1
    stakes = [max(0.0, at_stake(part, worse)) for _, part in shown]
    rows = [
        HeatRow(
            name,
            (
                (f"{size_of(part):,}", _level(size_of(part) / total)),
                *(
                    _cell(part.get(figure), heated=figure == worse, stake=stake, most=max(stakes))
                    for figure in columns
                ),
            ),
            mark="too few to judge" if is_too_small(part) else "",
        )
        for (name, part), stake in zip(shown, stakes, strict=True)
    ]
    title, left = f"By {kind.replace('_', ' ')}", len(parts) - len(shown)
    more = f"{left:,} more with less at stake." if left > 0 else ""
    heads = (kind.replace("_", " "), "requests", *columns.values())
    return Heat(title, heads, tuple(rows), _tabulate(kind, parts), more)


def _cell(
    estimate: Estimate | None, *, heated: bool, stake: float, most: float
) -> tuple[str, int | None]:
    """Return the text of a cell; the column of what goes wrong is coloured by what is at stake."""
    level = _level(stake / most) if heated and most > 0.0 else None
    return bare_percent(estimate), level


def _level(share: float) -> int:
    return min(_LEVELS, round(_LEVELS * share))


def _tabulate(kind: str, parts: Mapping[str, Estimates]) -> Table:
    """Return every figure of the largest slices, bands in their order."""
    names = columns_with_values(_FIGURES, parts.values())
    largest = list(parts.items())[:_MOST_FOLDED]  # they come by size
    left = len(parts) - len(largest)
    caption = f"By {kind.replace('_', ' ')}, every figure" + (
        f": the {_MOST_FOLDED} largest of {len(parts):,}, the others in metrics.json"
        if left
        else ""
    )
    rows = [
        Row(
            name,
            (f"{size_of(estimates):,}", *cells_of(estimates, names)),
            mark="too few to judge" if is_too_small(estimates) else "",
        )
        for name, estimates in in_order(largest)
    ]
    columns = [kind.replace("_", " "), "requests", *map(label_of, names)]
    return Table.of(caption, columns, rows, folded=True)
