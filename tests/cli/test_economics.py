"""``difficulty economics``: what it prints and writes, and its exit codes."""

import json

import pytest

from difficulty.economics.prices import SHAPES
from tests.conftest import REPOSITORY

PRICES = REPOSITORY / "data" / "prices.example.toml"


@pytest.fixture
def ask(run, journey):
    """Return a function that runs the command on the journey's traffic and bundle."""

    def asked(*options, code=None, prices=PRICES, bundle=True):
        with_bundle = ["--bundle", journey.bundle] if bundle else ["--keep-cheap", 0.3]
        return run(
            "economics",
            "--traffic",
            journey.traffic,
            "--prices",
            prices,
            *with_bundle,
            "--draws",
            40,
            *options,
            code=code,
        )

    return asked


def test_much_traffic_is_build(ask, tmp_path):
    """Exit code 0; every way to host, every condition, and the verdict are printed, and nothing is
    written unasked.
    """
    ran = ask("--requests-per-month", "50000000-60000000", code=0)
    assert ran.out.splitlines()[-1].startswith("build: with the bundle's policy, ")
    for words in (
        *SHAPES,
        "low volume",
        "no price gap",
        "hard reasoning",
        "cold starts",
        "compliance",
        "quality loss",
        "assumed catch_rate",
    ):
        assert words in ran.out
    assert list(tmp_path.iterdir()) == []


def test_little_traffic_is_wait_with_exit_code_1(ask, tmp_path):
    """What is written and what is printed as JSON are the same numbers."""
    ran = ask(
        "--requests-per-month",
        5000,
        "--latency-critical",
        "--compliance",
        "own-cloud",
        "--json",
        "-o",
        "out",
        code=1,
    )
    made = json.loads(ran.out)
    assert made == json.loads((tmp_path / "out" / "economics.json").read_text())
    assert made["verdict"]["answer"] == "wait"
    assert set(made["barred"]) == {"aggregator", "dedicated"}
    assert made["overall"]["requests_per_month"]["value"] == 5000


def test_price_list_of_two_sections_is_enough_to_begin(ask, tmp_path):
    """Nobody said what it costs to keep: the saving is known, the answer is not."""
    (tmp_path / "prices.toml").write_text(
        'date = "2026-11-01"\n[cheap]\ninput = 0.1\noutput = 0.3\n[frontier]\ninput = 3\noutput ='
        " 12\n"
    )
    ran = ask("--requests-per-month", 1000000, prices="prices.toml", bundle=False, code=1)
    assert "missing team: [team] of the price list" in ran.out
    assert "taken at random" in ran.out
    assert ran.out.splitlines()[-1].startswith("unsure: ")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (
            ["--requests-per-month", "lots"],
            "requests per month must be a number above 0 or a range",
        ),
        (
            ["--requests-per-month", 5, "--keep-cheap", "30"],
            "share to keep cheap must be in (0, 1]: got 30.0. Shares are fractions, not",
        ),
        ([], "requests per month must be given, as a saving depends on it"),
        (["--catch-rate", "70"], "catch rate must be in [0, 1]: got 70.0"),
        (["--traffic", "none.parquet"], "traffic file must exist"),
        (["--prices", "none.toml"], "price list must exist"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(ask, options, complaint):
    assert complaint in ask(*options, code=2).complaint


def test_share_is_read_as_keep_cheap_and_says_so(ask):
    """One word, one meaning: to ``ship`` a share is what is sent to the frontier model."""
    ran = ask("--requests-per-month", 5000, "--share", 0.25, "--json", code=1)
    made = json.loads(ran.out)
    assert (made["plan"], made["keep_cheap_share"]) == ("policy", 0.25)
    assert made["keep_cheap"]["kept_share"]["value"] == pytest.approx(0.25, abs=0.01)
    assert "--share is now --keep-cheap" in ran.err
