"""Requests without outcomes through the journey: scored, routed, thresholds, money, drift."""

import json
from datetime import date

import pytest

from difficulty.bundle import read_bundle
from difficulty.economics import load_price_list
from difficulty.economics.usage import Volume
from difficulty.errors import BundleError, NoSignalError, TooFewSamplesError
from difficulty.metrics import Resampling
from difficulty.request import read_requests
from difficulty.stages.economics import Question, weigh_up
from difficulty.stages.ingest import ingest
from difficulty.stages.labelling.unlabelled import look_at
from difficulty.stages.thresholds import rechoose
from difficulty.traffic.columnar import read_request_rows
from difficulty.traffic.table import Traffic
from tests.answer_checks import write_with_check
from tests.conftest import REPOSITORY
from tests.journey import DRAWS, sample_rows, write_rows

OUTCOMES = ("cheap_quality", "frontier_quality", "cheap_passed", "preference")
FEW = Resampling(DRAWS)


@pytest.fixture(scope="module")
def rows():
    """Requests that training did not see."""
    new = sample_rows(1_100)[800:]
    return [{name: row[name] for name in row if name not in OUTCOMES} for row in new]


@pytest.fixture(scope="module")
def unlabelled(rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unlabelled")
    source = write_rows(folder / "requests.jsonl", rows)
    ingest([source], out := folder / "unlabelled.parquet")
    return out


def test_parquet_has_the_requests_of_the_json_lines(rows, unlabelled):
    requests = list(read_request_rows(unlabelled))
    lines = list(read_requests(unlabelled.with_name("requests.jsonl")))
    assert [row.id for row in requests] == [row.id for row in lines]
    assert [row.request.task for row in requests] == [row.request.task for row in lines]
    assert not any(row.problem for row in requests)


def test_tools_of_ingested_requests_are_those_that_were_offered(tmp_path):
    tools = [{"type": "function", "function": {"name": "f"}}]
    source = write_rows(tmp_path / "in.jsonl", [{"id": "a", "prompt": "x", "tools": tools}])
    ingest([source], out := tmp_path / "t.parquet")
    (row,) = read_request_rows(out)
    assert row.request.tools == tools


def test_threshold_by_share_needs_no_outcome(journey, unlabelled, tmp_path):
    result = rechoose(
        journey.bundle, unlabelled, tmp_path / "small-2", objective="share=0.3", resampling=FEW
    )
    assert result.new.frontier_share.value == pytest.approx(0.3, abs=0.05)
    assert result.new.quality.value is None
    assert any("No outcome of these requests is known" in note for note in result.notes)
    assert read_bundle(tmp_path / "small-2").policy.chosen.n > 200


@pytest.mark.parametrize("objective", ["quality=0.9", "utility=0.01"])
def test_other_objectives_say_what_is_missing(journey, unlabelled, tmp_path, objective):
    with pytest.raises(NoSignalError, match=r"none of this traffic has any.*share=X or cost=USD"):
        rechoose(
            journey.bundle, unlabelled, tmp_path / "small-2", objective=objective, resampling=FEW
        )


def test_economics_takes_the_mix_from_it(journey, unlabelled):
    """Spend and plans are known, quality is not; with a bundle and without."""
    prices = load_price_list(REPOSITORY / "data" / "prices.example.toml")
    question = Question(
        keep_cheap=0.3, volume=Volume(2e6, 2e6), today=date(2026, 11, 20), resampling=FEW
    )
    for bundle in (journey.bundle, None):
        result = weigh_up(unlabelled, prices, question, bundle_path=bundle)
        assert result.overall["frontier_spend"].value > 0
        assert result.plans["keep_cheap"]["kept_share"].value == pytest.approx(0.3, abs=0.02)


def test_shares_and_drift_of_unlabelled_requests(journey, unlabelled, tmp_path):
    """Against requests like them nothing moved; of one task alone much has."""
    report = look_at(
        journey.bundle, unlabelled, tmp_path / "out", against=journey.traffic, resampling=FEW
    )
    assert report.requests == len(Traffic.read(unlabelled))
    assert 0.0 <= report.frontier_share.low <= report.frontier_share.value <= 1.0
    assert report.cost.value is None  # no prices
    assert report.familiarity
    assert report.against < 800  # what training did not see
    assert json.loads((tmp_path / "out/unlabelled.json").read_text()) == json.loads(
        json.dumps(report.as_dict())
    )
    same = look_at(
        journey.bundle, unlabelled, tmp_path / "same", against=unlabelled, resampling=FEW
    )
    # Not 0: a few that look like what training saw are left out of the others.
    assert not any(drift.moved for drift in same.drift)


def test_few_requests_are_compared_with_nothing(journey, unlabelled, tmp_path):
    """Of one request the task has always "moved"."""
    one = write_rows(tmp_path / "one.jsonl", [{"prompt": "Is it due?"}])
    for requests, against in ((one, unlabelled), (unlabelled, one)):
        with pytest.raises(TooFewSamplesError, match="comparison needs 30 requests"):
            look_at(journey.bundle, requests, tmp_path / "out", against=against, resampling=FEW)
    assert not (tmp_path / "out").exists()


def test_other_requests_have_moved_and_json_lines_are_read(journey, unlabelled, tmp_path):
    rows = [
        {"id": str(n), "prompt": f"Prove lemma {n} " * 40, "task": "proofs"} for n in range(120)
    ]
    source = write_rows(tmp_path / "in.jsonl", rows)
    report = look_at(journey.bundle, source, tmp_path / "out", against=unlabelled, resampling=FEW)
    drift = {one.of: one for one in report.drift}
    assert drift["tasks"].distance == 1.0
    assert drift["tokens"].moved
    assert report.new_tasks == {"proofs": 120}


def test_a_run_has_no_threshold_to_look_with(journey, unlabelled, tmp_path):
    with pytest.raises(BundleError, match="difficulty ship"):
        look_at(journey.run, unlabelled, tmp_path / "out")


def test_check_that_has_no_answer_to_see_sends_nothing_on(journey, unlabelled, tmp_path):
    """As a router does whose check cannot count: by the request's own threshold."""
    rule = {"kind": "both", "request_threshold": 1.0}
    write_with_check(journey.bundle, tmp_path / "small-9", rule=rule)
    rows = [{"id": str(n), "prompt": f"A question of number {n}", "task": "x"} for n in range(30)]
    source = write_rows(tmp_path / "in.jsonl", rows)
    report = look_at(tmp_path / "small-9", source, tmp_path / "out", resampling=FEW)
    assert report.frontier_share.value == 0.0
