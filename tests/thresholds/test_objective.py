import pytest

from difficulty.errors import InvalidValueError, UnknownNameError
from difficulty.thresholds import OBJECTIVES
from difficulty.thresholds.policy_curve import Objective, parse_objective


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("share=0.3", Objective("share", 0.3)),
        (" quality = 0.9 ", Objective("quality", 0.9)),
        ("share=1e-3", Objective("share", 0.001)),
        ("share=70", Objective("share", 70.0)),
        ("risk=0.2, delta=0.05", Objective("risk", 0.2, {"delta": 0.05})),
    ],
)
def test_objective_is_read(text, expected):
    assert parse_objective(text) == expected


@pytest.mark.parametrize("text", ["share=0.3", "share=1", "utility=0.125", "risk=0.2,delta=0.05"])
def test_objective_is_written_as_the_user_wrote_it(text):
    assert str(parse_objective(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "share",
        "",
        "0.3",
        "share=",
        "share=a third",
        "share=0.3=0.4",
        "risk=0.1,delta=",
        "risk=0.1,delta",
    ],
)
def test_objective_that_is_none_is_refused_with_an_example(text):
    with pytest.raises(
        InvalidValueError,
        match=(
            "objective must be written as name=number: got .* For example: share=0.3 or quality=0.9"
        ),
    ):
        parse_objective(text)


def test_a_percentage_is_told_as_the_fraction_it_is():
    with pytest.raises(InvalidValueError, match=r"Shares are fractions: write share=0\.3\."):
        parse_objective("share=30%")


@pytest.mark.parametrize("text", ["shares=0.3", "=0.3", "Share=0.3"])
def test_unknown_objective_names_the_known_ones(text):
    with pytest.raises(
        UnknownNameError, match=rf"unknown objective .*\. Known: {', '.join(sorted(OBJECTIVES))}\."
    ):
        parse_objective(text)


@pytest.mark.parametrize(
    ("text", "known"), [("risk=0.1,detla=0.1", "delta"), ("share=0.3,delta=0.1", "none")]
)
def test_unknown_option_names_the_known_ones(text, known):
    with pytest.raises(
        UnknownNameError,
        match=r"unknown option of the objective (risk|share) '\w+'(, perhaps 'delta' is meant)?\."
        rf" Known: {known}\.",
    ):
        parse_objective(text)


def test_only_objectives_with_a_confidence_promise():
    assert [
        Objective(name, 0.5).promises for name in ("risk", "missed", "share", "quality", "cost")
    ] == [True, True, False, False, False]
