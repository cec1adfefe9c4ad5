import json
import math
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from difficulty.errors import InvalidValueError
from difficulty.traffic.rows import (
    answer,
    choice,
    count,
    flag,
    moment,
    number,
    quality,
    text,
    well_formed,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", None),
        (0, 0.0),
        (1, 1.0),
        (0.25, 0.25),
        ("0.25", 0.25),
        (True, 1.0),
        (False, 0.0),
        ("True", 1.0),
        ("false", 0.0),
    ]
    + [("1", 1.0), ("0", 0.0), (Decimal("0.5"), 0.5)],
)
def test_quality_reads_numbers_and_verdicts_as_files_spell_them(value, expected):
    assert quality(value, "cheap_quality") == expected


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -0.1, 1.1, 70, "nan", "inf", "good", [0.5], {}, "0,5", 10**400]
)
def test_quality_refuses_what_is_no_share(value):
    with pytest.raises(InvalidValueError, match=r"cheap_quality must be in \[0, 1\] or null: got"):
        quality(value, "cheap_quality")


def test_a_nan_says_what_to_write_instead():
    with pytest.raises(InvalidValueError, match="Write null where it is unknown"):
        number(math.nan, "weight", rule="be a number")


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, None), ("", None), (3, 3), (3.0, 3), ("3", 3), ("3.0", 3), (0, 0)],
)
def test_count_reads_whole_numbers(value, expected):
    assert count(value, "cheap_tokens") == expected


@pytest.mark.parametrize("value", [-1, 1.5, "many", True, math.nan, math.inf, 2**80])
def test_count_refuses_the_rest(value):
    with pytest.raises(InvalidValueError, match="cheap_tokens must be a whole number"):
        count(value, "cheap_tokens")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", None),
        (True, True),
        (False, False),
        ("TRUE", True),
        ("false", False),
        (1, True),
        (0.0, False),
    ],
)
def test_flag_reads_booleans(value, expected):
    assert flag(value, "cheap_passed") is expected


@pytest.mark.parametrize("value", ["yes", 2, 0.5, math.nan, []])
def test_flag_refuses_the_rest(value):
    with pytest.raises(InvalidValueError, match="cheap_passed must be true, false or null"):
        flag(value, "cheap_passed")


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-31T12:00:00Z",
        "2026-01-31T13:00:00+01:00",
        "2026-01-31 12:00",
        datetime(2026, 1, 31, 12),
        datetime(2026, 1, 31, 12, tzinfo=UTC),
    ],
)
def test_moment_is_in_utc(value):
    assert moment(value, "timestamp") == datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_moment_of_a_date_is_its_midnight():
    assert moment(date(2026, 1, 31), "timestamp") == datetime(2026, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    "value", ["yesterday", 12, "12", True, "0001-01-01T00:00:00+23:59", "31/01/2026"]
)
def test_moment_refuses_what_is_not_iso(value):
    with pytest.raises(InvalidValueError, match="timestamp must be ISO 8601 or null"):
        moment(value, "timestamp")


def test_text_accepts_whole_numbers_and_repairs_surrogates():
    assert [text(value, "id") for value in (7, "a", "", None, "x\ud800")] == [
        "7",
        "a",
        None,
        None,
        "x\ufffd",
    ]
    with pytest.raises(InvalidValueError, match="task must be a string or null"):
        text(["a"], "task")


def test_choice_is_in_lower_case():
    assert [choice(value) for value in (" Tie", "", None, 5)] == ["tie", None, None, 5]


def test_well_formed_keeps_characters_outside_the_basic_plane():
    assert well_formed("\U0001f600 \udc00") == "\U0001f600 \ufffd"


def test_an_answer_in_a_list_of_choices_is_that_answer():
    """Text where the message holds nothing else; the message where it called something."""
    said = {"role": "assistant", "content": "Red."}
    assert answer([said], "cheap_answer") == "Red."
    calling = said | {"tool_calls": [{"function": {"name": "paint"}}]}
    assert json.loads(answer([calling], "cheap_answer")) == calling
    with pytest.raises(InvalidValueError, match="cheap_answer must be a string"):
        answer([said, said], "cheap_answer")
