"""The short form for pull requests."""

import dataclasses
import re

from jinja2 import Environment, PackageLoader

from difficulty.report.blocks import Extras, Facts, Notice, Paragraph, Points, Row, Section, Table
from difficulty.report.page import Markdown, report_markdown
from difficulty.report.wording import figure_text
from tests.report.conftest import HOSTILE, judge


def test_it_says_verdict_figures_and_baselines_with_the_numbers_of_the_metrics(evaluation):
    text = report_markdown(evaluation, Extras(scorer="support-1"))
    assert text.startswith("# Routing report: support-1\n")
    plain = text.replace("\\", "")
    for name, estimate in evaluation.overall.items():
        assert figure_text(name, estimate) in plain, name
    assert "## Findings" in text
    assert "| everything to the frontier model |" in text


def test_every_table_row_has_the_columns_of_its_head(evaluation, extras):
    """A bar in a name makes no new column."""
    tables = [
        part.strip().splitlines()
        for part in report_markdown(evaluation, extras).split("\n\n")
        if part.lstrip().startswith("|")
    ]
    assert len(tables) == 4
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table}) == 1


def test_hostile_names_are_no_markup(evaluation, extras):
    text = report_markdown(evaluation, extras)
    assert HOSTILE not in text
    assert "<img" not in text.replace("\\<img", "")
    assert "](http" not in text.replace("\\](http", "").replace("\\]\\(http", "")


def test_texts_of_requests_are_never_in_it(evaluation, extras):
    assert "SECRET" not in report_markdown(evaluation, extras)


def test_unknown_figures_say_why(judged_requests):
    text = report_markdown(judge(dataclasses.replace(judged_requests, threshold=None), n_draws=5))
    assert "| quality | unknown | 0 | no threshold was given |" in text
    assert "**Keep testing.** No threshold is chosen yet." in text


def test_blocks_are_written_in_their_order():
    table = Table.of("Two", ["route", "share"], [Row("cheap", ("0.7",)), Row("b", ("0.3",), "few")])
    section = Section.of("key", "Title", "First.", Points(("a", "b_c")), table)
    text = Markdown().page("A page", [section], head=[Notice("good", "Fine", "It is."), Facts(())])
    assert text.splitlines() == [
        "# A page",
        "",
        "**Fine.** It is.",
        "",
        "## Title",
        "",
        "First.",
        "",
        "- a",
        r"- b\_c",
        "",
        "**Two**",
        "",
        "| route | share |",
        "| --- | ---: |",
        "| cheap | 0.7 |",
        "| b (few) | 0.3 |",
    ]


def test_code_spans_of_our_own_are_not_escaped():
    """Cards name models in code spans, and keep the lines of a paragraph."""
    text = Markdown(escape=str).page("a_b", [], head=[Paragraph("`c_d`\nnext")])
    assert text == "# a_b\n\n`c_d`\nnext\n"


def test_points_are_a_list_on_the_page_too():
    environment = Environment(loader=PackageLoader("difficulty.report"), autoescape=True)
    shown = environment.get_template("blocks.html").module.show(Points(("a<b",)), "key")
    assert "<li>a&lt;b</li>" in shown
