"""The short form for pull requests."""

import dataclasses
import re

from difficulty.report.blocks import Extras
from difficulty.report.page import report_markdown
from difficulty.report.wording import as_text
from tests.report.conftest import HOSTILE, judge


def test_it_says_verdict_figures_and_baselines_with_the_numbers_of_the_metrics(evaluation):
    text = report_markdown(evaluation, Extras(scorer="support-1"))
    assert text.startswith("# Routing report: support-1\n")
    plain = text.replace("\\", "")
    for name, estimate in evaluation.overall.items():
        assert as_text(estimate) in plain, name
    assert "## Findings" in text
    assert "| everything to the frontier model |" in text


def test_every_table_row_has_the_columns_of_its_head(evaluation, extras):
    """A bar in a name makes no new column."""
    tables = [
        part.strip().splitlines()
        for part in report_markdown(evaluation, extras).split("\n\n")
        if part.lstrip().startswith("|")
    ]
    assert len(tables) == 2
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
    assert "**No threshold has been chosen.**" in text
