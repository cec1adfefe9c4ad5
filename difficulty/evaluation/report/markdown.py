"""The report in short, as Markdown: summary, findings, figures and baselines, for a pull
request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from difficulty.evaluation.numbers import LABELS, as_text
from difficulty.evaluation.report.blocks import (
    Block,
    Facts,
    Notice,
    Paragraph,
    Row,
    Section,
    Table,
    Tiles,
)
from difficulty.evaluation.report.extras import Extras
from difficulty.evaluation.report.sections.economics import economics_section
from difficulty.evaluation.report.sections.findings import findings_section
from difficulty.evaluation.report.sections.summary import summary_section
from difficulty.evaluation.report.sections.tradeoff import tradeoff_section
from difficulty.evaluation.result import Evaluation

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~@!])")


def report_markdown(evaluation: Evaluation, extras: Extras | None = None) -> str:
    """Return the short form; names that come from outside are escaped."""
    extras = extras or Extras()
    title = f"Routing report: {extras.scorer}" if extras.scorer else "Routing report"
    lines = [f"# {_escaped(title)}", ""]
    for section in (
        summary_section(evaluation, extras),
        findings_section(evaluation, extras),
        _figures(evaluation),
    ):
        lines += [f"## {section.title}", "", *_lines(section.blocks)]
    lines += _lines(
        [block for block in tradeoff_section(evaluation, extras).blocks if isinstance(block, Table)]
    )
    if money := economics_section(evaluation, extras):
        lines += [f"## {money.title}", "", *_lines(money.blocks)]
    where = f" of {_escaped(extras.traffic)}" if extras.traffic else ""
    lines.append(
        f"{evaluation.counts['requests']:,} requests{where}. Slices, pictures and the rest:"
        " report.html and metrics.json."
    )
    return "\n".join(lines) + "\n"


def _figures(evaluation: Evaluation) -> Section:
    rows = []
    for name, label in LABELS.items():
        estimate = evaluation.overall.get(name)
        if estimate is not None:
            rows.append(Row(label, (as_text(estimate), f"{estimate.n:,}", estimate.note)))
    return Section(
        "figures",
        "Figures",
        (Table.of("", ["figure", "value [95 % interval]", "requests", "note"], rows),),
    )


def _lines(blocks: Sequence[Block]) -> list[str]:
    return [line for block in blocks for line in _written(block)]


def _written(block: Block) -> Iterator[str]:
    match block:
        case Paragraph(text=text):
            yield from (_escaped(text), "")
        case Notice(word=word, text=text):
            yield from (f"**{_escaped(word)}.** {_escaped(text)}", "")
        case Facts(items=items):
            yield from (f"- **{_escaped(name)}:** {_escaped(value)}" for name, value in items)
            yield ""
        case Tiles():
            return  # the sentences say the same
        case Table():
            yield from _table(block)
        case _:
            return


def _table(table: Table) -> Iterator[str]:
    if table.caption:
        yield from (f"**{_escaped(table.caption)}**", "")
    yield _row(table.columns)
    yield _row(["---"] + ["---:"] * (len(table.columns) - 1), escape=False)
    yield from (
        _row([f"{row.head} ({row.mark})" if row.mark else row.head, *row.cells])
        for row in table.rows
    )
    yield ""


def _row(cells: Sequence[str], *, escape: bool = True) -> str:
    return f"| {' | '.join(_escaped(cell) if escape else cell for cell in cells)} |"


def _escaped(text: str) -> str:
    """Return text in which nothing is markup, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
