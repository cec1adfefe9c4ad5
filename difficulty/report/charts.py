"""Sections with a picture: quality against frontier share and cost, scores by outcome, and
calibration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from difficulty.evaluation.result import Evaluation
from difficulty.evaluation.views import AlongShare, CalibrationBins, Histogram
from difficulty.records import Estimate
from difficulty.report.blocks import Block, Extras, Picture, Row, Section, Table
from difficulty.report.plot import Axis, Plot
from difficulty.report.wording import (
    SHOWN_AS,
    as_text,
    cells_of,
    columns_with_values,
    line_style,
    route_name,
    threshold_text,
)

# What quality is drawn against: its name in titles, and below the axis.
_AXES = {
    "frontier_share": ("frontier share", "share of requests sent to the frontier model"),
    "cost": ("cost", "USD per 1,000 requests"),
}
_COLUMNS = {
    "quality": "quality",
    "quality_difference": "our lead in quality",
    "cost": SHOWN_AS["cost"],
    "apgr": SHOWN_AS["apgr"],
    "apgr_difference": "our lead in APGR",
}
# Where a check of answers is in use: qualities are the policy's, APGR is not.
_OF_THE_REQUEST = {
    "apgr": "APGR, request's score",
    "apgr_difference": "lead in APGR, request's score",
}
# Curves have a point at every hundredth; the table behind a picture shows every tenth.
_EVERY = 10


def tradeoff_section(evaluation: Evaluation, extras: Extras) -> Section:
    """Return a picture for each axis of which anything is known, and the baselines' figures."""
    blocks: list[Block | str] = []
    if not _is_drawn(evaluation, "quality"):
        why = _say_why_unknown(evaluation, "quality")
        blocks.append(f"The curve cannot be drawn: quality is unknown, because {why}.")
    else:
        blocks.append(
            "Further up is better, further left is cheaper. The band is the 95 % interval of the"
            " router's quality."
            + (
                ""
                if evaluation.threshold is None
                else " The disc is the threshold in use; its cross shows both intervals."
            )
        )
        ruled = bool(extras.chosen and extras.chosen.rules)
        blocks += [
            _draw_tradeoff(evaluation, along, ruled=ruled)
            for along in _AXES
            if _is_drawn(evaluation, along)
        ]
        if not _is_drawn(evaluation, "cost"):
            why = (
                evaluation.overall["cost"].note
                or "no request has prices and token counts for both models"
            )
            blocks.append(f"Quality against cost is not drawn: cost is unknown ({why}).")
    return Section.of("tradeoff", "Cost and quality", *blocks, _tabulate_baselines(evaluation))


def _is_drawn(evaluation: Evaluation, figure: str) -> bool:
    return evaluation.curve is not None and any(
        value is not None for value in evaluation.curve.figures[figure].value
    )


def _say_why_unknown(evaluation: Evaluation, figure: str) -> str:
    return (
        evaluation.overall[figure].note if figure in evaluation.overall else "it was not evaluated"
    )


def _draw_tradeoff(evaluation: Evaluation, along: str, *, ruled: bool) -> Picture:
    curve = evaluation.curve
    assert curve is not None
    xs, band = curve.figures[along].value, curve.figures["quality"]
    curves, checked = _find_curves(evaluation, along), _is_checked(evaluation)
    # Without rules and check the router's own curve is that of the score: drawn twice it would hide
    # itself.
    apart = ruled or checked
    others = {name: columns for name, columns in curves.items() if apart or name != "score"}
    name, title = _AXES[along]
    x = (
        Axis.between(title, 0.0, 1.0)
        if along == "frontier_share"
        else Axis.over(
            title, [*xs, *(value for curve in others.values() for value in curve[along])]
        )
    )
    qualities = [band.value, band.low, band.high, *(curve["quality"] for curve in others.values())]
    plot = Plot(x, Axis.over("mean quality", [value for part in qualities for value in part]))
    plot.band(xs, band.low, band.high, style="area router")
    # From the back to the front: band, other lines, the router's own, the operating point.
    for other, columns in others.items():
        plot.line(columns[along], columns["quality"], style=line_style(other))
    plot.line(xs, band.value, style="line router")
    router = "this policy, its check as it is" if checked else "this router"
    legend = [("line router", router), ("area router", "95 % interval")]
    legend += [(line_style(other), _name_of(other, checked=checked)) for other in others]
    if evaluation.threshold is not None:
        _draw_cross(plot, evaluation.overall[along], evaluation.overall["quality"])
        legend.append(("point chosen", "threshold in use"))
    return Picture(
        f"tradeoff-{along}",
        f"Quality against {name}",
        plot,
        tuple(legend),
        _describe_tradeoff(evaluation, along),
        _tabulate_curves(along, curves) if curves else None,
    )


def _name_of(baseline: str, *, checked: bool) -> str:
    if checked and baseline == "score":
        return "the request's score alone, no rules"
    return route_name(baseline)


def _is_checked(evaluation: Evaluation) -> bool:
    """Return whether the policy checks answers."""
    return evaluation.answer is not None and evaluation.answer.is_used


def _find_curves(evaluation: Evaluation, along: str) -> dict[str, AlongShare]:
    return {
        name: columns
        for name, columns in evaluation.baseline_curves.items()
        if {along, "quality"} <= set(columns)
    }


def _draw_cross(plot: Plot, x: Estimate, y: Estimate) -> None:
    """Draw an operating point with both its intervals."""
    plot.segment((x.low, y.value), (x.high, y.value), style="line whisker")
    plot.segment((x.value, y.low), (x.value, y.high), style="line whisker")
    plot.point(x.value, y.value, style="point chosen")


def _describe_tradeoff(evaluation: Evaluation, along: str) -> str:
    cheap, frontier = (
        as_text(evaluation.baselines.get(name, {}).get("quality"))
        for name in ("always_cheap", "always_frontier")
    )
    text = (
        f"Mean quality is {cheap} with the cheap model for everything and {frontier} with the"
        " frontier model."
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


def _tabulate_curves(along: str, curves: dict[str, AlongShare]) -> Table:
    """Return the lines at every tenth of the frontier share."""
    shares = next(iter(curves.values()))["frontier_share"]
    figures = ["quality"] if along == "frontier_share" else ["cost", "quality"]
    rows = [
        Row(
            f"{shares[place]:.2f}",
            tuple(f"{curve[figure][place]:.3f}" for curve in curves.values() for figure in figures),
        )
        for place in range(0, len(shares), _EVERY)
    ]
    columns = [f"{route_name(name)}: {figure}" for name in curves for figure in figures]
    caption = f"Quality against {_AXES[along][0]}, rules left out"
    return Table.of(caption, ["frontier share", *columns], rows)


def _tabulate_baselines(evaluation: Evaluation) -> Table:
    at = (
        ""
        if evaluation.threshold is None
        else ", each sending as many requests as the threshold does"
    )
    names = columns_with_values(_COLUMNS, [evaluation.overall, *evaluation.baselines.values()])
    checked = _is_checked(evaluation)
    own = "this policy" if checked else "this score"
    rows = [Row(own, cells_of(evaluation.overall, names), strong=True)]
    rows += [
        Row(route_name(name), cells_of(estimates, names))
        for name, estimates in evaluation.baselines.items()
    ]
    heads = _COLUMNS | (_OF_THE_REQUEST if checked else {})
    columns = ["routed", *(heads[name] for name in names)]
    return Table.of(f"Beside other ways to route{at}", columns, rows)


_NEEDED = {"benefit": "the frontier model did better", "failure": "the cheap model failed"}
_HALF_A_BAR = 0.01  # half the width of the one bar when all scores are equal.


def scores_section(evaluation: Evaluation, extras: Extras) -> Section:
    """Return the histogram: up the requests that needed the frontier model, down the others."""
    histogram = evaluation.histogram
    blocks: tuple[Block | str, ...] = (
        ("The scores are unknown: this evaluation holds no histogram.",)
        if histogram is None
        else (
            f"Needed means here: {_NEEDED[evaluation.target]}. The further right the"
            " upper bars lie of the lower ones, the better the score.",
            _draw_scores(evaluation, histogram),
        )
    )
    return Section.of("scores", "Scores by outcome", *blocks)


def _draw_scores(evaluation: Evaluation, histogram: Histogram) -> Picture:
    low, high = histogram.edges[0], histogram.edges[-1]
    edges = list(histogram.edges) if high > low else [low - _HALF_A_BAR, high + _HALF_A_BAR]
    below = [sum(counts) for counts in zip(histogram.not_needed, histogram.unknown, strict=True)]
    y = Axis.over("requests in a bin", [0.0, *histogram.needed, *(-count for count in below)])
    plot = Plot(Axis.over("difficulty_score", edges, margin=0.02), replace(y, unsigned=True))
    for place, (left, right) in enumerate(pairwise(edges)):
        not_needed = -histogram.not_needed[place]
        plot.bar(left, right, 0.0, histogram.needed[place], style="area needed")
        plot.bar(left, right, not_needed, 0.0, style="area not-needed")
        if histogram.unknown[place]:  # below those that did not need it
            plot.bar(left, right, -below[place], not_needed, style="area not-known")
    plot.line([plot.x.low, plot.x.high], [0.0, 0.0], style="line zero")
    legend = [
        ("area needed", "up: needed the frontier model"),
        ("area not-needed", "down: did not need it"),
    ]
    if any(histogram.unknown):
        legend.append(("area not-known", "down, outlined: not known"))
    if evaluation.threshold is not None:
        plot.upright(evaluation.threshold, style="line chosen")
        legend.append(("line chosen", "threshold in use: what lies to its right is sent"))
    return Picture(
        "scores",
        "Scores by outcome",
        plot,
        tuple(legend),
        _describe_scores(evaluation, histogram),
        _tabulate_scores(histogram),
    )


def _describe_scores(evaluation: Evaluation, histogram: Histogram) -> str:
    needed, others, unknown = map(sum, (histogram.needed, histogram.not_needed, histogram.unknown))
    not_known = f", of {unknown:,} it is not known" if unknown else ""
    text = (
        f"{needed:,} requests needed the frontier model, {others:,} did not{not_known}. Scores run"
        f" from {histogram.edges[0]:.3f} to {histogram.edges[-1]:.3f}."
    )
    if evaluation.threshold is None:
        return text
    return f"{text} The threshold in use is {threshold_text(evaluation.threshold)}."


def _tabulate_scores(histogram: Histogram) -> Table:
    counts = zip(histogram.needed, histogram.not_needed, histogram.unknown, strict=True)
    rows = [
        Row(f"{left:.4f} to {right:.4f}", tuple(f"{count:,}" for count in row))
        for (left, right), row in zip(pairwise(histogram.edges), counts, strict=True)
    ]
    columns = ["score between", "needed", "not needed", "not known"]
    return Table.of("Requests by score and outcome", columns, rows)


_WHOSE = {
    "p_cheap_fails": ("the cheap model", "calibration_error"),
    "p_frontier_fails": ("the frontier model", "calibration_error_frontier"),
}
# Both axes end no lower: where failures are rare, chance would else fill the picture.
_LEAST_TOP = 0.1


def calibration_section(evaluation: Evaluation, extras: Extras) -> Section:
    """Return a plot for each probability of which outcomes are known."""
    blocks: list[Block | str] = [
        # A fifteenth, as N_BINS has it in evaluation/parts.py.
        "Each disc is a fifteenth of the requests: what was predicted, and how often it came true."
        " On the diagonal the two agree."
    ]
    blocks += [
        _draw_calibration(evaluation, name, bins) for name, bins in evaluation.calibration.items()
    ]
    if not evaluation.calibration:
        why = _say_why_unknown(evaluation, "brier") or "no bins were kept"
        blocks = [f"Whether the probabilities hold is unknown: {why}."]
    return Section.of("calibration", "Calibration", *blocks)


def _draw_calibration(evaluation: Evaluation, name: str, bins: CalibrationBins) -> Picture:
    whose, figure = _WHOSE.get(name, ("a model", "calibration_error"))
    observed = bins.observed
    shares: Sequence[float | None] = [
        *bins.predicted,
        *observed.value,
        *observed.low,
        *observed.high,
    ]
    top = min(1.0, max([_LEAST_TOP, *(share for share in shares if share is not None)]) * 1.05)
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
    description = _say_how_far_off(evaluation, figure)
    title, table = f"How often {whose} fails: {name}", _tabulate_calibration(name, bins)
    return Picture(f"calibration-{name}", title, plot, legend, description, table)


def _say_how_far_off(evaluation: Evaluation, figure: str) -> str:
    """Return how far the discs are off the diagonal, and whether chance explains it."""
    error = evaluation.overall.get(figure)
    chance = evaluation.overall.get(figure.replace("error", "p", 1))
    # Results of earlier versions have neither.
    if error is None or error.value is None or chance is None or chance.value is None:
        return ""
    if error.value <= 0.0:
        return "The discs are no further off the diagonal than chance alone puts them."
    rarely = "less than 0.1" if chance.value < 0.001 else f"{100.0 * chance.value:.1f}"
    return (
        f"The discs are {as_text(error)} off the diagonal, what chance adds taken off. Of"
        f" probabilities that are right, {rarely} % of samples look so."
    )


def _tabulate_calibration(name: str, bins: CalibrationBins) -> Table:
    rows = [
        Row(
            f"{bins.edges[place]:.3f} to {bins.edges[place + 1]:.3f}",
            (f"{predicted:.3f}", as_text(bins.observed.at(place)), f"{bins.observed.n[place]:,}"),
        )
        for place, predicted in enumerate(bins.predicted)
    ]
    columns = ["predicted between", "mean prediction", "observed", "requests"]
    return Table.of(f"{name}: predicted and observed failures", columns, rows)
