"""Sections of tables: the worst mistakes, labels to look at, and what was judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from difficulty.evaluation.result import Evaluation
from difficulty.evaluation.slices import Mistake
from difficulty.evaluation.words import UNKNOWN, measures_text
from difficulty.report.blocks import (
    Block,
    ChosenThreshold,
    Extras,
    Facts,
    Fold,
    Notice,
    Row,
    Section,
    Suspects,
    Table,
)
from difficulty.report.wording import figure_text, label_of
from difficulty.text import quantity_text

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
        return Section.of("mistakes", "Worst mistakes", text, short="Mistakes")
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
    return Section.of("mistakes", "Worst mistakes", text, *tables, short="Mistakes")


def _tabulate_mistakes(
    caption: str, shown: Sequence[Mistake], n: int, *, texts_shown: bool
) -> Table:
    counted = f"{len(shown)} of {n:,}" if n > len(shown) else f"{n:,}"
    columns = (*_MISTAKE_COLUMNS, "text") if texts_shown else _MISTAKE_COLUMNS
    rows = [_mistake_row(mistake, texts_shown=texts_shown) for mistake in shown]
    return Table.of(f"{caption}: {counted}", columns, rows, folded=True)


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
    return Section.of(
        "suspects", "Labels to look at", *_suspicions(extras.suspects), short="Labels"
    )


def _suspicions(suspects: Suspects | None) -> Iterator[Block | str]:
    if suspects is None:
        yield (
            "Suspicious labels are unknown: a bundle does not carry them. Evaluate the run to see"
            " them."
        )
        return
    looked = f"Training looked at {quantity_text(suspects.checked, 'sample')}"
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


_MOST_FACTS = 6


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
    folded = Fold("Where it comes from", (Facts(tuple(facts[_MOST_FACTS:])),))
    rest = [folded] if len(facts) > _MOST_FACTS else []
    blocks: list[Block | str] = [Facts(tuple(facts[:_MOST_FACTS])), *expected, *rest]
    return Section.of("lineage", "Data and model", *blocks, short="Data")


def _expected(evaluation: Evaluation, chosen: ChosenThreshold) -> Table:
    """Return what was expected when the threshold was chosen beside what is found here."""
    rows = [
        Row(
            label_of(name),
            (figure_text(name, estimate), figure_text(name, evaluation.overall[name])),
        )
        for name, estimate in chosen.expected.items()
        if name in evaluation.overall
    ]
    columns = ["figure", f"expected ({quantity_text(chosen.n, 'other')})", "found here"]
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
