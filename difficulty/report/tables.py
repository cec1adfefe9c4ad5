"""What any threshold would do: a slider over the points of the curve, beside precision and
recall.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from difficulty.evaluation.result import Estimates, Evaluation
from difficulty.evaluation.slices import Mistake, in_order, is_too_small
from difficulty.evaluation.tradeoff import Curve
from difficulty.report.blocks import (
    Block,
    Explorer,
    Notice,
    Paragraph,
    Picture,
    Row,
    Section,
    Table,
)
from difficulty.report.extras import Extras, Suspects
from difficulty.report.plot import Axis, Plot
from difficulty.report.wording import as_text, cells_of, label_of, threshold_text

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


_FIGURES = (
    "frontier_share", "quality", "routing_precision", "routing_recall", "cheap_route_precision",
    "risk", "gap_recovered", "cost", "apgr",
    "ece",
)  # fmt: skip
_SHOWN = 10
_MOST_SLICES = 60
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
        return [_slice_table(title, kind, parts)]
    first = dict(list(parts.items())[:_SHOWN])
    most = dict(list(parts.items())[:_MOST_SLICES])
    left = (
        f", {len(parts) - _MOST_SLICES:,} smaller ones in metrics.json"
        if len(parts) > _MOST_SLICES
        else ""
    )
    return [
        _slice_table(f"{title}: the {_SHOWN} largest of {len(parts):,}", kind, first),
        _slice_table(
            f"{title}: {f'the {_MOST_SLICES} largest' if left else 'all'} of {len(parts):,}{left}",
            kind,
            most,
            folded=True,
        ),
    ]


def _slice_table(
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


LONGEST_TEXT = 280
"""Characters of a text that are shown."""
_COLUMNS = (
    "request",
    "task",
    "score",
    "p_cheap_fails",
    "cheap quality",
    "frontier quality",
    "decided by",
)


def mistakes_section(evaluation: Evaluation, extras: Extras) -> Section:
    """Return both kinds of mistakes, or why there are none."""
    title, mistakes = "Worst mistakes", extras.mistakes
    if mistakes is None:
        return Section(
            "mistakes",
            title,
            (
                Paragraph(
                    "Mistakes are unknown: there is no threshold, or the requests were not at hand."
                ),
            ),
        )
    shown = (
        ""
        if extras.texts_shown
        else " Texts are left out; 'difficulty evaluate --show-texts' shows them."
    )
    text = (
        "Requests on which the score was sure and wrong, the surest first. A wrong label looks the"
        f" same as a wrong score.{shown}"
    )
    kept = _mistake_table(
        f"Kept, but the frontier model was needed: {_of(mistakes.kept, mistakes.n_kept)}",
        mistakes.kept,
        extras,
    )
    sent = _mistake_table(
        f"Sent, but not needed: {_of(mistakes.sent, mistakes.n_sent)}", mistakes.sent, extras
    )
    return Section("mistakes", title, (Paragraph(text), kept, sent))


def _of(shown: Sequence[Mistake], n: int) -> str:
    return f"{len(shown)} of {n:,}" if n > len(shown) else f"{n:,}"


def _mistake_table(caption: str, mistakes: Sequence[Mistake], extras: Extras) -> Table:
    columns = (*_COLUMNS, "text") if extras.texts_shown else _COLUMNS
    return Table.of(caption, columns, [_row(mistake, extras.texts_shown) for mistake in mistakes])


def _row(mistake: Mistake, texts_shown: bool) -> Row:
    numbers = (
        mistake.score,
        mistake.p_cheap_fails,
        mistake.cheap_quality,
        mistake.frontier_quality,
    )
    cells = (
        mistake.task or "(none)",
        *(_number(value) for value in numbers),
        "a rule" if mistake.by_rule else "the score",
    )
    return Row(mistake.id, (*cells, _shortened(mistake.text or "")) if texts_shown else cells)


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _shortened(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= LONGEST_TEXT else f"{words[: LONGEST_TEXT - 1].rstrip()}\u2026"


_SCOPES = {"task": "with its task", "region": "with a region", "row": "by itself"}
_MOST_SUSPECTS = 15


def suspects_section(evaluation: Evaluation, extras: Extras) -> Section:
    """Return the counts, or why there are none."""
    title, suspects = "Labels to look at", extras.suspects
    if suspects is None:
        text = (
            "Suspicious labels are unknown: a bundle does not carry them. Evaluate the run to see"
            " them."
        )
        return Section("suspects", title, (Paragraph(text),))
    if not suspects.by_task:
        return Section(
            "suspects",
            title,
            (
                Paragraph(
                    f"Training looked at {suspects.checked:,} samples and found no suspicious"
                    " label."
                ),
            ),
        )
    text = (
        f"Training looked at {suspects.checked:,} samples. A suspicion is not a proof, and most"
        " labels that are suspicious by themselves are surprises, not mistakes. The samples stand"
        " in suspicious.jsonl in the run, the strongest suspicion first."
    )
    reasons = [Notice("warning", "Suspicious", reason) for reason in suspects.reasons]
    return Section("suspects", title, (Paragraph(text), *reasons, _suspect_table(suspects)))


def _suspect_table(suspects: Suspects) -> Table:
    rows = [
        Row(task, tuple(f"{counts.get(scope, 0):,}" for scope in _SCOPES))
        for task, counts in suspects.by_task.items()
    ][:_MOST_SUSPECTS]
    left = len(suspects.by_task) - len(rows)
    caption = "Suspicious labels by task" + (
        f"; {left:,} more tasks in run.json" if left > 0 else ""
    )
    return Table.of(caption, ["task", *_SCOPES.values()], rows)
