"""Requests that not both models can take, in figures."""

import json

from difficulty.evaluation.result import read_metrics
from difficulty.metrics.bootstrap import Resampling
from difficulty.stages.deploying.deployed_policy import change_policy
from difficulty.stages.evaluate import evaluate_scorer


def test_requests_that_the_cheap_model_cannot_take_are_counted_as_the_router_sends_them(
    journey, tmp_path
):
    """A window of 60 tokens, 20 of them for the answer: long requests go to the frontier model."""
    change = change_policy(
        journey.bundle,
        ["eligibility.cheap.context_tokens=60", "eligibility.answer_tokens=20"],
        tmp_path / "small-2",
    )
    assert "+eligibility.cheap.context_tokens = 60" in change.diff
    told = evaluate_scorer(
        tmp_path / "small-2", journey.traffic, tmp_path / "out", resampling=Resampling(draws=20)
    )
    share = read_metrics(tmp_path / "out" / "metrics.json").overall["ineligible_share"]
    rules = json.loads((tmp_path / "out" / "metrics.json").read_text())["slices"]["ineligible"]
    assert [*rules] == ["cheap.context_window", "(none)"]
    n = rules["cheap.context_window"]["frontier_share"]["n"]
    assert 0 < share.low <= share.value == n / told.judged <= share.high < 1
    assert rules["cheap.context_window"]["frontier_share"]["value"] == 1.0
    assert "cheap.context_window" in (tmp_path / "out" / "report.html").read_text()
