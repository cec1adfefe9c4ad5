"""How figures are written."""

import pytest

from difficulty.evaluation.measure import REPORTED
from difficulty.records import Estimate
from difficulty.report.wording import LABELS, as_percent, as_text, complement, label_of


def test_percent_has_the_digits_of_the_text():
    """0.697 is 69.7 %; both round the same way."""
    estimate = Estimate(value=0.6965, low=0.678, high=0.71649, n=3)
    assert (as_text(estimate), as_percent(estimate)) == (
        "0.697 [0.678, 0.716]",
        "69.7 % (67.8 to 71.6)",
    )
    assert as_percent(Estimate(value=0.5)) == "50.0 %"


@pytest.mark.parametrize("estimate", [None, Estimate(value=None, note="no price")])
def test_unknown_is_said(estimate):
    assert as_text(estimate) == as_percent(estimate) == "unknown"


def test_complement_turns_the_interval_round():
    kept = complement(Estimate(value=0.25, low=0.125, high=0.5, n=7))
    assert (kept.value, kept.low, kept.high, kept.n) == (0.75, 0.5, 0.875, 7)
    assert complement(Estimate(value=None, note="why")) == Estimate(value=None, note="why")


def test_every_figure_has_a_label():
    assert set(REPORTED) == set(LABELS)
    assert label_of("quality_difference") == "quality difference"
