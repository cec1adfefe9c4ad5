import pytest

from difficulty.economics import load_prices
from difficulty.errors import InvalidValueError
from difficulty.records import Prices
from tests.conftest import REPOSITORY

LIST = 'date = "2026-11-01"\n[cheap]\ninput = 0.1\noutput = 0.3\n[frontier]\ninput = 3\noutput = 12\n'
PRICES = Prices(date="2026-11-01", cheap_input=0.1, cheap_output=0.3, frontier_input=3.0, frontier_output=12.0)


def test_price_list_is_read(tmp_path):
    (tmp_path / "prices.toml").write_text(LIST)
    assert load_prices(tmp_path / "prices.toml") == PRICES
    (tmp_path / "prices.toml").write_text(LIST.replace('"2026-11-01"', "2026-11-01"))
    assert load_prices(tmp_path / "prices.toml") == PRICES


def test_example_price_list_can_be_used():
    assert load_prices(REPOSITORY / "data" / "prices.example.toml") == PRICES


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("input = 0.1\n", "", r"prices.toml: cheap must have the keys input, output and no others: got \['output'\]"),
        ("[cheap]", "[cheep]", r"prices.toml must have the keys cheap, date, frontier and no others: got \['cheep'"),
        ("output = 12", "output = 12\ncached = 1", "frontier must have the keys input, output and no others"),
        ("= 0.1", "= -0.1", "price cheap_input must be 0 or more USD per million tokens: got -0.1"),
        ("= 0.1", '= "0.1"', "price cheap_input must be 0 or more USD per million tokens: got '0.1'"),
        ("= 0.1", "= nan", "price cheap_input must be"),
        ("= 0.1", "= inf", "price cheap_input must be"),
        ("= 0.1", "= true", "price cheap_input must be"),
        ('"2026-11-01"', '"last week"', "prices.toml: date must be a date like 2026-11-01: got 'last week'"),
        ('date = "2026-11-01"\n', "", "prices.toml must have the keys cheap, date, frontier"),
        ("[cheap]\ninput = 0.1\noutput = 0.3", "cheap = 3", "prices.toml: cheap must be a section with input and output: got 3"),
        ("[cheap]", "[cheap", "price list must be a readable TOML file"),
    ],
)
def test_bad_price_list_is_refused(tmp_path, old, new, message):
    assert old in LIST
    (tmp_path / "prices.toml").write_text(LIST.replace(old, new))
    with pytest.raises(InvalidValueError, match=message):
        load_prices(tmp_path / "prices.toml")


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00", b""])
def test_price_list_that_is_none_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "prices.toml").write_bytes(content)
    with pytest.raises(InvalidValueError, match=r"prices\.toml"):
        load_prices(tmp_path / "prices.toml")
