"""The section on the check of answers."""

import dataclasses

from difficulty.evaluation import evaluate
from difficulty.metrics import Resampling
from difficulty.report.blocks import ChosenThreshold, Extras
from difficulty.report.page import report_html, report_markdown
from difficulty.thresholds.policy_curve import parse_objective
from difficulty.thresholds.ways import choose_way
from tests.evaluation.test_frontiers import many
from tests.report.test_page import Page


def test_both_reports_show_three_ways_and_which_was_taken():
    used = dataclasses.replace(many(), threshold=1.0, answer_threshold=0.6)
    evaluation = evaluate(used, Resampling(40))
    extras = Extras(
        cheap_model="small",
        frontier_model="large",
        chosen=ChosenThreshold(
            objective="quality=0.8", expected={}, n=5, review_date="2027-01-01", way="because"
        ),
    )
    page, short = Page(report_html(evaluation, extras)).text, report_markdown(evaluation, extras)
    for text in (page, short):
        assert "Judging the answer too" in text
        assert "The policy sends nothing at once and checks every answer." in text
        assert "When it was chosen: because." in text
        assert "Least cost of 1,000 requests, in USD" in text
    assert "Quality against cost, three ways" in page
    assert "small answers every request that no rule sends; its answer is checked" in page
    assert "both calls are paid" in page


def test_with_a_check_in_use_rows_and_lines_say_what_they_are_of():
    used = dataclasses.replace(many(), threshold=1.0, answer_threshold=0.6)
    text = Page(report_html(evaluate(used, Resampling(20)))).text
    for words in (
        "this policy, answers checked",
        "the request's score alone, no check",
        "APGR, score alone",
        "The threshold of the answer check moves",
    ):
        assert words in text
    unused = Page(report_html(evaluate(many(), Resampling(20)))).text
    assert "this router" in unused
    assert "answer check moves" not in unused


def test_the_sentence_of_the_choice_says_what_each_way_costs():
    way = choose_way(many(), parse_objective("quality=0.8")).said
    chosen = ChosenThreshold(
        objective="quality=0.8", expected={}, n=5, review_date="2027-01-01", way=way
    )
    used = dataclasses.replace(many(), threshold=1.0, answer_threshold=0.6)
    text = report_markdown(evaluate(used, Resampling(20)), Extras(chosen=chosen))
    assert "When it was chosen, for 80 % of the quality gap the check alone costs" in text
    assert "score and check together cost" in text


def test_costs_are_those_at_or_above_the_share_that_is_asked_for():
    used = dataclasses.replace(many(), threshold=1.0, answer_threshold=0.6)
    text = report_markdown(evaluate(used, Resampling(20)))
    assert "96 % of the gap" in text
    assert "94 % of the gap" not in text


def test_without_prices_the_unit_is_told():
    scored = many()
    unpriced = dataclasses.replace(scored, cheap_cost=scored.cheap_cost * float("nan"))
    text = report_markdown(evaluate(unpriced, Resampling(20)))
    assert "a call of the cheap model counts 0.05 of a frontier call" in text
    assert "The policy does not check answers." in text


def test_before_a_threshold_is_chosen_no_way_is_taken():
    unchosen = evaluate(dataclasses.replace(many(), threshold=None), Resampling(20))
    assert "No way has been chosen yet." in report_markdown(unchosen)
    assert unchosen.answer.kind is None
    assert "check_would_save" not in {finding.name for finding in unchosen.findings}
