"""The pages: a report as one HTML page that needs no network, and in Markdown for pull requests;
any blocks in Markdown, for cards.

Of the HTML page everything is escaped by the template engine; style and script are let through by
their hashes, and the page may load nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from difficulty.evaluation.result import Evaluation
from difficulty.report.blocks import (
    Block,
    Extras,
    Facts,
    FirstScreen,
    Fold,
    Notice,
    Paragraph,
    Points,
    Row,
    Section,
    Table,
)
from difficulty.report.charts import calibration_section, scores_section
from difficulty.report.explore import explore_section, tabulate_baselines
from difficulty.report.heat import slices_section
from difficulty.report.money import economics_section
from difficulty.report.opening import decision_section, findings_section, words_section
from difficulty.report.perturbed import perturbed_section
from difficulty.report.tables import lineage_section, mistakes_section, suspects_section
from difficulty.report.three_ways import answers_section
from difficulty.report.wording import TERMS, definitions_section, figure_text, label_of, shown_order
from difficulty.text import quantity_text, visible

if TYPE_CHECKING:
    from jinja2 import Environment

SECTIONS: Final[tuple[Callable[[Evaluation, Extras], Section | None], ...]] = (
    decision_section,
    explore_section,
    words_section,
    economics_section,
    answers_section,
    findings_section,
    slices_section,
    calibration_section,
    scores_section,
    perturbed_section,
    mistakes_section,
    suspects_section,
    lineage_section,
    definitions_section,
)
"""What builds the sections, in their order on the page; another section is a line here."""


def sections_of(evaluation: Evaluation, extras: Extras) -> list[Section]:
    """Return the sections that apply."""
    return [section for build in SECTIONS if (section := build(evaluation, extras))]


def report_html(evaluation: Evaluation, extras: Extras | None = None) -> str:
    """Return the page; its figures are those of metrics.json."""
    extras = extras or Extras()
    return _render(
        "report.html",
        ("report.css",),
        "report.js",
        title=_title(extras),
        extras=extras,
        counts=evaluation.counts,
        sections=sections_of(evaluation, extras),
        terms=TERMS,
    )


def pair_page_html(title: str, about: str, sections: Sequence[Section]) -> str:
    """Return the page of two bundles side by side."""
    return _render(
        "pair.html",
        ("report.css",),
        "report.js",
        title=title,
        about=about,
        sections=sections,
        terms=TERMS,
    )


def monitor_html(title: str, about: str, sections: Sequence[Section]) -> str:
    """Return the page of a router in service, its figures week by week."""
    return _render(
        "monitor.html",
        ("report.css", "monitor.css"),
        "monitor.js",
        title=title,
        about=about,
        sections=sections,
        terms={},
    )


def _render(template: str, styles: Sequence[str], script: str, **content: Any) -> str:
    environment = _environment()
    style = "".join(_source(environment, name) for name in styles)
    code = _source(environment, script)
    return environment.get_template(template).render(
        **content, style=style, script=code, policy=_policy(style=style, script=code)
    )


@cache  # it keeps the templates that it has compiled
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # cards need no templates

    return Environment(
        loader=PackageLoader(__package__),
        # Names of tasks, models and files are the user's, and may hold markup.
        autoescape=True,
        # Nor may they turn a line round, or send what a terminal obeys. Markup is of another type.
        finalize=lambda value: visible(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _title(extras: Extras) -> str:
    return f"Routing report: {extras.scorer}" if extras.scorer else "Routing report"


def _source(environment: Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _policy(**sources: str) -> str:
    """Return the content security policy: nothing but this style and this script."""
    # By hash, so that a name from the traffic that got through could still run nothing.
    allowed = "".join(
        f"; {name}-src 'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for name, text in sources.items()
    )
    # Nothing may be loaded, so that the page can be sent by mail (docs/report.md).
    return f"default-src 'none'{allowed}; base-uri 'none'; form-action 'none'"


# Whatever may begin markup or a mention in one of the dialects that repositories render.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~@!])")
# The same where code spans of our own stand beside names; an underscore inside a word is none.
_MARKUP = re.compile(r"([\\`*{}\[\]<>|#~@!]|(?<!\w)_|_(?!\w))")
_SPAN = re.compile("\x02([^\x02\x03]*)\x03")


def escape_markdown(text: str) -> str:
    """Return text in which nothing is markup, on one line."""
    return _SPECIAL.sub(r"\\\1", visible(" ".join(text.split())))


def code(text: str) -> str:
    """Mark a name to be shown as code by :func:`escape_but_code`."""
    return f"\x02{text}\x03"


def escape_but_code(text: str) -> str:
    """Return text in which nothing is markup but what :func:`code` marked, on one line.

    Marks that a name brought along make at most a code span of a part of it.
    """
    parts = _SPAN.split(text)
    return "".join(_span(part) if n % 2 else _plain(part) for n, part in enumerate(parts))


def _plain(text: str) -> str:
    spaced = re.sub(r"\s+", " ", text)
    return _MARKUP.sub(r"\\\1", visible(spaced))


def _span(text: str) -> str:
    """Return a code span; its fence is longer than any row of backticks in it."""
    shown = visible(" ".join(text.split())).replace("|", "\u2223")  # no cell may end in it
    longest = max(map(len, re.findall("`+", shown)), default=0)
    fence, room = "`" * (longest + 1), " " if longest else ""
    return f"{fence}{room}{shown}{room}{fence}"


@dataclass(frozen=True, slots=True)
class Markdown:
    """Writes blocks as Markdown; pictures, tiles and curves only repeat what others say."""

    escape: Callable[[str], str] = escape_markdown
    """:func:`escape_but_code` where the texts hold code spans of our own."""
    column: str = "---:"
    """Rule below every column but the first: figures stand to the right."""

    def page(self, title: str, sections: Sequence[Section], *, head: Iterable[Block] = ()) -> str:
        """Return a page with its title, blocks before the first section, and the sections."""
        lines = [f"# {self.escape(title)}", "", *self._lines(head)]
        for section in sections:
            lines += [f"## {section.title}", "", *self._lines(section.blocks)]
        return "\n".join(lines)

    def _lines(self, blocks: Iterable[Block]) -> Iterator[str]:
        for block in blocks:
            lines = list(self._block(block))
            yield from [*lines, ""] if lines else []

    def _block(self, block: Block) -> Iterator[str]:
        match block:
            case Paragraph(text=text):
                yield self.escape(text)
            case Notice(word=word, text=text):
                yield f"**{self.escape(word)}.** {self.escape(text)}"
            case Points(items=sentences):
                yield from (f"- {self.escape(sentence)}" for sentence in sentences)
            case Facts(items=facts):
                for name, value in facts:
                    yield f"- **{self.escape(name)}:** {self.escape(value)}"
            case Table():
                yield from self._table(block)
            case Fold(blocks=blocks):
                yield from self._lines(blocks)
            case FirstScreen():
                yield from self._first_screen(block)

    def _first_screen(self, screen: FirstScreen) -> Iterator[str]:
        yield f"**{self.escape(screen.word)}.** {self.escape(screen.why)}"
        if screen.command:
            yield from ("", _span(screen.command))
        yield ""
        at = f" at {quantity_text(screen.volume.start, 'request')} a month" if screen.volume else ""
        for figure, more in ((screen.money, at), *((figure, "") for figure in screen.figures)):
            ends = f" ({figure.range})" if figure.range else ""
            yield f"- {self.escape(f'{figure.value}{ends} {figure.meaning}{more}')}"
        for remark in screen.remarks:
            mend = f" {_span(remark.command)}" if remark.command else ""
            yield f"- {self.escape(remark.text)}{mend}"
        if screen.strip:
            yield from ("", _row(["", "USD per 1,000", "quality"]), _row(["---", "---:", "---:"]))
            yield from (
                _row(map(self.escape, (one.name, one.cost, one.quality))) for one in screen.strip
            )

    def _table(self, table: Table) -> Iterator[str]:
        if table.caption:
            yield from (f"**{self.escape(table.caption)}**", "")
        yield _row(map(self.escape, table.columns))
        yield _row(["---", *[self.column] * (len(table.columns) - 1)])
        for row in table.rows:
            head = f"{row.head} ({row.mark})" if row.mark else row.head
            yield _row(map(self.escape, [head, *row.cells]))


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def report_markdown(evaluation: Evaluation, extras: Extras | None = None) -> str:
    """Return the short form: decision, findings, figures and baselines, and the money."""
    extras = extras or Extras()
    figures = (_figures(evaluation), tabulate_baselines(evaluation))
    sections = [
        decision_section(evaluation, extras),
        words_section(evaluation, extras),
        findings_section(evaluation, extras),
        Section.of("figures", "Figures", *figures),
        answers_section(evaluation, extras),
        economics_section(evaluation, extras),
        perturbed_section(evaluation, extras),
    ]
    where = f" of {escape_markdown(extras.traffic)}" if extras.traffic else ""
    return Markdown().page(_title(extras), [section for section in sections if section]) + (
        f"\n{quantity_text(evaluation.counts['requests'], 'request')}{where}. Slices, pictures"
        " and the rest:"
        " report.html and metrics.json.\n"
    )


def _figures(evaluation: Evaluation) -> Table:
    rows = [
        Row(label_of(name), (figure_text(name, estimate), f"{estimate.n:,}", estimate.note))
        for name in shown_order(evaluation.overall)
        if (estimate := evaluation.overall[name])
    ]
    return Table.of("", ["figure", "value (95 % range)", "requests", "note"], rows)
