"""The page of two bundles: closed like the report, its figures those of compare.json, and proof
against hostile names.
"""

import dataclasses

import pytest

from difficulty.evaluation.decision.side_by_side import set_side_by_side, with_notes
from difficulty.metrics import Resampling
from difficulty.report.pair_page import pair_html, pair_markdown
from difficulty.report.wording import difference_text, figure_text
from tests.evaluation.test_pair_verdict import sides
from tests.report.conftest import HOSTILE
from tests.report.test_page import Page


@pytest.fixture(scope="module")
def result():
    a, b = sides()
    names = (HOSTILE, "two")
    compared = set_side_by_side(a, b, Resampling(30), names=names, traffic=HOSTILE)
    return with_notes(compared, [HOSTILE], [HOSTILE])


def test_figures_of_the_page_are_those_of_the_comparison(result):
    page = Page(pair_html(result))
    rows = page.tables["Every figure, with its 95 % range"]
    for name in ("quality", "cost", "frontier_share"):
        pair = result.figures[name]
        assert [
            figure_text(name, pair.champion),
            figure_text(name, pair.challenger),
            difference_text(name, pair.difference),
        ] in [row[1:4] for row in rows]
    strip = page.tables["By task: B minus A"]
    assert [row[0] for row in strip[1:]] == ["big", "small (too few to judge)"]
    assert [row[-1] for row in strip[1:]] == ["A", "–"]


def test_page_and_short_form_are_proof_against_names(result):
    html, short = pair_html(result), pair_markdown(result)
    page = Page(html)
    assert HOSTILE not in html
    assert HOSTILE not in short
    assert html.count("<script>") == html.count("</script>") == 1
    assert not {"b", "img", "link"} & {tag for tag, _ in page.elements}
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for text in (page.text, short):
        assert result.verdict.word in text


def test_unknown_quality_draws_nothing(result):
    """No made-up axes: a sentence says what to add."""
    unknown = {
        name: dataclasses.replace(
            pair,
            **{
                side: dataclasses.replace(getattr(pair, side), value=None)
                for side in ("challenger", "champion", "difference")
            },
        )
        for name, pair in result.figures.items()
    }
    page = Page(pair_html(dataclasses.replace(result, figures=unknown)))
    assert "nothing can be drawn" in page.text
    assert not [one for one in page.all("svg") if one.get("role") == "img"]
