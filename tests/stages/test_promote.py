"""Publishing, promoting by the gate, fetching, on the bundle of the journey and versions of it."""

import json
from dataclasses import replace

import numpy as np
import pytest

from difficulty.bundle import read_bundle
from difficulty.bundle.folder_registry import FolderRegistry
from difficulty.errors import (
    BundleError,
    PromotedMeanwhileError,
    RegistryError,
    TooFewSamplesError,
    TrafficError,
)
from difficulty.evaluation.comparison import PAIRED, Paired
from difficulty.metrics import Resampling
from difficulty.recipe import PromotionSettings
from difficulty.records import Estimate
from difficulty.stages.ingest import ingest
from difficulty.stages.overlap import overlap_of
from difficulty.stages.promote import compare, fetch, gate, promote, promotion_settings, publish
from difficulty.stages.thresholds import rechoose
from difficulty.traffic.table import Traffic
from tests.journey import sample_rows, write_rows
from tests.versions import make_version

OPEN = PromotionSettings(max_quality_loss=1.0, max_share_increase=1.0)


@pytest.fixture(scope="module")
def recent(tmp_path_factory):
    """Traffic that came after what the bundles were made from: the 400 rows of the sample behind
    those of the journey.
    """
    folder = tmp_path_factory.mktemp("recent")
    ingest(
        [write_rows(folder / "recent.jsonl", sample_rows(1200)[800:])], folder / "recent.parquet"
    )
    return folder / "recent.parquet"


@pytest.fixture(scope="module")
def versions(journey, tmp_path_factory):
    """The journey's bundle, and the same with thresholds that send nothing or nearly everything to
    the frontier model.
    """
    folder = tmp_path_factory.mktemp("versions")
    made = {
        number: make_version(folder, number, threshold=at, name="small", source=journey.bundle)
        for number, at in ((2, 1.0), (3, 0.01))
    }
    return {1: journey.bundle, **made}


@pytest.fixture
def registry(tmp_path):
    return FolderRegistry(tmp_path / "registry")


def estimate(value, low=None, high=None):
    return Estimate(
        value=value, low=value if low is None else low, high=value if high is None else high, n=500
    )


def figures(**differences):
    """Return figures with these differences, the champion's being 1; those not named are
    unknown.
    """
    unknown = Estimate(value=None)
    known = {
        name: Paired(challenger=estimate(1.0), champion=estimate(1.0), difference=value)
        for name, value in differences.items()
    }
    return {
        name: known.get(name, Paired(challenger=unknown, champion=unknown, difference=unknown))
        for name in PAIRED
    }


@pytest.mark.parametrize(
    ("found", "complaints"),
    [
        ({"quality": estimate(0.0, -0.005, 0.01), "frontier_share": estimate(0.02)}, []),
        (
            {"quality": estimate(0.01, -0.006, 0.02), "frontier_share": estimate(0.0)},
            ["quality may be worse: +0.0100 [-0.0060, +0.0200]"],
        ),
        (
            {"quality": estimate(0.1), "frontier_share": estimate(0.021)},
            ["the frontier share grows by 0.0210"],
        ),
        ({"quality": estimate(0.0), "cost": estimate(0.02)}, []),
        (
            {"quality": estimate(0.0), "cost": estimate(0.021)},
            ["the cost grows from 1 by 0.021, and the gate allows 2.0% of it"],
        ),
        ({"risk": estimate(0.0, -0.01, 0.005)}, []),
        ({"risk": estimate(0.0, -0.01, 0.006)}, ["risk may be higher: +0.0000 [-0.0100, +0.0060]"]),
        ({"quality": estimate(0.0), "risk": estimate(0.5)}, []),
        ({"frontier_share": estimate(-0.1)}, ["neither quality nor risk is known"]),
        (
            {"quality": estimate(-0.1), "frontier_share": estimate(0.5)},
            ["quality may be worse", "the frontier share grows"],
        ),
    ],
)
def test_gate_looks_at_the_worse_end_of_quality_and_at_what_is_known(found, complaints):
    refusals = gate(figures(**found), PromotionSettings())
    assert len(refusals) == len(complaints)
    assert all(
        complaint in refusal for complaint, refusal in zip(complaints, refusals, strict=True)
    )


def test_first_champion_needs_no_traffic_and_the_next_does(registry, versions):
    first = publish(versions[1], "small", registry)
    done = promote("small", registry)
    assert (done.promoted, done.champion, done.comparison) == (True, None, None)
    with pytest.raises(
        RegistryError, match=r"version 1 \(small-1\) of 'small' is the champion already"
    ):
        promote("small", registry)
    publish(versions[2], "small", registry)
    with pytest.raises(
        RegistryError, match=r"promoting needs labelled traffic to compare by. Pass a traffic file"
    ):
        promote("small", registry)
    assert registry.find("small", "champion") == first


def test_challenger_that_is_worse_stays_challenger(registry, versions, recent):
    """Sending nothing to the frontier model loses quality; the champion stays."""
    for number in (1, 2):
        publish(versions[number], "small", registry)
        registry.promote(
            registry.find("small", "1"), replacing=None, notes={}
        ) if number == 1 else None
    done = promote("small", registry, recent, resampling=Resampling(100))
    assert not done.promoted
    assert done.comparison.figures["quality"].difference.value < 0
    assert [refusal.partition(":")[0] for refusal in done.comparison.refusals] == [
        "quality may be worse"
    ]
    assert registry.find("small", "champion").number == 1


def test_challenger_that_costs_more_frontier_calls_stays_challenger(registry, versions, recent):
    publish(versions[1], "small", registry)
    promote("small", registry)
    publish(versions[3], "small", registry)
    done = promote("small", registry, recent, resampling=Resampling(100))
    assert any("the frontier share grows" in refusal for refusal in done.comparison.refusals)
    assert promote("small", registry, recent, settings=OPEN, resampling=Resampling(20)).promoted
    assert registry.find("small", "champion").number == 2


def test_what_decided_a_promotion_is_kept(registry, versions, recent):
    publish(versions[2], "small", registry)
    promote("small", registry)
    publish(versions[1], "small", registry)
    done = promote("small", registry, recent, settings=OPEN, resampling=Resampling(20))
    event = json.loads((registry.folder / "small" / "journal.json").read_text())["events"][-1]
    assert (event["event"], event["version"], event["tags"]["samples"]) == (
        "promoted",
        2,
        str(done.comparison.n),
    )
    assert event["tags"]["quality_difference"].startswith(
        f"{done.comparison.figures['quality'].difference.value:+.4f} ["
    )


def test_figures_are_those_of_the_routers_own_decisions(versions, recent):
    """Share and quality of the journey's bundle, counted from its decisions; the other sends hard
    tasks only.
    """
    one, other = read_bundle(versions[1]), read_bundle(versions[2])
    traffic = Traffic.read(recent)
    found = compare(one, other, traffic, settings=OPEN, resampling=Resampling(20)).figures
    # One in a hundred looks as if training had seen it, and is left out.
    traffic = traffic.select(~overlap_of(one, traffic).seen)
    from difficulty.request import Request
    from difficulty.runtime import Router

    rows = zip(traffic.messages(), traffic.tasks, traffic.tokens.prompt, strict=True)
    requests = [
        Request(messages, task, None if np.isnan(tokens) else int(tokens))
        for messages, task, tokens in rows
    ]
    sent = np.array(
        [decision.route == "frontier" for decision in Router.from_bundle(one).decide_many(requests)]
    )
    # Checks of the form say nothing beside grades.
    outcomes = traffic.without_forms()[0].outcomes
    assert found["frontier_share"].challenger.value == pytest.approx(sent.mean())
    quality = np.where(sent, outcomes.frontier_quality, outcomes.cheap_quality)
    assert found["quality"].challenger.value == pytest.approx(
        np.nanmean(np.where(np.isnan(outcomes.gain), np.nan, quality))
    )
    hard = np.array([task == "multi-step planning" for task in traffic.tasks])
    assert found["frontier_share"].champion.value == pytest.approx(hard.mean())


def test_of_the_training_traffic_only_test_samples_count(journey, versions):
    """800 rows of which some 190 are in the test split: fewer than the default gate asks for."""
    one, other, traffic = (
        read_bundle(versions[1]),
        read_bundle(versions[2]),
        Traffic.read(journey.traffic),
    )
    with pytest.raises(
        TooFewSamplesError,
        match=r"comparing needs 200 samples that neither bundle was made from: got 194 of 800",
    ):
        compare(one, other, traffic)
    found = compare(
        one,
        other,
        traffic,
        settings=PromotionSettings(least_samples=100),
        resampling=Resampling(10),
    )
    assert found.n == 194
    assert "was trained on this traffic: only its test samples count" in found.notes[0]


def test_traffic_that_a_threshold_was_chosen_on_is_refused(journey, recent, tmp_path, versions):
    rechosen = rechoose(
        journey.bundle,
        recent,
        tmp_path / "small-4",
        objective="share=0.4",
        resampling=Resampling(10),
    ).bundle
    with pytest.raises(
        TrafficError, match="the threshold of challenger small-4 was chosen on this very traffic"
    ):
        compare(rechosen, read_bundle(versions[1]), Traffic.read(recent))


def test_gate_comes_from_the_recipe_of_the_bundle(versions):
    bundle = read_bundle(versions[1])
    assert promotion_settings(bundle) == PromotionSettings()
    recipe = bundle.manifest.recipe | {"promotion": {"max_share_increase": 0.5}}
    other = replace(bundle, manifest=replace(bundle.manifest, recipe=recipe))
    assert promotion_settings(other).max_share_increase == 0.5
    without = {name: section for name, section in recipe.items() if name != "promotion"}
    older = replace(bundle, manifest=replace(bundle.manifest, recipe=without))
    assert promotion_settings(older) == PromotionSettings()


def test_champion_that_changes_while_they_are_compared_is_not_replaced(
    registry, versions, recent, monkeypatch
):
    """Another process promotes version 3 between the comparison and its end."""
    publish(versions[1], "small", registry)
    promote("small", registry)
    third, second = (publish(versions[number], "small", registry) for number in (3, 2))

    def meanwhile(*_, **__):
        registry.promote(third, replacing=registry.find("small", "1"), notes={})
        return compare(*_, **__)

    monkeypatch.setattr("difficulty.stages.promote.compare", meanwhile)
    with pytest.raises(
        PromotedMeanwhileError,
        match="is version 2 by now, and was version 1 when this began. Nothing was changed",
    ):
        promote("small", registry, recent, settings=OPEN, resampling=Resampling(10))
    assert (second.number, registry.find("small", "champion")) == (3, third)


def test_fetch_gives_the_champion_a_number_or_an_alias(registry, versions, tmp_path):
    publish(versions[1], "small", registry)
    promote("small", registry)
    publish(versions[2], "small", registry)
    for reference, label in (
        ("small", "small-1"),
        ("small@challenger", "small-2"),
        ("small@1", "small-1"),
    ):
        out = tmp_path / reference
        assert fetch(reference, registry, out).bundle == read_bundle(out).label == label
    assert read_bundle(tmp_path / "small").contents == read_bundle(versions[1]).contents
    with pytest.raises(BundleError, match="exists already"):
        fetch("small", registry, tmp_path / "small")


def test_damaged_bundle_is_not_published(registry, versions, tmp_path):
    import shutil

    bad = shutil.copytree(versions[1], tmp_path / "bad-1")
    (bad / "card.md").write_text("other")
    with pytest.raises(BundleError, match="card.md was changed"):
        publish(bad, "small", registry)
    assert not registry.folder.exists()


def test_publication_keeps_the_lineage(registry, versions):
    version = publish(versions[1], "small", registry, training_run="run-7")
    bundle = read_bundle(versions[1])
    assert version.tags["training_data"] == bundle.manifest.training_data
    assert (version.tags["training_run"], version.tags["recipe"], version.tags["signed"]) == (
        "run-7",
        "small",
        "false",
    )
    apgr = json.loads(bundle.files["metrics.json"])["overall"]["apgr"]["value"]
    assert version.tags["metric.apgr"] == f"{apgr:.6g}"
    said = json.loads(bundle.files["metrics.json"])["verdict"]
    assert (version.tags["verdict"], version.tags["verdict_reason"]) == (
        said["answer"],
        said["sentence"],
    )
