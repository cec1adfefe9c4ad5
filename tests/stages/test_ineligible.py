"""Requests that not both models can take, in figures."""

import json

import numpy as np
import pytest

from difficulty.evaluation.result import read_metrics
from difficulty.metrics.bootstrap import Resampling
from difficulty.needs import Eligibility, ModelLimits, Needs
from difficulty.needs.takers import find_takers
from difficulty.stages.deploying.deployed_policy import change_policy
from difficulty.stages.deploying.ineligible_rows import find_ineligible
from difficulty.stages.evaluate import evaluate_scorer
from difficulty.traffic.table import Traffic


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


@pytest.mark.parametrize("is_kept", [True, False], ids=["with texts", "without"])
def test_glance_leaves_out_only_what_both_can_take(journey, is_kept):
    """Beside every request looked at by itself: own counts, none, some above the window; of samples
    without texts the tokenizer's count says how long they were.
    """
    traffic = Traffic.read(journey.traffic).select(np.arange(60))
    counts = [None if place % 3 else 7 * place for place in range(60)]
    traffic = traffic.with_columns({"prompt_tokens": counts})
    traffic = traffic if is_kept else traffic.without_texts()
    totals = np.arange(60)
    limits = Eligibility(cheap=ModelLimits(context_tokens=60), answer_tokens=20)
    expected = {}
    for row, (messages, tools) in enumerate(
        zip(traffic.each_messages(), traffic.each_tools(), strict=True)
    ):
        needs = Needs.of({"messages": messages, "tools": tools})
        taking = find_takers(limits, needs, given=counts[row], counted=int(totals[row]))
        if taking.takers != "both":
            expected[row] = taking
    assert find_ineligible(traffic, totals, limits) == expected
    assert 0 < len(expected) < 60
