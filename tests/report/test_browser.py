"""The page in a real browser: it asks for nothing, says nothing to the console, moves by keyboard,
fits a phone, and can be read by all.
"""

import dataclasses
from pathlib import Path

import pytest

from difficulty.report.page import report_html
from difficulty.report.tables import SLIDER_FIGURES
from difficulty.report.wording import as_text

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address(evaluation, extras, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    long_name = "a_task_name_without_any_place_to_break_" * 4
    slices = {
        **evaluation.slices,
        "task": {**evaluation.slices["task"], long_name: evaluation.slices["task"]["code"]},
    }
    path.write_text(
        report_html(dataclasses.replace(evaluation, slices=slices), extras), encoding="utf-8"
    )
    return path.as_uri()


def readings(page):
    return [text.replace("\n", "") for text in page.locator(".readings dd").all_inner_texts()]


def expected(curve, place):
    return [as_text(curve.figures[name].at(place)) for name in SLIDER_FIGURES]


def test_slider_starts_on_the_threshold_in_use_and_moves_by_keyboard(visit, evaluation):
    """Every key changes all figures to those of the metrics at that threshold, and says so; the
    button goes back.
    """
    page, curve = visit(), evaluation.curve
    last, chosen = len(curve.threshold) - 1, curve.threshold.index(evaluation.threshold)
    slider = page.get_by_role("slider", name="Threshold")
    assert readings(page)[1:] == [as_text(evaluation.overall[name]) for name in SLIDER_FIGURES]
    assert "threshold in use" in page.locator("output").inner_text()
    slider.focus()
    for keys, place in (
        (["ArrowRight"], chosen - 1),
        (["ArrowLeft"] * 3, chosen + 2),
        (["End"], 0),
        (["Home"], last),
        (["PageUp"], None),
    ):
        before = page.locator(".mark").first.get_attribute("x1")
        for key in keys:
            slider.press(key)
        place = last - int(slider.input_value()) if place is None else place
        assert readings(page)[1:] == expected(curve, place)
        assert float(readings(page)[0]) == pytest.approx(curve.threshold[place], rel=1e-5)
        assert page.locator("output").inner_text() == slider.get_attribute("aria-valuetext")
        assert "in use" not in page.locator("output").inner_text()
        assert page.locator(".mark").first.get_attribute("x1") != before
    page.get_by_role("button", name="Back to the threshold in use").press("Enter")
    assert readings(page)[1:] == expected(curve, chosen)


@pytest.mark.parametrize(
    ("scheme", "rules"), [("light", {}), ("dark", {"runOnly": ["color-contrast"]})]
)
def test_nothing_is_found_by_axe(visit, scheme, rules):
    """All rules, with every fold open; in the dark those on contrast, as nothing else is different
    there.
    """
    from axe_playwright_python.sync_playwright import Axe

    page = visit(color_scheme=scheme)
    page.evaluate(
        "document.querySelectorAll('details').forEach((details) => { details.open = true; })"
    )
    page.evaluate(
        "[...document.querySelectorAll('tbody tr:nth-child(n + 3)')].forEach((row) => row.remove())"
    )  # more of the same
    found = Axe().run(page, options={"resultTypes": ["violations"]} | rules).response["violations"]
    assert {one["id"]: [node["html"][:120] for node in one["nodes"][:3]] for one in found} == {}


def test_light_and_dark_are_two_pages(visit):
    """Dark text on light and light text on dark."""
    ground = {}
    for scheme in ("light", "dark"):
        colours = visit(color_scheme=scheme).evaluate(
            "[document.documentElement, document.querySelector('section')].flatMap((it) =>"
            " [getComputedStyle(it).backgroundColor, getComputedStyle(it).color]).map((colour) =>"
            " colour.match(/\\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0))"
        )
        ground[scheme] = colours
    assert all(back > 600 > 200 > text for back, text in (ground["light"][:2], ground["light"][2:]))
    assert all(back < 200 < 600 < text for back, text in (ground["dark"][:2], ground["dark"][2:]))


@pytest.mark.parametrize("width", [360, 1000])
def test_the_page_is_never_wider_than_the_window(visit, width):
    """With every fold open: wide tables scroll in their own frame, which the keyboard reaches; text
    in plots stays readable.
    """
    page = visit(width=width)
    page.evaluate(
        "document.querySelectorAll('details').forEach((details) => { details.open = true; })"
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(
        "[...document.querySelectorAll('.scroll')].every((frame) => frame.tabIndex === 0)"
    )
    heights = page.evaluate(
        "[...document.querySelectorAll('.plot text')].map((text) =>"
        " text.getBoundingClientRect().height)"
    )
    assert min(heights) >= 9


def test_labels_of_a_plot_do_not_overlap_on_a_phone(visit):
    overlaps = visit(width=360).evaluate(
        """[...document.querySelectorAll('.plot')].flatMap((plot) => {
            const texts = [...plot.querySelectorAll('text')];
            const boxes = texts.map((text) => [text.textContent, text.getBoundingClientRect()]);
            return boxes.flatMap(([name, a], place) => boxes.slice(place + 1)
                .filter(([, b]) => a.left < b.right && b.left < a.right)
                .filter(([, b]) => a.top + 2 < b.bottom && b.top + 2 < a.bottom)
                .map(([other]) => [name, other]));
        })"""
    )
    assert overlaps == []


def test_keyboard_reaches_everything_and_focus_is_seen(visit):
    """The first stop skips the navigation; the slider shows an outline."""
    page = visit()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    slider = page.get_by_role("slider", name="Threshold")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert slider.evaluate("(it) => getComputedStyle(it).outlineStyle") == "solid"


def test_without_javascript_the_table_holds_every_threshold(visit, evaluation):
    page = visit(java_script_enabled=False)
    assert not page.get_by_role("slider").is_visible()
    page.locator("summary", has_text="What each threshold does").click()
    assert page.locator("tbody.points tr").count() == len(evaluation.curve.threshold)
    assert page.locator("tbody.points tr").first.is_visible()


def test_motion_stops_where_it_is_not_wanted(visit):
    page = visit(reduced_motion="reduce")
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"


def test_the_page_is_one_file(address):
    folder = Path(address.removeprefix("file://")).parent
    assert [path.name for path in folder.iterdir()] == ["report.html"]
