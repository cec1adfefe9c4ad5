"""Quality against frontier share and against cost: the router, the baselines, the oracle, the
operating point.
"""

from __future__ import annotations

from difficulty.evaluation.numbers import LABELS, as_text
from difficulty.evaluation.report.blocks import Block, Paragraph, Picture, Row, Section, Table
from difficulty.evaluation.report.extras import Extras
from difficulty.evaluation.report.plot import Axis, Plot
from difficulty.evaluation.report.wording import cells_of, line_style, route_name
from difficulty.evaluation.result import Estimates, Evaluation
from difficulty.evaluation.views import Columns
from difficulty.records import Estimate

_SHOWN = {
    "frontier_share": "share of requests sent to the frontier model",
    "cost": "USD per 1,000 requests",
}
_COLUMNS = {
    "quality": "quality",
    "quality_difference": "quality, score minus this",
    "cost": LABELS["cost"],
    "apgr": LABELS["apgr"],
    "apgr_difference": "APGR, score minus this",
}
_EVERY = 10


def tradeoff_section(evaluation: Evaluation, extras: Extras) -> Section:
    """Return a picture for each axis of which anything is known, and the baselines' figures."""
    blocks: list[Block] = [Paragraph(_how_to_read(evaluation))]
    quality = evaluation.curve.figures["quality"].value if evaluation.curve else ()
    if all(value is None for value in quality):
        why = (
            evaluation.overall["quality"].note
            if "quality" in evaluation.overall
            else "it was not evaluated"
        )
        blocks = [Paragraph(f"The curve cannot be drawn: quality is unknown, because {why}.")]
    else:
        ruled = bool(extras.chosen and extras.chosen.rules)
        blocks += [
            _picture(evaluation, along, ruled=ruled)
            for along in _SHOWN
            if _known_along(evaluation, along)
        ]
        if not _known_along(evaluation, "cost"):
            why = (
                evaluation.overall["cost"].note
                or "no request has prices and token counts for both models"
            )
            blocks.append(Paragraph(f"Quality against cost is not drawn: cost is unknown ({why})."))
    return Section("tradeoff", "Cost and quality", (*blocks, _baselines(evaluation)))


def _how_to_read(evaluation: Evaluation) -> str:
    text = (
        "Further up is better, further left is cheaper. The band is the 95 % interval of the"
        " router's quality."
    )
    return (
        text
        if evaluation.threshold is None
        else f"{text} The disc is the threshold in use; its cross shows both intervals."
    )


def _known_along(evaluation: Evaluation, along: str) -> bool:
    return evaluation.curve is not None and any(
        value is not None for value in evaluation.curve.figures[along].value
    )


def _picture(evaluation: Evaluation, along: str, *, ruled: bool) -> Picture:
    curve = evaluation.curve
    assert curve is not None
    xs, band = curve.figures[along].value, curve.figures["quality"]
    others = _others(evaluation, along, with_score=ruled)
    x = (
        Axis.between(_SHOWN[along], 0.0, 1.0)
        if along == "frontier_share"
        else Axis.over(
            _SHOWN[along],
            [*xs, *(value for columns in others.values() for value in columns[along])],
        )
    )
    held = [band.value, band.low, band.high, *(columns["quality"] for columns in others.values())]
    plot = Plot(x, Axis.over("mean quality", [value for column in held for value in column]))
    plot.band(xs, band.low, band.high, style="area router")
    for name, columns in others.items():
        plot.line(columns[along], columns["quality"], style=line_style(name))
    plot.line(xs, band.value, style="line router")
    legend = [
        ("line router", "this router"),
        ("area router", "95 % interval"),
        *((line_style(name), route_name(name)) for name in others),
    ]
    if evaluation.threshold is not None:
        _cross(plot, evaluation.overall[along], evaluation.overall["quality"])
        legend.append(("point chosen", "threshold in use"))
    title = f"Quality against {'frontier share' if along == 'frontier_share' else 'cost'}"
    return Picture(
        f"tradeoff-{along}",
        title,
        plot,
        tuple(legend),
        _description(evaluation, along),
        _along(evaluation, along),
    )


def _others(evaluation: Evaluation, along: str, *, with_score: bool) -> dict[str, Columns]:
    """Return the curves beside the router's; that of the score alone only where rules make the
    router another one.
    """
    known = {
        name: columns
        for name, columns in evaluation.baseline_curves.items()
        if {along, "quality"} <= set(columns)
    }
    return {name: columns for name, columns in known.items() if with_score or name != "score"}


def _cross(plot: Plot, x: Estimate, y: Estimate) -> None:
    """Draw an operating point with both its intervals."""
    plot.segment((x.low, y.value), (x.high, y.value), style="line whisker")
    plot.segment((x.value, y.low), (x.value, y.high), style="line whisker")
    plot.point(x.value, y.value, style="point chosen")


def _description(evaluation: Evaluation, along: str) -> str:
    ends = [
        evaluation.baselines.get(name, {}).get("quality")
        for name in ("always_cheap", "always_frontier")
    ]
    text = (
        f"Mean quality is {as_text(ends[0])} with the cheap model for everything and"
        f" {as_text(ends[1])} with the frontier model."
    )
    if evaluation.threshold is None:
        return text
    place, quality = as_text(evaluation.overall[along]), as_text(evaluation.overall["quality"])
    reached = (
        f"sends a share of {place}"
        if along == "frontier_share"
        else f"costs USD {place} per 1,000 requests"
    )
    return f"{text} The threshold in use {reached} and has a quality of {quality}."


def _along(evaluation: Evaluation, along: str) -> Table | None:
    """Return the lines at every tenth of the frontier share."""
    curves = {
        name: columns
        for name, columns in evaluation.baseline_curves.items()
        if {along, "quality"} <= set(columns)
    }
    if not curves:
        return None
    shares = next(iter(curves.values()))["frontier_share"]
    wanted = ["quality"] if along == "frontier_share" else ["cost", "quality"]
    columns = [f"{route_name(name)}: {figure}" for name in curves for figure in wanted]
    rows = [
        Row(
            f"{shares[place]:.2f}",
            tuple(f"{curve[figure][place]:.3f}" for curve in curves.values() for figure in wanted),
        )
        for place in range(0, len(shares), _EVERY)
    ]
    return Table.of(
        f"Quality against {'frontier share' if along == 'frontier_share' else 'cost'}, rules"
        " left out",
        ["frontier share", *columns],
        rows,
    )


def _baselines(evaluation: Evaluation) -> Table:
    at = (
        ""
        if evaluation.threshold is None
        else ", each sending as many requests as the threshold does"
    )
    every: list[Estimates] = [evaluation.overall, *evaluation.baselines.values()]
    names = [
        name
        for name in _COLUMNS
        if any(name in row and row[name].value is not None for row in every)
    ]
    rows = [Row("this score", cells_of(evaluation.overall, names), strong=True)]
    rows += [
        Row(route_name(name), cells_of(estimates, names))
        for name, estimates in evaluation.baselines.items()
    ]
    return Table.of(
        f"Beside other ways to route{at}", ["routed", *(_COLUMNS[name] for name in names)], rows
    )
