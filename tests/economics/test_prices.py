from datetime import date

import pytest

from difficulty.economics import load_price_list, load_prices
from difficulty.economics.prices import SHAPES, TokenPrice
from difficulty.errors import FieldError, InvalidValueError
from difficulty.records import Prices
from tests.conftest import REPOSITORY

LIST = (
    'date = "2026-11-01"\n[cheap]\ninput = 0.1\noutput = 0.3\n[frontier]\ninput = 3\noutput = 12\n'
)
PRICES = Prices(
    date="2026-11-01", cheap_input=0.1, cheap_output=0.3, frontier_input=3.0, frontier_output=12.0
)


def test_price_list_is_read(tmp_path):
    (tmp_path / "prices.toml").write_text(LIST)
    assert load_prices(tmp_path / "prices.toml") == PRICES
    (tmp_path / "prices.toml").write_text(LIST.replace('"2026-11-01"', "2026-11-01"))
    assert load_prices(tmp_path / "prices.toml") == PRICES


def test_price_list_may_hold_the_date_alone(tmp_path):
    """Economics goes on with what is known; the cost of requests needs both models."""
    (tmp_path / "prices.toml").write_text('date = "2026-11-01"')
    listed = load_price_list(tmp_path / "prices.toml")
    assert (listed.date, listed.cheap, listed.frontier, listed.team) == (
        date(2026, 11, 1),
        None,
        None,
        None,
    )
    with pytest.raises(
        FieldError, match=r"prices\.toml: cheap is missing\. docs/economics\.md says"
    ):
        load_prices(tmp_path / "prices.toml")


def test_sections_are_read(tmp_path):
    """The monthly cost to keep it: 2 h x 50 + 10 x 1.5 + 100 x 0.1."""
    text = "[team]\nhours_per_month=2\nusd_per_hour=50\nlabels_per_month=10\n"
    text += "usd_per_label=1.5\njudge_calls_per_month=100\n"
    (tmp_path / "prices.toml").write_text(
        f"{LIST}{text}usd_per_judge_call=0.1\nsetup_hours=3\n[traffic]\nrequests_per_month=[5, 9]\n"
    )
    listed = load_price_list(tmp_path / "prices.toml")
    assert (listed.team.usd_per_month, listed.team.setup_usd) == (125.0, 150.0)
    assert listed.traffic.requests_per_month == (5.0, 9.0)
    assert load_prices(tmp_path / "prices.toml") == PRICES


def test_example_price_list_fills_every_section():
    listed = load_price_list(REPOSITORY / "data" / "prices.example.toml")
    assert None not in (
        listed.team,
        listed.scorer,
        *(getattr(listed.hosting, shape) for shape in SHAPES),
    )


def test_example_price_list_can_be_used():
    assert load_prices(REPOSITORY / "data" / "prices.example.toml") == PRICES


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "input = 0.1\n",
            "",
            (
                "prices.toml: cheap.input is missing. docs/economics.md says what to write; write"
                " 0 for"
            ),
        ),
        (
            "[cheap]",
            "[cheep]",
            (
                "prices.toml: cheep is not a field that this version knows: .* Perhaps 'cheap' is"
                " meant"
            ),
        ),
        (
            "output = 12",
            "output = 12\ncached = 1",
            "frontier.cached is not a field that this version knows: got 1. Perhaps 'cached_input'",
        ),
        (
            "= 0.1",
            "= -0.1",
            "prices.toml: cheap.input must be 0 or more USD per million tokens: got -0.1",
        ),
        ("= 0.1", '= "0.1"', "cheap.input must be a number: got '0.1'"),
        ("= 0.1", "= nan", "cheap.input must be 0 or more USD per million tokens: got nan"),
        ("= 0.1", "= inf", "cheap.input must be 0 or more USD per million tokens: got inf"),
        ("= 0.1", "= true", "cheap.input must be a number: got True"),
        (
            '"2026-11-01"',
            '"last week"',
            "prices.toml: date must be a date as 2026-11-27: got 'last week'",
        ),
        ('date = "2026-11-01"\n', "", "prices.toml: date is missing"),
        (
            "[cheap]\ninput = 0.1\noutput = 0.3",
            "cheap = 3",
            "prices.toml: cheap must be a section: got 3",
        ),
        ("[cheap]", "[cheap", "price list must be a readable TOML file"),
        (
            "[cheap]",
            "[traffic]\ncheap_tokens = -1\n[cheap]",
            "prices.toml: traffic.cheap_tokens must be at least 0: got -1",
        ),
        (
            "[cheap]",
            "[team]\n[cheap]",
            "prices.toml: team.hours_per_month is missing. .* write 0 for what costs nothing",
        ),
        (
            "[cheap]",
            "[traffic]\npeek = 2\n[cheap]",
            "prices.toml: traffic.peek is not a field that this version knows: got 2",
        ),
        (
            "[cheap]",
            "[traffic]\nprompt_tokens = nan\n[cheap]",
            "prices.toml: traffic.prompt_tokens must be a finite number: got nan",
        ),
        (
            "[cheap]",
            "[traffic]\nrequests_per_month = [9, 1]\n[cheap]",
            "traffic.requests_per_month must go from low to high: got 9, 1",
        ),
        (
            "[cheap]",
            "[traffic]\nrequests_per_month = 'many'\n[cheap]",
            "traffic.requests_per_month must be a number or be a list of 2: got 'many'",
        ),
        (
            "[cheap]",
            "[hosting]\nown = 3\n[cheap]",
            "prices.toml: hosting.own must be a section: got 3",
        ),
        (
            "[cheap]",
            "[hosting.moon]\n[cheap]",
            (
                "prices.toml: hosting.moon is not a field that this version knows: got {}. Known:"
                " aggregator"
            ),
        ),
    ],
)
def test_bad_price_list_is_refused(tmp_path, old, new, message):
    assert old in LIST
    (tmp_path / "prices.toml").write_text(LIST.replace(old, new))
    with pytest.raises((FieldError, InvalidValueError), match=message):
        load_prices(tmp_path / "prices.toml")


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00", b""])
def test_price_list_that_is_none_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "prices.toml").write_bytes(content)
    with pytest.raises((FieldError, InvalidValueError), match=r"prices\.toml"):
        load_prices(tmp_path / "prices.toml")


def test_cached_prompt_tokens_cost_no_more_than_others():
    with pytest.raises(FieldError, match="must be at most the price of other input"):
        TokenPrice(input=3.0, output=9.0, cached_input=30.0)
