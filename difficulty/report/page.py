"""The report as one HTML page that needs no network: style, script and pictures are inside.

Everything is escaped by the template engine; style and script are let through by their hashes, and
the page may load nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from difficulty.evaluation.result import Evaluation
from difficulty.report.blocks import Block, Facts, Notice, Paragraph, Row, Section, Table, Tiles
from difficulty.report.charts import calibration_section, scores_section, tradeoff_section
from difficulty.report.extras import Extras
from difficulty.report.method import definitions_section, findings_section, lineage_section
from difficulty.report.money import economics_section
from difficulty.report.summary import summary_section
from difficulty.report.tables import (
    mistakes_section,
    slices_section,
    suspects_section,
    thresholds_section,
)
from difficulty.report.wording import LABELS, as_text

SECTIONS: Final[tuple[Callable[[Evaluation, Extras], Section | None], ...]] = (
    summary_section,
    findings_section,
    tradeoff_section,
    thresholds_section,
    economics_section,
    calibration_section,
    scores_section,
    slices_section,
    mistakes_section,
    suspects_section,
    lineage_section,
    definitions_section,
)


def sections_of(evaluation: Evaluation, extras: Extras) -> list[Section]:
    """Return the sections that apply."""
    made = (section(evaluation, extras) for section in SECTIONS)
    return [section for section in made if section is not None]


def report_html(evaluation: Evaluation, extras: Extras | None = None) -> str:
    """Return the page.

    Parameters
    ----------
    evaluation : Evaluation
        The figures; those of metrics.json.
    extras : Extras, optional
        What is told beside them.
    """
    extras = extras or Extras()
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = (_source(environment, name) for name in ("report.css", "report.js"))
    return environment.get_template("report.html").render(
        title=f"Routing report: {extras.scorer}" if extras.scorer else "Routing report",
        extras=extras,
        counts=evaluation.counts,
        sections=sections_of(evaluation, extras),
        style=style,
        script=script,
        policy=_policy(style, script),
    )


def _source(environment: Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _policy(style: str, script: str) -> str:
    """Return the content security policy: nothing but this style and this script."""
    hashes = {
        name: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for name, text in (("style", style), ("script", script))
    }
    allowed = "; ".join(f"{name}-src 'sha256-{digest}'" for name, digest in hashes.items())
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"


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
