"""Replay of logs on disk: simulated ones whose truth is known, and that of the journey's bundle."""

import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from benchmarks.lib.decision_logs import Service, feedback_rows, write_log
from difficulty.bundle import Policy, read_bundle
from difficulty.bundle.policy import Exploration
from difficulty.errors import BundleError, InvalidValueError, LogError
from difficulty.gateway.visits import explore
from difficulty.replay.replay_result import read_replay, write_replay
from difficulty.runtime import Router
from difficulty.stages.deploying.deployed_policy import change_policy
from difficulty.stages.watching.replayed_bundle import (
    BundleOpinion,
    keep_ineligible,
    within_sessions,
)
from difficulty.stages.watching.replaying import OtherCuts, replay_log
from tests.answer_checks import write_with_check
from tests.data.make_bundle import POLICY
from tests.events import WHEN, answer, event_of
from tests.journey import sample_rows, write_rows
from tests.versions import SAVED, make_version


def test_what_a_model_could_not_take_keeps_its_route(tmp_path):
    """By other thresholds and by another bundle, whose scores of the text say nothing of it: of two
    with an image one went to either model.
    """
    shown = {"reason": "ineligible", "difficulty_score": None, "p_cheap_fails": None}
    events = [
        event_of(
            0, route="frontier", policy_route="frontier", ineligible=("cheap.image",), **shown
        ),
        event_of(1, ineligible=("frontier.tools",), **shown),
        event_of(2, p_cheap_fails=0.2),
    ]
    log = logged(tmp_path, *(replace(event, propensity=1.0) for event in events))
    for threshold, share in ((0.9, 1 / 3), (0.1, 2 / 3)):
        result = replay_log([log], cuts=OtherCuts(threshold=threshold))
        assert result.overall["frontier_share"].value == pytest.approx(share)
    none = np.zeros(3, dtype=bool)
    opinion = BundleOpinion(
        sent=np.array([0.0, 1.0, 1.0]),
        p_cheap_fails=np.full(3, 0.5),
        p_frontier_fails=np.full(3, 0.5),
        answer_score=None,
        seen=none,
        without_text=none,
        notes=(),
    )
    columns = {
        "reason": np.array(["ineligible", "ineligible", "within_threshold"]),
        "policy_route": np.array(["frontier", "cheap", "cheap"]),
    }
    kept = keep_ineligible(opinion, columns)
    assert kept.sent.tolist() == [1.0, 0.0, 1.0]
    assert kept.notes[0].startswith("2 requests that a model could not take")
    alone = replace(opinion, seen=~none)
    assert keep_ineligible(alone, columns) is alone


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """A log of 4,000 requests with epsilon 0.1, outcomes of 70 % of them, and one of nobody's."""
    folder, rng = tmp_path_factory.mktemp("service"), np.random.default_rng(2)
    columns = Service.usual(epsilon=0.1, threshold=0.6).draw(4000, rng)
    write_log(columns, folder / "log")
    feedback = [*feedback_rows(columns, 0.7, rng), {"id": "nobody", "side": "cheap", "quality": 1}]
    write_rows(folder / "feedback.jsonl", feedback)
    return folder, columns


def truth_of(columns, threshold):
    """Return share, quality, fallback share and cost of a threshold."""
    sent, refused = columns["difficulty_score"] > threshold, columns["cheap_passed"] < 0.5
    second = ~sent & refused
    best = np.where(sent | second, columns["frontier_truth"], columns["cheap_truth"])
    cost = np.where(sent, 0.0, columns["cheap_cost_usd"]) + np.where(
        sent | second, columns["frontier_cost_usd"], 0.0
    )
    return {
        "frontier_share": sent.mean(),
        "quality": best.mean(),
        "fallback_share": second.mean(),
        "cost": 1000 * cost.mean(),
        "risk": (1 - columns["cheap_truth"])[~sent & ~refused].sum() / (~sent).sum(),
    }


def test_figures_of_another_threshold_are_those_that_it_would_have_had(service):
    folder, columns = service
    result = replay_log(
        [folder / "log"],
        cuts=OtherCuts(threshold=0.64),
        outcomes=[folder / "feedback.jsonl"],
        plan_width=0.02,
    )
    truth, before = truth_of(columns, 0.64), truth_of(columns, 0.6)
    assert result.overall["frontier_share"].value == pytest.approx(truth["frontier_share"])
    for name in ("quality", "risk", "cost", "fallback_share"):
        difference = result.difference[name]
        wide = 0.5 * (difference.high - difference.low)
        # Three half widths: a wrong estimate is further off, a right one hardly ever.
        assert abs(difference.value - truth[name] + before[name]) < 1.5 * wide, name
        assert result.overall[name].low < result.overall[name].value < result.overall[name].high
    assert result.is_supported
    assert any("requests that the log does not have" in finding for finding in result.findings)
    assert result.counts["with_quality"] == pytest.approx(2800, abs=150)
    assert {way.way for way in result.plan.ways} == {"explore", "shadow"}
    begin = "with the folder of simulated-1 for BUNDLE: difficulty thresholds BUNDLE TRAFFIC"
    assert result.next_step.startswith(f"{begin} --objective share=0.")
    assert result.next_step.endswith(" -o NEXT")
    assert "; sent by the rule " in result.sentence


def test_without_outcomes_share_and_cost_are_replayed_alone(service):
    folder, columns = service
    result = replay_log([folder / "log"], cuts=OtherCuts(threshold=0.64))
    assert result.overall["quality"].value is None
    # That replaced answers harmed nobody is no word on the others.
    assert result.overall["risk"].note == "no outcome is known"
    assert result.overall["cost"].value == pytest.approx(truth_of(columns, 0.64)["cost"], rel=0.1)
    assert result.is_supported
    assert any("Pass --outcomes" in finding for finding in result.findings)


def test_task_thresholds_move_their_tasks_alone(service):
    folder, columns = service
    result = replay_log([folder / "log"], cuts=OtherCuts(task_thresholds={"planning": 1.0}))
    sent = (columns["difficulty_score"] > 0.6) & (columns["task"] != "planning")
    assert result.overall["frontier_share"].value == pytest.approx(sent.mean())


def logged(folder, *events, feedback=()):
    """Write a log of events, and feedback; return the folder of the log."""
    log = folder / "decisions"
    log.mkdir()
    rows = [replace(event, seq=number, writer="w").as_dict() for number, event in enumerate(events)]
    write_rows(log / "events.jsonl", rows)
    write_rows(folder / "feedback.jsonl", list(feedback))
    return log


def test_deterministic_log_gives_bounds_and_asks_for_exploration(tmp_path):
    """One route only, no shadow call, propensity 1."""
    events = [
        event_of(number, difficulty_score=number / 40, p_cheap_fails=0.1, propensity=1.0)
        for number in range(20)
    ]
    feedback = [{"id": f"r{number}", "side": "cheap", "quality": 1.0} for number in range(20)]
    log = logged(tmp_path, *events, feedback=feedback)
    result = replay_log(
        [log], cuts=OtherCuts(threshold=0.2), outcomes=[tmp_path / "feedback.jsonl"], plan_width=0.1
    )
    assert not result.is_supported
    quality = result.overall["quality"]
    assert quality.value is None
    assert 0.1 < quality.low < 9 / 20
    assert quality.high == 1.0
    assert result.findings[0].startswith("Every request took the cheap route")
    assert "11 of 20 requests (55.0%)" in result.findings[1]
    assert result.plan.ways
    assert "--set epsilon=0.05" in result.next_step


def test_impossible_propensities_and_foreign_events_are_left_out_and_told(tmp_path):
    events = [event_of(number) for number in range(6)]
    log = logged(tmp_path, *events, event_of(6, bundle_version="other-1"), event_of(7))
    file = log / "events.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for row, propensity in zip(rows, (0.0, 1.5, None, -1, "x"), strict=False):
        row["propensity"] = propensity
    write_rows(file, rows)
    result = replay_log([log], cuts=OtherCuts(threshold=0.2))
    assert result.counts["requests"] == 2
    assert result.counts["left_out_without_propensity"] == 5
    assert result.counts["left_out_foreign_bundle"] == 1
    assert any(
        "Not replayed: 1 decided by another bundle, 5 without a propensity" in finding
        for finding in result.findings
    )


def test_days_before_exploration_are_left_out_by_since(tmp_path):
    """The first ten had no chance to go elsewhere; of the others half went."""
    early = [
        event_of(number, p_cheap_fails=0.2, propensity=1.0, time=WHEN - timedelta(days=9))
        for number in range(10)
    ]
    later = [
        event_of(
            number,
            p_cheap_fails=0.2,
            propensity=0.5,
            route="frontier" if number % 2 else "cheap",
            calls=(answer("frontier" if number % 2 else "cheap"),),
        )
        for number in range(10, 30)
    ]
    log = logged(tmp_path, *early, *later)
    assert not replay_log([log], cuts=OtherCuts(threshold=0.2)).is_supported
    result = replay_log([log], cuts=OtherCuts(threshold=0.2), since=WHEN.date())
    assert result.is_supported
    assert result.counts["left_out_too_early"] == 10


def test_costs_that_nobody_knows_are_no_missing_support(tmp_path):
    """The cheap model has no price: its cost is unknown, and the rest is told."""
    events = [
        event_of(
            number,
            p_cheap_fails=0.2,
            difficulty_score=number / 80,
            propensity=0.5,
            route="frontier" if number % 2 else "cheap",
            calls=(answer("frontier") if number % 2 else answer("cheap", cost_usd=None),),
        )
        for number in range(40)
    ]
    result = replay_log([logged(tmp_path, *events)], cuts=OtherCuts(threshold=0.2))
    assert result.overall["cost"].value is None
    assert result.overall["fallback_share"].value == 0.0
    assert result.is_supported


def test_log_without_a_propensity_is_refused(tmp_path):
    log = logged(tmp_path, event_of(0))
    file = log / "events.jsonl"
    file.write_text(file.read_text().replace('"propensity": 0.95', '"propensity": 7'))
    with pytest.raises(LogError, match="needs requests with a propensity"):
        replay_log([log], cuts=OtherCuts(threshold=0.2))


def test_propensities_that_are_not_the_policys_are_told(tmp_path):
    """A half went the other way where one in twenty was to."""
    events = [
        event_of(
            number,
            route="frontier" if number % 2 else "cheap",
            propensity=0.05 if number % 2 else 0.95,
            calls=(answer("frontier" if number % 2 else "cheap"),),
        )
        for number in range(200)
    ]
    result = replay_log([logged(tmp_path, *events)], cuts=OtherCuts(threshold=0.2))
    assert any("they are not those of the policy" in finding for finding in result.findings)


@pytest.mark.parametrize(
    ("cuts", "width", "rule"),
    [
        (OtherCuts(), None, "get a bundle or a threshold"),
        (OtherCuts(threshold=70.0), None, "be a probability"),
        (OtherCuts(threshold=0.5), 2.0, "be a width"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, cuts, width, rule):
    with pytest.raises(InvalidValueError, match=rule):
        replay_log([logged(tmp_path, event_of(0))], cuts=cuts, plan_width=width)


def test_requests_that_early_exit_decided_leave_bounds(tmp_path):
    """Their full score is not in the log, so where another threshold sends them is not known."""
    events = [event_of(number, p_cheap_fails=0.2) for number in range(6)]
    events += [event_of(number, scored_by="early") for number in range(6, 8)]
    result = replay_log([logged(tmp_path, *events)], cuts=OtherCuts(threshold=0.2))
    share = result.overall["frontier_share"]
    assert (share.value, share.low, share.high) == (None, 0.75, 1.0)
    assert any("early exit decided them" in finding for finding in result.findings)


def test_requests_of_sessions_leave_bounds(tmp_path):
    """Six alone at 0.25, above 0.2; two that a session held: where another threshold had put their
    session is not known. By their own thresholds they stay where they were.
    """
    events = [event_of(number, p_cheap_fails=0.2) for number in range(6)]
    events += [
        event_of(6, reason="stick", p_cheap_fails=0.2, held_on="cheap"),
        event_of(7, p_cheap_fails=0.2, held_on="frontier"),
    ]
    log = logged(tmp_path, *events)
    result = replay_log([log], cuts=OtherCuts(threshold=0.2))
    share = result.overall["frontier_share"]
    assert (share.value, share.low, share.high) == (None, 0.75, 1.0)
    assert any("session that keeps its model" in finding for finding in result.findings)
    same = replay_log([log], cuts=OtherCuts(threshold=0.5)).overall["frontier_share"]
    assert same.value == 0.0


def test_bundle_without_stick_decides_the_steps_of_sessions_alone(journey, tmp_path):
    """By their logged scores; one with it cannot tell of those that a session held."""
    change_policy(journey.bundle, ["margin=0.1"], tmp_path / "small-2")
    change_policy(journey.bundle, ["epsilon=0.01"], tmp_path / "small-3")
    threshold = read_bundle(journey.bundle).policy.threshold
    score = threshold + 0.01
    events = [
        event_of(number, difficulty_score=score, p_cheap_fails=0.2, threshold=threshold, **step)
        for number, step in enumerate(
            [
                {"reason": "stick", "held_on": "cheap"},
                {"route": "frontier", "policy_route": "frontier", "reason": "above_threshold"},
            ]
        )
    ]
    events = [replace(event, bundle_version="small-2") for event in events]
    log = logged(tmp_path, *events)
    replayed = {
        name: replay_log(
            [log], bundle_path=tmp_path / name, logged_bundle_path=tmp_path / "small-2"
        )
        for name in ("small-2", "small-3")
    }
    assert replayed["small-3"].overall["frontier_share"].value == 1.0
    unsure = replayed["small-2"].overall["frontier_share"]
    assert (unsure.value, unsure.low, unsure.high) == (None, 0.5, 1.0)


def test_step_of_a_session_that_a_rule_decided_hangs_on_the_session_where_no_rule_is_left():
    reasons = ["hard_task", "hard_task", "unfamiliar", "scorer_error", "hard_task"]
    columns = {
        "reason": np.array(reasons),
        "held_on": np.array(["cheap"] * 4 + [None], dtype=object),
        "task": np.array(["code", "proofs", None, None, "code"], dtype=object),
        "tokens": np.full(5, 300.0),
    }
    none = np.zeros(5, dtype=bool)
    opinion = BundleOpinion(
        sent=np.ones(5),
        p_cheap_fails=np.full(5, 0.5),
        p_frontier_fails=np.full(5, 0.5),
        answer_score=None,
        seen=none,
        without_text=none,
        notes=(),
    )
    rules = {"easy_tasks": [], "hard_tasks": ["proofs"], "stick": {"margin": 0.1}}
    sent = within_sessions(opinion, Policy.parse(POLICY | rules), columns).sent
    assert np.isnan(sent).tolist() == [True, False, True, False, False]


@pytest.fixture(scope="module")
def decided(journey, tmp_path_factory):
    """A log of the journey's bundle, texts kept, epsilon 0.3, and what the answers were worth."""
    folder = tmp_path_factory.mktemp("decided")
    router = Router.load(journey.bundle)
    settings = Exploration(epsilon=0.3)
    events, feedback = [], []
    for row in sample_rows(1200)[800:]:
        decision = router.decide(row["messages"], row.get("task"))
        routed = explore(decision.route, decision.reason, settings, id=row["id"])
        events.append(
            event_of(
                id=row["id"],
                time=WHEN,
                bundle_version="small-1",
                route=routed.route,
                policy_route=decision.route,
                reason=decision.reason,
                difficulty_score=decision.difficulty_score,
                p_cheap_fails=decision.p_cheap_fails,
                p_frontier_fails=decision.p_frontier_fails,
                familiarity=decision.familiarity,
                threshold=decision.threshold,
                propensity=routed.propensity,
                task=row.get("task"),
                tokens=decision.tokens,
                calls=(answer(routed.route),),
                messages=tuple(row["messages"]),
            )
        )
        if (quality := row.get(f"{routed.route}_quality")) is not None:
            feedback.append({"id": row["id"], "side": routed.route, "quality": quality})
    log = logged(folder, *events, feedback=feedback)
    other = make_version(folder, 2, threshold=0.5, name="small", source=journey.bundle)
    return log, folder / "feedback.jsonl", other


def test_bundle_is_replayed_on_the_texts_of_the_log(decided, journey):
    """The same scorer with another threshold: by texts and by the logged scores nearly alike, as
    requests that the bundle was made from are known by their texts alone.
    """
    log, feedback, other = decided
    by_texts = replay_log([log], bundle_path=other, outcomes=[feedback])
    by_scores = replay_log(
        [log], bundle_path=other, outcomes=[feedback], logged_bundle_path=journey.bundle
    )
    assert by_texts.candidate.bundle_sha256 == read_bundle(other).digest
    for part in ("overall", "difference"):
        left, right = getattr(by_texts, part), getattr(by_scores, part)
        for name in ("frontier_share", "quality"):
            assert left[name].value == pytest.approx(right[name].value, abs=0.02), name
    assert by_texts.counts["left_out_seen_by_the_bundle"] < 10
    assert by_texts.is_supported
    assert "has the same scorer" in " ".join(by_scores.findings)


def test_changed_rule_is_replayed_without_texts(decided, journey, tmp_path):
    """No task is hard any more: those requests never went to the cheap model."""
    log, feedback, _ = decided
    change_policy(journey.bundle, ["hard_tasks=[]"], tmp_path / "small-3")
    result = replay_log(
        [log],
        bundle_path=tmp_path / "small-3",
        outcomes=[feedback],
        logged_bundle_path=journey.bundle,
    )
    assert result.overall["frontier_share"].value is None
    assert not result.is_supported


def test_bundle_needs_texts(tmp_path, journey):
    log = logged(tmp_path, event_of(0))
    with pytest.raises(LogError, match="needs the texts"):
        replay_log([log], bundle_path=journey.bundle)


def test_another_scorer_cannot_go_by_logged_scores(journey):
    from difficulty.stages.watching.replayed_bundle import decide_by_logged_scores

    with pytest.raises(BundleError, match="scorer is another one"):
        decide_by_logged_scores(read_bundle(SAVED), read_bundle(journey.bundle), {})


def test_what_is_written_is_read_again(service, tmp_path):
    folder, _ = service
    result = replay_log(
        [folder / "log"], cuts=OtherCuts(threshold=0.64), outcomes=[folder / "feedback.jsonl"]
    )
    write_replay(result, tmp_path / "replay", "page")
    evidence = read_replay(tmp_path / "replay")
    assert evidence.bundle_sha256 is None
    assert evidence.difference["quality"] == result.difference["quality"]
    content = json.loads((tmp_path / "replay" / "replay.json").read_text())
    assert set(content["overall"]["quality"]) >= {"value", "low", "high", "n"}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [("{", "cannot be used"), ('{"format": 9}', "format 9 is not known"), ("{}", "not known")],
)
def test_damaged_replay_is_refused(tmp_path, content, complaint):
    (tmp_path / "replay.json").write_text(content)
    with pytest.raises(LogError, match=complaint):
        read_replay(tmp_path)
    with pytest.raises(LogError, match="must be a folder"):
        read_replay(tmp_path / "none")


@pytest.fixture
def checking(tmp_path):
    """A bundle whose check sends on answers that begin with w7, and what writes a log of 40 cheap
    answers to easy requests, which its rule keeps, every second one beginning so, none checked.
    """
    folder = tmp_path / "words-2"
    write_with_check(SAVED, folder, words={"w7": 0.9, "w8": 0.1})

    def write(*, shadow, answers=True):
        events, feedback = [], []
        for number in range(40):
            said = f"w{7 + number % 2} w{number + 20}"
            calls = [answer(answer=said if answers else None, prompt_tokens=2)]
            calls += [answer("frontier", role="shadow")] if shadow else []
            text = {"role": "user", "content": f"w{number + 10} w{number + 60}"}
            events.append(
                event_of(
                    number,
                    bundle_version="words-1",
                    reason="easy_task",
                    task="classify",
                    propensity=1.0,
                    messages=(text,),
                    calls=tuple(calls),
                )
            )
            feedback.append({"id": f"r{number}", "side": "cheap", "quality": number % 2})
            feedback.append({"id": f"r{number}", "side": "frontier", "quality": 1.0})
        return logged(tmp_path, *events, feedback=feedback if shadow else feedback[::2])

    return folder, write, tmp_path / "feedback.jsonl"


def test_check_of_another_bundle_is_replayed_where_shadow_calls_show_both(checking):
    """It sends on the 20 answers that are wrong."""
    folder, write, feedback = checking
    result = replay_log([write(shadow=True)], bundle_path=folder, outcomes=[feedback])
    assert result.overall["fallback_share"].value == pytest.approx(0.5)
    assert result.overall["quality"].value == pytest.approx(1.0)
    assert result.logged["quality"].value == pytest.approx(0.5)
    assert result.is_supported


def test_answers_that_were_never_sent_on_have_no_support(checking):
    folder, write, feedback = checking
    result = replay_log([write(shadow=False)], bundle_path=folder, outcomes=[feedback])
    assert not result.is_supported
    assert result.unsupported["route"] == pytest.approx(0.5)
    assert result.overall["quality"].value is None


def test_check_needs_answers(checking):
    folder, write, _ = checking
    with pytest.raises(LogError, match="checks answers: replaying it needs the cheap answers"):
        replay_log([write(shadow=True, answers=False)], bundle_path=folder)
