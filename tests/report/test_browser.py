"""The page in a real browser: it asks for nothing, says nothing to the console, moves by keyboard,
fits a phone, and can be read by all.
"""

import dataclasses
from pathlib import Path

import pytest

from difficulty.evaluation.words import usd
from difficulty.records import Estimate
from difficulty.report.blocks import Extras
from difficulty.report.page import report_html
from difficulty.report.wording import figure_text
from tests.report.conftest import HOSTILE, PAPER, printed
from tests.report.test_opening import FAR, economics_of, waiting

pytestmark = pytest.mark.browser
READ = ("frontier_share", "quality", "cost", "answers_worse")


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
    return [text.replace("\n", " ") for text in page.locator(".side dd").all_inner_texts()]


def expected(curve, place):
    return [figure_text(name, curve.figures[name].at(place)) for name in READ]


def disc_of(page):
    """Return where the centre of the disc is on the screen."""
    box = page.locator(".core").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def spot_of(page, place):
    """Return where a point of the curve is on the screen, by the row of the table."""
    return page.evaluate(
        """(place) => {
            const row = document.querySelectorAll("tbody.points tr")[place];
            const plot = document.querySelector(".moving .plot");
            const point = new DOMPoint(row.dataset.x, row.dataset.y);
            const at = point.matrixTransform(plot.getScreenCTM());
            return [at.x, at.y];
        }""",
        place,
    )


def test_the_disc_starts_on_the_threshold_in_use_and_moves_by_keyboard(visit, evaluation):
    """Every key changes readings and disc to those of the metrics at that threshold, and says so;
    the button goes back.
    """
    page, curve = visit(), evaluation.curve
    last, chosen = len(curve.threshold) - 1, curve.threshold.index(evaluation.threshold)
    slider = page.get_by_role("slider", name="Share sent to the frontier model")
    assert readings(page) == [figure_text(name, evaluation.overall[name]) for name in READ]
    assert "threshold in use" in page.locator("output").inner_text()
    slider.focus()
    for keys, place in (
        (["ArrowRight"], chosen + 1),
        (["ArrowLeft"] * 3, chosen - 2),
        (["End"], last),
        (["Home"], 0),
        (["PageUp"], None),
    ):
        before = page.locator(".disc").get_attribute("transform")
        for key in keys:
            slider.press(key)
        place = int(slider.input_value()) if place is None else place
        assert readings(page) == expected(curve, place)
        assert page.locator("output").inner_text() == slider.get_attribute("aria-valuetext")
        assert "in use" not in page.locator("output").inner_text()
        assert page.locator(".disc").get_attribute("transform") != before
    page.get_by_role("button", name="as chosen").press("Enter")
    assert readings(page) == expected(curve, chosen)


def test_every_point_of_the_curve_shows_the_figures_of_the_metrics(visit, evaluation):
    """All readings at all thresholds, and the disc on each point."""
    page, curve = visit(), evaluation.curve
    seen = page.evaluate(
        """() => {
            const slider = document.querySelector(".moving input");
            const disc = document.querySelector(".disc");
            return Array.from(document.querySelectorAll("tbody.points tr"), (row, place) => {
                slider.value = place;
                slider.dispatchEvent(new Event("input"));
                return [
                    Array.from(document.querySelectorAll(".side dd"), (one) => one.textContent),
                    disc.getAttribute("transform"),
                    `translate(${Number(row.dataset.x)} ${Number(row.dataset.y)})`,
                ];
            });
        }"""
    )
    assert [texts for texts, *_ in seen] == [
        expected(curve, place) for place in range(len(curve.threshold))
    ]
    assert all(at == wanted for _, at, wanted in seen)


def test_the_disc_is_dragged_and_buttons_go_to_their_points(visit, evaluation):
    page, curve = visit(), evaluation.curve
    place = len(curve.threshold) // 3
    start, end = disc_of(page), spot_of(page, place)
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=3)
    page.mouse.up()
    # A pointer stands on whole pixels, points lie closer.
    share = float(readings(page)[0].partition(" ")[0])
    assert share == pytest.approx(100.0 * curve.figures["frontier_share"].value[place], abs=1.0)
    page.get_by_role("button", name="cheapest within 1 % of quality").click()
    frontier = evaluation.baselines["always_frontier"]["quality"].value
    costs, qualities = (curve.figures[name].value for name in ("cost", "quality"))
    cheapest = min(
        (n for n, quality in enumerate(qualities) if quality >= 0.99 * frontier),
        key=lambda n: (costs[n], -qualities[n]),
    )
    assert readings(page) == expected(curve, cheapest)
    page.get_by_role("button", name="30 % sent").click()
    assert readings(page)[0].startswith(("29.", "30."))


def test_the_volume_that_is_typed_moves_the_money(visit, evaluation):
    """As Python reckons it; what is no number is unknown, not zero."""
    page, saved = visit(), evaluation.overall["saved_cost"]
    box, value = page.get_by_label("requests a month"), page.locator(".money .value")
    assert value.inner_text() == usd(1000.0 * saved.value)
    for volume in (250.0, 40_000.0, 123_456_789.0):
        box.fill(f"{volume:,.0f}")
        month = Estimate(
            **{end: getattr(saved, end) * volume / 1000.0 for end in ("value", "low", "high")}
        )
        shown = f"{value.inner_text()} {page.locator('.money .about').inner_text()}"
        amount, _, ends = usd(month).partition(" (")
        assert shown == f"{amount} saved a month, before upkeep" + (f" ({ends}" if ends else "")
    box.fill("many")
    assert value.inner_text() == "unknown"
    box.fill("1,000,000")
    assert value.inner_text() == usd(1000.0 * saved.value)


def test_the_decision_follows_the_volume_that_is_typed(browser, evaluation, tmp_path):
    """As Python said it for a saving above, around and below 0; back at the judged volume it is
    what was judged.
    """
    economics = economics_of(**FAR) | {"prices_date": "2026-11-01", "plan": "policy"}
    economics |= {"policy": {}, "barred": {}, "assumed": {}, "missing": {}, "notes": []}
    economics["verdict"]["text"] = "it waits"
    judged = waiting(evaluation)
    path = tmp_path / "report.html"
    path.write_text(report_html(judged, Extras(economics=economics)), encoding="utf-8")
    page = browser.new_page()
    page.goto(path.as_uri())
    box, answer, why = page.locator("#volume"), page.locator(".answer"), page.locator(".why")
    first = (answer.inner_text(), why.inner_text())
    assert first[0] == "Do not switch on"
    for volume, word, tone in (
        ("4,000", "Switch on", "good"),
        ("9 000 000", "Switch on", "good"),
        ("400", "Do not switch on", "error"),
        ("850", "Keep testing", "warning"),
    ):
        box.fill(volume)
        assert answer.inner_text() == word, volume
        assert page.locator(f".screen.{tone}").count() == 1
    assert "--requests-per-month 850 " in why.inner_text()
    box.fill("500")
    assert (answer.inner_text(), why.inner_text()) == first
    page.close()


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_the_first_screen_holds_the_decision_in_few_words(visit, width, height, address):
    """At most 90 words, navigation aside, and nothing of it below the fold."""
    page = visit(width=width, height=height)
    box = page.locator(".screen").bounding_box()
    assert box["y"] + box["height"] <= height
    words = page.locator(".screen").inner_text().replace(HOSTILE, "name").split()
    assert len(words) <= 90, words
    for part in (".answer", ".why", ".money .value", ".strip", ".volume input"):
        assert page.locator(part).is_visible()


def test_print_takes_few_pages_and_cuts_no_table(visit):
    """Paper has no scroll bars: no table is wider than the page."""
    pages, wide = printed(visit(width=PAPER))
    assert wide == []
    assert pages <= 8


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
            "[document.documentElement, document.querySelector('#volume')].flatMap((it) =>"
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
    """The first stop skips the navigation; the disc shows a ring."""
    page = visit()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    ring = "getComputedStyle(document.querySelector('.halo')).strokeWidth"
    before = page.evaluate(ring)
    page.get_by_role("slider").focus()
    page.keyboard.press("ArrowRight")
    assert before != page.evaluate(ring) == "3px"


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
