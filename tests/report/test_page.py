"""The page: complete, closed to the network, proof against hostile names, and true to
metrics.json.
"""

import base64
import dataclasses
import hashlib
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console

from difficulty.evaluation.decision.finding import Finding
from difficulty.report.blocks import Extras
from difficulty.report.explore import EXPLORED
from difficulty.report.figures_table import evaluation_table
from difficulty.report.page import SECTIONS, report_html, report_markdown, sections_of
from difficulty.report.tables import LONGEST_TEXT
from difficulty.report.wording import figure_text
from tests.evaluation.conftest import scored_of
from tests.report.conftest import HOSTILE, judge, many_judged


class Page(HTMLParser):
    """The elements of a page with their attributes, the text, and the cells of its tables by
    caption.
    """

    def __init__(self, text):
        """Read a page."""
        super().__init__()
        self.elements, self.words, self.tables, self._open = [], [], {}, []
        self._rows, self._cell = [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        """Note an element."""
        self.elements.append((tag, dict(attributes)))
        if tag == "table":
            self._rows = []
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th", "caption"):
            self._cell = []

    def handle_endtag(self, tag):
        """Close a cell or a caption."""
        if tag == "caption":
            self.tables["".join(self._cell)] = self._rows
            self._cell = None
        elif tag in ("td", "th"):
            self._rows[-1].append("".join(self._cell))
            self._cell = None

    def handle_data(self, data):
        """Note text, but no style or script."""
        if self.elements and self.elements[-1][0] in ("style", "script") and self.cdata_elem:
            return
        self.words.append(data)
        if self._cell is not None:
            self._cell.append(data)

    @property
    def text(self):
        """What a reader sees, on one line."""
        return " ".join("".join(self.words).split())

    def all(self, tag):
        """Return the attributes of all elements of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def html(evaluation, extras):
    return report_html(evaluation, extras)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_sections_stand_in_their_order_under_headings_of_one_level(evaluation, extras, page):
    assert [section.key for section in sections_of(evaluation, extras)] == [
        "decision", "explore", "words", "findings", "slices", "calibration", "scores",
        "mistakes", "suspects", "lineage",
        "terms",
    ]  # fmt: skip
    assert (
        len(SECTIONS) - 3 == len(page.all("section")) == len(page.all("h2"))
    )  # economics were not looked at, no answer was checked, and no request perturbed
    assert len(page.all("h1")) == 1
    assert not {"h3", "h4"} & {tag for tag, _ in page.elements}


def test_the_page_is_small_and_loads_nothing(html, page):
    """No element and no style names a file or an address; the policy forbids what would slip
    through.
    """
    assert len(html.encode()) < 500_000
    assert not {"link", "img", "iframe", "object", "embed", "base", "form", "image", "use"} & {
        tag for tag, _ in page.elements
    }
    for _, attributes in page.elements:
        assert not {"src", "srcset", "style", "action", "xlink:href"} & attributes.keys()
        assert attributes.get("href", "#").startswith("#")
        assert not [name for name in attributes if name.startswith("on")]
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style


def test_the_policy_lets_through_this_style_and_this_script_only(html, page):
    policy = next(
        meta["content"]
        for meta in page.all("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; ")
    for tag in ("style", "script"):
        text = re.search(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)[1]
        assert (
            f"{tag}-src"
            f" 'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
            in policy
        )
    assert "unsafe" not in policy


def test_hostile_names_are_text_and_nothing_else(html, page, evaluation, extras):
    """Names of tasks, models, files and requests, rules, lineage and texts all try to break out."""
    assert HOSTILE not in html
    assert html.count("<script>") == html.count("</script>") == 1
    assert page.text.count(HOSTILE) > 10
    assert not {"b", "img"} & {tag for tag, _ in page.elements}


def test_texts_stand_in_the_page_only_when_asked_for_and_shortened(evaluation, extras, page):
    cells = [
        cell
        for rows in page.tables.values()
        for row in rows
        for cell in row
        if cell.startswith("SECRET")
    ]
    assert cells
    assert all(len(cell) == LONGEST_TEXT and cell.endswith("…") for cell in cells)
    hidden = report_html(evaluation, dataclasses.replace(extras, texts_shown=False))
    assert "SECRET" not in hidden
    assert "--show-texts" in hidden


def test_the_slider_table_is_the_curve_of_the_metrics(evaluation, page):
    """Every threshold of the curve, the fewest sent first, every figure with its interval, the
    operating point marked.
    """
    curve = evaluation.curve
    (rows,) = (
        rows for caption, rows in page.tables.items() if caption == "What each threshold does"
    )
    rows = rows[1:]
    shown = [name for name in EXPLORED if name != "fallback_share"]  # of which nothing is known
    assert len(rows) == len(curve.threshold) > 100
    for place, row in enumerate(rows):
        assert row[0].removesuffix(" (in use)") == f"{curve.threshold[place]:.3f}"
        assert row[1:] == [figure_text(name, curve.figures[name].at(place)) for name in shown]
    in_use = [row for row in rows if row[0].endswith("(in use)")]
    assert [row[1:] for row in in_use] == [
        [figure_text(name, evaluation.overall[name]) for name in shown]
    ]


def test_page_console_and_short_form_show_the_same_numbers(evaluation, extras, page):
    console = Console(file=io.StringIO(), width=250)
    console.print(evaluation_table(evaluation))
    shown, short = console.file.getvalue(), report_markdown(evaluation, extras).replace("\\", "")
    for name in ("apgr", "quality", "cost", "frontier_share", "risk", "routing_precision"):
        text = figure_text(name, evaluation.overall[name])
        assert " to " in text
        assert text in shown
        assert text in short
        assert text in page.text
    for baseline in evaluation.baselines.values():
        if "apgr_difference" in baseline:
            text = figure_text("apgr_difference", baseline["apgr_difference"])
            assert text in shown
            assert text in short
            assert text in page.text


def test_pictures_have_a_name_a_description_and_their_numbers(page):
    """A title and a description that exist, and a table below; the plot of the slider has the
    slider's table.
    """
    plots = [attributes for attributes in page.all("svg") if attributes.get("role") == "img"]
    assert len(plots) == 4
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    for plot in plots:
        assert set(plot["aria-labelledby"].split()) <= ids
    assert len([attributes for attributes in page.all("table")]) == len(page.all("caption"))
    captions = page.tables.keys()
    assert {
        "p_cheap_fails: predicted and observed failures",
        "Requests by score and outcome",
        "What each threshold does",
    } <= captions
    assert all(attributes.get("scope") in ("row", "col") for attributes in page.all("th"))


def test_ids_are_unique(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_small_slices_are_marked_in_words():
    judged = many_judged(n=300)
    tasks = ["rare"] * 20 + ["common"] * 280
    page = Page(report_html(judge(dataclasses.replace(judged, tasks=tasks), n_draws=5)))
    for caption in ("By task", "By task, every figure"):
        heads = [row[0] for row in page.tables[caption][1:]]
        assert heads == ["common", "rare (too few to judge)"]


def test_without_a_threshold_the_page_says_so_and_keeps_the_slider(judged_requests):
    found = judge(dataclasses.replace(judged_requests, threshold=None), n_draws=5)
    page = Page(report_html(found))
    assert "No threshold has been chosen" in page.text
    assert "Mistakes are unknown: there is no threshold" in page.text
    assert "in use" not in page.text
    (slider,) = (each for each in page.all("input") if each["type"] == "range")
    assert slider["max"] == str(len(found.curve.threshold) - 1)


def test_without_gains_and_prices_the_page_says_what_is_unknown_and_why():
    """Only the cheap model's outcomes are known, and no price."""
    judged = dataclasses.replace(many_judged(300), target="failure", p_frontier_fails=None)
    unknown = np.full(300, np.nan)
    outcomes = dataclasses.replace(judged.outcomes, frontier_quality=unknown)
    page = Page(
        report_html(
            judge(
                dataclasses.replace(
                    judged, outcomes=outcomes, cheap_cost=unknown, frontier_cost=unknown
                ),
                n_draws=5,
            )
        )
    )
    assert "What routing does to quality is not known." in page.text
    assert "saved a month: pass --prices, with token counts in the traffic" in page.text
    assert (
        "The curve cannot be drawn: quality is unknown, because no request has the known quality of"
        " both models" in page.text
    )
    assert not re.search(r"\bnan\b", page.text, re.IGNORECASE)


def test_a_score_of_one_value_and_a_single_request_can_be_shown():
    for judged in (scored_of([0.5] * 60, [0, 1] * 30, [1, 1] * 30), scored_of([0.7], [1], [1])):
        page = Page(report_html(judge(judged, n_draws=5)))
        assert len(page.all("section")) == len(SECTIONS) - 3


def test_an_evaluation_of_before_there_was_a_curve_can_be_shown(evaluation):
    old = dataclasses.replace(
        evaluation,
        curve=None,
        baseline_curves={},
        calibration={},
        histogram=None,
        findings=(),
        lineage={},
    )
    text = Page(report_html(old)).text
    assert "this evaluation holds no curve" in text
    assert "this evaluation holds no histogram" in text


def test_findings_stand_with_their_severity_in_words(evaluation):
    found = (
        Finding(name="no_signal", severity="error", message="None."),
        Finding(name="few_samples", severity="warning", message="Few."),
    )
    text = Page(report_html(dataclasses.replace(evaluation, findings=found), Extras())).text
    assert "Error. no signal: None." in text
    assert "Warning. few samples: Few." in text
    assert "Keep testing The score cannot be told from chance." in text
