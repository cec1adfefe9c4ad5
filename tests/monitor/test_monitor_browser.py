"""The page of a router in service in a real browser: it asks for nothing, moves by keyboard, fits
a phone and paper, and can be read by all.
"""

import pytest

from difficulty.monitor.monitor_page import figure_text
from difficulty.monitor.monitor_view import monitor_page
from tests.monitor.conftest import STANDING

pytestmark = pytest.mark.browser
OPEN = "document.querySelectorAll('details').forEach((details) => { details.open = true; })"


@pytest.fixture(scope="module")
def address(seven_weeks, tmp_path_factory):
    path = tmp_path_factory.mktemp("monitor") / "monitor.html"
    page = monitor_page(
        seven_weeks.watch, STANDING, sentence="2,000 requests were seen.", next_step="wait"
    )
    path.write_text(page, encoding="utf-8")
    return path.as_uri()


def readings(page):
    texts = page.locator(".readings dd").all_inner_texts()
    return [" ".join(text.replace("\u00a0", " ").split()) for text in texts]


def test_slider_moves_through_weeks_by_keyboard(visit, seven_weeks):
    """It starts on the last week; each key changes all figures and the mark, and says so; a week
    without traffic says that.
    """
    page, watch = visit(), seven_weeks.watch
    slider = page.get_by_role("slider", name="Week")
    slider.focus()
    last = len(watch.weeks) - 1
    for key, place in (("End", last), ("ArrowLeft", last - 1), ("Home", 0), ("ArrowRight", 1)):
        slider.press(key)
        week = watch.weeks[place]
        told = readings(page)
        assert told[0] == week
        assert figure_text("rule_quality", watch.by_week[week]["rule_quality"]) in told
        assert page.locator("output").inner_text() == slider.get_attribute("aria-valuetext")
        assert week in page.locator("output").inner_text()
    before = page.locator(".mark").first.get_attribute("x1")
    slider.press("ArrowRight")
    slider.press("ArrowRight")
    assert page.locator(".mark").first.get_attribute("x1") != before
    assert watch.weeks[3] not in watch.by_week
    assert set(readings(page)[1:]) == {"no traffic"}


@pytest.mark.parametrize(
    ("scheme", "rules"), [("light", {}), ("dark", {"runOnly": ["color-contrast"]})]
)
def test_nothing_is_found_by_axe(visit, scheme, rules):
    """All rules, with every fold open; in the dark those on contrast."""
    from axe_playwright_python.sync_playwright import Axe

    page = visit(color_scheme=scheme)
    page.evaluate(OPEN)
    page.evaluate(
        "[...document.querySelectorAll('tbody tr:nth-child(n + 3)')].forEach((row) => row.remove())"
    )  # more of the same
    found = Axe().run(page, options={"resultTypes": ["violations"]} | rules).response["violations"]
    assert {one["id"]: [node["html"][:120] for node in one["nodes"][:3]] for one in found} == {}


@pytest.mark.parametrize("width", [360, 1200])
def test_the_page_is_never_wider_than_the_window(visit, width):
    """With every fold open; labels in plots stay readable and apart."""
    page = visit(width=width)
    page.evaluate(OPEN)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert (
        page.evaluate(
            """[...document.querySelectorAll('.plot')].flatMap((plot) => {
            const texts = [...plot.querySelectorAll('text')];
            const boxes = texts.map((text) => [text.textContent, text.getBoundingClientRect()]);
            return boxes.flatMap(([name, a], place) => boxes.slice(place + 1)
                .filter(([, b]) => a.height < 8 || (a.left < b.right && b.left < a.right
                    && a.top + 2 < b.bottom && b.top + 2 < a.bottom))
                .map(([other]) => [name, other]));
        })"""
        )
        == []
    )


def test_paper_shows_everything_and_cuts_nothing(visit):
    """Folds are open while it prints; no table is wider than the sheet."""
    page = visit(width=720)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("[...document.querySelectorAll('details')].every((fold) => fold.open)")
    wide = page.evaluate(
        "[...document.querySelectorAll('table, svg')].filter((it) =>"
        " it.getBoundingClientRect().right > innerWidth).map((it) => it.textContent.slice(0, 60))"
    )
    assert wide == []
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not page.evaluate("[...document.querySelectorAll('details')].some((fold) => fold.open)")


def test_without_javascript_tables_hold_every_week(visit, seven_weeks):
    page = visit(java_script_enabled=False)
    assert not page.get_by_role("slider").is_visible()
    page.locator("summary", has_text="Figures by week").click()
    assert page.locator("tbody.points tr").count() == len(seven_weeks.watch.weeks)
