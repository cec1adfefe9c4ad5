import json
from datetime import date

import pytest

from difficulty.bundle import read_bundle
from difficulty.errors import BundleError, NotAttainableError
from difficulty.records import Prices
from difficulty.stages.ingest import ingest
from difficulty.stages.run import Run
from difficulty.stages.thresholds import rechoose
from difficulty.stages.verify import verify
from tests.journey import DRAWS

PRICES = Prices(date="2026-11-01", cheap_input=0.1, cheap_output=0.3, frontier_input=3, frontier_output=12)


def test_threshold_is_chosen_again_and_nothing_else_changes(journey, tmp_path):
    before = {path.name: path.read_bytes() for path in journey.bundle.iterdir()}
    found = rechoose(journey.bundle, journey.traffic, tmp_path / "small-2", objective="share=0.5", today=date(2026, 1, 1), n_draws=DRAWS)
    old, new = read_bundle(journey.bundle), read_bundle(tmp_path / "small-2")
    assert new == found.bundle
    assert (new.manifest.name, new.manifest.version) == ("small", "2")
    assert new.policy.threshold == found.new.threshold < found.old.threshold == old.policy.threshold
    assert new.policy.review_date == date(2026, 4, 2)
    assert (new.policy.chosen.objective, new.policy.chosen.n) == ("share=0.5", len(Run.read(journey.run).calibration))
    assert 0.4 < new.policy.chosen.expected["frontier_share"]["value"] <= 0.5
    assert {name for name in old.files if old.files[name] != new.files[name]} == {"policy.json", "golden.jsonl", "metrics.json", "card.md"}
    metrics = [json.loads(one.files["metrics.json"])["overall"] for one in (old, new)]
    assert metrics[0]["apgr"] == metrics[1]["apgr"]
    assert metrics[0]["quality"]["value"] is not None
    assert metrics[1]["quality"]["value"] is None
    assert new.files["card.md"].endswith(old.files["card.md"])
    unchanged = {"easy_tasks", "hard_tasks", "max_cheap_tokens", "cheap_model", "frontier_model", "fallback"}
    assert old.policy.model_dump(include=unchanged) == new.policy.model_dump(include=unchanged)
    assert {path.name: path.read_bytes() for path in journey.bundle.iterdir()} == before


def test_new_golden_vectors_hold(journey, tmp_path):
    """The decisions in them are those of the new threshold."""
    rechoose(journey.bundle, journey.traffic, tmp_path / "small-2", objective="quality=0.8", prices=PRICES, n_draws=DRAWS)
    assert verify(tmp_path / "small-2").passed


def test_both_points_are_judged_on_the_new_traffic(journey, tmp_path):
    lines = journey.source.read_bytes().split(b"\n")[:500]
    (tmp_path / "new.jsonl").write_bytes(b"\n".join(lines))
    ingest([tmp_path / "new.jsonl"], tmp_path / "new.parquet")
    found = rechoose(journey.bundle, tmp_path / "new.parquet", tmp_path / "small-2", objective="share=0.3", prices=PRICES, n_draws=DRAWS)
    assert (found.old.objective, found.new.objective) == ("share=0.3", "share=0.3")
    assert found.old.frontier_share.n == found.new.frontier_share.n == 500
    assert found.new.frontier_share.value <= 0.3
    assert found.old.cost.value > 0


def test_objective_that_cannot_be_met_writes_nothing(journey, tmp_path):
    with pytest.raises(NotAttainableError, match="take tasks out of hard_tasks"):
        rechoose(journey.bundle, journey.traffic, tmp_path / "small-2", objective="share=0.01", n_draws=DRAWS)
    assert list(tmp_path.iterdir()) == []


def test_bundle_is_never_changed_in_place(journey, tmp_path):
    with pytest.raises(BundleError, match="never overwritten"):
        rechoose(journey.bundle, journey.traffic, journey.bundle, objective="share=0.5")
    with pytest.raises(BundleError, match="must be named <name>-<version>"):
        rechoose(journey.bundle, journey.traffic, tmp_path / "small", objective="share=0.5")
