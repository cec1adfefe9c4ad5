"""What is said of requests without outcomes, with a real bundle."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from difficulty.bundle import read_bundle, write_bundle
from difficulty.bundle.store import REFERENCE
from difficulty.errors import BundleError
from difficulty.metrics import Resampling
from difficulty.runtime.scorer import Scorer
from difficulty.stages.ingest import ingest
from difficulty.stages.judging import serve
from difficulty.stages.labelling.unlabelled import look_at
from difficulty.stages.watching.expecting import expect_of_log, reference_bytes, reference_of
from difficulty.traffic.table import Traffic
from difficulty.training.run import Run
from tests.journey import DRAWS, sample_rows, write_rows
from tests.versions import fields_of


def rewritten(bundle, folder, **files):
    """Return a copy of a bundle with other files; None leaves one out."""
    named = {name.replace("_", "."): content for name, content in files.items()}
    contents = {**bundle.files, **named}
    kept = {name: content for name, content in contents.items() if content is not None}
    return write_bundle(folder, kept, fields_of(bundle))


@pytest.fixture(scope="module")
def bundle(journey):
    return read_bundle(journey.bundle)


@pytest.fixture(scope="module")
def served(bundle, tmp_path_factory):
    """New requests as the bundle's scorer sees them."""
    folder = tmp_path_factory.mktemp("log")
    source = write_rows(folder / "in.jsonl", sample_rows(3_000)[800:])
    ingest([source], folder / "t.parquet")
    traffic = Traffic.read(folder / "t.parquet")
    return serve(Scorer.from_bundle(bundle), traffic, target=bundle.manifest.target)


@pytest.fixture(scope="module")
def log(bundle, served):
    """Columns as a router would have logged them, and what the models did."""
    sent = served.decisions(bundle.policy)
    outputs, outcomes = served.scores.outputs, served.traffic.outcomes
    return {name: np.asarray(each, dtype=np.float64) for name, each in outputs.items()} | {
        "tokens": served.rule_tokens(),
        "route": np.where(sent > 0, "frontier", "cheap").astype(object),
        "fallback": np.full(len(sent), None, dtype=object),
        "cheap_quality": outcomes.cheap_quality,
        "frontier_quality": outcomes.frontier_quality,
    }


@pytest.fixture(scope="module")
def sure(journey, bundle, served, tmp_path_factory):
    """The bundle as if it had been judged by the first thousand of them."""
    judged = serve(
        Scorer.from_bundle(bundle),
        served.traffic.select(np.arange(1000)),
        target=bundle.manifest.target,
    )
    reference = reference_of(judged)
    # Its half a second of training left the probabilities off by more than can be told with.
    assert reference.p_cheap_fails.off > 0.03
    calibrated = {
        name: replace(getattr(reference, name), mean=0.0)
        for name in ("p_cheap_fails", "p_frontier_fails", "gap")
    }
    content = reference_bytes(replace(reference, **calibrated))
    folder = tmp_path_factory.mktemp("sure") / "small-3"
    return rewritten(bundle, folder, reference_json=content)


def part(log, rows):
    return {name: values[rows] for name, values in log.items()}


def test_reference_counts_the_test_samples_and_holds_no_text(journey, bundle):
    reference = bundle.reference
    judged = json.loads(bundle.files["metrics.json"])["overall"]
    assert sum(reference.counts) == reference.n
    # Some have no outcome of a model; all have a score.
    assert judged["auroc"]["n"] <= reference.p_cheap_fails.n <= reference.n
    assert reference.n == Run.read(journey.run).record.samples.test
    assert set(json.loads(bundle.files[REFERENCE])) == {
        "format",
        "n",
        "effective",
        "scores",
        "tokens",
        "counts",
        "familiarity",
        "p_cheap_fails",
        "p_frontier_fails",
        "gap",
    }


def levelled(log, n):
    """Return a log whose probabilities have the level that the first ``n`` requests show, as those
    of a calibrated bundle have.
    """
    moved = dict(log)
    for side in ("cheap", "frontier"):
        fails = log[f"p_{side}_fails"]
        off = np.nanmean(fails[:n] - (1.0 - log[f"{side}_quality"][:n]))
        moved[f"p_{side}_fails"] = np.clip(fails - off, 0.0, 1.0)
    return moved


def test_traffic_like_that_it_was_judged_by_is_told_and_held(log, sure):
    log = part(levelled(log, 1000), np.arange(1000, len(log["tokens"])))
    said = expect_of_log(sure, log)
    kept = log["route"] == "cheap"
    quality = np.where(kept, log["cheap_quality"], log["frontier_quality"])
    happened = {
        "risk": 1.0 - np.nanmean(log["cheap_quality"][kept]),
        "quality": np.nanmean(quality),
        "gap": np.nanmean(log["frontier_quality"] - log["cheap_quality"]),
    }
    for name in ("risk", "quality"):
        estimate = getattr(said, name)
        assert estimate.low <= happened[name] <= estimate.high, name
    assert said.new_share.value < 0.1
    assert said.frontier_share.value == pytest.approx(1.0 - kept.mean())
    assert said.sentence.startswith("Without labels, by the bundle's own probabilities: risk")


def test_traffic_of_another_kind_is_not_told(log, bundle):
    """Requests thirty times as long, of which the score knows nothing."""
    strange = {**log, "tokens": log["tokens"] * 30.0, "familiarity": log["familiarity"] * 0.0}
    said = expect_of_log(bundle, strange)
    assert said.new_share.value > 0.8
    assert [said.risk.value, said.quality.value, said.gap.value] == [None] * 3
    assert "of these requests are unlike those that the bundle was judged by" in said.risk.note
    assert said.sentence.startswith("Without labels: cannot tell: ")


def test_verdict_on_the_answer_counts_by_bayes(log, sure):
    """With half of the failures caught, one that passed fails with p / 2 / (1 - p / 2)."""
    p = 0.4
    some = part(log, np.arange(1000, 1600)) | {
        "p_cheap_fails": np.full(600, p),
        "route": np.full(600, "cheap", dtype=object),
        "cheap_passed": np.ones(600),
    }
    fallback = replace(sure.policy.fallback, catch_rate=0.5)
    said = expect_of_log(replace(sure, policy=replace(sure.policy, fallback=fallback)), some)
    assert said.risk.value == pytest.approx(p * 0.5 / (1.0 - p * 0.5))
    # Where validation said nothing, or what it catches is not known, it stays p.
    silent = {**some, "cheap_passed": np.full(600, np.nan)}
    assert expect_of_log(sure, silent).risk.value == pytest.approx(p)


def test_requests_that_fell_back_have_the_frontier_models_quality(log, sure):
    some = part(log, np.arange(1000, 1600))
    back = {**some, "fallback": np.full(600, "validation", dtype=object)}
    said = expect_of_log(sure, back)
    assert said.risk.note == "no request stays cheap."
    assert said.frontier_share.value == 1.0
    assert said.quality.value == pytest.approx(1.0 - some["p_frontier_fails"].mean())


def test_what_makes_it_unsure_is_named(log, sure, bundle):
    few = part(log, np.arange(200, 240))
    assert "requests are few. Wait for more." in expect_of_log(sure, few).quality.note
    off = replace(sure.reference.p_cheap_fails, mean=0.09)
    content = reference_bytes(replace(sure.reference, p_cheap_fails=off))
    told = expect_of_log(replace(sure, files={**sure.files, REFERENCE: content}), log)
    assert "off by 9.1% on the test samples. Run: difficulty recalibrate." in told.quality.note


def test_bundle_of_before_says_what_is_missing(log, bundle, tmp_path):
    old = rewritten(bundle, tmp_path / "small-7", reference_json=None)
    said = expect_of_log(read_bundle(old.path), log)
    assert said.risk.note == (
        "cannot tell: the bundle has no reference.json, so nothing says what it was judged on."
        " Ship it again."
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"format": 2}, "format must be 1"),
        ({"n": 1_000_000}, "counts must count 1,000,000 requests in all"),
        ({"tokens": [1.0]}, "tokens must have one entry for each of the"),
        ({"scores": [7.0]}, r"scores.0 must be in \[0, 1\]: got 7"),
        ({"scores": []}, "scores must hold 1 to 20,000 points: got 0"),
    ],
)
def test_reference_that_is_none_is_refused(bundle, tmp_path, change, why):
    content = {**json.loads(bundle.files[REFERENCE]), **change}
    with pytest.raises(BundleError, match=why):
        rewritten(bundle, tmp_path / "small-8", reference_json=json.dumps(content).encode())


def test_log_without_a_scored_request_says_so(log, bundle):
    some = part(log, np.arange(50))
    said = expect_of_log(bundle, {**some, "difficulty_score": np.full(50, np.nan)})
    assert (said.requests, said.risk.note) == (0, "no request of the log was scored.")


def test_unlabelled_evaluation_carries_it(journey, tmp_path):
    rows = [
        {name: row[name] for name in ("id", "messages", "task") if name in row}
        for row in sample_rows(1_200)[800:]
    ]
    source = write_rows(tmp_path / "in.jsonl", rows)
    report = look_at(journey.bundle, source, tmp_path / "out", resampling=Resampling(DRAWS))
    written = json.loads((tmp_path / "out/unlabelled.json").read_text())["expected"]
    assert written["risk"]["value"] == report.expected.risk.value
    assert written["requests"] == 400


def test_reference_is_of_the_bundles_own_rows(journey, bundle):
    """The same rows give the same bytes."""
    traffic = Traffic.read(journey.traffic)
    served = serve(Scorer.from_bundle(bundle), traffic, target=bundle.manifest.target)
    first, second = reference_of(served), reference_of(served)
    assert first == second
    assert first.n == len(traffic)


def test_folder_can_be_copied_without_it(journey, tmp_path):
    """A copy that lost the file is damaged, as the manifest names it."""
    shutil.copytree(journey.bundle, tmp_path / "small-1")
    (tmp_path / "small-1" / REFERENCE).unlink()
    with pytest.raises(BundleError):
        read_bundle(tmp_path / "small-1")
