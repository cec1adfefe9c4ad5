"""The check of answers, with a graph made by hand: an answer's first word is its score."""

import asyncio
import json
import logging

import numpy as np
import pytest

from difficulty.answers.answer import Answer
from difficulty.answers.facts import FACTS
from difficulty.bundle import Policy, read_bundle, write_bundle
from difficulty.bundle.policy import AnswerRule
from difficulty.errors import BundleError
from difficulty.request import Request, read_requests
from difficulty.runtime import ReloadingRouter, Router, follow_path
from difficulty.runtime.answers import AnswerWatch
from difficulty.stages.route import check_rows
from difficulty.stages.verify import verify
from tests.answer_checks import NO_ANSWER, facts_form, hand_made_checker, write_with_check
from tests.bundle.conftest import SAVED
from tests.data.make_bundle import POLICY
from tests.runtime.conftest import hand_made


def router_of(rule=None, *, policy=None, **check):
    """Return a hand-made router: the request's word ``w120`` and the answer's score 0.6."""
    rule = {"threshold": 0.5, **(rule or {})}
    plain = hand_made()
    form = Policy.parse(POLICY | (policy or {}) | {"answer": rule})
    checker = hand_made_checker(plain.scorer, form.answer, **check)
    return Router(plain.scorer, form, version="by-hand-1", answers=checker)


ALONE = {"kind": "check", "request_threshold": 0.4}
CHECK_ONLY = {"rule": ALONE, "policy": {"threshold": 1.0}}


def test_answer_above_the_threshold_is_escalated():
    """w100 scores 0.5, which is not above 0.5; w101 does."""
    router = router_of()
    below, above = (router.check("w1", text) for text in ("w100", "w101 w1"))
    assert (below.escalate, below.reason, below.answer_score) == (False, "within_threshold", 0.5)
    assert (above.escalate, above.reason) == (True, "above_threshold")
    assert above.answer_score == pytest.approx(0.505)
    assert (above.threshold, above.bundle_version, above.error) == (0.5, "by-hand-1", None)


@pytest.mark.parametrize(
    "answer",
    [
        "w101",
        Answer("w101"),
        {"role": "assistant", "content": "w101"},
        {"choices": [{"message": {"content": "w101"}}, {"message": {"content": "w1"}}]},
    ],
    ids=["text", "answer", "message", "completion"],
)
@pytest.mark.parametrize(
    "request_",
    ["w1", [{"role": "user", "content": "w1"}], Request("w1"), {"messages": "w1", "tools": []}],
    ids=["text", "messages", "request", "body"],
)
def test_request_and_answer_come_in_any_form(request_, answer):
    assert router_of().check(request_, answer).answer_score == pytest.approx(0.505)


def test_request_is_scored_on_demand_and_not_again():
    """The graph says the request's own ``p_cheap_fails``: of a decision without a score too, and
    of one that another bundle made.
    """
    router = router_of()
    easy = router.decide("w20", "classify", tokens=3)
    assert easy.p_cheap_fails is None
    assert router.check("w20", "w1", easy).p_answer_fails == pytest.approx(0.1)
    scored = router.decide("w40")
    assert router.check("w20", "w1", scored).p_answer_fails == pytest.approx(0.2)
    router.answers.version = "by-hand-2"
    assert router.check("w20", "w1", scored).p_answer_fails == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("request_", "answer"),
    [([], "w1"), ("", "w1"), (None, "w1"), (7, "w1"), ("w1", None), ("w1", 7), ("w1", object())],
)
@pytest.mark.parametrize("on_unknown", ["pass", "escalate"])
def test_what_cannot_be_checked_passes_or_escalates_as_the_policy_says(
    request_, answer, on_unknown
):
    router = router_of({"on_unknown": on_unknown})
    verdict = router.check(request_, answer)
    assert (verdict.escalate, verdict.reason) == (on_unknown == "escalate", "unknown")
    assert verdict.answer_score is None
    assert verdict.error
    assert router.answers.watch.unknown == 1


def test_score_that_is_no_number_is_unknown():
    scores = np.full(200, np.nan)
    verdict = router_of(scores=scores).check("w1", "w7")
    assert (verdict.reason, verdict.answer_score) == ("unknown", None)
    assert "answer_score must be in [0, 1]: got nan" in verdict.error


def test_empty_answer_is_scored():
    assert router_of().check("w1", "").answer_score == NO_ANSWER


def test_router_without_a_check_lets_every_answer_pass():
    verdict = hand_made().check("w1", "w199")
    assert (verdict.escalate, verdict.reason, verdict.threshold) == (False, "no_check", None)


def test_check_of_the_request_decides_nothing_where_answers_are_checked():
    """With the check alone all requests are cheap, and what nobody will check goes by the request's
    own threshold.
    """
    router = router_of(**CHECK_ONLY)
    assert router.decide("w199").route == "cheap"
    assert router.decide("w199").fallback == "frontier"
    seen, unseen = router.decide_many([Request("w199"), Request("w199", checked=False)])
    assert (seen.route, seen.threshold) == ("cheap", 1.0)
    assert (unseen.route, unseen.threshold) == ("frontier", 0.4)


def test_check_that_nobody_asks_is_spoken_of_once(caplog):
    """Whoever only decides would send all to the cheap model; whoever says so, or asks, would
    not.
    """
    router = router_of(**CHECK_ONLY)
    router.decide_many([Request("w1", checked=False)] * 1_500)
    assert not caplog.messages
    router.decide_many([Request("w1")] * 2_500)
    (said,) = caplog.messages
    assert "1000 requests went to the cheap model" in said
    caplog.clear()
    asked = router_of(**CHECK_ONLY)
    asked.check("w1", "w150")
    asked.decide_many([Request("w1")] * 1_500)
    assert not caplog.messages


def test_event_loop_gets_the_same_verdict():
    router = router_of()
    assert asyncio.run(router.acheck("w1", "w150")) == router.check("w1", "w150")


def test_scores_of_many_are_those_of_each():
    router = router_of()
    texts = [f"w{number} " * (1 + number % 7) for number in range(150)]
    answers = [None if number % 9 == 0 else f"w{number} w3" for number in range(150)]
    requests = [[] if number % 11 == 0 else text for number, text in enumerate(texts)]
    many = router.answers.score_many(requests, answers)
    for number, (request_, answer) in enumerate(zip(requests, answers, strict=True)):
        one = None if answer is None else router.check(request_, answer)
        for name, column in many.items():
            expected = None if one is None else getattr(one, name)
            assert column[number] == pytest.approx(
                np.nan if expected is None else expected, nan_ok=True
            )


def test_facts_that_moved_a_score_are_named_the_strongest_first():
    facts = facts_form()
    for place, weight in enumerate((0.5, -2.0, 0.0, 1.0)):
        facts["facts"][place] |= {"weight": weight, "mean": 1.0, "sd": 2.0}
    checker = router_of(facts=facts).answers
    values = np.full(len(FACTS), np.nan, np.float32)
    values[:4] = [3.0, 2.0, 9.0, 100.0]
    assert [
        (move.name, move.deviations, move.push) for move in checker.graph.find_moved(values)
    ] == [(FACTS[3], 4.0, 4.0), (FACTS[1], 0.5, -1.0), (FACTS[0], 1.0, 0.5)]


LIMITED = AnswerRule(threshold=0.5, stale_shift=0.1)


def watch_of(rule=LIMITED):
    """Return a watch whose facts have mean 0 and deviation 1."""
    return AnswerWatch(router_of().answers.graph, rule, version="by-hand-1", memory=300)


def facts_of(rng, *, moved=0):
    """Return facts of an answer of which some have moved by one deviation."""
    values = rng.normal(size=len(FACTS))
    values[:moved] += 1.0
    return values.astype(np.float32)


def test_check_becomes_stale_and_counts_again(caplog):
    """A tenth of the facts may move: a fifth do, and then none."""
    watch, rng = watch_of(), np.random.default_rng(0)
    for _ in range(400):
        watch.add(facts_of(rng))
    assert (watch.is_stale, watch.shift.share) == (False, 0.0)
    with caplog.at_level(logging.WARNING, "difficulty.runtime"):
        for _ in range(800):
            watch.add(facts_of(rng, moved=len(FACTS) // 5))
    assert watch.is_stale
    assert "no longer counts: " in caplog.text
    assert watch.as_dict()["stale"] is True
    assert watch.as_dict()["shift"] == pytest.approx(0.2, abs=0.02)
    assert watch.as_dict()["moved"][0] in FACTS[: len(FACTS) // 5]
    for _ in range(1_500):
        watch.add(facts_of(rng))
    assert not watch.is_stale
    assert len(caplog.records) == 2


def test_without_a_limit_nothing_is_stale():
    watch, rng = watch_of(AnswerRule(threshold=0.5)), np.random.default_rng(0)
    for _ in range(500):
        watch.add(facts_of(rng, moved=len(FACTS)))
    assert (watch.is_stale, watch.shift.share) == (False, 1.0)


def test_stale_check_escalates_nothing_and_the_requests_score_decides():
    router = router_of(**CHECK_ONLY)
    router.answers.watch.is_stale = True
    verdict = router.check("w1", "w199")
    assert (verdict.escalate, verdict.reason) == (False, "stale")
    assert verdict.answer_score == pytest.approx(0.995)
    assert (router.decide("w199").route, router.decide("w199").threshold) == ("frontier", 0.4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checked") / "words-1"
    write_with_check(SAVED, folder)
    return folder


def test_its_golden_vectors_are_replayed(folder):
    found = verify(folder)
    assert (found.golden, found.differences) == (61, [])


def test_router_of_a_bundle_checks(folder):
    router = Router.load(folder)
    assert router.check("w1", "w150").escalate
    assert not router.check("w1", "w50").escalate


def test_check_without_golden_answers_is_said_to_be_untested(folder, tmp_path):
    """A manifest that lists the file must have it, as any other; one that does not is passed."""
    bundle = read_bundle(folder)
    files = {name: one for name, one in bundle.files.items() if name != "golden_answers.jsonl"}
    manifest = bundle.manifest.as_dict(without={"files", "sha256"})
    write_bundle(tmp_path / "words-2", files, manifest)
    assert any("check of answers is untested" in text for text in verify(tmp_path / "words-2")[3])
    assert not any("untested" in text for text in verify(folder).warnings)
    damaged = write_bundle(tmp_path / "words-3", bundle.files, manifest).path
    (damaged / "golden_answers.jsonl").unlink()
    with pytest.raises(BundleError, match="golden_answers"):
        verify(damaged)


def test_answers_of_a_file_are_checked_in_their_order(tmp_path):
    """Rows that cannot be checked keep their place, and nothing is counted."""
    rows = [
        {"id": "kept", "prompt": "w1", "answer": "w50"},
        {"id": "sent", "prompt": "w1", "cheap_answer": "w150"},
        {"prompt": "w1", "answer": {"role": "assistant", "content": "w150"}},
        {"prompt": "w1", "cheap_answer": '{"role": "assistant", "content": "w50"}'},
        {"prompt": "w1"},
        {"prompt": "w1", "answer": 7},
        {"answer": "w1"},
    ]
    path = tmp_path / "answered.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    router = router_of()
    found = list(check_rows(router, read_requests(path)))
    assert [row["id"] for row in found] == ["kept", "sent", "3", "4", "5", "6", "7"]
    assert [row["escalate"] for row in found[:4]] == [False, True, True, False]
    assert [row["answer_score"] for row in found[:4]] == [0.25, 0.75, 0.75, 0.25]
    assert all(row["answer_score"] is None for row in found[4:])
    assert [row["error"].split(":")[-1].strip() for row in found[4:]] == [
        "got none",
        "got a number",
        "got neither",
    ]
    assert router.answers.watch.checked == 0
    with pytest.raises(BundleError, match="has no check of answers"):
        list(check_rows(hand_made(), []))


def test_golden_vector_that_differs_is_found(folder, tmp_path):
    bundle = read_bundle(folder)
    golden = bundle.files["golden_answers.jsonl"].replace(b"0.125", b"0.25")
    write_bundle(
        tmp_path / "words-2",
        {**bundle.files, "golden_answers.jsonl": golden},
        bundle.manifest.as_dict(without={"files", "sha256"}),
    )
    assert (
        "empty: answer_score is 0.125, expected 0.25" in verify(tmp_path / "words-2").differences[0]
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_features": len(FACTS) + 1}, r"facts and two probabilities: got \d+ features"),
        ({"inputs": ("input_ids", "attention_mask", "answer", "mask")}, "must have the inputs"),
        (
            {"facts": facts_form(facts=[{"name": "other", "known": 1.0}])},
            "must list the .* facts of version 1",
        ),
        ({"facts": facts_form(facts_version=99)}, "newer than this runtime computes"),
        ({"scores": np.full(200, np.nan)}, "must score a plain answer: got answer_score"),
    ],
    ids=["width", "inputs", "names", "version", "nan"],
)
def test_check_that_does_not_fit_is_refused(tmp_path, changes, message):
    with pytest.raises(BundleError, match=message):
        write_with_check(SAVED, tmp_path / "words-1", **changes)


def test_check_is_reloaded_with_its_bundle(folder, tmp_path):
    """Another threshold counts at once, counts begin anew, and a check that does not reproduce its
    golden vectors is never taken up.
    """
    link = tmp_path / "current"
    link.symlink_to(folder)
    router = ReloadingRouter(follow_path(link))
    assert (router.check("w1", "w150").escalate, router.current.answers.watch.checked) == (True, 1)
    write_with_check(SAVED, tmp_path / "words-2", rule={"threshold": 0.8})
    point_to(link, tmp_path / "words-2")
    assert router.look()
    assert not router.check("w1", "w150").escalate
    assert router.current.answers.watch.checked == 1
    bundle = read_bundle(tmp_path / "words-2")
    golden = bundle.files["golden_answers.jsonl"].replace(b"0.125", b"0.25")
    files = {**bundle.files, "golden_answers.jsonl": golden}
    manifest = bundle.manifest.as_dict(without={"files", "sha256"})
    write_bundle(tmp_path / "words-3", files, manifest)
    point_to(link, tmp_path / "words-3")
    assert not router.look()
    assert "must reproduce its golden vectors" in router.last_error
    assert asyncio.run(router.acheck("w1", "w150")).threshold == 0.8


def point_to(link, folder):
    """Replace a link in one step."""
    beside = link.with_name("next")
    beside.symlink_to(folder)
    beside.replace(link)
