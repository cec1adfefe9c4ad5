"""Early exit by hand: the scorer gives word ``w7`` 7/200 as everywhere here, the early graph
something else.
"""

import json
from dataclasses import replace

import numpy as np
import pytest

from difficulty.bundle import Policy
from difficulty.bundle.policy import Early
from difficulty.errors import BundleError, FieldError, ScoringError
from difficulty.request import Request
from difficulty.runtime import Router
from difficulty.runtime.golden import check_golden, golden_rows
from difficulty.runtime.scorer import EarlyScorer, exit_early, exits
from tests.data.make_bundle import POLICY
from tests.runtime.conftest import first_id_graph, hand_made, hand_made_early

CUT = {"low": 0.25, "high": 0.75, "n": 1000, "expected": {}}
EARLY = {"threshold": 0.6, "budget": 0.005, "confidence": 0.95, "without_task": CUT}
UPSIDE_DOWN = 1 - np.arange(200) / 200
"""Early scores that contradict the scorer, so that a decision shows who made it."""


def early_router(policy=None, *, table=UPSIDE_DOWN, **graph):
    return hand_made(
        {"early": EARLY, **(policy or {})}, early=hand_made_early(table=table), **graph
    )


def test_far_from_the_threshold_the_early_score_decides_and_between_the_cut_offs_the_scorer():
    """w180 scores 0.9 and 0.1 early; w20 0.1 and 0.9; w100 0.5 by both."""
    low, high, between = early_router().decide_many(
        [Request("w180"), Request("w20"), Request("w100")]
    )
    assert (low.route, low.reason, low.scored_by, low.difficulty_score) == (
        "cheap",
        "within_threshold",
        "early",
        pytest.approx(0.1),
    )
    assert (high.route, high.reason, high.scored_by, high.difficulty_score) == (
        "frontier",
        "above_threshold",
        "early",
        pytest.approx(0.9),
    )
    assert (between.route, between.scored_by, between.difficulty_score) == ("cheap", "scorer", 0.5)
    assert [one.p_cheap_fails for one in (low, high, between)] == [None, None, 0.5]
    assert low.fallback == "frontier"


def test_at_a_cut_off_the_scorer_is_asked():
    """0.25 and 0.75 are the same number in the graph's float32 and in the policy; w199 scores above
    the threshold.
    """
    table = np.full(200, 0.5)
    table[150], table[151], table[199], table[198] = (
        0.25,
        np.nextafter(np.float32(0.25), 0),
        0.75,
        np.nextafter(np.float32(0.75), 1),
    )
    decisions = early_router(table=table).decide_many(
        [Request(f"w{word}") for word in (150, 151, 199, 198)]
    )
    assert [one.scored_by for one in decisions] == ["scorer", "early", "scorer", "early"]


def test_single_decisions_and_batches_agree():
    router = early_router()
    requests = [
        Request(f"w{word}", task)
        for word in range(0, 200, 7)
        for task in (None, "classify", "multi-step planning")
    ]
    assert router.decide_many(requests) == [router.decide(*request[:2]) for request in requests]


def test_requests_with_a_known_task_have_cut_offs_of_their_own():
    """Without any the scorer decides them all."""
    early = Early.parse({**EARLY, "with_task": {**CUT, "low": 0.55}})
    for with_task, verdict in ((True, "cheap"), (False, None)):
        found = exit_early(early, 0.5, with_task=with_task)
        assert (found.route if found else None) == verdict
    assert exit_early(Early.parse({**EARLY, "without_task": None}), 0.0, with_task=False) is None
    router = early_router()
    router.scorer.task_ids = {"code": 20}
    assert [
        (one.scored_by, one.route) for one in (router.decide("w180", "code"), router.decide("w180"))
    ] == [("scorer", "cheap"), ("early", "cheap")]


def test_rules_that_need_no_score_come_first():
    easy = early_router().decide("w180", "classify")
    assert (easy.reason, easy.scored_by, easy.difficulty_score) == ("easy_task", None, None)


@pytest.mark.parametrize(
    "policy",
    [{"threshold": 0.61}, {"task_thresholds": {"code": 0.5}}, {"min_familiarity": 0.1}],
    ids=["other", "per task", "familiarity"],
)
def test_cut_offs_do_not_count_with_a_threshold_they_were_not_chosen_for(policy):
    outputs = ("difficulty_score", "p_cheap_fails", "familiarity")
    router = early_router(policy, outputs=outputs)
    assert exits(router.policy) is None
    assert [one.scored_by for one in router.decide_many([Request("w180"), Request("w150")])] == [
        "scorer",
        "scorer",
    ]


def test_early_score_that_is_no_number_leaves_the_request_to_the_scorer():
    table = UPSIDE_DOWN.copy()
    table[180] = np.nan
    router = early_router(table=table)
    assert router.decide("w180").scored_by == "scorer"
    assert [one.scored_by for one in router.decide_many([Request("w180"), Request("w20")])] == [
        "scorer",
        "early",
    ]
    assert router.scorer_errors == 0
    with pytest.raises(ScoringError, match="early_score must be a number: got nan"):
        router.early.score_ids([180])


def test_request_without_text_is_an_error_as_ever():
    decision = early_router().decide("  ")
    assert (decision.reason, decision.scored_by) == ("scorer_error", None)


def test_golden_vectors_keep_the_scorers_decisions_and_the_early_scores_beside(bundle_of):
    router = early_router()
    rows = list(
        golden_rows(router, [{"id": "a", "messages": [{"role": "user", "content": "w180"}]}])
    )
    assert (rows[0]["route"], rows[0]["difficulty_score"]) == ("frontier", pytest.approx(0.9))
    assert rows[0]["early_score"] == pytest.approx(0.1)
    assert check_golden(bundle_of(rows), router) == []
    rows[0]["early_score"] = 0.2
    assert check_golden(bundle_of(rows), router) == [
        f"a: early_score is {router.early.score_ids([180])}, expected 0.2 within 0.0001"
    ]


@pytest.fixture
def bundle_of(small):
    """A bundle with other golden vectors."""
    return lambda rows: replace(
        small,
        files={
            **small.files,
            "golden.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode(),
        },
    )


def test_bundle_without_an_early_graph_has_no_early_scorer(small):
    assert EarlyScorer.from_bundle(small) is None
    assert Router.from_bundle(small).early is None


def test_graph_without_the_output_is_refused(small):
    broken = replace(small, files={**small.files, "early.onnx": first_id_graph(outputs=("score",))})
    with pytest.raises(
        BundleError,
        match=(
            r"early\.onnx must have the output 'early_score': got \['score'\]\. Ship the bundle"
            r" again"
        ),
    ):
        Router.from_bundle(broken)
    with pytest.raises(BundleError, match=r"early\.onnx cannot be loaded"):
        Router.from_bundle(replace(small, files={**small.files, "early.onnx": b"none"}))


def test_policy_wants_the_threshold_between_the_cut_offs():
    with pytest.raises(
        FieldError,
        match=(
            r"early.with_task must have the threshold between the cut-offs: got 0\.7, 0\.6, 0\.75"
        ),
    ):
        Policy.parse({**POLICY, "early": {**EARLY, "with_task": {**CUT, "low": 0.7}}})
