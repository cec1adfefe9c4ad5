"""What the page says first, and that it is the decision of metrics.json."""

import dataclasses

import pytest

from difficulty.evaluation.decision.finding import Finding
from difficulty.evaluation.decision.money_case import MoneyCase
from difficulty.evaluation.verdict import weigh
from difficulty.evaluation.words import as_percent, usd
from difficulty.records import Estimate
from difficulty.report.blocks import Extras, Notice, Table
from difficulty.report.opening import (
    decision_section,
    findings_section,
    saved_at,
    verdict_of,
    words_section,
)
from difficulty.report.page import report_html, report_markdown

EXTRAS = Extras(cheap_model="small", frontier_model="large", places={"TRAFFIC": "t.parquet"})
NONE = {"findings": ()}


def screen_of(evaluation, extras=EXTRAS):
    (screen,) = decision_section(evaluation, extras).blocks
    return screen


def weighed(evaluation, **changes):
    judged = dataclasses.replace(evaluation, **changes)
    return dataclasses.replace(judged, verdict=weigh(judged))


@pytest.mark.parametrize("severity", ["error", "warning"])
def test_the_page_shows_the_one_decision_first(evaluation, severity):
    """Once, whatever else stands on it, and the same in Markdown."""
    finding = Finding(name="few_samples", severity=severity, message="Few.")
    judged = weighed(evaluation, findings=(finding,))
    said, screen = judged.verdict, screen_of(judged)
    assert (screen.word, screen.why) == (said.word, said.against[0].brief)
    assert screen.command.startswith("difficulty label UNLABELLED ")
    for page in (report_html(judged, EXTRAS), report_markdown(judged, EXTRAS)):
        assert page.count(said.word) == 1
        assert page.index(said.word) < page.index(said.grounds[0].name.replace("_", " "))
        assert said.against[0].brief in page


def test_a_file_without_a_verdict_is_weighed_by_its_figures(evaluation):
    """Files of older versions hold none, or one without the three figures."""
    assert evaluation.verdict is None
    assert verdict_of(evaluation).word == weigh(evaluation).word
    old = dataclasses.replace(weigh(evaluation), stakes=None, brief="")
    assert screen_of(dataclasses.replace(evaluation, verdict=old)).figures[0].is_known


def test_three_figures_stand_in_one_unit_each_with_their_range(evaluation):
    screen = screen_of(weighed(evaluation, **NONE))
    worse, avoided = (evaluation.overall[name] for name in ("answers_worse", "calls_avoided"))
    for figure, estimate in zip(screen.figures, (worse, avoided), strict=True):
        assert f"{figure.value} % ({figure.range})" == as_percent(estimate)
    saved = evaluation.overall["saved_cost"]
    assert screen.volume.is_example
    assert screen.money.value == usd(1000.0 * saved.value)
    assert (
        usd(Estimate(value=saved.value, low=saved.low, high=saved.high))
        in report_markdown(evaluation)
        or saved.low
    )


def test_what_is_unknown_never_looks_like_zero(evaluation):
    unknown = Estimate(value=None, note="no request has prices")
    overall = {**evaluation.overall, "cost": unknown, "saved_cost": unknown, "saving": unknown}
    baselines = {
        name: {key: value for key, value in part.items() if key != "cost"}
        for name, part in evaluation.baselines.items()
    }
    screen = screen_of(weighed(evaluation, overall=overall, baselines=baselines, **NONE))
    assert (screen.money.value, screen.money.is_known) == ("unknown", False)
    assert screen.volume is None
    assert [row.cost_length for row in screen.strip] == [None] * 3
    assert {row.cost for row in screen.strip} == {"unknown"}
    assert "What it saves is not known: no prices." in [remark.text for remark in screen.remarks]


WAITING = MoneyCase(
    answer="wait",
    text="it waits",
    requests_per_month=Estimate(value=500.0),
    net_saving=Estimate(value=-20.0, low=-30.0, high=-10.0),
    keep_cost=Estimate(value=100.0),
    break_even=Estimate(value=1000.0),
)


def economics_of(**plot):
    curve = {"value": [-100.0, 100.0], "low": [-100.0, None], "high": [-100.0, 120.0]}
    drawn = {"measure": "net_saving", "volumes": [0.0, 1000.0], "curves": {"own": curve}}
    low = {"name": "low_volume", "state": "holds", "text": "too few"}
    return {"verdict": {"shape": "own"}, "conditions": [low], "plot": drawn | plot}


def waiting(evaluation, **changes):
    """Return an evaluation that the volume alone speaks against, but for what is changed."""
    judged = dataclasses.replace(evaluation, **(NONE | changes))
    return dataclasses.replace(judged, verdict=weigh(judged, money=WAITING))


FAR = {
    "far_volumes": [2000.0, 4000.0],
    "far_curves": {"own": {"value": [300.0, 700.0], "low": [200.0, 500.0], "high": [400.0, 900.0]}},
}


def test_larger_volumes_than_are_drawn_are_reckoned_too(evaluation):
    """Between what the economics worked out, and beyond it on the last line."""
    screen = screen_of(waiting(evaluation), Extras(economics=economics_of(**FAR)))
    assert saved_at(screen.volume, 3000.0) == (500.0, 350.0, 650.0)
    assert saved_at(screen.volume, 8000.0) == (1500.0, 1100.0, 1900.0)


def test_the_decision_at_another_volume_is_what_else_was_weighed(evaluation):
    """Where the money is no obstacle, what else stands against it decides, or nothing does."""
    extras = Extras(economics=economics_of(**FAR), places={"BUNDLE": "b-1", "TRAFFIC": "t.parquet"})
    screen = screen_of(waiting(evaluation), extras)
    told = {turned.when: (turned.tone, turned.word) for turned in screen.turned}
    assert told == {
        "pays": ("good", "Switch on"),
        "unsure": ("warning", "Keep testing"),
        "loses": ("error", "Do not switch on"),
    }
    assert all("Judged at 500 requests: do not" in turned.why for turned in screen.turned)
    assert screen.command_there.startswith("difficulty evaluate b-1 t.parquet ")
    few = Finding(name="few_samples", severity="warning", message="Few.")
    pays = screen_of(waiting(evaluation, findings=(few,)), extras).turned[0]
    assert (pays.word, pays.why.partition(" (")[0]) == (
        "Keep testing",
        "It pays at this volume. Too few labelled requests to be sure.",
    )


def test_another_volume_decides_nothing_where_something_else_stands_against_the_money(evaluation):
    economics = economics_of(**FAR)
    economics["conditions"] = [{"name": "no_price_gap", "state": "holds", "text": "none"}]
    assert screen_of(waiting(evaluation), Extras(economics=economics)).turned == ()
    assert screen_of(weighed(evaluation, **NONE)).turned == ()


def test_a_volume_moves_the_money_along_the_lines_of_the_economics(evaluation):
    """Half way between two volumes lies half of what lies between their savings; beyond the last
    one of an earlier version's file nothing is said.
    """
    screen = screen_of(waiting(evaluation), Extras(economics=economics_of()))
    assert (screen.money.value, screen.money.range) == ("USD 20.00", "10.00 to 30.00")
    assert screen.money.meaning == "lost a month, net"
    assert screen.why == "Saves USD 80.00 and costs USD 100 a month: it pays from 1,000 requests."
    assert saved_at(screen.volume, 500.0) == (-20.0, -30.0, -10.0)
    assert saved_at(screen.volume, 750.0) == (40.0, None, 55.0)
    assert saved_at(screen.volume, 2000.0) == (None, None, None)


def test_findings_give_no_verdict_of_their_own(evaluation):
    """No green box beside an amber decision: a sentence says that no check found anything."""
    section = findings_section(dataclasses.replace(evaluation, **NONE), EXTRAS)
    assert section.blocks[0].text == "No problems found."
    assert not any(isinstance(block, Notice) for block in section.blocks)
    (table,) = (block for block in section.blocks if isinstance(block, Table))
    grounds = verdict_of(dataclasses.replace(evaluation, **NONE)).grounds
    assert [row.head for row in table.rows] == [ground.name for ground in grounds]


def test_saving_is_told_in_money_where_prices_are_known(evaluation):
    """The share kept and the share of the cost saved, each with its range."""
    facts = dict(words_section(evaluation, EXTRAS).blocks[0].items)
    assert f"{as_percent(evaluation.overall['saving'])} less" in facts["What it saves"]
    assert "with large for everything" in facts["What it saves"]
