"""What every error of the package has in common."""

import pytest

from difficulty.errors import (
    BundleError,
    FieldError,
    InvalidValueError,
    TrafficNotFoundError,
    in_python,
)


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


@pytest.mark.parametrize(
    ("on_the_command_line", "at_a_prompt"),
    [
        ("pass --teacher RUN with recipe", "pass teacher=RUN with recipe"),
        ("Leave out --recipe, or train", "Leave out recipe, or train"),
        ("insist with --allow-no-signal.", "insist with allow_no_signal=True."),
        ("ship without it (--answer off) or", 'ship without it (answer="off") or'),
        ("Pass --objective share=0.3.", 'Pass objective="share=0.3".'),
        ("set --min-familiarity 0.02 here", 'set policy={"min_familiarity": 0.02} here'),
        ("Run: difficulty ingest a -o b.parquet", "Run: difficulty ingest a -o b.parquet"),
        ("choose (difficulty thresholds --answer auto).",) * 2,
        ("a--b and -o and 3 -- 4",) * 2,
    ],
)
def test_options_are_arguments_at_a_prompt(on_the_command_line, at_a_prompt):
    """A command that is spelt out stays one."""
    assert in_python(on_the_command_line) == at_a_prompt
