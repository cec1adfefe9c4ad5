"""What every error of the package has in common."""

import pytest

from difficulty.errors import BundleError, FieldError, InvalidValueError, TrafficNotFoundError


@pytest.mark.parametrize(
    "error",
    [
        BundleError("x" * 10_000 + " Ship the bundle again."),
        TrafficNotFoundError("x" * 10_000 + " Ship the bundle again."),
        InvalidValueError("size", "x" * 10_000, rule="be small", hint="Ship the bundle again."),
        FieldError("is wrong", where=("x" * 10_000,), advice="Ship the bundle again."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_message_that_a_file_made_long_keeps_its_ends(error):
    """The end says what to do."""
    assert len(str(error)) < 1_600
    assert str(error).endswith("Ship the bundle again.")
    assert " characters ...] " in str(error)


def test_message_of_usual_length_is_as_it_was():
    assert str(InvalidValueError("size", 7, rule="be small")) == "size must be small: got 7."
