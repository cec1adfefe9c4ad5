"""Replay on the command line, and a promotion by its evidence."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from difficulty.bundle.policy import Exploration
from difficulty.gateway.visits import explore
from difficulty.runtime import Router
from tests.events import WHEN, answer, event_of
from tests.journey import sample_rows, write_rows
from tests.versions import make_version


@pytest.fixture(scope="module")
def decided(journey, tmp_path_factory):
    """A folder with a log of the journey's bundle (epsilon 0.3, texts kept), the outcomes of what
    was seen, and another version of the bundle.
    """
    folder = tmp_path_factory.mktemp("decided")
    router, settings = Router.load(journey.bundle), Exploration(epsilon=0.3)
    rows = sample_rows(1200)[800:]
    events, feedback = [], []
    for number, row in enumerate(rows):
        decision = router.decide(row["messages"])
        routed = explore(decision.route, decision.reason, settings, id=row["id"])
        event = event_of(
            id=row["id"],
            time=WHEN + timedelta(minutes=10 * number),
            route=routed.route,
            policy_route=decision.route,
            reason=decision.reason,
            difficulty_score=decision.difficulty_score,
            p_cheap_fails=decision.p_cheap_fails,
            p_frontier_fails=decision.p_frontier_fails,
            familiarity=decision.familiarity,
            threshold=decision.threshold,
            propensity=routed.propensity,
            tokens=decision.tokens,
            calls=(answer(routed.route, cost_usd=0.01 if routed.route == "frontier" else 0.001),),
            messages=tuple(row["messages"]),
            seq=number,
            writer="w",
        )
        events.append(event.as_dict())
        if (quality := row.get(f"{routed.route}_quality")) is not None:
            feedback.append({"id": row["id"], "side": routed.route, "quality": quality})
    (folder / "log").mkdir()
    write_rows(folder / "log" / "events.jsonl", events)
    write_rows(folder / "feedback.jsonl", feedback)
    threshold = Router.load(journey.bundle).policy.threshold
    make_version(folder, 2, threshold=threshold - 0.005, name="small", source=journey.bundle)
    return folder


def test_threshold_is_replayed(run, decided):
    args = ("replay", decided / "log", "--outcomes", decided / "feedback.jsonl")
    said = run(*args, "--threshold", "0.5", "--plan", "0.02", "-o", "out", code=0).out
    assert said.startswith("Threshold 0.5 on 400 logged requests: quality 0.")
    assert "  epsilon=0.05: " in said
    assert "wrote out/replay.json and replay.md" in said
    page = Path("out/replay.md").read_text()
    assert page.startswith("# Replay of threshold 0.5")
    assert "| doubly robust (the figure) |" in page
    form = json.loads(run(*args, "--threshold", "0.5", "-o", "other", "--json", code=0).out)
    assert form["supported"]
    assert set(form["overall"]["quality"]) == {"value", "low", "high", "n"}
    assert "exists already" in run(*args, "--threshold", "0.5", "-o", "out", code=2).complaint


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([], "replay must get a bundle or a threshold"),
        (["--threshold", "70"], "threshold must be a probability"),
        (["--threshold", "0.5", "--plan", "3"], "plan must be a width"),
    ],
)
def test_what_cannot_be_replayed_is_refused(run, decided, options, complaint):
    assert complaint in run("replay", decided / "log", *options, "-o", "out", code=2).complaint


def test_number_that_is_none_is_refused(run, decided):
    err = run("replay", decided / "log", "--threshold", "much", "-o", "out", code=2).err
    assert "TASK=NUMBER" in err


def test_missing_support_is_exit_code_1(run, tmp_path):
    events = [
        event_of(number, p_cheap_fails=0.2, propensity=1.0, seq=number, writer="w").as_dict()
        for number in range(30)
    ]
    (tmp_path / "log").mkdir()
    write_rows(tmp_path / "log" / "events.jsonl", events)
    ran = run("replay", "log", "--threshold", "0.1", "-o", "out", code=1)
    assert "the route asked about had no chance to be seen" in ran.err
    assert "Every request took the cheap route" in ran.err


def test_promotion_goes_by_a_replay_of_that_very_bundle(run, decided, journey, monkeypatch):
    monkeypatch.setenv("DIFFICULTY_REGISTRY", "registry")
    challenger = decided / "small-2"
    run("publish", journey.bundle, "--name", "support", code=0)
    run("promote", "support", code=0)
    run("publish", challenger, "--name", "support", code=0)
    replay = ("replay", decided / "log", "--outcomes", decided / "feedback.jsonl")
    run(*replay, "--threshold", "0.5", "-o", "cut", code=0)
    run(*replay, "--bundle", journey.bundle, "-o", "champion", code=0)
    run(*replay, "--bundle", challenger, "-o", "challenger", code=0)
    assert "is of a threshold" in run("promote", "support", "--replay", "cut", code=2).complaint
    other = run("promote", "support", "--replay", "champion", code=2).complaint
    assert "is of another bundle" in other
    said = run("promote", "support", "--replay", "challenger", "--json")
    form = json.loads(said.out)
    evidence = json.loads(Path("challenger/replay.json").read_text())
    assert form["n"] == evidence["counts"]["with_quality"]
    assert form["figures"]["quality"]["difference"] == evidence["difference"]["quality"]
    assert form["promoted"] == (not form["refusals"])
    assert any("replayed on" in note for note in form["notes"])


def test_replay_of_another_champions_log_is_no_evidence(run, decided, journey, monkeypatch):
    monkeypatch.setenv("DIFFICULTY_REGISTRY", "registry")
    challenger = decided / "small-2"
    run("publish", challenger, "--name", "support", code=0)
    run("promote", "support", code=0)
    run("publish", journey.bundle, "--name", "support", code=0)
    run("replay", decided / "log", "--bundle", journey.bundle, "-o", "out", code=0)
    complaint = run("promote", "support", "--replay", "out", code=2).complaint
    assert "must be of a log of the champion small-2: got requests that small-1" in complaint
