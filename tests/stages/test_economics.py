import json
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from difficulty.bundle import read_bundle
from difficulty.economics import load_price_list
from difficulty.economics.conditions import Answers
from difficulty.economics.usage import Volume
from difficulty.errors import InvalidValueError, TooFewSamplesError, TrafficNotFoundError
from difficulty.metrics import Resampling
from difficulty.stages import economics as stage
from difficulty.stages import overlap
from difficulty.stages.economics import Question, weigh_up, write_economics
from difficulty.stages.evaluate import evaluate_scorer
from difficulty.stages.ingest import ingest
from difficulty.traffic.table import Traffic
from tests.conftest import REPOSITORY
from tests.journey import DRAWS, sample_rows, write_rows
from tests.stages.test_evaluate import subset

QUESTION = Question(
    resampling=Resampling(DRAWS), today=date(2026, 11, 20), volume=Volume(2e6, 2e6), keep_cheap=0.3
)


@pytest.fixture(scope="module")
def prices():
    return load_price_list(REPOSITORY / "data" / "prices.example.toml")


@pytest.fixture(scope="module")
def ranked(journey, prices):
    return weigh_up(journey.traffic, prices, QUESTION, bundle_path=journey.bundle)


@pytest.fixture(scope="module")
def at_random(journey, prices):
    return weigh_up(journey.traffic, prices, QUESTION)


def test_only_what_training_did_not_see_counts(ranked):
    """The test split of the 800 requests, as in evaluation."""
    assert (
        ranked.notes[0]
        == "The bundle was trained on this traffic: figures are of the 194 requests of its test"
        " split, out of 800."
    )
    assert ranked.overall["frontier_spend"].n == 194


def test_policy_is_what_evaluation_judges(journey, ranked, tmp_path):
    """The plan of the bundle's policy keeps what evaluation does not send, at the quality it
    finds.
    """
    figures = evaluate_scorer(
        journey.bundle, journey.traffic, tmp_path / "out", resampling=Resampling(DRAWS)
    ).evaluation.overall
    assert ranked.plans["policy"]["kept_share"].value == pytest.approx(
        1.0 - figures["frontier_share"].value
    )
    assert ranked.plans["policy"]["caught_share"].value == 0.0


def test_simplest_requests_are_the_shorter_ones_and_no_worse_than_random_ones(ranked, at_random):
    """As far as some 60 test requests tell, of which the score keeps the simplest."""
    simplest, anyone = ranked.plans["keep_cheap"], at_random.plans["keep_cheap"]
    assert simplest["kept_share"].value == pytest.approx(0.3)
    assert simplest["cheap_quality"].high > anyone["cheap_quality"].value
    assert simplest["frontier_spend"].value < 0.3 * ranked.overall["frontier_spend"].value


def test_without_a_bundle_random_requests_are_kept_and_it_says_so(at_random):
    assert "score" in at_random.assumed
    assert list(at_random.plans) == ["keep_cheap"]
    assert at_random.plans["keep_cheap"]["cheap_quality"].note == "assumed: score"
    assert at_random.plans["keep_cheap"]["frontier_spend"].value == pytest.approx(
        0.3 * at_random.overall["frontier_spend"].value
    )
    assert at_random.overall["frontier_spend"].n == 800


def test_spend_is_tokens_by_prices_by_volume(journey, prices, at_random):
    tokens = Traffic.read(journey.traffic).tokens
    spend = (
        2e6
        * (
            tokens.prompt.mean() * prices.frontier.input
            + tokens.frontier.mean() * prices.frontier.output
        )
        / 1e6
    )
    assert at_random.overall["frontier_spend"].value == pytest.approx(spend)


def test_volume_is_asked_for_and_never_taken_from_the_file(journey, prices):
    """What the timestamps would say is told, as it is right only of a whole month's traffic."""
    question = replace(QUESTION, volume=None)
    with pytest.raises(InvalidValueError, match="Pass --requests-per-month N or LOW-HIGH") as error:
        weigh_up(journey.traffic, prices, question, bundle_path=journey.bundle)
    times = Traffic.read(journey.traffic).column("timestamp")
    assert (max(times) - min(times)).days >= 7
    assert "The 800 requests of the file alone would be" in str(error.value)
    listed = replace(prices, traffic=replace(prices.traffic, requests_per_month=5e6))
    made = weigh_up(journey.traffic, listed, question, bundle_path=journey.bundle)
    assert made.overall["requests_per_month"].value == 5e6


def test_the_answer_is_about_the_bundles_policy(journey, prices, ranked):
    """Another share stands beside it where it is asked for, and changes nothing of the answer."""
    question = replace(QUESTION, keep_cheap=None)
    alone = weigh_up(journey.traffic, prices, question, bundle_path=journey.bundle)
    assert (list(alone.plans), list(ranked.plans)) == (["policy"], ["policy", "keep_cheap"])
    assert alone.plan == ranked.plan == "policy"
    assert alone.verdict == ranked.verdict
    assert alone.plot == ranked.plot
    assert "the bundle's policy" in alone.verdict.text
    assert any(note.startswith("For comparison: with the simplest 30 %") for note in ranked.notes)


def test_without_a_bundle_the_share_is_asked_for(journey, prices):
    with pytest.raises(InvalidValueError, match="Pass --bundle, or --keep-cheap"):
        weigh_up(journey.traffic, prices, replace(QUESTION, keep_cheap=None))


@pytest.mark.parametrize(
    ("given", "policy", "caught"),
    [(None, None, 0.0), (None, 0.5, 0.5), (0.25, 0.5, 0.25), (0.0, 0.5, 0.0)],
)
def test_catch_rate_is_the_answer_else_the_policys(
    journey, prices, monkeypatch, given, policy, caught
):
    """What is not caught is neither paid twice nor repaired; an unknown rate is an assumption."""
    bundle = read_bundle(journey.bundle)
    fallback = replace(bundle.policy.fallback, catch_rate=policy)
    changed = replace(bundle.policy, fallback=fallback)
    monkeypatch.setattr(stage, "read_bundle", lambda _: replace(bundle, policy=changed))
    question = replace(QUESTION, answers=Answers(catch_rate=given))
    made = weigh_up(journey.traffic, prices, question, bundle_path=journey.bundle)
    share = made.plans["keep_cheap"]
    assert share["caught_share"].value == pytest.approx(
        caught * (1.0 - share["cheap_quality"].value)
    )
    assert ("catch_rate" in made.assumed) == (given is None and policy is None)


def test_other_traffic_counts_whole(journey, prices, tmp_path):
    made = weigh_up(subset(journey, tmp_path, "test"), prices, QUESTION, bundle_path=journey.bundle)
    assert " requests count: small-1 was trained on other traffic" in made.notes[0]


def test_traffic_without_tokens_is_counted_or_named(journey, prices, tmp_path):
    """Prompts are counted by the tokenizer or by their characters; answers that nobody counted are
    missing.
    """
    names = ("prompt_tokens", "cheap_tokens", "frontier_tokens")
    rows = [
        {key: value for key, value in row.items() if key not in names} for row in sample_rows(60)
    ]
    rows[0]["messages"] = [{"role": "user", "content": "x" * 400}]
    ingest([write_rows(tmp_path / "in.jsonl", rows)], tmp_path / "in.parquet")
    made = weigh_up(tmp_path / "in.parquet", prices, QUESTION)
    characters = [sum(len(message["content"]) for message in row["messages"]) for row in rows]
    assert made.overall["prompt_tokens"].value == pytest.approx(np.mean(characters) / 4)
    assert made.overall["prompt_tokens"].note == "assumed: prompt_tokens"
    assert {"cheap_tokens", "frontier_tokens"} <= set(made.missing)
    assert made.overall["frontier_input_spend"].value > 0
    assert made.verdict.answer == "unsure"
    ranked = weigh_up(tmp_path / "in.parquet", prices, QUESTION, bundle_path=journey.bundle)
    assert (
        ranked.assumed["prompt_tokens"]
        == "tokens of 100% of the requests are counted by the scorer's tokenizer"
    )


def test_cost_is_as_billed_where_the_log_has_it(prices, tmp_path):
    """Bills of 2 cents a request, and a cached share of one half, whatever the list says."""
    rows = [
        row | {"prompt_tokens": 100, "cached_tokens": 50, "frontier_cost_usd": 0.02}
        for row in sample_rows(60)
    ]
    summary = ingest([write_rows(tmp_path / "in.jsonl", rows)], tmp_path / "in.parquet")
    assert summary.known_costs == {"cheap_cost_usd": 0, "frontier_cost_usd": 60}
    assert summary.billed_usd["frontier_cost_usd"] == pytest.approx(1.2)
    made = weigh_up(tmp_path / "in.parquet", prices, QUESTION)
    assert made.overall["frontier_cost"].value == pytest.approx(20.0)
    assert made.overall["frontier_spend"].value == pytest.approx(40_000.0)
    kept = made.plans["keep_cheap"]
    assert kept["frontier_spend"].value == pytest.approx(12_000.0, rel=1e-3)
    assert "50% of the prompt tokens came from the providers' caches" in made.notes[0]
    assert "as billed on 60 of 60 requests" in made.notes[1]


def test_requests_that_were_routed_already_are_told(prices, tmp_path):
    rows = [
        {**row, "route": "cheap" if number % 4 == 0 else "frontier"}
        for number, row in enumerate(sample_rows(40))
    ]
    ingest([write_rows(tmp_path / "in.jsonl", rows)], tmp_path / "in.parquet")
    assert any(
        "answered 25% of the logged requests already" in note
        for note in weigh_up(tmp_path / "in.parquet", prices, QUESTION).notes
    )


def test_file_holds_the_same_numbers(ranked, tmp_path):
    write_economics(ranked, tmp_path / "economics.json")
    assert json.loads((tmp_path / "economics.json").read_text()) == json.loads(
        json.dumps(ranked.as_dict())
    )


def test_bad_input_is_refused(journey, prices, tmp_path, monkeypatch):
    with pytest.raises(TrafficNotFoundError):
        weigh_up(tmp_path / "none.parquet", prices, QUESTION)
    monkeypatch.setattr(overlap, "training_splits", lambda _, traffic: np.full(len(traffic), "fit"))
    with pytest.raises(
        TooFewSamplesError, match="requests that training did not see: all 800 were seen"
    ):
        weigh_up(journey.traffic, prices, QUESTION, bundle_path=journey.bundle)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, 30.0, float("nan")])
def test_share_that_is_none_is_refused(share):
    with pytest.raises(
        InvalidValueError,
        match=r"share to keep cheap must be in \(0, 1\]: .* Shares are fractions, not percent",
    ):
        Question(keep_cheap=share)
