"""The section on requests in other clothes."""

from dataclasses import replace

from difficulty.evaluation.result import Evaluation
from difficulty.records import Estimate
from difficulty.report.blocks import Extras, Table
from difficulty.report.page import report_html, report_markdown
from difficulty.report.perturbed import perturbed_section
from tests.evaluation.conftest import scored_of
from tests.report.conftest import judge

FIGURES = {
    "unchanged": Estimate(value=0.94, low=0.92, high=0.96, n=500),
    "told_apart": Estimate(value=None, note="one route"),
    "apgr_change": Estimate(value=-0.01, low=-0.03, high=0.01, n=400),
}


def judged(**parts):
    return replace(judge(scored_of([0.5] * 60, [0, 1] * 30, [1, 1] * 30), n_draws=5), **parts)


def test_row_by_hand():
    """94 % hold, the order is unknown, APGR falls by 0.01; figures that are not there are unknown
    too.
    """
    section = perturbed_section(judged(robustness={"typos": FIGURES}), Extras())
    table = next(block for block in section.blocks if isinstance(block, Table))
    assert table.rows[0].head == "typos"
    assert table.rows[0].cells == (
        "500",
        "94.0 % (92.0 to 96.0)",
        "unknown",
        "-0.010 (-0.030 to +0.010)",
        "unknown",
        "unknown",
    )


def test_section_is_in_both_reports_where_requests_were_perturbed():
    evaluation = judged(robustness={"double_spaces": FIGURES})
    assert all("double spaces" in text for text in map(str, (
        report_html(evaluation), report_markdown(evaluation),
    )))  # fmt: skip
    assert "other clothes" not in report_html(judged())


def test_figures_are_read_as_they_were_written():
    evaluation = judged(robustness={"typos": FIGURES})
    written = evaluation.as_dict()
    assert Evaluation.from_dict(written).robustness == {"typos": FIGURES}
    assert "robustness" not in judged().as_dict()
