"""How figures and amounts are written."""

import pytest

from difficulty.evaluation.figures import OF_CHECKS
from difficulty.evaluation.measure import REPORTED
from difficulty.evaluation.words import as_percent, complement, count_text, usd
from difficulty.records import Estimate
from difficulty.report.wording import (
    DEFINITIONS,
    SHOWN_AS,
    TERMS,
    amount_text,
    as_text,
    figure_text,
    label_of,
)


def test_percent_has_the_digits_of_the_text():
    """0.697 is 69.7 %; both round the same way."""
    estimate = Estimate(value=0.6965, low=0.678, high=0.71649, n=3)
    assert (as_text(estimate), as_percent(estimate)) == (
        "0.697 (0.678 to 0.716)",
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
        (Estimate(value=1234567.8, low=1e6, high=2e6), "1,234,568 (1,000,000 to 2,000,000)"),
        (Estimate(value=-12.345, low=-100.04, high=0.0), "-12 (-100 to 0)"),
        (Estimate(value=0.5, low=0.5, high=0.5), "0.50"),
        (Estimate(value=0.0041, low=0.003, high=0.01), "0.004 (0.003 to 0.010)"),
        (Estimate(value=0.0000123), "0.000012"),
        (Estimate(value=0.0), "0.00"),
        (Estimate(value=5.0, low=1.0, high=None), "5.00"),
        (Estimate(value=None, note="unknown, as this is missing: team"), "unknown"),
        (Estimate(value=None, note="no volume pays"), "never"),
        (None, ""),
    ],
)
def test_amount_is_written_for_people(estimate, text):
    assert amount_text(estimate) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("quality", "28.7 % (25.8 to 31.4)"),
        ("cost", "0.29 (0.26 to 0.31)"),
        ("apgr", "0.287 (0.258 to 0.314)"),
        ("quality_difference", "+0.287 (+0.258 to +0.314)"),
    ],
)
def test_a_figure_has_the_format_of_its_kind(name, text):
    estimate = Estimate(value=0.287, low=0.258, high=0.314, n=9)
    assert figure_text(name, estimate) == text
    assert figure_text(name, Estimate(value=None)) == "unknown"


def test_money_has_its_word_and_counts_are_short():
    assert usd(Estimate(value=1254.9, low=1096.3, high=1408.1)) == "USD 1,255 (1,096 to 1,408)"
    assert usd(0.48) == "USD 0.48"
    assert usd(None) == "unknown"
    assert [count_text(number) for number in (920_471.3, 3.7e6, 4e6)] == [
        "920,471", "3.7 million", "4 million",
    ]  # fmt: skip


def test_every_term_links_to_a_definition_of_one_line():
    anchors = {anchor for anchor, _, _ in DEFINITIONS}
    assert {*TERMS.values()} <= anchors
    assert all(len(meaning) <= 110 for _, _, meaning in DEFINITIONS)


def test_ends_are_left_out_when_asked():
    assert amount_text(Estimate(value=5.0, low=1.0, high=9.0), ends=False) == "5.00"
