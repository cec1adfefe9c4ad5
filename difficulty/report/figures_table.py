"""What the command line shows of an evaluation and of the money: rich tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from difficulty.economics.analysis import POLICY, Economics
from difficulty.economics.prices import SHAPES
from difficulty.evaluation.decision.finding import Finding
from difficulty.evaluation.decision.remedies import fill
from difficulty.evaluation.decision.side_by_side import SideBySide
from difficulty.evaluation.decision.stakes import Stakes
from difficulty.evaluation.findings import failing
from difficulty.evaluation.measure import VOTES_ALONE
from difficulty.evaluation.result import Estimates, Evaluation
from difficulty.evaluation.slices import in_order, is_too_small
from difficulty.evaluation.verdict import SwitchVerdict
from difficulty.evaluation.words import as_percent, usd
from difficulty.records import Estimate
from difficulty.report.heat import size_of
from difficulty.report.wording import (
    amount_text,
    columns_with_values,
    difference_text,
    figure_text,
    label_of,
    no_range_lines,
    route_name,
    shown_order,
    with_ranges,
)
from difficulty.text import quantity_text

_STYLES = {"error": "bold red", "warning": "yellow", "info": ""}
_VERDICT_STYLES = {
    "do_not_switch_on": "bold red",
    "keep_testing": "bold yellow",
    "switch_on": "bold green",
}
_WITH_INTERVAL = {"apgr", "apgr_difference"}
_BASELINE_COLUMNS = {
    "apgr": "APGR",
    "apgr_difference": "lead in APGR",
    "quality": "quality",
    "cost": "cost",
}
MOST_KEY_FIGURES: Final = 10
_KEY_OF_RULE: Final = (
    *("saved_cost", "saving", "frontier_share", "quality", "gap_recovered", "answers_worse"),
    *("risk", "routing_precision", "routing_recall", "apgr", "auroc"),
)
_KEY_OF_SCORE: Final = (*("apgr", "cpt_80", "auroc", "brier_skill", "calibration_slope", "gap"),)
"""Where no threshold is chosen yet."""
_REFERENCE: Final = "random"
"""What leads are told over: the same share sent at random, which the decision weighs too."""
_PLAIN: Final = ("task_mean", "length")
"""Ways to route that learn nothing from a text, and that a score has to beat all the same."""
# Few enough for a terminal of 80 columns; metrics.json and the report have all.
_SLICE_COLUMNS = {
    "apgr": "APGR",
    "frontier_share": "sent",
    "answers_worse": "worse",
    "quality": "quality",
    "risk": "risk",
}


def decision_text(verdict: SwitchVerdict) -> Text:
    """Return the decision, its reason and what would change it."""
    # Text, not markup: it names models, which may hold what rich takes for markup.
    return Text.assemble((verdict.word, _VERDICT_STYLES[verdict.answer]), f": {verdict.told}")


def verdict_lines(verdict: SwitchVerdict, names: Mapping[str, str] | None = None) -> RenderableType:
    """Return the decision, the three figures that it is about where one is known, and the command
    that mends what stands against it; ``names`` are those of :func:`fill`.
    """
    lines = [decision_text(verdict)]
    if (stakes := verdict.stakes) and stakes.is_known:
        lines.append(Text(f"  {_say_stakes(stakes)}"))
    lines += [
        Text(f"  mend: {fill(ground.command, names or {})}")
        for ground in verdict.against[:1]
        if ground.command
    ]
    return Group(*lines)


def _say_stakes(stakes: Stakes) -> str:
    """Return the three figures in a line."""
    month, saved = stakes.usd_per_month, stakes.saved_cost
    money = f"{usd(month)} saved a month"
    if month.value is None:
        money = f"{usd(saved)} saved per 1,000 requests"
    return (
        f"{money}; {as_percent(stakes.answers_worse)} of the answers get worse;"
        f" {as_percent(stakes.calls_avoided)} of the frontier calls avoided"
    )


def key_table(evaluation: Evaluation) -> Table:
    """Return at most ten figures, those that a decision rests on; unknown ones are left out, as
    the decision says what is not known.
    """
    table = _start_table("", ["figure", "value (95 % range)"])
    for name, value, _ in key_figures(evaluation):
        table.add_row(name, value)
    return table


def key_figures(evaluation: Evaluation) -> Iterator[tuple[str, str, Estimate]]:
    """Yield at most ten figures: what people call each, its text and its value."""
    return islice(_each_figure(evaluation), MOST_KEY_FIGURES)


def _each_figure(evaluation: Evaluation) -> Iterator[tuple[str, str, Estimate]]:
    """Yield names, texts and values."""
    known = {name: part for name, part in evaluation.overall.items() if part.value is not None}
    stakes = evaluation.verdict.stakes if evaluation.verdict else None
    if stakes is not None and stakes.usd_per_month.value is not None:
        upkeep = "net" if stakes.is_net else "before upkeep"
        month = stakes.usd_per_month
        yield f"USD saved a month, {upkeep}", figure_text("cost", month), month
        # The same saving twice would take another figure's place.
        known.pop("saved_cost", None)
    for name in _KEY_OF_RULE if evaluation.threshold is not None else _KEY_OF_SCORE:
        if name in known:
            yield label_of(name), figure_text(name, known[name]), known[name]
        if name == "quality" and name in known:
            everything = evaluation.baselines.get("always_frontier", {}).get("quality")
            if everything is not None and everything.value is not None:
                yield "quality, all frontier", figure_text("quality", everything), everything
            yield from _lead(evaluation)


def _lead(evaluation: Evaluation) -> Iterator[tuple[str, str, Estimate]]:
    """Yield the lead in quality over the reference, where a threshold is chosen."""
    lead = evaluation.baselines.get(_REFERENCE, {}).get("quality_difference")
    if lead is not None and lead.value is not None:
        yield (
            f"lead over the same share {route_name(_REFERENCE)}",
            difference_text("quality", lead),
            lead,
        )


def _plain_ways(evaluation: Evaluation) -> Iterator[str]:
    """Yield the plain ways to route that the score is not shown to beat."""
    for name in _PLAIN:
        lead = evaluation.baselines.get(name, {}).get("apgr_difference")
        if lead is not None and lead.value is not None and (lead.low is None or lead.low <= 0.0):
            yield f"{route_name(name)}, {difference_text('apgr', lead)}"


def remark_lines(evaluation: Evaluation) -> Iterator[Text]:
    """Yield what changes what one should do, a sentence or two each: what else stands against the
    decision, and what the honesty checks warn of. What the decision itself says is not said again.
    """
    verdict = evaluation.verdict
    said = {verdict.sentence} if verdict else set()
    for finding in failing(evaluation.findings):
        if finding.message not in said:
            said.add(finding.message)
            # One advice is enough: the decision's, or that of the next command.
            yield Text(_finding_line(finding, finding.fact), style=_STYLES[finding.severity])
    shown = {name: estimate for name, _, estimate in key_figures(evaluation)}
    yield from map(Text, no_range_lines(shown))
    for ground in verdict.against if verdict else ():
        if ground.text not in said:
            yield Text(f"also: {ground.text}")
    if ways := list(_plain_ways(evaluation)):
        yield Text(f"note: lead in APGR not shown over a plain way: {'; '.join(ways)}.")
    if VOTES_ALONE in evaluation.notes:
        yield Text(f"note: {VOTES_ALONE}")


def count_left(evaluation: Evaluation) -> int:
    """Return how many notes and findings :func:`remark_lines` leaves for the report."""
    notes = sum(note != VOTES_ALONE for note in evaluation.notes)
    return notes + len(evaluation.findings) - len(failing(evaluation.findings))


def _finding_line(finding: Finding, text: str) -> str:
    return f"{finding.severity}: {text} ({finding.name})"


def pair_table(result: SideBySide) -> RenderableType:
    """Return which of two bundles is better, and every figure of both."""
    word = Text.assemble((result.verdict.word, "bold"), f": {result.verdict.sentence}")
    table = _start_table(
        f"A {result.a}, B {result.b}: {quantity_text(result.requests, 'request')}",
        ["figure", "A", "B", "B minus A (95 % range)"],
    )
    for name, pair in result.figures.items():
        if pair.difference.value is not None:
            sides = (figure_text(name, side) for side in (pair.champion, pair.challenger))
            cells = (side.partition(" (")[0] for side in sides)
            table.add_row(label_of(name), *cells, difference_text(name, pair.difference))
    notes = (Text(f"- {note}") for note in result.notes)
    return Group(word, Text(""), table, Text(""), *notes)


def evaluation_table(evaluation: Evaluation, *, most_slices: int = 8) -> RenderableType:
    """Return figures, baselines, the largest slices of each kind, findings and notes."""
    tables = [_overall(evaluation), _baselines(evaluation)]
    if most_slices:
        tables += [_slices(kind, parts, most_slices) for kind, parts in evaluation.slices.items()]
    # Text, not markup: notes quote names of the user's.
    notes = (Text(f"- {note}") for note in _notes(evaluation))
    return Group(*_space_out(tables), *_findings(evaluation), *notes)


def _overall(evaluation: Evaluation) -> Table:
    """Return the figures of the score; those that are unknown stand in the notes."""
    at = (
        "no threshold chosen yet"
        if evaluation.threshold is None
        else f"threshold {evaluation.threshold:.4g}"
    )
    table = _start_table(
        f"difficulty_score for target {evaluation.target}, {at}",
        ["figure", "value (95 % range)", "requests"],
    )
    for name in shown_order(evaluation.overall):
        estimate = evaluation.overall[name]
        if estimate.value is not None:
            table.add_row(label_of(name), figure_text(name, estimate), f"{estimate.n:,}")
    return table


def _baselines(evaluation: Evaluation) -> Table:
    names = columns_with_values(
        _BASELINE_COLUMNS, [evaluation.overall, *evaluation.baselines.values()]
    )
    at = "" if evaluation.threshold is None else ", at the same frontier share"
    checked = evaluation.answer is not None and evaluation.answer.is_used
    # The policy's quality is with its check, APGR is the request's score's.
    heads = _BASELINE_COLUMNS | ({"apgr": "APGR, request's score"} if checked else {})
    headings = ["routed by", *(heads[name] for name in names)]
    table = _start_table(f"Beside the baselines{at}", headings)
    own = "this policy" if checked else "the score"
    table.add_row(own, *_cells(evaluation.overall, names), style="bold")
    for baseline, estimates in evaluation.baselines.items():
        table.add_row(route_name(baseline), *_cells(estimates, names))
    return table


def _slices(kind: str, parts: Mapping[str, Estimates], most: int) -> Table:
    """Return the largest slices of a kind, bands in order, those too small marked."""
    left = len(parts) - most
    more = f" (the {most} largest; {left} more in metrics.json)" if left > 0 else ""
    names = columns_with_values(_SLICE_COLUMNS, parts.values())
    headings = [kind, "requests", *(_SLICE_COLUMNS[name] for name in names)]
    table = _start_table(f"By {kind.replace('_', ' ')}{more}", headings)
    for name, estimates in in_order(list(parts.items())[:most]):
        mark = " (too few to judge)" if is_too_small(estimates) else ""
        # As Text: a slice's name may hold what rich takes for markup.
        table.add_row(Text(name + mark), f"{size_of(estimates):,}", *_cells(estimates, names))
    return table


def _findings(evaluation: Evaluation) -> Iterator[Text]:
    """Yield what the honesty checks say, the gravest first."""
    for finding in evaluation.findings:
        yield Text(_finding_line(finding, finding.message), style=_STYLES[finding.severity])
    if evaluation.findings:
        yield Text("")


def _notes(evaluation: Evaluation) -> Iterator[str]:
    """Yield the notes, and why each unknown figure is unknown, figures of one reason together."""
    yield from evaluation.notes
    reasons: dict[str, list[str]] = {}
    for name, estimate in evaluation.overall.items():
        # Without a threshold every routing figure lacks it, and a note says so once.
        if estimate.value is None and (evaluation.threshold is not None or estimate.n):
            reasons.setdefault(estimate.note, []).append(name)
    for reason, names in reasons.items():
        yield f"Unknown: {', '.join(names)} ({reason})."
    yield from no_range_lines(with_ranges(evaluation.overall))


def _cells(estimates: Estimates, names: Sequence[str]) -> Iterator[str]:
    """Yield a cell for each figure; empty where the figure does not apply."""
    for name in names:
        estimate = estimates.get(name)
        if estimate is None:
            yield ""
        elif name in _WITH_INTERVAL or estimate.value is None:
            yield figure_text(name, estimate)
        else:
            yield figure_text(name, estimate).partition(" (")[0]


_OVERALL = {
    "requests_per_month": "requests a month",
    "frontier_spend": "frontier model, USD a month",
    "frontier_input_spend": "  of it for reading",
    "frontier_output_spend": "  of it for writing",
    "frontier_cost": "frontier model, USD per 1,000 requests",
    "input_tokens_per_month": "tokens read a month",
    "output_tokens_per_month": "tokens written a month",
    "gain_free_share": "requests that the frontier model answers no better",
    "scorer_cost": "scorer, USD a month",
    "keep_cost": "cost to keep it, USD a month",
    "setup_cost": "cost to set it up, USD",
}
_PLAN = {
    "kept_share": "share asked of the cheap model first",
    "frontier_spend": "their price on the frontier model, USD a month",
    "input_tokens_per_month": "their tokens read a month",
    "output_tokens_per_month": "their tokens written a month",
    "cheap_quality": "quality of the cheap model on them",
    "frontier_quality": "quality of the frontier model on them",
    "caught_share": "of them sent on after the answer",
    "quality_after": "quality after that",
    "quality_loss": "fall of the quality over all requests",
    "fallback_cost": "asking the frontier model then, USD a month",
    "lost_answers_cost": "cost of lost answers, USD a month",
}
_HOSTING = {
    "cost": "hosting",
    "replicas": "replicas",
    "utilisation": "busy",
    "saving": "saving",
    "net_saving": "after cost\nto keep it",
    "break_even": "break-even,\nrequests a month",
    "payback_months": "payback,\nmonths",
}
_WITH_ENDS = ("net_saving", "break_even")
_LEAST_ENDS = len("(2,000,000")  # so that a narrow terminal breaks between numbers alone


def economics_table(economics: Economics) -> RenderableType:
    """Return verdict, figures, conditions and what they rest on."""
    tables = [
        _today(economics),
        _plans(economics),
        *(_hosting(economics, plan) for plan in economics.plans),
        _conditions(economics),
    ]
    lines = (Text(f"- {line}") for line in _lines(economics))
    verdict = Text.assemble((economics.verdict.answer, "bold"), f": {economics.verdict.text}")
    return Group(*_space_out(tables), *lines, Text(""), verdict)


def _today(economics: Economics) -> Table:
    title = "Today: every request on the frontier model"
    table = _start_table(title, ["", "value (95 % range)"], wrap=True)
    for name, label in _OVERALL.items():
        table.add_row(label, amount_text(economics.overall[name]))
    return table


def _plans(economics: Economics) -> Table:
    headings = ["", *(_plan_name(economics, plan) for plan in economics.plans)]
    table = _start_table("Asked of the cheap model first", headings, wrap=True)
    plans = economics.plans.values()
    for name, label in _PLAN.items():
        if any(name in figures for figures in plans):
            table.add_row(label, *(amount_text(figures.get(name)) for figures in plans))
    return table


def _plan_name(economics: Economics, plan: str) -> str:
    """Return a plan for people; all but the one that is judged are comparisons."""
    if plan == POLICY:
        return "the bundle's policy"
    which = "a random" if "score" in economics.assumed else "the simplest"
    name = f"{which} {economics.keep_cheap:.0%}"
    return name if plan == economics.plan else f"for comparison, {name}"


def _hosting(economics: Economics, plan: str) -> Table:
    headings = ["", *_HOSTING.values()]
    title = f"Hosting, USD a month: {_plan_name(economics, plan)}"
    table = _start_table(title, headings, wrap=True, least=max(map(len, SHAPES)))
    for column, name in zip(table.columns[1:], _HOSTING, strict=True):
        column.min_width = _LEAST_ENDS if name in _WITH_ENDS else len("replicas")
    figures = economics.plans[plan]
    for shape in SHAPES:
        if f"{shape}_cost" in figures:
            excluded = " (excluded)" if shape in economics.barred else ""
            cells = (
                amount_text(figures.get(f"{shape}_{name}"), ends=name in _WITH_ENDS)
                for name in _HOSTING
            )
            table.add_row(shape + excluded, *cells)
    return table


def _conditions(economics: Economics) -> Table:
    table = Table("it does not pay with", "", "", header_style="dim", **_FRAMELESS)
    for condition in economics.conditions:
        table.add_row(condition.name.replace("_", " "), condition.state, Text(condition.text))
    return table


def _lines(economics: Economics) -> Iterator[str]:
    for word, sentences in (
        ("assumed", economics.assumed),
        ("missing", economics.missing),
        ("excluded", economics.barred),
    ):
        yield from (f"{word} {name}: {sentence}." for name, sentence in sentences.items())
    yield from economics.notes


_FRAMELESS: dict[str, Any] = {"box": None, "pad_edge": False, "padding": (0, 2, 0, 0)}


def _start_table(
    title: str, headings: Sequence[str], *, wrap: bool = False, least: int = 1
) -> Table:
    """Return an empty table whose first column heads the rows."""
    table = Table(title=title, title_justify="left", title_style="bold", **_FRAMELESS)
    for place, heading in enumerate(headings):
        table.add_column(
            heading,
            justify="right" if place else "left",
            overflow="fold",
            # Intervals that wrap cannot be compared.
            no_wrap=place > 0 and not wrap,
            min_width=1 if place else least,
            header_style="dim",
        )
    return table


def _space_out(tables: Sequence[Table]) -> Iterator[RenderableType]:
    for table in tables:
        yield from (table, Text(""))
