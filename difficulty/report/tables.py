"""Sections of tables: what any threshold would do, slices, the worst mistakes, labels to look at,
and what was judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from difficulty.evaluation.result import Estimates, Evaluation
from difficulty.evaluation.slices import Mistake, in_order, is_too_small
from difficulty.evaluation.tradeoff import Curve
from difficulty.evaluation.words import UNKNOWN, measures_text
from difficulty.report.blocks import (
    Block,
    ChosenThreshold,
    Explorer,
    Extras,
    Facts,
    Notice,
    Picture,
    Row,
    Section,
    Suspects,
    Table,
)
from difficulty.report.plot import Axis, Plot
from difficulty.report.wording import (
    as_text,
    cells_of,
    columns_with_values,
    label_of,
    threshold_text,
)

SLIDER_FIGURES = (
    "frontier_share", "quality", "gap_recovered", "cost", "saving", "fallback_share",
    "routing_precision", "routing_recall", "risk",
    "cheap_route_precision",
)  # fmt: skip
_DRAWN = ("routing_precision", "routing_recall", "risk", "frontier_share")
# Lines with an interval; four bands would hide each other.
_BANDS = ("routing_precision", "routing_recall")
_MARK = "thresholds"


def thresholds_section(evaluation: Evaluation, extras: Extras) -> Section:
    """Return plot and slider, or why there are none."""
    curve = evaluation.curve
    if curve is None:
        text = "Figures along the threshold are unknown: this evaluation holds no curve."
        return Section.of("thresholds", "Any threshold", text)
    picture = _draw_thresholds(evaluation, curve)
    checked = evaluation.answer is not None and evaluation.answer.is_used
    return Section.of(
        "thresholds",
        "Any threshold",
        "Move the slider to see what another threshold would do. Every figure is one of"
        " metrics.json, with its 95 % interval."
        + (" The check's threshold stays as it is." if checked else ""),
        picture,
        _explorer(evaluation, curve, picture.plot),
    )


def _draw_thresholds(evaluation: Evaluation, curve: Curve) -> Picture:
    inner = curve.threshold[1:-1] or curve.threshold  # the outermost lie far beyond the scores
    plot = Plot(
        Axis.over("threshold on difficulty_score", inner),
        Axis.between("share", 0.0, 1.0),
        markers=[_MARK],
    )
    for name in _BANDS:
        band = curve.figures[name]
        plot.band(curve.threshold, band.low, band.high, style=f"area {name}")
    for name in _DRAWN:
        plot.line(curve.threshold, curve.figures[name].value, style=f"line {name}")
    legend = [
        (f"line {name}", label_of(name))
        for name in _DRAWN
        if any(value is not None for value in curve.figures[name].value)
    ]
    if evaluation.threshold is not None:
        plot.upright(evaluation.threshold, style="line chosen")
        legend.append(("line chosen", "threshold in use"))
    legend.append(("line mark", "where the slider stands"))
    return Picture(
        "precision-recall",
        "Precision and recall against the threshold",
        plot,
        tuple(legend),
        "Precision is the share of sent requests that needed the frontier model, recall the share"
        " of those that needed it that are sent. A higher threshold sends fewer requests. Shaded:"
        " 95 % intervals. The table below holds every point.",
    )


def _explorer(evaluation: Evaluation, curve: Curve, plot: Plot) -> Explorer:
    """Return the slider, from the lowest threshold to the highest, as the plot has them."""
    names = [name for name in SLIDER_FIGURES if name in curve.figures]
    ascending = range(len(curve.threshold) - 1, -1, -1)  # the curve begins with nothing sent
    thresholds = [curve.threshold[place] for place in ascending]
    chosen = None if evaluation.threshold is None else thresholds.index(evaluation.threshold)
    rows = [
        Row(
            threshold_text(curve.threshold[place]),
            tuple(as_text(curve.figures[name].at(place)) for name in names),
            mark="in use" if number == chosen else "",
            strong=number == chosen,
            # Reckoned here, so that the page's script needs no axis.
            at=((_MARK, f"{plot.at_x(curve.threshold[place]):.1f}"),),
        )
        for number, place in enumerate(ascending)
    ]
    columns = ["threshold", *map(label_of, names)]
    return Explorer(
        len(rows) // 2 if chosen is None else chosen,
        chosen,
        "Threshold",
        "low: more to the frontier model",
        "high: more stays on the cheap model",
        Table.of("What each threshold does", columns, rows, folded=True),
    )


_SLICE_FIGURES = (
    "frontier_share", "quality", "routing_precision", "routing_recall", "cheap_route_precision",
    "risk", "gap_recovered", "cost", "apgr",
    "calibration_error",
)  # fmt: skip
_MOST_SHOWN = 10
# Rows of a folded table; the smallest beyond them stand in metrics.json.
_MOST_FOLDED = 60


def slices_section(evaluation: Evaluation, extras: Extras) -> Section:
    """Return a table for each kind of slice."""
    if not evaluation.slices:
        text = "Requests are not told apart by anything: no task, no length, no other label."
        return Section.of("slices", "Slices", text)
    return Section.of(
        "slices",
        "Slices",
        "The same figures for parts of the requests. Many slices are compared here, and some stand"
        " out by chance: look at the intervals, and conclude nothing from those marked too few to"
        " judge.",
        *(table for kind, parts in evaluation.slices.items() for table in _slices(kind, parts)),
    )


def _slices(kind: str, parts: Mapping[str, Estimates]) -> Iterator[Table]:
    """Yield the largest slices of a kind and, where there are more, all of them folded."""
    title, n = f"By {kind.replace('_', ' ')}", len(parts)
    if n <= _MOST_SHOWN:
        yield _tabulate_slices(title, kind, parts)
        return
    largest = list(parts.items())  # they come by size
    caption = f"{title}: the {_MOST_SHOWN} largest of {n:,}"
    yield _tabulate_slices(caption, kind, dict(largest[:_MOST_SHOWN]))
    caption = (
        f"{title}: the {_MOST_FOLDED} largest of {n:,}, {n - _MOST_FOLDED:,} smaller ones in"
        " metrics.json"
        if n > _MOST_FOLDED
        else f"{title}: all of {n:,}"
    )
    yield _tabulate_slices(caption, kind, dict(largest[:_MOST_FOLDED]), folded=True)


def _tabulate_slices(
    caption: str, kind: str, parts: Mapping[str, Estimates], *, folded: bool = False
) -> Table:
    names = columns_with_values(_SLICE_FIGURES, parts.values())
    rows = [
        Row(
            name,
            (f"{size_of(estimates):,}", *cells_of(estimates, names)),
            mark="too few to judge" if is_too_small(estimates) else "",
        )
        for name, estimates in in_order(list(parts.items()))
    ]
    columns = [kind.replace("_", " "), "requests", *map(label_of, names)]
    return Table.of(caption, columns, rows, folded=folded)


def size_of(estimates: Estimates) -> int:
    """Return how many requests a slice holds: figures may rest on fewer."""
    return max(estimate.n for estimate in estimates.values())


LONGEST_TEXT = 280
"""Characters of a text that are shown."""
_MISTAKE_COLUMNS = (
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
    mistakes = extras.mistakes
    if mistakes is None:
        text = "Mistakes are unknown: there is no threshold, or the requests were not at hand."
        return Section.of("mistakes", "Worst mistakes", text)
    text = (
        "Requests on which the score was sure and wrong, the surest first. A wrong label looks the"
        " same as a wrong score."
    )
    if not extras.texts_shown:
        text += " Texts are left out; 'difficulty evaluate --show-texts' shows them."
    tables = (
        _tabulate_mistakes(caption, shown, n, texts_shown=extras.texts_shown)
        for caption, shown, n in (
            ("Kept, but the frontier model was needed", mistakes.kept, mistakes.n_kept),
            ("Sent, but not needed", mistakes.sent, mistakes.n_sent),
        )
    )
    return Section.of("mistakes", "Worst mistakes", text, *tables)


def _tabulate_mistakes(
    caption: str, shown: Sequence[Mistake], n: int, *, texts_shown: bool
) -> Table:
    counted = f"{len(shown)} of {n:,}" if n > len(shown) else f"{n:,}"
    columns = (*_MISTAKE_COLUMNS, "text") if texts_shown else _MISTAKE_COLUMNS
    rows = [_mistake_row(mistake, texts_shown=texts_shown) for mistake in shown]
    return Table.of(f"{caption}: {counted}", columns, rows)


def _mistake_row(mistake: Mistake, *, texts_shown: bool) -> Row:
    numbers = (
        mistake.score,
        mistake.p_cheap_fails,
        mistake.cheap_quality,
        mistake.frontier_quality,
    )
    cells = (
        mistake.task or "(none)",
        *(UNKNOWN if number is None else f"{number:.3f}" for number in numbers),
        "a rule" if mistake.by_rule else "the score",
    )
    return Row(mistake.id, (*cells, _shorten(mistake.text or "")) if texts_shown else cells)


def _shorten(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= LONGEST_TEXT else f"{words[: LONGEST_TEXT - 1].rstrip()}\u2026"


_SCOPES = {"task": "with its task", "region": "with a region", "row": "by itself"}
_MOST_SUSPECTS = 15


def suspects_section(evaluation: Evaluation, extras: Extras) -> Section:
    """Return the counts, or why there are none."""
    return Section.of("suspects", "Labels to look at", *_suspicions(extras.suspects))


def _suspicions(suspects: Suspects | None) -> Iterator[Block | str]:
    if suspects is None:
        yield (
            "Suspicious labels are unknown: a bundle does not carry them. Evaluate the run to see"
            " them."
        )
        return
    looked = f"Training looked at {suspects.checked:,} samples"
    if not suspects.by_task:
        yield f"{looked} and found no task or region with suspicious labels."
        return
    yield (
        f"{looked}. A suspicion is not a proof, and most labels that are suspicious by themselves"
        " are surprises, not mistakes. The samples stand in suspicious.jsonl in the run, the"
        " strongest suspicion first."
    )
    yield from (Notice("warning", "Suspicious", reason) for reason in suspects.reasons)
    rows = [
        Row(task, tuple(f"{counts.get(scope, 0):,}" for scope in _SCOPES))
        for task, counts in list(suspects.by_task.items())[:_MOST_SUSPECTS]
    ]
    left = len(suspects.by_task) - len(rows)
    more = f"; {left:,} more tasks in run.json" if left else ""
    yield Table.of(f"Suspicious labels by task{more}", ["task", *_SCOPES.values()], rows)


def lineage_section(evaluation: Evaluation, extras: Extras) -> Section:
    """Return what was judged by what."""
    counts = (f"{name.replace('_', ' ')} {count:,}" for name, count in evaluation.counts.items())
    facts = [("traffic", extras.traffic or UNKNOWN), ("requests", ", ".join(counts))]
    if evaluation.measured_by:
        facts.append(("outcomes measured by", measures_text(evaluation.measured_by)))
    facts += list(_flatten(evaluation.lineage)) or [
        ("scorer", "unknown: this evaluation does not say")
    ]
    expected = [_expected(evaluation, extras.chosen)] if extras.chosen else []
    return Section.of("lineage", "Data and model", Facts(tuple(facts)), *expected)


def _expected(evaluation: Evaluation, chosen: ChosenThreshold) -> Table:
    """Return what was expected when the threshold was chosen beside what is found here."""
    rows = [
        Row(label_of(name), (as_text(estimate), as_text(evaluation.overall[name])))
        for name, estimate in chosen.expected.items()
        if name in evaluation.overall
    ]
    columns = ["figure", f"expected ({chosen.n:,} others)", "found here"]
    return Table.of("What was expected of the threshold, and what is found here", columns, rows)


def _flatten(entries: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield each entry of nested mappings by its full name."""
    for name, value in entries.items():
        full = f"{prefix}{name}".replace("_", " ")
        match value:
            case Mapping():
                yield from _flatten(value, f"{full}, ")
            case None:
                yield full, UNKNOWN
            case int():
                yield full, f"{value:,}"
            case Sequence() if not isinstance(value, str):
                yield full, ", ".join(map(str, value)) or "none"
            case _:
                yield full, str(value)
