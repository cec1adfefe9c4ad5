import pytest

from difficulty.errors import InvalidValueError, TrafficError
from difficulty.traffic.reading.named_pair import ModelPair

PAIR = ModelPair(cheap=("small-1", "tiny*"), frontier=("big*", "tiny-but-big"))


@pytest.mark.parametrize(
    ("model", "side"),
    [
        ("small-1", "cheap"),
        ("tiny-2025", "cheap"),
        ("big-x", "frontier"),
        ("small-12", None),
        ("SMALL-1", None),
        ("", None),
        (None, None),
        ("tiny-but-big", "frontier"),
    ],
)
def test_side_is_that_of_the_exact_name_and_then_of_the_pattern(model, side):
    assert PAIR.side(model) == side


def test_a_model_of_both_sides_is_refused():
    with pytest.raises(InvalidValueError, match="'a' cheap|cheap or the frontier one, not both"):
        ModelPair(cheap=("a",), frontier=("a", "b"))
    with pytest.raises(InvalidValueError, match="match --cheap or --frontier, not both"):
        ModelPair(cheap=("gpt*",), frontier=("gpt-4*",)).side("gpt-4-x")


def test_a_name_that_no_row_has_is_refused_with_the_nearest():
    with pytest.raises(TrafficError) as refused:
        ModelPair(cheap=("small",), frontier=("gpt-4-turb",)).refuse_absent(
            ["small", "gpt-4-turbo"]
        )
    assert str(refused.value) == (
        "a row must be of the frontier model 'gpt-4-turb': got none. Models of the rows: 'small',"
        " 'gpt-4-turbo'. Nearest: 'gpt-4-turbo'. Name it by --frontier, exactly or as a pattern"
        " such as 'gpt-4*'."
    )
