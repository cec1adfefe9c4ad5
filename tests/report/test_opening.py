"""What the page says first, and that it is the verdict of metrics.json."""

import dataclasses

import pytest

from difficulty.evaluation.findings import Finding
from difficulty.evaluation.verdict import weigh
from difficulty.evaluation.words import as_percent
from difficulty.report.blocks import Extras, Notice, Table
from difficulty.report.opening import findings_section, summary_section, verdict
from difficulty.report.page import report_html, report_markdown

EXTRAS = Extras(cheap_model="small", frontier_model="large")
NONE = {"findings": ()}


@pytest.mark.parametrize("severity", ["error", "warning"])
def test_the_page_shows_the_one_verdict_first(evaluation, severity):
    """Once, whatever else stands on it, and the same in Markdown."""
    finding = Finding(name="few_samples", severity=severity, message="Few.")
    judged = dataclasses.replace(evaluation, findings=(finding,))
    judged = dataclasses.replace(judged, verdict=weigh(judged))
    said = judged.verdict
    notice, *_, weighed = summary_section(judged, EXTRAS).blocks
    assert isinstance(notice, Notice)
    assert notice.lead
    assert (notice.word, notice.text) == (said.word, said.told)
    assert isinstance(weighed, Table)
    assert [row.cells[1] for row in weighed.rows] == [ground.text for ground in said.grounds]
    for page in (report_html(judged, EXTRAS), report_markdown(judged, EXTRAS)):
        assert page.count(f"{said.word}.") == 1
        assert page.index(f"{said.word}.") < page.index(said.grounds[0].name.replace("_", " "))


def test_a_file_without_a_verdict_is_weighed_by_its_figures(evaluation):
    """Files of older versions hold none."""
    assert evaluation.verdict is None
    assert verdict(evaluation).word == weigh(evaluation).word


def test_findings_give_no_verdict_of_their_own(evaluation):
    """No green box beside an amber verdict: a sentence says that no check found anything."""
    section = findings_section(dataclasses.replace(evaluation, **NONE), EXTRAS)
    assert section.blocks[0].text == "No problems found."
    assert not any(isinstance(block, Notice) for block in section.blocks)


def test_saving_is_told_in_money_where_prices_are_known(evaluation):
    """The share kept and the share of the cost saved, each with its interval."""
    facts = dict(summary_section(evaluation, EXTRAS).blocks[2].items)
    assert f"{as_percent(evaluation.overall['saving'])} less" in facts["What it saves"]
    assert "with large for everything" in facts["What it saves"]
