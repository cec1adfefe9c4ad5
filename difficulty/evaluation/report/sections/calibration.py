"""Do the probabilities mean what they say? Reliability plots over the bins of the ECE."""

from __future__ import annotations

from difficulty.evaluation.numbers import as_text
from difficulty.evaluation.report.blocks import Block, Paragraph, Picture, Row, Section, Table
from difficulty.evaluation.report.extras import Extras
from difficulty.evaluation.report.plot import Axis, Plot
from difficulty.evaluation.result import Evaluation
from difficulty.evaluation.views import CalibrationBins
from difficulty.records import Estimate

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
            _picture(name, bins, evaluation.overall.get(_WHOSE.get(name, ("", "ece"))[1]))
        )
    return Section("calibration", title, tuple(blocks))


def _picture(name: str, bins: CalibrationBins, ece: Estimate | None) -> Picture:
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
        _table(name, bins),
    )


def _table(name: str, bins: CalibrationBins) -> Table:
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
