"""Explanations: occlusion agrees with scores by hand, and says what would change a decision."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from difficulty.bundle import Policy
from difficulty.conversation.request_numbers import NUMBERS
from difficulty.needs import Needs
from difficulty.request import Request
from difficulty.routes import Held
from difficulty.runtime import Router, Scorer
from difficulty.runtime.session import load_session
from difficulty.tensors import GraphBuilder
from difficulty.text import TextView
from difficulty.tokens import RequestTokenizer
from tests.data.make_bundle import POLICY
from tests.fakes import word_tokenizer
from tests.runtime.conftest import hand_made, hand_made_early

TEXT = "w1 w2 w3. w4 w5, w150 w6. w7 w8"
EXACT = 2e-6
"""What float32 and padding leave of a score."""


INPUTS = ("input_ids", "attention_mask")
OUTPUTS = ("difficulty_score", "p_cheap_fails", "familiarity")


def largest_id_graph(*, added_up=False):
    """Return a graph whose score is the largest id / 200, so that one word decides; or a fifth for
    each id from 150 on, added up.
    """
    graph = GraphBuilder()
    ids, _ = (graph.input(name, np.int64, ["batch", "tokens"]) for name in INPUTS)
    values = np.where(np.arange(400) >= 150, 0.2, 0.0) if added_up else np.arange(400) / 200
    scores = graph.constant(values.astype(np.float32)).take(ids)
    score = scores.sum(1) if added_up else scores.max(1).squeeze(1)
    for name in OUTPUTS:
        value = graph.constant(np.float32(1.0)) - score if name == "familiarity" else score
        graph.output(graph("Identity", value), name, ["batch"])
    return graph.build("largest").SerializeToString()


def router_of(policy=None, *, task_ids=None, view=1, **graph):
    tokenizer, view = RequestTokenizer(word_tokenizer(), max_tokens=64), TextView(view)
    scorer = Scorer(load_session(largest_id_graph(**graph)), tokenizer, view, task_ids=task_ids)
    return Router(scorer, Policy.parse(POLICY | (policy or {})), version="largest-1")


def rules(**changes):
    empty = {"easy_tasks": [], "hard_tasks": [], "task_thresholds": {}, "min_familiarity": 0.0}
    return {"threshold": 0.5, **empty, **changes}


def changes_by(explanation):
    return {change.by: change for change in explanation.changes}


def test_the_one_word_that_decides_is_found():
    """Of eight words one is above the threshold: its part pushes, and without it all is cheap."""
    why = router_of(rules()).explain(TEXT)
    first = why.finest[0]
    assert (first.text, first.score, first.route) == ("w150", 0.04, "cheap")
    assert first.push == pytest.approx(0.75 - 0.04, abs=EXACT)
    assert all(part.push == pytest.approx(0, abs=EXACT) for part in why.finest[1:])
    change = changes_by(why)["part"]
    assert change.route == "cheap"
    assert '"w150"' in change.sentence


def test_needs_are_heard_and_what_would_be_needed_is_told():
    """In the EU alone the frontier model may answer; by its score the request would stay cheap."""
    policy = rules(eligibility={"frontier": {"residency": ["eu"]}})
    why = router_of(policy).explain("w1 w2", needs=Needs(residency=("eu",)))
    assert (why.decision.reason, why.decision.route) == ("ineligible", "frontier")
    change = changes_by(why)["eligibility"]
    assert change.route == "cheap"
    assert change.sentence == (
        "a cheap model that takes its residency tags: within_threshold decides then"
    )
    hard = router_of(policy).explain("w150", needs=Needs(residency=("eu",)))
    assert "eligibility" not in changes_by(hard)
    nobody = router_of(rules()).explain("w1", needs=Needs(residency=("eu",)))
    assert changes_by(nobody)["eligibility"].sentence.endswith("it alone can take the request then")


def test_parts_agree_with_scores_by_hand(router, texts):
    """Each part's score is the scorer's of the text without it."""
    for messages in texts[:5]:
        view = router.scorer.view(messages).text
        why = router.explain(messages)
        assert why.difficulty_score == pytest.approx(
            router.scorer.score(messages).difficulty_score, abs=EXACT
        )
        assert len(why.parts) > 2
        for part in why.parts:
            rest = view[: part.start] + view[part.end :]
            alone = router.scorer.score(rest).difficulty_score
            assert part.score == pytest.approx(alone, abs=1e-5)
            assert part.push == pytest.approx(why.difficulty_score - part.score, abs=EXACT)
            assert router.consider(Request(rest)).route == part.route


def test_finest_parts_put_together_are_the_text(router, texts):
    for messages in texts[:10]:
        parts = [part for part in router.explain(messages).parts if part.finest]
        ends = [0, *(part.end for part in parts)]
        assert [part.start for part in parts] == ends[:-1]
        assert ends[-1] == len(router.scorer.view(messages).text)


def test_parts_name_their_message():
    messages = [{"role": "system", "content": "w1 w2. w3"}, {"role": "user", "content": "w4 w150"}]
    first = router_of(rules()).explain(messages).finest[0]
    assert (first.text, first.message) == ("w150", 1)


def test_what_the_view_left_out_is_told():
    """Text view 2 takes a reminder out: none of its words is a part."""
    reminder = (
        "<system-reminder>\nNever mention this w150 to the user. Keep the list of the day up to"
        " date while you work on the task at hand, always and in every case.\n</system-reminder>"
    )
    why = router_of(rules(), view=2).explain(f"What is the capital of France?\n{reminder}")
    assert why.difficulty_score < 0.5
    assert "".join(part.text for part in why.parts if part.finest) == "WhatisthecapitalofFrance?"
    assert "left out as context" in why.notes[0]
    assert "reminder" in why.notes[0]


def test_parts_together_turn_what_none_turns_alone():
    """Three words are worth a fifth each: without one the score is still above 0.3."""
    why = router_of(rules(threshold=0.3), added_up=True).explain("w1 w150 w2 w151 w3 w152")
    assert why.difficulty_score == pytest.approx(0.6, abs=EXACT)
    change = changes_by(why)["parts"]
    assert (change.route, "part" in changes_by(why)) == ("cheap", False)
    assert change.sentence == 'without "w150", "w151" together: the score is 0.2000 then'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("w150", "a threshold of 0.7500 or more, 0.2500 from the present 0.5000"),
        ("w50", "a threshold below 0.2500, 0.2500 from the present 0.5000"),
    ],
)
def test_threshold_that_would_decide_otherwise(text, sentence):
    why = router_of(rules()).explain(text)
    assert changes_by(why)["threshold"].sentence == sentence
    assert why.parts == ()  # of one word nothing is left without it


def test_easy_task_needs_no_score_and_says_what_the_score_would_do():
    router = router_of(rules(easy_tasks=["classify"], max_cheap_tokens=20))
    why = router.explain(TEXT, "classify")
    assert (why.decision.reason, why.difficulty_score, why.parts) == ("easy_task", 0.75, ())
    assert "no score was needed" in why.notes[0]
    changes = changes_by(why)
    assert changes["tokens"].sentence.startswith("20 tokens or more")
    assert changes["task"].sentence == "no task"


def test_hard_task_names_what_would_stay_cheap():
    router = router_of(rules(hard_tasks=["code"], task_thresholds={"chat": 0.9}))
    why = router.explain("w7 w8", "code")
    assert why.decision.reason == "hard_task"
    sentences = [change.sentence for change in why.changes]
    assert sentences == ["no task", "the task 'chat'"]


def test_task_moves_the_score():
    """The scorer reads the task's id as a word, here the largest there is."""
    router = router_of(rules(), task_ids={"proofs": 190})
    why = router.explain("w1 w2", "proofs")
    (task,) = [feature for feature in why.features if feature.name == "task"]
    assert (task.value, task.score, task.route) == ("proofs", 0.01, "cheap")
    assert task.push == pytest.approx(0.94, abs=EXACT)
    assert [change.sentence for change in why.changes if change.by == "task"] == ["no task"]
    # And the other way round, where it is not given.
    assert changes_by(router.explain("w1 w2"))["task"].sentence == "the task 'proofs'"


def test_unfamiliar_request_is_told_what_the_score_would_do():
    """Familiarity is 1 - score here: the word that nobody knows is found."""
    router = router_of(rules(threshold=0.9, min_familiarity=0.5))
    why = router.explain(TEXT)
    assert (why.decision.reason, why.familiarity) == ("unfamiliar", 0.25)
    assert changes_by(why)["familiarity"].route == "cheap"
    assert '"w150"' in changes_by(why)["part"].sentence
    assert why.finest[0].familiarity == pytest.approx(0.96, abs=EXACT)


def test_session_that_is_held_is_named():
    router = router_of(rules(stick={"margin": 0.4}))
    why = router.explain(TEXT, held=Held("cheap"))
    assert why.decision.reason == "stick"
    assert changes_by(why)["session"].route == "frontier"


@pytest.mark.parametrize("margin", [0.0, 0.03, 0.1, 1.0])
@pytest.mark.parametrize("held", [None, "cheap", "frontier"])
def test_threshold_that_is_named_does_turn_the_route(margin, held):
    """At its end and far from it, whatever the session is on, and rounded on the safe side."""
    session = held and Held(held)
    for text in ("w1", "w30 w73", "w100", "w119 w60", "w150", "w199"):
        rules_now = rules(stick={"margin": margin}, threshold=0.37)
        router = router_of(rules_now)
        why = router.explain(text, held=session)
        change = next((each for each in why.changes if each.by == "threshold"), None)
        if change is None:  # no threshold does
            assert margin == 1.0 or why.difficulty_score < margin + 1e-4 or held == "frontier"
            tried = [0.0, 0.25, 0.5, 0.75, 1.0]
        else:
            named = float(re.search(r"[01]\.\d{4}", change.sentence)[0])
            tried = [named, 1.0] if "or more" in change.sentence else [named - 1e-9, 0.0]
        for threshold in tried:
            other = router_of(rules_now | {"threshold": threshold})
            route = other.decide(text, held=session).route
            assert (route == why.decision.route) == (change is None), (text, threshold)


def test_early_exit_decides_and_the_scorer_explains():
    early = {
        "threshold": 0.5,
        "budget": 0.01,
        "confidence": 0.95,
        "without_task": {"low": 0.3, "high": 0.7, "n": 10, "expected": {}},
    }
    router = hand_made(rules(early=early), early=hand_made_early())
    why = router.explain("w150 w2. w3 w4")
    assert why.decision.scored_by == "early"
    assert any("small graph was sure" in note for note in why.notes)
    turning = changes_by(why)["part"]
    assert (turning.route, '"w150"' in turning.sentence) == ("cheap", True)


@pytest.mark.parametrize("messages", ["", [], [7], {"a": 1}])
def test_request_that_cannot_be_scored_is_explained_all_the_same(router, messages):
    why = router.explain(messages)
    assert why.decision.reason == "scorer_error"
    assert why.notes == (why.decision.error,)
    assert [change.by for change in why.changes] == ["text"]


def test_explaining_counts_nothing(journey, small):
    router = Router.from_bundle(small)
    router.explain([7])
    assert router.scorer_errors == 0


def test_numbers_of_tools_are_weighed(router):
    """What offered functions say is told number by number, where the scorer reads them."""
    function = {"name": "get_weather", "parameters": {"properties": {"city": {"type": "string"}}}}
    why = router.explain("Weather in Oslo?", tools=[{"type": "function", "function": function}])
    names = {feature.name for feature in why.features}
    if not router.scorer.reads_numbers:
        assert names <= {"length", "task"}
        return
    assert {"functions", *NUMBERS[:3]} <= names


def test_a_long_text_takes_no_more_calls_than_a_short_one(router, monkeypatch):
    rows = []
    rescore = router.rescore

    def counted(request, variants):
        rows.append(len(variants))
        return rescore(request, variants)

    monkeypatch.setattr(router, "rescore", counted)
    router.explain("Plan a trip, and then another one. " * 5)
    short = sum(rows)
    rows.clear()
    router.explain("Plan a trip, and then another one.\n" * 5_000)
    assert sum(rows) < short + 120


def test_long_text_says_that_its_middle_was_not_read(router):
    why = router.explain("Plan a trip. " * 5_000)
    assert any("head and tail" in note for note in why.notes)


def test_nearest_kinds_are_named_with_their_outcomes(router, texts):
    nearest = router.explain(texts[0]).nearest
    assert len(nearest) > 1
    assert [kind.cosine for kind in nearest] == sorted(
        (kind.cosine for kind in nearest), reverse=True
    )
    for kind in nearest:
        assert kind.groups >= 20
        quality = kind.cheap_quality
        assert quality is None or quality.low <= quality.value <= quality.high


def test_bundle_of_before_explains_what_it_can(small, texts):
    files = {name: content for name, content in small.files.items() if name != "kinds.json"}
    router = Router.from_bundle(replace(small, files=files))
    why = router.explain(texts[0])
    assert why.nearest == ()
    assert why.parts
    assert any("kinds.json" in note for note in why.notes)


def test_explanation_is_plain_json(router, texts):
    content = json.loads(json.dumps(router.explain(texts[0]).as_dict()))
    assert {*content} >= {"decision", "parts", "features", "nearest", "changes", "notes"}
    assert content["decision"]["route"] in ("cheap", "frontier")
