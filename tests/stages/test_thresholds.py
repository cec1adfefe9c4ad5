import json
from datetime import date

import pytest

from difficulty.bundle import read_bundle
from difficulty.errors import BundleError, NotAttainableError
from difficulty.evaluation.words import as_percent
from difficulty.metrics import Resampling
from difficulty.records import Prices
from difficulty.runtime import Router
from difficulty.stages.evaluate import evaluate_scorer
from difficulty.stages.ingest import ingest
from difficulty.stages.thresholds import rechoose
from difficulty.stages.verify import verify
from difficulty.training.run import Run
from tests.journey import DRAWS, sample_rows, write_rows

PRICES = Prices(
    date="2026-11-01", cheap_input=0.1, cheap_output=0.3, frontier_input=3, frontier_output=12
)


def test_threshold_is_chosen_again_and_nothing_else_changes(journey, tmp_path):
    before = {path.name: path.read_bytes() for path in journey.bundle.iterdir()}
    found = rechoose(
        journey.bundle,
        journey.traffic,
        tmp_path / "small-2",
        objective="share=0.5",
        today=date(2026, 1, 1),
        resampling=Resampling(DRAWS),
    )
    old, new = read_bundle(journey.bundle), read_bundle(tmp_path / "small-2")
    assert new == found.bundle
    assert (new.manifest.name, new.manifest.version) == ("small", "2")
    assert new.policy.threshold == found.new.threshold < found.old.threshold == old.policy.threshold
    assert new.policy.review_date == date(2026, 4, 2)
    assert (new.policy.chosen.objective, new.policy.chosen.n) == (
        "share=0.5",
        len(Run.read(journey.run).calibration),
    )
    assert 0.4 < new.policy.chosen.expected["frontier_share"]["value"] <= 0.5
    assert {name for name in old.files if old.files[name] != new.files[name]} == {
        "policy.json",
        "golden.jsonl",
        "metrics.json",
        "card.md",
        "seen.bin",
    }
    metrics = [json.loads(one.files["metrics.json"])["overall"] for one in (old, new)]
    assert metrics[0]["apgr"] == metrics[1]["apgr"]
    assert metrics[0]["quality"]["value"] is not None
    assert metrics[1]["quality"]["value"] is None
    assert new.files["card.md"].endswith(old.files["card.md"])
    unchanged = [
        "easy_tasks",
        "hard_tasks",
        "max_cheap_tokens",
        "cheap_model",
        "frontier_model",
        "fallback",
    ]
    assert [getattr(old.policy, name) for name in unchanged] == [
        getattr(new.policy, name) for name in unchanged
    ]
    assert {path.name: path.read_bytes() for path in journey.bundle.iterdir()} == before


def test_new_golden_vectors_hold(journey, tmp_path):
    """The decisions in them are those of the new threshold."""
    rechoose(
        journey.bundle,
        journey.traffic,
        tmp_path / "small-2",
        objective="quality=0.8",
        prices=PRICES,
        resampling=Resampling(DRAWS),
    )
    assert verify(tmp_path / "small-2").passed


def test_both_points_are_judged_on_the_new_traffic(journey, tmp_path):
    rows = write_rows(tmp_path / "new.jsonl", sample_rows(1_300)[800:])
    ingest([rows], tmp_path / "new.parquet")
    found = rechoose(
        journey.bundle,
        tmp_path / "new.parquet",
        tmp_path / "small-2",
        objective="share=0.3",
        prices=PRICES,
        resampling=Resampling(DRAWS),
    )
    assert (found.old.objective, found.new.objective) == ("share=0.3", "share=0.3")
    # One in a hundred looks as if training had seen it.
    assert 490 <= found.old.frontier_share.n == found.new.frontier_share.n <= 500
    assert found.new.frontier_share.value <= 0.3
    assert found.old.cost.value > 0


def test_objective_that_cannot_be_met_writes_nothing(journey, tmp_path):
    with pytest.raises(NotAttainableError, match="take tasks out of hard_tasks"):
        rechoose(
            journey.bundle,
            journey.traffic,
            tmp_path / "small-2",
            objective="share=0.01",
            resampling=Resampling(DRAWS),
        )
    assert list(tmp_path.iterdir()) == []


def test_bundle_is_never_changed_in_place(journey, tmp_path):
    with pytest.raises(BundleError, match="never overwritten"):
        rechoose(journey.bundle, journey.traffic, journey.bundle, objective="share=0.5")
    with pytest.raises(BundleError, match="must be named <name>-<version>"):
        rechoose(journey.bundle, journey.traffic, tmp_path / "small", objective="share=0.5")


def test_change_is_told_and_stands_on_the_card(journey, tmp_path):
    """The difference of both points with an interval of its own, in the result and above the old
    card.
    """
    found = rechoose(
        journey.bundle,
        journey.traffic,
        tmp_path / "small-2",
        objective="share=0.5",
        resampling=Resampling(DRAWS),
    )
    moved = found.changes["frontier_share"]
    assert moved.value == pytest.approx(
        found.new.frontier_share.value - found.old.frontier_share.value
    )
    assert moved.low > 0
    card = found.bundle.files["card.md"].decode()
    assert (
        f"| sent to the frontier | {as_percent(found.old.frontier_share)} |"
        f" {as_percent(found.new.frontier_share)} |" in card
    )
    assert card.index("| threshold |") < card.index("What follows is the card of small-1")


def test_thresholds_per_task_are_what_the_router_uses(journey, tmp_path):
    """Each task has its own threshold in the policy and in the decisions; choosing without them
    again drops them.
    """
    per_task = rechoose(
        journey.bundle,
        journey.traffic,
        tmp_path / "small-2",
        objective="share=0.3",
        per_task=True,
        resampling=Resampling(DRAWS),
    )
    own = per_task.bundle.policy.task_thresholds
    assert own
    assert own == dict(per_task.new.task_thresholds)
    assert verify(tmp_path / "small-2").passed
    task, threshold = next(iter(own.items()))
    assert (
        Router.load(tmp_path / "small-2")
        .decide("Write a function that sorts names.", task=task, tokens=10_000)
        .threshold
        == threshold
    )
    again = rechoose(
        tmp_path / "small-2",
        journey.traffic,
        tmp_path / "small-3",
        objective="share=0.3",
        resampling=Resampling(DRAWS),
    )
    assert (again.bundle.policy.task_thresholds, again.old.task_thresholds) == ({}, own)


def test_catch_rate_is_kept_until_another_is_passed(journey, tmp_path):
    first = rechoose(
        journey.bundle,
        journey.traffic,
        tmp_path / "small-2",
        objective="share=0.3",
        catch_rate=0.8,
        resampling=Resampling(DRAWS),
    )
    second = rechoose(
        tmp_path / "small-2",
        journey.traffic,
        tmp_path / "small-3",
        objective="share=0.3",
        resampling=Resampling(DRAWS),
    )
    assert (
        first.bundle.policy.fallback.catch_rate == second.bundle.policy.fallback.catch_rate == 0.8
    )
    assert first.new.fallback_share.value > 0
    assert (
        first.new.risk.value
        < rechoose(
            journey.bundle,
            journey.traffic,
            tmp_path / "b-1",
            objective="share=0.3",
            resampling=Resampling(DRAWS),
        ).new.risk.value
    )


def test_promise_is_written_into_the_policy(journey, tmp_path):
    chosen = rechoose(
        journey.bundle,
        journey.traffic,
        tmp_path / "small-2",
        objective="risk=0.6",
        resampling=Resampling(DRAWS),
    ).bundle.policy.chosen
    assert (
        "with confidence 0.9, the cheap model fails at most 0.6 of the kept requests"
        in chosen.guarantee
    )
    assert len(chosen.assumed) >= 3


def test_checks_of_the_form_say_nothing_beside_grades(journey, tmp_path):
    """The threshold is chosen, and the bundle judged, by graded answers alone: those that only
    passed a check would count as right.
    """
    checked = {"cheap_quality": None, "cheap_passed": True, "measured_by": "validators:json"}
    rows = [row | {"id": f"new-{row['id']}", "group": None} for row in sample_rows()]
    graded = [row for row in rows if row["cheap_quality"] is not None]
    mixed = [row | checked if n % 2 else row for n, row in enumerate(graded)]
    unknown = {"cheap_quality": None, "cheap_passed": None}
    without = [row | unknown if n % 2 else row for n, row in enumerate(graded)]
    points, judged = [], []
    for name, part in (("mixed", mixed), ("without", without)):
        part = [row if row.get("measured_by") else row | {"measured_by": "exact"} for row in part]
        traffic = tmp_path / f"{name}.parquet"
        ingest([write_rows(tmp_path / f"{name}.jsonl", part)], traffic, near_duplicates=False)
        found = rechoose(
            journey.bundle,
            traffic,
            tmp_path / f"{name}-2",
            objective="share=0.4",
            resampling=Resampling(DRAWS),
        )
        points.append(found.bundle.policy)
        out = tmp_path / f"{name}-report"
        resampling = Resampling(DRAWS)
        judgement = evaluate_scorer(journey.bundle, traffic, out, resampling=resampling)
        judged.append(judgement.evaluation)
        said = "only a check of the cheap answer's form is known"
        assert any(said in note for note in found.notes) == (name == "mixed")
        assert any(said in note for note in judged[-1].notes) == (name == "mixed")
    assert points[0].threshold == points[1].threshold
    assert points[0].chosen.expected["risk"] == points[1].chosen.expected["risk"]
    assert judged[0].overall["quality"] == judged[1].overall["quality"]


def test_verdict_is_that_of_an_evaluation_of_the_same_samples(journey, tmp_path):
    """On traffic where no lead is shown neither says to switch it on, for the same reasons; that
    these samples chose the threshold comes after them, and alone it is enough not to publish yet.
    """
    rows = sample_rows(1_400)[800:]
    for place, row in enumerate(rows):  # what the frontier model gains has to do with nothing
        row["cheap_quality"], row["frontier_quality"] = float(place % 3 > 0), 1.0
        row["cheap_passed"] = None
    traffic = tmp_path / "new.parquet"
    ingest([write_rows(tmp_path / "new.jsonl", rows)], traffic)
    few = Resampling(DRAWS)
    chosen = rechoose(
        journey.bundle,
        traffic,
        tmp_path / "small-2",
        objective="share=0.3",
        allow_no_signal=True,
        resampling=few,
    )
    judged = evaluate_scorer(tmp_path / "small-2", traffic, tmp_path / "report", resampling=few)
    verdict = judged.evaluation.verdict
    assert chosen.verdict.as_dict() == verdict.as_dict()
    assert verdict.answer != "switch_on"
    reasons = [ground.name for ground in verdict.against]
    assert reasons[0] in ("no_signal", "quality")
    assert reasons[-1] == "threshold_on_judged_data"
