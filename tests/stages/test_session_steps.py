"""Sessions of labelled traffic, the margins they choose, and what economics says of switches."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from typer.testing import CliRunner

from difficulty.bundle import read_bundle
from difficulty.cli.app import build_app
from difficulty.economics import load_price_list
from difficulty.economics.usage import Volume
from difficulty.metrics import Resampling
from difficulty.stages.deploying.session_steps import steps_of
from difficulty.stages.economics import Question, weigh_up
from difficulty.stages.ingest import ingest
from difficulty.stages.verify import verify
from difficulty.traffic.table import Traffic
from tests.journey import DRAWS, sample_rows, write_rows

BEGIN = datetime(2026, 7, 1, tzinfo=UTC)
PRICES = """date = 2026-11-28
[cheap]
input = 0.1
output = 0.1
cached_input = 0.01
[frontier]
input = 50
output = 0.1
cached_input = 0.5
[traffic]
requests_per_month = 1000000
"""


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    """1,600 further rows of the sample as 160 sessions of ten steps, backwards in the file; one of
    them has a row without a count, one row no time.
    """
    folder = tmp_path_factory.mktemp("sessions")
    rows = [
        {
            **{key: value for key, value in row.items() if value is not None},
            "group": f"s{number // 10}",
            "timestamp": (BEGIN + timedelta(seconds=10 * number)).isoformat(),
            "prompt_tokens": 4_000 + 2_000 * (number % 10),
            "cheap_tokens": 50,
            "frontier_tokens": 50,
            "task": None,
        }
        for number, row in enumerate(sample_rows(2400)[800:])
    ]
    del rows[7]["cheap_tokens"], rows[12]["timestamp"]
    ingest([write_rows(folder / "rows.jsonl", rows[::-1])], folder / "traffic.parquet")
    (folder / "prices.toml").write_text(PRICES)
    return folder


def test_steps_are_whole_sessions_in_order(journey, sessions):
    """Sessions of which a count or a time is not known are left out whole."""
    traffic = Traffic.read(sessions / "traffic.parquet")
    steps = steps_of(read_bundle(journey.bundle), traffic)
    known = {group for group in traffic.column("group")} - {"s0", "s1"}
    assert steps.n_sessions == len(known)
    assert (np.diff(steps.session) >= 0).all()
    same = np.diff(steps.session) == 0
    assert (np.diff(steps.at_s)[same] > 0).all()
    assert (np.diff(steps.prompt)[same] > 0).all()
    assert not steps.in_loop.any()


def test_margins_are_chosen_by_the_command_and_said(journey, sessions, tmp_path):
    """The new bundle holds them, verifies, and says how they were chosen."""
    words = ["policy", str(journey.bundle), "--set", "cold_after_minutes=30"]
    words += ["--stick-from", str(sessions / "traffic.parquet"), "-o", str(tmp_path / "small-2")]
    refused = CliRunner().invoke(build_app(), words)
    assert refused.exit_code == 2
    assert "--prices" in refused.output
    done = CliRunner().invoke(build_app(), [*words, "--prices", str(sessions / "prices.toml")])
    assert done.exit_code == 0, done.output
    policy = read_bundle(tmp_path / "small-2").policy
    assert policy.stick.cold_after_minutes == 30
    assert policy.stick.margin > 0
    assert any("sessions keep their model within margins" in said for said in policy.chosen.assumed)
    assert policy.chosen.guarantee is None
    assert verify(tmp_path / "small-2").passed
    told = _economics(tmp_path / "small-2", sessions)
    assert "where sessions keep it" in told


def test_traffic_without_sessions_chooses_nothing(journey, sessions, tmp_path):
    words = ["policy", str(journey.bundle), "--stick-from", str(journey.traffic)]
    words += ["--prices", str(sessions / "prices.toml"), "-o", str(tmp_path / "small-2")]
    refused = CliRunner().invoke(build_app(), words)
    assert refused.exit_code != 0
    assert "--set stick.margin=0.05" in str(refused.exception)
    assert not (tmp_path / "small-2").exists()


def test_economics_tells_what_switches_cost(journey, sessions):
    told = _economics(journey.bundle, sessions)
    assert told.startswith("Sessions: ")
    assert "--stick-from" in told
    prices = load_price_list(sessions / "prices.toml")
    unpriced = replace(prices, cheap=replace(prices.cheap, cached_input=None))
    assert "not known without cached_input" in _economics(journey.bundle, sessions, unpriced)


def _economics(bundle, sessions, prices=None):
    """Return the note on sessions."""
    question = Question(
        resampling=Resampling(DRAWS), today=date(2026, 11, 28), volume=Volume(1e6, 1e6)
    )
    prices = prices or load_price_list(sessions / "prices.toml")
    found = weigh_up(sessions / "traffic.parquet", prices, question, bundle_path=bundle)
    return next(note for note in found.notes if note.startswith("Sessions: "))
