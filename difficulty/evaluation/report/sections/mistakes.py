"""The requests on which the score was sure and wrong. Texts stand here only when the user asked for
them.
"""

from __future__ import annotations

from collections.abc import Sequence

from difficulty.evaluation.report.blocks import Paragraph, Row, Section, Table
from difficulty.evaluation.report.extras import Extras
from difficulty.evaluation.result import Evaluation
from difficulty.evaluation.slices import Mistake

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
    kept = _table(
        f"Kept, but the frontier model was needed: {_of(mistakes.kept, mistakes.n_kept)}",
        mistakes.kept,
        extras,
    )
    sent = _table(
        f"Sent, but not needed: {_of(mistakes.sent, mistakes.n_sent)}", mistakes.sent, extras
    )
    return Section("mistakes", title, (Paragraph(text), kept, sent))


def _of(shown: Sequence[Mistake], n: int) -> str:
    return f"{len(shown)} of {n:,}" if n > len(shown) else f"{n:,}"


def _table(caption: str, mistakes: Sequence[Mistake], extras: Extras) -> Table:
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
