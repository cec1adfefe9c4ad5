"""The page of a router in service: its verdict, and what is drawn."""

import re
from dataclasses import replace

import pytest

from difficulty.monitor.monitor_page import figure_text
from difficulty.monitor.monitor_view import WeekAxis, judge_promise, monitor_page
from difficulty.records import Estimate
from tests.monitor.conftest import EXPECTED, HOSTILE, QUIET, STANDING
from tests.report.test_page import Page


def shown(watch, alarms=QUIET, **options):
    return monitor_page(watch, alarms, sentence="As seen.", next_step="wait", **options)


def promising(watch, name, found, expected):
    """Return a watch in which one figure is promised."""
    difference = Estimate(
        value=found.value - expected.value,
        low=None if found.low is None else found.low - expected.value,
        high=None if found.high is None else found.high - expected.value,
        n=found.n,
    )
    return replace(
        watch,
        overall={**watch.overall, name: found},
        expected={name: expected},
        differences={name: difference},
    )


def estimate(value, low=None, high=None):
    return Estimate(value=value, low=low, high=high, n=100)


@pytest.mark.parametrize(
    ("name", "found", "expected", "word"),
    [
        ("rule_quality", estimate(0.8, 0.78, 0.82), estimate(0.8), "Yes"),
        ("rule_quality", estimate(0.9, 0.88, 0.92), estimate(0.8), "Yes"),
        ("rule_quality", estimate(0.8, 0.7, 0.9), estimate(0.8), "Cannot tell"),
        ("rule_quality", estimate(0.7, 0.65, 0.75), estimate(0.8), "Cannot tell"),
        ("rule_quality", estimate(0.8), estimate(0.8), "Cannot tell"),
        ("rule_frontier_share", estimate(0.2, 0.18, 0.22), estimate(0.3), "Yes"),
        ("rule_frontier_share", estimate(0.4, 0.38, 0.42), estimate(0.3), "Cannot tell"),
        ("rule_frontier_share", estimate(0.35, 0.33, 0.37), estimate(0.28, 0.17, 0.41), "Yes"),
        ("rule_quality", estimate(0.83, 0.8, 0.85), estimate(0.85, 0.74, 0.94), "Yes"),
        ("rule_cost", estimate(2.0, 1.9, 2.1), estimate(2.0), "Yes"),
        ("rule_cost", estimate(2.0, 1.7, 2.3), estimate(2.0), "Cannot tell"),
    ],
)
def test_verdict_of_one_promised_figure(seven_weeks, name, found, expected, word):
    """Better is as good as kept; worse, or not known well enough, cannot be told."""
    verdict = judge_promise(promising(seven_weeks.watch, name, found, expected), QUIET)
    assert verdict.word == word


def test_verdict_is_an_alarm_where_one_stands(seven_weeks):
    verdict = judge_promise(seven_weeks.watch, STANDING)
    assert verdict.word == "Alarm"
    assert verdict.reasons == ("what validators say, since about 2026-08-11",)


def test_verdict_cannot_be_told_of_what_is_unknown_or_not_promised(seven_weeks):
    """The reason is that of the figure."""
    watch = seven_weeks.watch
    assert judge_promise(replace(watch, expected={}), QUIET).word == "Cannot tell"
    unknown = Estimate(value=None, note="no late outcome is known")
    without = replace(
        watch,
        overall={**watch.overall, "rule_quality": unknown},
        differences={n: d for n, d in watch.differences.items() if n != "rule_quality"},
    )
    verdict = judge_promise(without, QUIET)
    assert verdict.word == "Cannot tell"
    assert "no late outcome is known" in verdict.reasons[0]


def test_first_screen_says_verdict_three_figures_and_alarms(seven_weeks):
    """Figures with their ranges; of an alarm since when, how sure, what it costs, what answers."""
    watch = seven_weeks.watch
    text = Page(shown(watch, STANDING)).text
    opening = text[: text.index("Week by week", text.index("Alarm."))]
    for name in EXPECTED:
        value, _, rest = figure_text(name, watch.overall[name]).partition(" (")
        assert value in opening
        assert rest.removesuffix(")") in opening
    for told in (
        "1 alarm stands",
        "about 2026-08-11; it rose on 2026-08-13",
        "fewer than 1 of 4,000 quarters",
        "12.00 USD a month more",
        "difficulty policy bundles/support-1",
        "about 31 % of the requests",
    ):
        assert told in opening


def test_no_picture_is_empty(seven_weeks):
    """A figure that no week knows is named with its reason in place of a picture."""
    watch = seven_weeks.watch
    unknown = Estimate(value=None, note="the log has no costs of such calls")
    names = ("rule_cost", "cost")
    without = replace(
        watch,
        overall=watch.overall | dict.fromkeys(names, unknown),
        by_week={
            week: {n: f for n, f in figures.items() if n not in names}
            for week, figures in watch.by_week.items()
        },
    )
    pages = [shown(watch), shown(without)]
    assert [page.count('<svg class="plot"') for page in pages] == [5, 4]
    assert "is not drawn: the log has no costs of such calls." in Page(pages[1]).text
    for page in pages:
        for plot in re.findall(r'<svg class="plot".*?</svg>', page, re.DOTALL):
            assert 'class="line found"' in plot


def test_a_single_week_is_drawn_as_a_disc_without_a_slider(seven_weeks):
    watch = seven_weeks.watch
    one = replace(
        watch, weeks=watch.weeks[:1], by_week={watch.weeks[0]: watch.by_week[watch.weeks[0]]}
    )
    page = shown(one)
    assert 'type="range"' not in page
    assert page.count('<path class="point"') == page.count('<svg class="plot"') == 5
    assert 'class="line whisker"' in page


def test_hostile_names_are_text(seven_weeks):
    page = shown(seven_weeks.watch, remarks=(HOSTILE,))
    assert HOSTILE not in page
    assert page.count("<script>") == page.count("</script>") == 1
    assert HOSTILE in Page(page).text
    assert "default-src &#39;none&#39;; style-src" in page


def test_weeks_of_an_axis_are_few_and_named():
    axis = WeekAxis.of(["2026-12-21", "2026-12-28", "2027-01-04"])
    assert [axis.text(tick) for tick in axis.ticks] == ["26-12-21", "26-12-28", "27-01-04"]
    assert len(WeekAxis.of([f"2026-{n:02}-01" for n in range(1, 13)]).ticks) == 4
