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
from difficulty.evaluation.result import read_metrics
from difficulty.metrics import Resampling
from difficulty.routes import Stick
from difficulty.runtime import Scorer
from difficulty.stages.deploying.deployed_policy import change_policy
from difficulty.stages.deploying.session_steps import judge_sessions, steps_of
from difficulty.stages.economics import Question, weigh_up
from difficulty.stages.evaluate import evaluate_scorer
from difficulty.stages.ingest import ingest
from difficulty.stages.judging import serve
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
    """3,200 further rows of the sample as 320 sessions of ten steps, backwards in the file; one of
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
        for number, row in enumerate(sample_rows(4000)[800:])
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


def test_evaluation_judges_a_policy_that_keeps_sessions_on_their_model(journey, sessions, tmp_path):
    """Its figures stand in metrics.json, and what they say in the notes of evaluate and
    economics.
    """
    change_policy(journey.bundle, ["stick.margin=0.05"], tmp_path / "small-2")
    prices = load_price_list(sessions / "prices.toml")
    judged = evaluate_scorer(
        *(tmp_path / "small-2", sessions / "traffic.parquet", tmp_path / "out"),
        prices=prices,
        resampling=Resampling(draws=20),
    )
    figures = read_metrics(tmp_path / "out" / "metrics.json").sessions
    assert figures == judged.evaluation.sessions
    assert figures["cost_ratio"].n == figures["quality_change"].n > 100
    assert figures["switched_share"].value < figures["switched_share_alone"].value
    said = _said(judged.evaluation.notes)
    assert "keeps them on their model" in said
    assert f"their cost is {figures['cost_ratio'].value:.3f}" in said
    assert said in _notes(tmp_path / "small-2", sessions, prices)


def test_what_cannot_be_judged_of_sessions_is_said(journey, sessions):
    """Without sessions nothing is; without prices of cached tokens, or counts, the rest is."""
    bundle = read_bundle(journey.bundle)
    policy = replace(bundle.policy, stick=Stick(margin=0.05))
    scorer, target = Scorer.from_bundle(bundle), bundle.manifest.target
    prices = load_price_list(sessions / "prices.toml").per_token
    traffic = Traffic.read(sessions / "traffic.parquet")
    served = serve(scorer, traffic, target=target)
    assert judge_sessions(served, bundle.policy, prices) == ({}, ())
    unpriced = judge_sessions(served, policy, None)
    assert "cost_ratio" not in unpriced.figures
    assert "not known, as no prices are given (--prices)." in unpriced.notes[0]
    cut = judge_sessions(served, policy, replace(prices, cheap_cached_input=None))
    assert "not known, as prices of cached tokens are not" in cut.notes[0]
    uncounted = traffic.with_columns({"cheap_tokens": [None] * len(traffic)})
    uncounted = judge_sessions(serve(scorer, uncounted, target=target), policy, prices)
    assert uncounted.figures["quality_change"].n == 319
    assert "as token counts of their steps are not." in uncounted.notes[0]
    few = serve(scorer, traffic.select(np.arange(50)), target=target)
    (said,) = judge_sessions(few, policy, prices).notes
    assert "cannot be judged here: that needs 30 sessions" in said


def _notes(bundle, sessions, prices):
    """Return what economics says of sessions."""
    question = Question(
        resampling=Resampling(DRAWS), today=date(2026, 11, 28), volume=Volume(1e6, 1e6)
    )
    found = weigh_up(sessions / "traffic.parquet", prices, question, bundle_path=bundle)
    return [note for note in found.notes if note.startswith("Sessions: ")]


def _said(notes):
    return next(note for note in notes if note.startswith("Sessions: "))


def _economics(bundle, sessions, prices=None):
    """Return the first note on sessions."""
    return _notes(bundle, sessions, prices or load_price_list(sessions / "prices.toml"))[0]
