"""Sections with a picture: scores by outcome, and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from difficulty.evaluation.result import Evaluation
from difficulty.evaluation.views import CalibrationBins, Histogram
from difficulty.report.blocks import Block, Extras, Picture, Row, Section, Table
from difficulty.report.plot import Axis, Plot
from difficulty.report.wording import as_text, threshold_short
from difficulty.text import quantity_text

_NEEDED = {"benefit": "the frontier model did better", "failure": "the cheap model failed"}
_HALF_A_BAR = 0.01  # half the width of the one bar when all scores are equal.


def scores_section(evaluation: Evaluation, extras: Extras) -> Section:
    """Return the histogram: up the requests that needed the frontier model, down the others."""
    histogram = evaluation.histogram
    blocks: tuple[Block | str, ...] = (
        ("The scores are unknown: this evaluation holds no histogram.",)
        if histogram is None
        else (
            f"Needed means here: {_NEEDED[evaluation.target]}. The further right the orange bars"
            " lie from the blue ones, the better the score.",
            _draw_scores(evaluation, histogram),
        )
    )
    return Section.of("scores", "Scores by outcome", *blocks, short="Scores")


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
        f"{quantity_text(needed, 'request')} needed the frontier model, {others:,} did"
        f" not{not_known}. Scores run"
        f" from {histogram.edges[0]:.3f} to {histogram.edges[-1]:.3f}."
    )
    if evaluation.threshold is None:
        return text
    return f"{text} The threshold in use is {threshold_short(evaluation.threshold)}."


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
        why = (
            evaluation.overall["brier"].note if "brier" in evaluation.overall else ""
        ) or "no bins were kept"
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
        ("line whisker", "95 % range"),
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
