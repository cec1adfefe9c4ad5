"""The section on the check of answers: three ways to route, what each costs at each quality, and
which was taken.
"""

from __future__ import annotations

from difficulty.evaluation.frontiers import CHECK_KINDS, CheckFigures
from difficulty.evaluation.result import Evaluation
from difficulty.evaluation.words import as_percent, usd_number
from difficulty.records import Estimate
from difficulty.report.blocks import Block, Extras, Picture, Row, Section, Table
from difficulty.report.plot import Axis, Plot

_WAYS = {
    "request": "the request's score alone",
    "check": "the check of the answer alone",
    "both": "score and check together",
}
_TAKEN = {
    "request": "The policy does not check answers",
    "check": "The policy sends nothing at once and checks every answer",
    "both": "The policy sends the highest scores at once and checks the other answers",
}
# The page has a style for each line.
_STYLES = {"request": "line score", "check": "line router", "both": "line without_task"}
_SHOWN = (0.5, 0.7, 0.8, 0.9, 0.95)
"""Shares of the quality gap in the table."""


def answers_section(evaluation: Evaluation, extras: Extras) -> Section | None:
    """Return the three frontiers and what was taken; nothing where no answer was checked."""
    figures = evaluation.answer
    if figures is None:
        return None
    blocks: list[Block | str] = [_taken(figures, extras), _draw(figures), _tabulate(figures)]
    return Section.of("answers", "Judging the answer too", *blocks, short="Check")


def _taken(figures: CheckFigures, extras: Extras) -> str:
    why = extras.chosen.way if extras.chosen else ""
    parts = [
        f"{_WAYS[kind]} {_against(figures.saved[kind], s='' if kind == 'both' else 's')}"
        for kind in CHECK_KINDS
        if kind != "request"
    ]
    taken = _TAKEN[figures.kind] if figures.kind else "No way has been chosen yet"
    text = (
        f"{taken}.{_when_chosen(why)}"
        f" On the {figures.requests:,} requests judged here with a checked answer, at"
        f" {100.0 * figures.level:.0f} % of the quality gap, {'; '.join(parts)}, against the"
        " request's score alone. A checked answer that is sent on pays both calls. Each way has its"
        " best threshold here, so all three look a little better than they are."
    )
    if not figures.in_usd:
        text += (
            " Costs are not known, as prices or token counts are missing: a call of the cheap model"
            " counts 0.05 of a frontier call."
        )
    if figures.frontier_assumed:
        text += f" Nothing is known of {extras.frontier}'s answers: they are taken to be right."
    return text


def _when_chosen(why: str) -> str:
    """Return how ways compared when one was chosen; ``why`` begins with what was taken."""
    compared = why.partition(". ")[2]
    if compared:
        return f" When it was chosen, {compared[0].lower()}{compared[1:]}."
    return f" When it was chosen: {why}." if why else ""


def _against(saved: Estimate, *, s: str) -> str:
    """Return what a way saves in words; ``s`` ends its verb."""
    if saved.value is None:
        return f"cannot be compared ({saved.note})"
    if saved.value >= 0.0:
        return f"save{s} {as_percent(saved)}"
    low, high = (None if end is None else -end for end in (saved.high, saved.low))
    lost = as_percent(Estimate(value=-saved.value, low=low, high=high, n=saved.n))
    return f"cost{s} {lost} more"


def _draw(figures: CheckFigures) -> Picture:
    costs = [value for kind in CHECK_KINDS for value in figures.cost[kind]]
    unit = "USD per 1,000 requests" if figures.in_usd else "frontier calls per 1,000 requests"
    qualities = [100.0 * value for value in figures.quality]
    plot = Plot(Axis.over(unit, costs), Axis.over("mean quality, %", qualities))
    for kind in reversed(CHECK_KINDS):
        plot.line(figures.cost[kind], qualities, style=_STYLES[kind])
    return Picture(
        "ways",
        "Quality against cost, three ways",
        plot,
        tuple((_STYLES[kind], _WAYS[kind]) for kind in CHECK_KINDS),
        "Further up is better, further left is cheaper. Each line is the least that a way costs for"
        " a quality, rules counted in.",
        None,
    )


def _tabulate(figures: CheckFigures) -> Table:
    """Return the costs at a few qualities."""
    # At or above the share: what is less would not do.
    last = len(figures.recovered) - 1
    steps = [
        next((at for at, reached in enumerate(figures.recovered) if reached >= share - 1e-9), last)
        for share in _SHOWN
    ]
    rows = [
        Row(
            _WAYS[kind],
            tuple(_number(figures.cost[kind][at]) for at in steps),
            mark="in use" if kind == figures.kind else "",
            strong=kind == figures.kind,
        )
        for kind in CHECK_KINDS
    ]
    columns = ["way", *(f"{100.0 * figures.recovered[at]:.0f} % of the gap" for at in steps)]
    unit = "USD" if figures.in_usd else "frontier calls"
    return Table.of(f"Least cost of 1,000 requests, in {unit}", columns, rows)


def _number(cost: float | None) -> str:
    if cost is None:
        return "not reached"
    return usd_number(Estimate(value=cost))
