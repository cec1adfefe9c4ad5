"""Quality against frontier share and against cost: the router, the baselines, the oracle, the
operating point.
"""

from __future__ import annotations

from dataclasses import replace

from difficulty.evaluation.result import Estimates, Evaluation
from difficulty.evaluation.views import AlongShare, CalibrationBins, Histogram
from difficulty.records import Estimate
from difficulty.report.blocks import Block, Paragraph, Picture, Row, Section, Table
from difficulty.report.extras import Extras
from difficulty.report.plot import Axis, Plot
from difficulty.report.wording import (
    LABELS,
    as_text,
    cells_of,
    line_style,
    route_name,
    threshold_text,
)

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
            _tradeoff_picture(evaluation, along, ruled=ruled)
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


def _tradeoff_picture(evaluation: Evaluation, along: str, *, ruled: bool) -> Picture:
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
        _tradeoff_description(evaluation, along),
        _along(evaluation, along),
    )


def _others(evaluation: Evaluation, along: str, *, with_score: bool) -> dict[str, AlongShare]:
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


def _tradeoff_description(evaluation: Evaluation, along: str) -> str:
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
        "scores",
        "Scores by outcome",
        (Paragraph(text), _scores_picture(evaluation, evaluation.histogram)),
    )


def _scores_picture(evaluation: Evaluation, histogram: Histogram) -> Picture:
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
        _scores_description(evaluation, histogram),
        _scores_table(histogram),
    )


def _drawn_edges(histogram: Histogram) -> list[float]:
    low, high = histogram.edges[0], histogram.edges[-1]
    return list(histogram.edges) if high > low else [low - _WIDTH_OF_ONE, high + _WIDTH_OF_ONE]


def _scores_description(evaluation: Evaluation, histogram: Histogram) -> str:
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


def _scores_table(histogram: Histogram) -> Table:
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


_WHOSE = {
    "p_cheap_fails": ("the cheap model", "ece"),
    "p_frontier_fails": ("the frontier model", "ece_frontier"),
}


def calibration_section(evaluation: Evaluation, extras: Extras) -> Section:
    """Return a plot for each probability of which outcomes are known."""
    title = "Calibration"
    if not evaluation.calibration:
        why = (
            evaluation.overall["ece"].note
            if "ece" in evaluation.overall
            else "it was not evaluated"
        )
        return Section(
            "calibration",
            title,
            (
                Paragraph(
                    f"Whether the probabilities hold is unknown: {why or 'no bins were kept'}."
                ),
            ),
        )
    blocks: list[Block] = [
        Paragraph(
            "Each disc is a fifteenth of the requests: what was predicted, and how often it came"
            " true. On the diagonal the two agree."
        )
    ]
    for name, bins in evaluation.calibration.items():
        blocks.append(
            _calibration_picture(
                name, bins, evaluation.overall.get(_WHOSE.get(name, ("", "ece"))[1])
            )
        )
    return Section("calibration", title, tuple(blocks))


def _calibration_picture(name: str, bins: CalibrationBins, ece: Estimate | None) -> Picture:
    whose = _WHOSE.get(name, ("a model", ""))[0]
    observed = bins.observed
    values = [*bins.predicted, *observed.value, *observed.low, *observed.high]
    top = min(1.0, max([0.1, *(value for value in values if value is not None)]) * 1.05)
    plot = Plot(
        Axis.between(f"predicted probability that {whose} fails", 0.0, top),
        Axis.between("observed share of failures", 0.0, top),
    )
    plot.segment((0.0, 0.0), (top, top), style="line diagonal")
    for place, x in enumerate(bins.predicted):
        plot.segment((x, observed.low[place]), (x, observed.high[place]), style="line whisker")
        plot.point(x, observed.value[place], style="point router")
    legend = (
        ("point router", "requests in a bin"),
        ("line whisker", "95 % interval"),
        ("line diagonal", "prediction and outcome agree"),
    )
    error = (
        f"On average the discs are {as_text(ece)} off the diagonal (ECE); with few requests chance"
        " alone moves them."
        if ece
        else ""
    )
    return Picture(
        f"calibration-{name}",
        f"How often {whose} fails: {name}",
        plot,
        legend,
        error,
        _calibration_table(name, bins),
    )


def _calibration_table(name: str, bins: CalibrationBins) -> Table:
    rows = [
        Row(
            f"{bins.edges[place]:.3f} to {bins.edges[place + 1]:.3f}",
            (f"{predicted:.3f}", as_text(bins.observed.at(place)), f"{bins.observed.n[place]:,}"),
        )
        for place, predicted in enumerate(bins.predicted)
    ]
    return Table.of(
        f"{name}: predicted and observed failures",
        ["predicted between", "mean prediction", "observed", "requests"],
        rows,
    )
