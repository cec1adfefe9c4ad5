"""How figures and amounts are written."""

import pytest

from difficulty.evaluation.figures import OF_CHECKS
from difficulty.evaluation.measure import REPORTED
from difficulty.evaluation.words import as_percent, complement
from difficulty.records import Estimate
from difficulty.report.wording import SHOWN_AS, amount_text, as_text, label_of


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
    assert {*REPORTED, *OF_CHECKS} == set(SHOWN_AS)
    assert label_of("quality_difference") == "quality difference"


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(value=1234567.8, low=1e6, high=2e6), "1,234,568 [1,000,000, 2,000,000]"),
        (Estimate(value=-12.345, low=-100.04, high=0.0), "-12.35 [-100.0, 0]"),
        (Estimate(value=0.5, low=0.5, high=0.5), "0.5000"),
        (Estimate(value=0.0000123, low=0.0, high=0.01), "1e-05 [0, 0.0100]"),
        (Estimate(value=5.0, low=1.0, high=None), "5.00 [1.00, none]"),
        (Estimate(value=None, note="unknown, as this is missing: team"), "unknown"),
        (Estimate(value=None, note="no volume pays"), "never"),
        (None, ""),
    ],
)
def test_amount_is_written_for_people(estimate, text):
    assert amount_text(estimate) == text


def test_ends_are_left_out_when_asked():
    assert amount_text(Estimate(value=5.0, low=1.0, high=9.0), ends=False) == "5.00"
