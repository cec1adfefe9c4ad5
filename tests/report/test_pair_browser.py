"""The page of two bundles in a real browser: read by all, on a phone and on paper."""

import dataclasses

import pytest

from difficulty.evaluation.decision.side_by_side import set_side_by_side, with_notes
from difficulty.metrics import Resampling
from difficulty.report.pair_page import pair_html
from tests.evaluation.test_pair_verdict import sides
from tests.report.conftest import HOSTILE, PAPER, printed

pytestmark = pytest.mark.browser
_OPEN_FOLDS = "document.querySelectorAll('details').forEach((fold) => { fold.open = true; })"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    result = set_side_by_side(*sides(), Resampling(30), names=("one-1", "two-2"), traffic=HOSTILE)
    long_name = "a_task_name_without_any_place_to_break_" * 4
    tasks = result.slices["task"]
    slices = {**result.slices, "task": {**tasks, long_name: tasks["big"]}}
    result = with_notes(dataclasses.replace(result, slices=slices), [HOSTILE], [HOSTILE])
    path = tmp_path_factory.mktemp("pair") / "compare.html"
    path.write_text(pair_html(result), encoding="utf-8")
    return path.as_uri()


@pytest.mark.parametrize(
    ("scheme", "rules"), [("light", {}), ("dark", {"runOnly": ["color-contrast"]})]
)
def test_nothing_is_found_by_axe(visit, scheme, rules):
    """All rules, with every fold open; in the dark those on contrast alone."""
    from axe_playwright_python.sync_playwright import Axe

    page = visit(color_scheme=scheme)
    page.evaluate(_OPEN_FOLDS)
    found = Axe().run(page, options={"resultTypes": ["violations"]} | rules).response["violations"]
    assert {one["id"]: [node["html"][:120] for node in one["nodes"][:3]] for one in found} == {}


@pytest.mark.parametrize("width", [360, 1000])
def test_the_page_is_never_wider_than_the_window(visit, width):
    """Wide tables scroll in their own frame, which the keyboard reaches."""
    page = visit(width=width)
    page.evaluate(_OPEN_FOLDS)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(
        "[...document.querySelectorAll('.scroll')].every((frame) => frame.tabIndex === 0)"
    )


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_the_first_screen_holds_the_decision(visit, width, height):
    page = visit(width=width, height=height)
    box = page.locator(".screen").bounding_box()
    assert box["y"] + box["height"] <= height
    assert len(page.locator(".screen").inner_text().split()) <= 90


def test_print_takes_few_pages_and_cuts_no_table(visit):
    """Paper has no scroll bars: no table is wider than the page."""
    pages, wide = printed(visit(width=PAPER))
    assert wide == []
    assert pages <= 8
