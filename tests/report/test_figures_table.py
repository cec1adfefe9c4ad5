"""The console view."""

import dataclasses
import io

from rich.console import Console

from difficulty.evaluation import evaluate
from difficulty.evaluation.decision.finding import Finding
from difficulty.evaluation.verdict import weigh
from difficulty.metrics import Resampling
from difficulty.records import Estimate
from difficulty.report.figures_table import (
    MOST_KEY_FIGURES,
    evaluation_table,
    key_figures,
    key_table,
    remark_lines,
)
from difficulty.report.wording import as_text, difference_text, figure_text
from tests.evaluation.test_frontiers import many as many_answers


def shown(evaluation, width=200, **options):
    """Return what a console of this width shows."""
    console = Console(file=io.StringIO(), width=width)
    console.print(evaluation_table(evaluation, **options))
    return console.file.getvalue()


def test_an_estimate_shows_its_interval():
    assert as_text(Estimate(value=0.697, low=0.678, high=0.716, n=3)) == "0.697 (0.678 to 0.716)"
    assert as_text(Estimate(value=0.5)) == "0.500"
    assert as_text(Estimate(value=None)) == "unknown"


def test_the_table_shows_the_figures_of_the_evaluation(many):
    """The numbers are those of metrics.json."""
    evaluation = evaluate(many, Resampling(20))
    text = shown(evaluation)
    for name in ("apgr", "ece", "quality", "routing_precision"):
        assert figure_text(name, evaluation.overall[name]) in text
    assert as_text(evaluation.baselines["length"]["apgr_difference"], signed=True) in text
    assert as_text(evaluation.slices["task"]["code"]["apgr"]) in text
    assert "everything to the frontier model" in text


def test_the_policy_stands_beside_the_request_score_where_answers_are_checked():
    used = dataclasses.replace(many_answers(), threshold=1.0, answer_threshold=0.6)
    others = {"answer_check": used.answer_score}
    text = shown(evaluate(used, Resampling(5), others=others))
    assert "this policy" in text
    assert "APGR, request's score" in text
    assert "check of the answer" in text
    assert "answer check" not in text


def test_unknown_figures_say_why(four):
    text = shown(evaluate(dataclasses.replace(four, threshold=None), Resampling(5)))
    assert "No threshold was given: figures at a threshold are unknown." in text
    assert "of those sent, needed it" not in text
    assert "(too few to judge)" in text


def test_slices_can_be_left_out_and_names_are_no_markup(many):
    evaluation = evaluate(
        dataclasses.replace(many, tasks=["[red]code[/red]", "b"] * (len(many) // 2)), Resampling(5)
    )
    assert "[red]code[/red]" in shown(evaluation)
    assert "By task" not in shown(evaluation, most_slices=0)


def test_a_narrow_console_loses_no_number(many):
    """Names wrap at 80 columns, and nothing is cut."""
    evaluation = evaluate(many, Resampling(20))
    assert "…" not in shown(evaluation, width=80)


def test_bands_stand_in_their_order(many):
    """The largest slice is not the first one."""
    bands = [
        "0.00-0.05",
        "0.05-0.20",
        "0.20-0.50",
        "0.20-0.50",
        "0.50-1.00",
        "0.50-1.00",
        "0.50-1.00",
    ]
    labels = {
        "familiarity": [bands[number % len(bands)] for number in range(len(many))],
        "source": ["z", "z", "a"] * (len(many) // 3),
    }
    labels["source"] += ["z"] * (len(many) - len(labels["source"]))
    text = shown(evaluate(dataclasses.replace(many, labels=labels), Resampling(5)))
    assert [
        line.split()[0] for line in text.split("By familiarity")[1].splitlines()[2:6]
    ] == sorted(set(bands))
    assert [line.split()[0] for line in text.split("By source")[1].splitlines()[2:4]] == ["z", "a"]


def test_key_figures_are_few_and_those_of_the_evaluation(many):
    evaluation = evaluate(many, Resampling(20))
    console = Console(file=io.StringIO(), width=80)
    console.print(key_table(evaluation))
    rows = console.file.getvalue().splitlines()[1:]
    assert len(rows) == MOST_KEY_FIGURES
    for name in ("frontier_share", "quality", "risk", "routing_precision"):
        assert any(row.endswith(figure_text(name, evaluation.overall[name])) for row in rows)
    best = evaluation.baselines["always_frontier"]["quality"]
    assert any(
        row.startswith("quality, all frontier") and row.endswith(figure_text("quality", best))
        for row in rows
    )


def test_the_lead_is_over_the_reference_that_decides(many):
    """Over the same share sent at random, as the decision weighs it; a plain way that the score is
    not shown to beat is named.
    """
    evaluation = evaluate(many, Resampling(40))
    rows = {name: (text, part) for name, text, part in key_figures(evaluation)}
    lead = evaluation.baselines["random"]["quality_difference"]
    assert rows["lead over the same share at random"] == (difference_text("quality", lead), lead)
    assert not any("plain way" in line.plain for line in remark_lines(evaluation))
    close = Estimate(value=0.01, low=-0.02, high=0.04)
    baselines = {**evaluation.baselines, "length": {"apgr_difference": close}}
    lines = [
        line.plain for line in remark_lines(dataclasses.replace(evaluation, baselines=baselines))
    ]
    assert any("plain way: longest requests first, +0.010 (-0.020 to +0.040)" in x for x in lines)


def test_a_figure_without_a_range_says_why(many):
    evaluation = evaluate(many, Resampling(40))
    why = Estimate(value=0.8, n=9, note="no interval: too few groups")
    overall = {**evaluation.overall, "risk": why, "quality": dataclasses.replace(why, note="")}
    lines = [line.plain for line in remark_lines(dataclasses.replace(evaluation, overall=overall))]
    assert "No range of risk: too few groups." in lines
    assert "No range of quality: none was worked out." in lines
    assert not any("Brier" in line or "ECE" in line for line in lines)


def test_remarks_say_what_the_decision_does_not(many):
    """The finding that decides is in the decision; the next one stands below it, once."""
    first, second, minor = (
        Finding(name=name, severity=severity, message=f"About {name}.")
        for name, severity in (("no_signal", "error"), ("same_ids", "warning"), ("x", "info"))
    )
    evaluation = dataclasses.replace(evaluate(many, Resampling(5)), findings=(first, second, minor))
    evaluation = dataclasses.replace(evaluation, verdict=weigh(evaluation))
    lines = [line.plain for line in remark_lines(evaluation)]
    assert lines[0] == "warning: About same_ids. (same_ids)"
    assert not any("no_signal" in line or "About x" in line for line in lines)
    assert len(set(lines)) == len(lines)
