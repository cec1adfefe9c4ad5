"""The console view."""

import dataclasses
import io

from rich.console import Console

from difficulty.evaluation import evaluate
from difficulty.metrics import Resampling
from difficulty.records import Estimate
from difficulty.report.figures_table import evaluation_table
from difficulty.report.wording import as_text, figure_text
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
    assert "always frontier" in text


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
