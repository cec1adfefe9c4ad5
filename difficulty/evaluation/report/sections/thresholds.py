"""What any threshold would do: a slider over the points of the curve, beside precision and
recall.
"""

from __future__ import annotations

from difficulty.evaluation.curve import Curve
from difficulty.evaluation.numbers import as_text, label_of
from difficulty.evaluation.report.blocks import Explorer, Paragraph, Picture, Row, Section, Table
from difficulty.evaluation.report.extras import Extras
from difficulty.evaluation.report.plot import Axis, Plot
from difficulty.evaluation.report.wording import threshold_text
from difficulty.evaluation.result import Evaluation

SLIDER_FIGURES = (
    "frontier_share", "quality", "gap_recovered", "cost", "saving", "fallback_share",
    "routing_precision", "routing_recall", "risk",
    "cheap_route_precision",
)  # fmt: skip
_DRAWN = ("routing_precision", "routing_recall", "risk", "frontier_share")
_MARK = "thresholds"


def thresholds_section(evaluation: Evaluation, extras: Extras) -> Section:
    """Return plot and slider, or why there are none."""
    curve = evaluation.curve
    title = "Any threshold"
    if curve is None:
        return Section(
            "thresholds",
            title,
            (
                Paragraph(
                    "Figures along the threshold are unknown: this evaluation holds no curve."
                ),
            ),
        )
    plot = _plot(evaluation, curve)
    explorer = _explorer(evaluation, curve, plot)
    text = (
        "Move the slider to see what another threshold would do. Every figure is one of"
        " metrics.json, with its 95 % interval."
    )
    return Section(
        "thresholds", title, (Paragraph(text), _picture(evaluation, curve, plot), explorer)
    )


def _plot(evaluation: Evaluation, curve: Curve) -> Plot:
    inner = curve.threshold[1:-1] or curve.threshold  # the outermost lie far beyond the scores
    plot = Plot(
        Axis.over("threshold on difficulty_score", inner),
        Axis.between("share", 0.0, 1.0),
        markers=[_MARK],
    )
    for name in ("routing_precision", "routing_recall"):
        band = curve.figures[name]
        plot.band(curve.threshold, band.low, band.high, style=f"area {name}")
    for name in _DRAWN:
        plot.line(curve.threshold, curve.figures[name].value, style=f"line {name}")
    if evaluation.threshold is not None:
        plot.upright(evaluation.threshold, style="line chosen")
    return plot


def _picture(evaluation: Evaluation, curve: Curve, plot: Plot) -> Picture:
    legend = [
        (f"line {name}", label_of(name))
        for name in _DRAWN
        if any(value is not None for value in curve.figures[name].value)
    ]
    legend += [("line chosen", "threshold in use")] if evaluation.threshold is not None else []
    legend.append(("line mark", "where the slider stands"))
    description = (
        "Precision is the share of sent requests that needed the frontier model, recall the share"
        " of those that needed it that are sent. A higher threshold sends fewer requests. Shaded:"
        " 95 % intervals. The table below holds every point."
    )
    return Picture(
        "precision-recall",
        "Precision and recall against the threshold",
        plot,
        tuple(legend),
        description,
    )


def _explorer(evaluation: Evaluation, curve: Curve, plot: Plot) -> Explorer:
    """Return the slider, from the lowest threshold to the highest, as the plot has them."""
    names = [name for name in SLIDER_FIGURES if name in curve.figures]
    places = range(len(curve.threshold) - 1, -1, -1)
    chosen = (
        None
        if evaluation.threshold is None
        else [curve.threshold[place] for place in places].index(evaluation.threshold)
    )
    rows = [
        Row(
            threshold_text(curve.threshold[place]),
            tuple(as_text(curve.figures[name].at(place)) for name in names),
            mark="in use" if number == chosen else "",
            strong=number == chosen,
            at=((_MARK, f"{plot.at_x(curve.threshold[place]):.1f}"),),
        )
        for number, place in enumerate(places)
    ]
    table = Table.of(
        "What each threshold does",
        ["threshold", *(label_of(name) for name in names)],
        rows,
        folded=True,
    )
    start = len(rows) // 2 if chosen is None else chosen
    return Explorer(
        start,
        chosen,
        "Threshold",
        "low: more to the frontier model",
        "high: more stays on the cheap model",
        table,
    )
