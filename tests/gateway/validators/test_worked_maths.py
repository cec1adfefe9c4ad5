"""The validator of worked maths: right, wrong, and nothing to say."""

import pytest

from difficulty.answers.answer import Answer, Asked
from difficulty.errors import BundleError
from difficulty.gateway.validators import Checker
from difficulty.routes import ValidatorRule

SHEEP = Asked(text="Ann has 4 sheep and Bob has twice as many. How many do they have together?")
RIGHT = "Bob has 4 * 2 = 8 sheep. Together 4 + 8 = 12.\n#### 12"
WRONG_STEP = "Bob has 4 * 2 = 8 sheep. Together 4 + 8 = 13.\n#### 13"
OTHER_FINAL = "Bob has 4 * 2 = 8 sheep. Together 4 + 8 = 12.\n#### 8"
IDLE = "Everyone has 3 * 5 = 15 sheep.\n#### 15"


def check(text, **options):
    """Return what the validator says of an answer."""
    return Checker([ValidatorRule(check="arithmetic", options=options)])(Answer(text), SHEEP)


def test_right_answer_passes():
    assert [found.passed for found in check(RIGHT)] == [True]


@pytest.mark.parametrize(
    ("text", "fault"),
    [(WRONG_STEP, "a step is wrong"), (OTHER_FINAL, "the answer is not the last result")],
)
def test_answer_with_a_fault_fails_and_says_which(text, fault):
    (found,) = check(text)
    assert found.passed is False
    assert fault in found.detail
    assert "sheep" not in found.detail


def test_threshold_moves_the_verdict():
    """Neither 4 is used nor 3 and 5 given: doubtful, but less than a wrong step."""
    assert [found.passed for found in check(IDLE)] == [False]
    assert [found.passed for found in check(IDLE, threshold=0.7)] == [True]


@pytest.mark.parametrize("text", ["", "I do not know.", "12"])
def test_nothing_is_said_without_a_step(text):
    assert check(text) == ()


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan"), "0.5", True, None])
def test_threshold_is_a_number_in_zero_to_one(threshold):
    with pytest.raises(BundleError, match="threshold"):
        check(RIGHT, threshold=threshold)
