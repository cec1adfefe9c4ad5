import pytest

from difficulty.records import Estimate
from difficulty.report.wording import amount_text


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
def test_estimate_is_written_for_people(estimate, text):
    assert amount_text(estimate) == text


def test_ends_are_left_out_when_asked():
    assert amount_text(Estimate(value=5.0, low=1.0, high=9.0), ends=False) == "5.00"
