"""How the scores are spread, by outcome."""

from __future__ import annotations

from dataclasses import replace

from difficulty.evaluation.report.blocks import Paragraph, Picture, Row, Section, Table
from difficulty.evaluation.report.extras import Extras
from difficulty.evaluation.report.plot import Axis, Plot
from difficulty.evaluation.report.wording import threshold_text
from difficulty.evaluation.result import Evaluation
from difficulty.evaluation.views import Histogram

_NEEDED = {"benefit": "the frontier model did better", "failure": "the cheap model failed"}
_WIDTH_OF_ONE = 0.01
"""Half the width of the bar when all scores are equal."""


def scores_section(evaluation: Evaluation, extras: Extras) -> Section:
    """Return the histogram: requests that needed the frontier model upwards, the others
    downwards.
    """
    if evaluation.histogram is None:
        return Section(
            "scores",
            "Scores by outcome",
            (Paragraph("The scores are unknown: this evaluation holds no histogram."),),
        )
    text = (
        f"Needed means here: {_NEEDED[evaluation.target]}. A score that knows much has its upper"
        " bars to the right of its lower ones."
    )
    return Section(
        "scores", "Scores by outcome", (Paragraph(text), _picture(evaluation, evaluation.histogram))
    )


def _picture(evaluation: Evaluation, histogram: Histogram) -> Picture:
    edges = _drawn_edges(histogram)
    below = [
        other + unknown
        for other, unknown in zip(histogram.not_needed, histogram.unknown, strict=True)
    ]
    y = Axis.over("requests in a bin", [0.0, *histogram.needed, *(-count for count in below)])
    plot = Plot(Axis.over("difficulty_score", edges, margin=0.02), replace(y, unsigned=True))
    for place, (left, right) in enumerate(zip(edges, edges[1:], strict=False)):
        plot.bar(left, right, 0.0, histogram.needed[place], style="area needed")
        plot.bar(left, right, -histogram.not_needed[place], 0.0, style="area not-needed")
        if histogram.unknown[place]:
            plot.bar(
                left, right, -below[place], -histogram.not_needed[place], style="area not-known"
            )
    plot.line([plot.x.low, plot.x.high], [0.0, 0.0], style="line zero")
    legend = [
        ("area needed", "up: needed the frontier model"),
        ("area not-needed", "down: did not need it"),
    ]
    legend += [("area not-known", "down, outlined: not known")] if any(histogram.unknown) else []
    if evaluation.threshold is not None:
        plot.upright(evaluation.threshold, style="line chosen")
        legend.append(("line chosen", "threshold in use: what lies to its right is sent"))
    return Picture(
        "scores",
        "Scores by outcome",
        plot,
        tuple(legend),
        _description(evaluation, histogram),
        _table(histogram),
    )


def _drawn_edges(histogram: Histogram) -> list[float]:
    low, high = histogram.edges[0], histogram.edges[-1]
    return list(histogram.edges) if high > low else [low - _WIDTH_OF_ONE, high + _WIDTH_OF_ONE]


def _description(evaluation: Evaluation, histogram: Histogram) -> str:
    needed, others, unknown = (
        sum(part) for part in (histogram.needed, histogram.not_needed, histogram.unknown)
    )
    text = f"{needed:,} requests needed the frontier model, {others:,} did not" + (
        f", of {unknown:,} it is not known" if unknown else ""
    )
    text += f". Scores run from {histogram.edges[0]:.3f} to {histogram.edges[-1]:.3f}."
    return (
        text
        if evaluation.threshold is None
        else f"{text} The threshold in use is {threshold_text(evaluation.threshold)}."
    )


def _table(histogram: Histogram) -> Table:
    counts = zip(histogram.needed, histogram.not_needed, histogram.unknown, strict=True)
    rows = [
        Row(
            f"{histogram.edges[place]:.4f} to {histogram.edges[place + 1]:.4f}",
            tuple(f"{count:,}" for count in row),
        )
        for place, row in enumerate(counts)
    ]
    return Table.of(
        "Requests by score and outcome",
        ["score between", "needed", "not needed", "not known"],
        rows,
    )
