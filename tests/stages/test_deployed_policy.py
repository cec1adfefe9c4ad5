import json
from dataclasses import replace
from datetime import date

import pytest

from difficulty.bundle import read_bundle, write_bundle
from difficulty.errors import DifficultyError, InvalidValueError
from difficulty.runtime import Router
from difficulty.stages.deploying.deployed_policy import change_policy
from difficulty.stages.verify import verify

TODAY = date(2026, 11, 28)


def test_settings_become_a_new_version_that_verifies(journey, tmp_path):
    before = {path.name: path.read_bytes() for path in journey.bundle.iterdir()}
    change = change_policy(
        journey.bundle,
        [
            'validators=[{check="non_empty"}, {check="regex", options={pattern="a+"}}]',
            "streaming=buffer",
            "exploration.epsilon=0.05",
            "max_cheap_tokens=0",
            'hard_tasks=["law"]',
            "review_date=2027-03-01",
        ],
        tmp_path / "small-2",
        today=TODAY,
    )
    old, new = read_bundle(journey.bundle), read_bundle(tmp_path / "small-2")
    assert [rule.check for rule in new.policy.fallback.validators] == ["non_empty", "regex"]
    assert new.policy.fallback.streaming == "buffer"
    assert new.policy.exploration.epsilon == 0.05
    assert new.policy.hard_tasks == ("law",)
    assert new.policy.review_date == date(2027, 3, 1)
    assert new.policy.threshold == old.policy.threshold
    assert new.files["scorer.onnx"] == old.files["scorer.onnx"]
    assert "-exploration.epsilon = 0.0" in change.diff
    assert "+exploration.epsilon = 0.05" in change.diff
    assert "2026-11-28" in new.policy.chosen.assumed[-1]
    assert json.loads(new.files["metrics.json"])["overall"]["quality"]["value"] is None
    assert verify(tmp_path / "small-2").passed
    decision = Router.load(tmp_path / "small-2").decide("Draft a contract.", "law")
    assert (decision.route, decision.bundle_version) == ("frontier", "small-2")
    assert {path.name: path.read_bytes() for path in journey.bundle.iterdir()} == before


def test_what_moves_no_route_keeps_figures_and_promise(journey, tmp_path):
    promised = _promised(journey.bundle, tmp_path / "small-2")
    change = change_policy(promised, ["shadow=0.1"], tmp_path / "small-3", today=TODAY)
    old, new = read_bundle(promised), read_bundle(tmp_path / "small-3")
    assert new.policy.chosen == old.policy.chosen
    assert new.files["metrics.json"] == old.files["metrics.json"]
    assert change.diff == ("-exploration.shadow = 0.0", "+exploration.shadow = 0.1")
    assert "10 % of the requests" in change.notes[0]


def test_a_promise_that_no_longer_holds_is_dropped_and_said(journey, tmp_path):
    promised = _promised(journey.bundle, tmp_path / "small-2")
    change = change_policy(promised, ["max_cheap_tokens=9"], tmp_path / "small-3", today=TODAY)
    assert change.bundle.policy.chosen.guarantee is None
    assert "no longer promised: risk at most 0.1" in change.notes
    assert '-chosen.guarantee = "risk at most 0.1"' in change.diff


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("epsilom=0.1", "Perhaps 'epsilon' is meant"),
        ("threshold=0.5", "'difficulty thresholds' chooses it"),
        ("cheap_model=x", "trained for this model"),
        ("chosen.guarantee=x", "how the threshold was chosen"),
        ("epsilon", "name=value"),
        ("epsilon=[", "TOML value"),
        ("epsilon=0.1\nshadow = 1", "one TOML value"),
        ("epsilon=0.9", "exploration.epsilon must be in [0, 0.5]"),
        ("streaming=bufer", "fallback.streaming must be 'pass' or 'buffer'"),
        ('validators=[{check="jason"}]', "jason"),
        ("answer.on_unknown=escalate", "bundle that checks answers"),
        ("shadow=0.0", "change something"),
    ],
)
def test_bad_settings_are_refused_in_one_sentence(journey, tmp_path, setting, said):
    with pytest.raises(DifficultyError) as refusal:
        change_policy(journey.bundle, [setting], tmp_path / "small-2")
    assert said in str(refusal.value)
    assert refusal.value.exit_code == 2
    assert not (tmp_path / "small-2").exists()


def test_a_setting_twice_is_refused(journey, tmp_path):
    with pytest.raises(InvalidValueError, match="once"):
        change_policy(journey.bundle, ["shadow=0.1", "exploration.shadow=1"], tmp_path / "small-2")


def _promised(bundle, out):
    held = read_bundle(bundle)
    policy = replace(held.policy, chosen=replace(held.policy.chosen, guarantee="risk at most 0.1"))
    files = {**held.files, "policy.json": json.dumps(policy.as_dict()).encode()}
    write_bundle(out, files, held.manifest.as_dict(without={"files", "sha256"}))
    return out


def test_sessions_are_made_to_keep_their_model_and_no_longer(journey, tmp_path):
    """Its golden requests have sessions then, and verify; ``none`` takes it off again."""
    promised = _promised(journey.bundle, tmp_path / "small-2")
    change = change_policy(
        promised, ["stick.within=loop", "margin=0.3"], tmp_path / "small-3", today=TODAY
    )
    assert "+stick.margin = 0.3" in change.diff
    new = read_bundle(tmp_path / "small-3")
    assert (new.policy.stick.within, new.policy.chosen.guarantee) == ("loop", None)
    rows = [json.loads(line) for line in new.files["golden.jsonl"].split(b"\n") if line]
    assert {row["reason"] for row in rows if "held" in row} >= {"stick"}
    assert verify(tmp_path / "small-3").passed
    change_policy(tmp_path / "small-3", ["stick=none"], tmp_path / "small-4", today=TODAY)
    without = read_bundle(tmp_path / "small-4")
    assert without.policy.stick is None
    assert b'"stick"' not in without.files["policy.json"]
