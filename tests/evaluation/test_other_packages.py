"""A figure and an objective of another package, installed beside this one."""

import io

import numpy as np
import pytest
from rich.console import Console

from difficulty.errors import NotAttainableError, UnknownNameError
from difficulty.evaluation import evaluate
from difficulty.evaluation.figures import columns_of
from difficulty.metrics import Resampling
from difficulty.report.figures_table import evaluation_table
from difficulty.report.page import report_markdown
from difficulty.thresholds.point import choose
from difficulty.thresholds.policy_curve import PolicyCurve, parse_objective
from tests.evaluation.conftest import scored_of

POINTS = """
[difficulty.figures]
good_share = good_answers:good_share
[difficulty.objectives]
good_share = good_answers:threshold_for_good_share
"""
MODULE = """
import numpy as np
from difficulty.errors import NotAttainableError
from difficulty.evaluation import Columns


def good_share(scored):
    kept, sent = (
        np.where(np.isnan(quality), np.nan, quality >= 0.5)
        for quality in (scored.outcomes.cheap_quality, scored.outcomes.frontier_quality)
    )
    return Columns.of(known=kept + sent, kept=(kept, 1.0), sent=(sent, 1.0))


def threshold_for_good_share(curve, share, *, slack=0.0):
    enough = np.flatnonzero(curve.figure("good_share") >= share - slack)
    if not len(enough):
        raise NotAttainableError("too few good answers")
    return float(curve.thresholds[enough[0]])
"""


@pytest.fixture
def good_answers(tmp_path, monkeypatch):
    """An installed package with a figure, and an objective that reads it."""
    info = tmp_path / "good_answers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: good-answers\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(POINTS)
    (tmp_path / "good_answers.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.fixture
def few():
    """From the highest score down the frontier model is good on all, the cheap one on the last two
    of four.
    """
    return scored_of([0.2, 0.9, 0.4, 0.6], [1.0, 0.2, 0.7, 0.4], np.ones(4), threshold=0.7)


@pytest.mark.usefixtures("good_answers")
def test_figure_of_another_package_is_evaluated_like_any_other(few):
    """Overall, with its interval, and along the curve."""
    result = evaluate(few, Resampling(50))
    figure = result.overall["good_share"]
    assert (figure.value, figure.n) == (0.75, 4)
    assert figure.low <= figure.value <= figure.high
    assert result.curve.figures["good_share"].value == (0.5, 0.75, 1.0, 1.0, 1.0)


@pytest.mark.usefixtures("good_answers")
def test_figure_of_another_package_is_shown_like_any_other(few):
    """On the console and in the page for pull requests, under its name with spaces."""
    result = evaluate(few, Resampling(50))
    console = Console(file=io.StringIO(), width=120)
    console.print(evaluation_table(result))
    for text in (console.file.getvalue(), report_markdown(result)):
        assert "good share" in text


@pytest.mark.usefixtures("good_answers")
def test_objective_of_another_package_chooses_by_its_figure(few):
    point = choose(few, parse_objective("good_share=0.7"), Resampling(20))
    assert (point.threshold, point.objective) == (pytest.approx(0.75), "good_share=0.7")
    assert choose(few, parse_objective("good_share=0.7,slack=0.2"), Resampling(20)).threshold > 0.9
    with pytest.raises(NotAttainableError, match="too few good answers"):
        parse_objective("good_share=1.1").find(PolicyCurve.of(few))


@pytest.mark.usefixtures("good_answers")
def test_figure_of_another_package_that_is_unknown_says_so():
    unknown = scored_of([0.2, 0.9], [np.nan] * 2, [np.nan] * 2, threshold=0.5)
    figure = evaluate(unknown, Resampling(5)).overall["good_share"]
    assert (figure.value, figure.note) == (None, "it is known of no request")


def test_without_that_package_the_figure_is_unknown(few):
    with pytest.raises(UnknownNameError, match="good_share"):
        columns_of(few, ["good_share"])
