import asyncio
import json
import logging
from collections import UserString
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from difficulty.request import Request
from difficulty.runtime import Router
from tests.runtime.conftest import hand_made, unlimited

PLANNING = "multi-step planning"


class Untouchable:
    """A scorer that fails the test when anything is asked of it."""

    def __getattr__(self, name):
        raise AssertionError(f"asked for {name}")


def user(content):
    return [{"role": "user", "content": content}]


def test_decision_by_hand():
    """Word w150 scores 0.75, above 0.6; w100 scores 0.5, below."""
    above, below = hand_made().decide_many([Request("w150"), Request(user("w100 w3"), "code")])
    assert above.as_dict() == {
        "route": "frontier",
        "model": "frontier",
        "reason": "above_threshold",
        "difficulty_score": 0.75,
        "p_cheap_fails": 0.75,
        "p_frontier_fails": None,
        "familiarity": None,
        "threshold": 0.6,
        "fallback": None,
        "task": None,
        "tokens": 1,
        "tokens_source": "tokenizer",
        "truncated": False,
        "bundle_version": "by-hand-1",
        "scored_by": "scorer",
        "masked_share": 0.0,
        "can_take": "both",
        "ineligible": [],
        "held_on": None,
        "switch_cost_usd": None,
        "error": None,
    }
    assert (below.route, below.model, below.reason, below.fallback) == (
        "cheap",
        "cheap-8b",
        "within_threshold",
        "frontier",
    )
    assert (below.task, below.tokens, below.difficulty_score) == ("code", 2, 0.5)


def test_score_at_the_threshold_stays_cheap():
    """0.75 is the same number in the graph's float32 and in the policy."""
    assert hand_made({"threshold": 0.75}).decide("w150").reason == "within_threshold"
    assert (
        hand_made({"threshold": float(np.nextafter(0.75, 0))}).decide("w150").reason
        == "above_threshold"
    )


def test_threshold_in_the_decision_is_the_one_that_was_used():
    router = hand_made({"task_thresholds": {"code": 0.8}})
    assert [
        (d.threshold, d.route) for d in (router.decide("w150", "code"), router.decide("w150"))
    ] == [(0.8, "cheap"), (0.6, "frontier")]


def test_fallback_can_be_switched_off():
    router = hand_made({"fallback": {"on_validation_failure": False}})
    assert [router.decide(text).fallback for text in ("w1", "w150")] == [None, None]


def test_unfamiliar_request_goes_to_the_frontier_model_by_the_graphs_output():
    """The graph made by hand gives every output the same value: w10 is 0.05 familiar, w80 is
    0.4.
    """
    router = hand_made(
        {"min_familiarity": 0.2}, outputs=("difficulty_score", "p_cheap_fails", "familiarity")
    )
    unfamiliar, familiar = router.decide_many([Request("w10"), Request("w80")])
    assert (unfamiliar.reason, unfamiliar.familiarity, unfamiliar.route) == (
        "unfamiliar",
        pytest.approx(0.05),
        "frontier",
    )
    assert (familiar.reason, familiar.route) == ("within_threshold", "cheap")


def test_all_ways_of_asking_agree(router, texts):
    requests = [
        *(
            Request(messages, task, tokens)
            for messages, task, tokens in zip(
                texts, ["classify", None, PLANNING] * 20, [5, None] * 30, strict=True
            )
        ),
        Request(""),
        Request("w" * 1_000_000),
        Request("fine", "classify", -3),
        Request("fine", None, 10**9),
    ]
    many = router.decide_many(requests)
    assert len({decision.reason for decision in many}) == 6
    for request, decision in zip(requests, many, strict=True):
        single = router.decide(*request[:2], tokens=request.tokens)
        assert single == router.consider(request)
        assert single.difficulty_score == pytest.approx(decision.difficulty_score, abs=2e-6)
        assert single.familiarity == pytest.approx(decision.familiarity, abs=2e-5)
        blank = dict.fromkeys(
            ["difficulty_score", "p_cheap_fails", "p_frontier_fails", "familiarity"]
        )
        assert replace(single, **blank) == replace(decision, **blank)


def test_no_requests_no_decisions(router):
    assert router.decide_many([]) == []


def test_token_count_is_the_callers_where_there_is_one(router):
    """The request's own count decides the rule; the tokenizer's and the estimate only stand in."""
    router = unlimited(router)
    long = "word " * 200_000
    given, counted, estimated = (
        router.decide(long, tokens=7),
        router.decide("one two three"),
        router.decide(long),
    )
    assert (given.tokens, given.tokens_source, given.truncated) == (7, "request", True)
    assert (counted.tokens, counted.tokens_source, counted.truncated) == (3, "tokenizer", False)
    assert (estimated.tokens_source, estimated.truncated) == ("estimate", True)
    assert estimated.tokens == pytest.approx(200_000, rel=0.01)
    assert router.decide(long, "classify", tokens=7).reason == "easy_task"
    assert router.decide("label this", "classify", tokens=256).reason != "easy_task"
    assert router.decide("label this", "classify").reason == "easy_task"


def test_easy_task_with_given_tokens_never_touches_the_scorer(router):
    blind = Router(Untouchable(), router.policy, version="1")
    assert blind.decide("anything", "classify", tokens=10).reason == "easy_task"
    assert blind.decide(None, PLANNING, tokens=10_000).reason == "hard_task"
    assert blind.scorer_errors == 0
    assert blind.decide("anything", "classify", tokens=300).reason == "scorer_error"


BAD_MESSAGES = {
    "none": None,
    "number": 17,
    "bytes": b"hello there",
    "empty text": "",
    "blank text": " \n ",
    "no messages": [],
    "null content": user(None),
    "number content": user(3.5),
    "bytes content": user(b"hello"),
    "mapping content": user({"text": "hello"}),
    "message is text": ["hello", "there"],
    "message is none": [None, None],
    "one message, no list": {"role": "user", "content": "hello"},
    "tool calls are a number": [{"role": "assistant", "content": "x", "tool_calls": 5}],
    "an object": object(),
}


@pytest.mark.parametrize("messages", BAD_MESSAGES.values(), ids=BAD_MESSAGES)
def test_request_that_cannot_be_scored_goes_to_the_frontier_model_and_is_counted(
    small, messages, caplog
):
    router = Router.from_bundle(small)
    with caplog.at_level(logging.WARNING, logger="difficulty.runtime"):
        single = router.decide(messages)
        good, many = router.decide_many([Request("fine"), Request(messages)])
    assert single == many
    assert (single.route, single.reason, single.difficulty_score, single.fallback) == (
        "frontier",
        "scorer_error",
        None,
        None,
    )
    assert single.error
    assert good.reason != "scorer_error"
    assert router.scorer_errors == 2
    assert len(caplog.records) == 2
    assert json.dumps(single.as_dict())


@pytest.mark.parametrize("tokens", [-1, 2.5, "12", True, float("nan")])
def test_token_count_that_is_none_is_a_scorer_error(small, tokens):
    decision = Router.from_bundle(small).decide("hello", tokens=tokens)
    assert (decision.reason, decision.tokens) == ("scorer_error", None)
    assert decision.error.startswith("tokens must be 0 or more, ")


@pytest.mark.parametrize("task", [["classify"], 7, {"a": 1}, b"code"])
def test_task_that_is_no_text_is_a_scorer_error(task):
    router = hand_made({"task_thresholds": {"code": 0.5}})
    decisions = [router.decide("w1", task), *router.decide_many([Request("w1", task, 3)])]
    assert [(d.reason, d.task, d.threshold) for d in decisions] == [("scorer_error", None, 0.6)] * 2


@pytest.mark.parametrize(
    "messages",
    [
        "broken \ud83d half",
        "null \x00 byte",
        user("a\x00b\ud800"),
        [{"role": "wizard", "content": "hello"}],
        [{"content": "no role"}],
        [{"role": 5, "content": "number as role"}],
        user(["plain", {"type": "text", "text": "parts"}]),
        ({"role": "user", "content": "a tuple"},),
        str(UserString("x")),
    ],
    ids=range(9),
)
def test_odd_request_with_text_is_scored(router, messages):
    assert router.decide(messages).difficulty_score is not None
    assert router.decide_many([Request(messages)])[0].error is None


@pytest.mark.parametrize("piece", ["word ", "mot é ", "字", "\ud83d", "x", "\x00", " "], ids=ascii)
def test_huge_request_is_decided_by_its_ends(router, piece):
    """Ten million characters in one message or in many, of any kind."""
    router = unlimited(router)
    text = piece * (10_000_000 // len(piece))
    whole, ends = router.decide(text), router.decide(f"{text[:4096]}\n{text[-4096:]}")
    assert (whole.difficulty_score, whole.reason) == (ends.difficulty_score, ends.reason)
    if piece.strip():
        assert whole.truncated
        assert whole.tokens_source == "estimate"
    many = router.decide([{"role": "user", "content": text[:1_000_000]}] * 10)
    assert (many.reason == "scorer_error") == (whole.reason == "scorer_error")


def test_score_that_is_no_number_is_a_scorer_error_and_takes_nothing_with_it():
    """Word w5 scores NaN, w6 infinity; their neighbours in the batch keep their scores."""
    table = np.arange(200, dtype=np.float32) / 200
    table[5], table[6] = np.nan, np.inf
    router = hand_made(table=table)
    decisions = router.decide_many([Request("w150"), Request("w5"), Request("w6"), Request("w1")])
    assert [decision.reason for decision in decisions] == [
        "above_threshold",
        "scorer_error",
        "scorer_error",
        "within_threshold",
    ]
    assert decisions[1].error == "difficulty_score must be a number: got nan. Verify the bundle."
    assert (decisions[1].difficulty_score, decisions[1].p_cheap_fails) == (None, None)
    assert router.decide("w5") == decisions[1]
    assert router.scorer_errors == 3


def test_graph_that_fails_on_one_request_fails_on_that_alone():
    """A table of 100 rows has none for word w150: ONNX Runtime refuses the whole batch."""
    router = hand_made(table=np.full(100, 0.9))
    decisions = router.decide_many([Request("w1"), Request("w150"), Request("w99")])
    assert [decision.reason for decision in decisions] == [
        "above_threshold",
        "scorer_error",
        "above_threshold",
    ]
    assert router.scorer_errors == 1


def test_considering_counts_and_logs_nothing(small, caplog):
    router = Router.from_bundle(small)
    assert router.consider(Request("")).reason == "scorer_error"
    assert (router.scorer_errors, caplog.records) == (0, [])


def test_threads_get_the_scores_of_one_thread(small, texts):
    router = Router.from_bundle(small)
    expected = [router.decide(messages) for messages in texts[:49]] + [router.decide("")]
    with ThreadPoolExecutor(16) as pool:
        jobs = [
            pool.submit(lambda: [router.decide(messages) for messages in [*texts[:49], ""]])
            for _ in range(16)
        ]
        found = [job.result() for job in jobs]
    assert all(decisions == expected for decisions in found)
    assert router.scorer_errors == 17


def test_router_loads_from_a_path_of_either_kind(journey):
    decisions = [
        Router.load(path).decide("Summarise this.")
        for path in (journey.bundle, str(journey.bundle))
    ]
    assert decisions[0] == decisions[1]
    assert decisions[0].bundle_version == "small-1"


def test_more_threads_change_no_decision(small, texts):
    requests = [Request(messages) for messages in texts]
    one, two = (
        Router.from_bundle(small, threads=threads).decide_many(requests) for threads in (1, 2)
    )
    assert [d.route for d in one] == [d.route for d in two]
    assert [d.difficulty_score for d in one] == pytest.approx(
        [d.difficulty_score for d in two], abs=2e-6
    )


def test_waiting_gives_the_decisions_of_deciding(small, texts):
    """From two event loops, one after the other and both at once."""
    router = Router.from_bundle(small)
    expected = [router.consider(Request(messages)) for messages in texts]

    async def ask():
        found = await asyncio.gather(*(router.adecide(messages) for messages in texts))
        assert [_near(decision) for decision in found] == [_near(decision) for decision in expected]
        assert (await router.adecide([])).reason == "scorer_error"

    asyncio.run(ask())
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(asyncio.run, ask()) for _ in range(2)]:
            done.result()
    assert router.scorer_errors == 3


def _near(decision):
    """Return a decision with its scores as they are alone and in a batch."""
    scores = ("difficulty_score", "p_cheap_fails", "p_frontier_fails", "familiarity")
    return {
        name: round(value, 4) if name in scores else value
        for name, value in decision.as_dict().items()
    }
