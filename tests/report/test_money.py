"""What the money says, in the report."""

import dataclasses

import pytest

from difficulty.report.blocks import Extras, Notice, Picture, Table
from difficulty.report.money import economics_section
from difficulty.report.page import report_html
from tests.report.conftest import HOSTILE


def number(value):
    return {"value": value, "low": value - 1, "high": value + 1, "n": 9}


@pytest.fixture
def form():
    """Two ways to host: one pays from 500 requests a month on, of the other nothing is known."""
    curves = {
        "own": {
            "value": [-100.0, 0.0, 100.0],
            "low": [-110.0, -10.0, 90.0],
            "high": [-90.0, 10.0, 110.0],
        },
        "cloud": {name: [None] * 3 for name in ("value", "low", "high")},
    }
    return {
        "format": 2,
        "plan": "policy",
        "verdict": {"answer": "build", "shape": "own", "text": f"it pays {HOSTILE}"},
        "prices_date": "2026-11-01",
        "policy": {
            "own_cost": number(50.0),
            "own_saving": number(60.0),
            "own_net_saving": number(20.0),
            "own_break_even": number(500.0),
        },
        "barred": {"own": "not allowed"},
        "conditions": [{"name": "low_volume", "state": "does not hold", "text": "enough"}],
        "assumed": {"catch_rate": "nothing is caught"},
        "missing": {},
        "notes": ["A note."],
        "plot": {"volumes": [0.0, 500.0, 1000.0], "curves": curves, "measure": "net_saving"},
    }


def test_verdict_plot_hosting_and_conditions_are_told(evaluation, form):
    """Unknown ways to host have no line; one that is excluded says why."""
    section = economics_section(evaluation, Extras(economics=form))
    (picture,) = (block for block in section.blocks if isinstance(block, Picture))
    hosting, conditions = (block for block in section.blocks if isinstance(block, Table))
    assert not any(
        isinstance(block, Notice) for block in section.blocks
    )  # the page has one verdict
    assert section.blocks[0].text.startswith("It pays ")
    assert [name for _, name in picture.legend] == ["own GPUs"]
    assert [(row.head, row.mark, row.cells[3]) for row in hosting.rows] == [
        ("own GPUs", "not allowed", "500 (499 to 501)")
    ]
    assert [(row.head, row.cells) for row in conditions.rows] == [
        ("low volume", ("does not hold", "enough"))
    ]


def test_its_words_are_text_and_without_it_there_is_no_section(evaluation, form):
    page = report_html(evaluation, Extras(economics=form))
    assert 'id="economics"' in page
    assert HOSTILE not in page
    assert "Assumed: nothing is caught" in page
    assert 'id="economics"' not in report_html(dataclasses.replace(evaluation), Extras())


def test_a_picture_without_curves_is_a_sentence(evaluation, form):
    """Where no saving is known the axes of a picture would be made up."""
    unknown = {name: [None] * 3 for name in ("value", "low", "high")}
    form["plot"]["curves"] = {"own": unknown, "cloud": unknown}
    section = economics_section(evaluation, Extras(economics=form))
    assert not any(isinstance(block, Picture) for block in section.blocks)
    page = report_html(evaluation, Extras(economics=form))
    assert "Saving against volume cannot be worked out" in page
