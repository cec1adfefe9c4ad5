import json
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from difficulty.bundle import read_bundle
from difficulty.errors import (
    BundleError,
    InvalidValueError,
    NoSignalError,
    NotAttainableError,
    SeenTrafficError,
    TooFewSamplesError,
    TrafficError,
)
from difficulty.metrics import Resampling
from difficulty.records import Prices
from difficulty.runtime.scorer import Scorer
from difficulty.stages.ingest import ingest
from difficulty.stages.judging import without_forms
from difficulty.stages.verify import verify
from difficulty.stages.watching import recalibrating
from difficulty.stages.watching.evidence import UpkeepCase, find_evidence
from difficulty.stages.watching.fresh_traffic import read_material
from difficulty.stages.watching.recalibrating import recalibrate
from difficulty.thresholds.policy_curve import parse_objective
from difficulty.thresholds.ways import BY_COST
from difficulty.traffic.table import Traffic
from difficulty.upkeep.composed_graph import maps_of
from difficulty.upkeep.logit_map import LogitMap
from tests.journey import DRAWS, sample_rows, write_rows

FEW = Resampling(DRAWS)
PRICES = Prices(
    date="2026-11-01", cheap_input=0.1, cheap_output=0.3, frontier_input=3, frontier_output=12
)


def ingested(path, rows):
    ingest([write_rows(path.with_suffix(".jsonl"), rows)], path)
    return Traffic.read(path)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """Rows of the sample that the journey did not see."""
    return ingested(tmp_path_factory.mktemp("fresh") / "t.parquet", sample_rows(1_800)[800:])


def scores_of(journey, traffic):
    scorer = Scorer.from_bundle(read_bundle(journey.bundle))
    requests = zip(traffic.each_messages(), traffic.tasks, strict=True)
    return scorer.score_many([scorer.encode(each, task).ids for each, task in requests])


def with_outcomes(traffic, p_cheap, p_frontier, *, seed=0):
    """Return traffic on which the models fail with these probabilities, each row by itself."""
    rng = np.random.default_rng(seed)
    n = len(traffic)
    cheap, frontier = (1.0 - (rng.random(n) < p) for p in (p_cheap, p_frontier))
    return traffic.with_columns(
        {
            "cheap_quality": cheap.tolist(),
            "frontier_quality": frontier.tolist(),
            "measured_by": ["exact"] * n,
            "preference": [None] * n,
            "cheap_passed": [None] * n,
        }
    )


@pytest.fixture(scope="module")
def quiet(journey, fresh):
    """Traffic on which the bundle's probabilities are right."""
    outputs = scores_of(journey, fresh)
    return with_outcomes(fresh, outputs["p_cheap_fails"], outputs["p_frontier_fails"])


@pytest.fixture(scope="module")
def harder(journey, fresh):
    """Traffic on which the cheap model fails more often, by a shift of the logit."""
    outputs = scores_of(journey, fresh)
    p = LogitMap(1.0, 1.2)(outputs["p_cheap_fails"].astype(float))
    return with_outcomes(fresh, p, outputs["p_frontier_fails"])


def test_harder_traffic_moves_what_is_off(journey, harder, tmp_path):
    """The map is that of the drift, the graph gives what it says, the bundle is whole, and a
    reviewer reads what, why, the effect and the samples.
    """
    result = recalibrate(
        journey.bundle, harder, tmp_path / "small-2", resampling=FEW, today=date(2026, 1, 1)
    )
    assert result.moved
    tests = {test.output: test for test in result.calibrators}
    p = scores_of(journey, harder)["p_cheap_fails"].astype(float)
    mapped = tests["p_cheap_fails"].map(p)
    assert mapped.mean() == pytest.approx(LogitMap(1.0, 1.2)(p).mean(), abs=0.05)
    assert not tests["p_frontier_fails"].moves
    old, new = read_bundle(journey.bundle), read_bundle(tmp_path / "small-2")
    assert new == result.bundle
    assert verify(tmp_path / "small-2").passed
    maps = maps_of(new.files["scorer.onnx"])
    assert maps["p_cheap_fails"].shift == pytest.approx(tests["p_cheap_fails"].map.shift)
    rows = [[3, 4, 5], [7] * 40, [1]]
    before, after = (Scorer.from_bundle(each).score_many(rows) for each in (old, new))
    wanted = tests["p_cheap_fails"].map(before["p_cheap_fails"].astype(float))
    assert after["p_cheap_fails"] == pytest.approx(wanted, abs=1e-5)
    assert (after["p_frontier_fails"] == before["p_frontier_fails"]).all()
    assert result.brier["p_cheap_fails"].value < 0.0
    # Of the half that no map was fitted on.
    assert new.reference.n <= result.samples.second_half
    assert new.files["reference.json"] != old.files["reference.json"]
    assert new.policy.review_date == date(2026, 4, 2)
    changes = json.loads(new.files["changes.json"])
    assert changes["parent"]["manifest"] == old.manifest.sha256
    assert changes["bundle"] == "small-2"
    assert changes["samples"]["first_half"] + changes["samples"]["second_half"] <= 1_000
    page = new.files["changes.md"].decode()
    for heading in ("## Why", "## What\n", "## Expected effect", "## Samples"):
        assert heading in page
    assert new.files["card.md"].endswith(old.files["card.md"])
    metrics = json.loads(new.files["metrics.json"])["overall"]
    assert metrics["brier"]["value"] is None
    assert metrics["brier_frontier"]["value"] is not None
    assert metrics["auroc"]["value"] is not None


def test_quiet_traffic_moves_nothing(journey, quiet, tmp_path):
    """As the bundle was shipped for share=0.3 and its probabilities are right, nothing is
    written.
    """
    result = recalibrate(journey.bundle, quiet, tmp_path / "small-2", resampling=FEW)
    assert not result.moved
    assert result.bundle is None
    assert "nothing should move" in result.reasons[0]
    assert list(tmp_path.iterdir()) == []


def test_another_objective_is_a_reason(journey, quiet, tmp_path):
    result = recalibrate(
        journey.bundle, quiet, tmp_path / "small-2", objective="share=0.5", resampling=FEW
    )
    assert "share=0.5, it was share=0.3" in result.reasons[0]
    assert result.bundle.policy.chosen.objective == "share=0.5"
    # Nothing else moved: the graph is the old one, to the byte.
    old = read_bundle(journey.bundle)
    assert result.bundle.files["scorer.onnx"] == old.files["scorer.onnx"]
    assert result.new.frontier_share.value == pytest.approx(0.5, abs=0.06)
    assert result.changes["frontier_share"].low > 0.0


def test_a_second_recalibration_composes(journey, harder, tmp_path):
    """The parent's change is in the history, and a graph that is right again stays."""
    recalibrate(journey.bundle, harder, tmp_path / "small-2", resampling=FEW)
    mapped = read_bundle(tmp_path / "small-2")
    again = ingested(tmp_path / "later.parquet", sample_rows(2_500)[1_800:])
    outputs = Scorer.from_bundle(mapped)
    requests = zip(again.each_messages(), again.tasks, strict=True)
    found = outputs.score_many([outputs.encode(each, task).ids for each, task in requests])
    p = LogitMap(1.0, -1.5)(found["p_cheap_fails"].astype(float))
    easier = with_outcomes(again, p, found["p_frontier_fails"])
    result = recalibrate(tmp_path / "small-2", easier, tmp_path / "small-3", resampling=FEW)
    assert result.moved
    assert verify(tmp_path / "small-3").passed
    changes = json.loads(result.bundle.files["changes.json"])
    assert [entry["bundle"] for entry in changes["history"]] == ["small-2"]
    size = len(mapped.files["scorer.onnx"])
    assert abs(len(result.bundle.files["scorer.onnx"]) - size) < 200


def test_a_mix_that_moves_the_share_moves_the_threshold(journey, fresh, tmp_path):
    """Without one outcome: the upper half of the scores comes alone."""
    score = scores_of(journey, fresh)["difficulty_score"]
    upper = fresh.select(score > np.median(score)).without_outcomes(
        np.ones(int((score > np.median(score)).sum()), dtype=bool)
    )
    result = recalibrate(journey.bundle, upper, tmp_path / "small-2", resampling=FEW)
    assert any("frontier share is" in reason for reason in result.reasons)
    assert result.new.threshold > result.old.threshold
    assert result.new.frontier_share.value < result.old.frontier_share.value
    assert any("No outcome of these requests is known" in note for note in result.notes)
    assert verify(tmp_path / "small-2").passed


def test_unlabelled_traffic_keeps_no_promise(journey, fresh, tmp_path):
    bare = fresh.without_outcomes(np.ones(len(fresh), dtype=bool))
    with pytest.raises(NoSignalError, match="needs requests with outcomes"):
        recalibrate(journey.bundle, bare, tmp_path / "small-2", objective="risk=0.3")


def test_cost_is_an_objective_too(journey, harder, tmp_path):
    result = recalibrate(
        journey.bundle,
        harder,
        tmp_path / "small-2",
        objective="cost=2.0",
        prices=PRICES,
        resampling=FEW,
    )
    assert result.new.cost.value is not None


def test_a_promise_is_tested_where_nothing_was_fitted(journey, harder, tmp_path):
    """Its samples are those of the second half, and the figures those of the first."""
    result = recalibrate(
        journey.bundle, harder, tmp_path / "small-2", objective="risk=0.45", resampling=FEW
    )
    assert "with confidence 0.9" in result.new.guarantee
    n = int(result.new.guarantee.split(" on ")[-1].split(" samples")[0].replace(",", ""))
    assert n <= result.samples.second_half
    assert f"figures are of {result.samples.first_half:,} requests" in result.new.assumed[-1]


def test_what_cannot_be_met_writes_nothing(journey, harder, tmp_path):
    with pytest.raises(NotAttainableError, match="cannot be shown"):
        recalibrate(
            journey.bundle, harder, tmp_path / "small-2", objective="risk=0.01", resampling=FEW
        )
    assert list(tmp_path.iterdir()) == []


def test_a_score_that_no_longer_orders_is_told(journey, fresh, tmp_path):
    """Outcomes of chance alone: retraining is due, and an objective about quality is not served."""
    noise = with_outcomes(fresh, np.full(len(fresh), 0.5), np.full(len(fresh), 0.2), seed=1)
    result = recalibrate(
        journey.bundle, noise, tmp_path / "small-2", objective="quality=0.9", resampling=FEW
    )
    assert any("no better than chance" in each for each in result.retraining)
    assert not result.moved
    assert list(tmp_path.iterdir()) == []


def test_labels_where_the_cheap_model_was_dared_leave_a_blind_part(journey, harder, tmp_path):
    """Of what always went to the frontier model nothing is known of the cheap one, and that is
    said; what was seen is put right all the same.
    """
    score = scores_of(journey, harder)["difficulty_score"]
    kept = score <= np.quantile(score, 0.6)
    logged = harder.with_columns(
        {
            "cheap_quality": [
                value if keep else None
                for value, keep in zip(harder.column("cheap_quality"), kept, strict=True)
            ],
            "frontier_quality": [
                None if keep else value
                for value, keep in zip(harder.column("frontier_quality"), kept, strict=True)
            ],
            "route": ["cheap" if keep else "frontier" for keep in kept],
            "propensity": [1.0] * len(harder),
        }
    )
    result = recalibrate(journey.bundle, logged, tmp_path / "small-2", resampling=FEW)
    assert any("hardly any outcome of the cheap model is known" in note for note in result.notes)
    tests = {test.output: test for test in result.calibrators}
    p = scores_of(journey, harder)["p_cheap_fails"].astype(float)
    assert tests["p_cheap_fails"].map(p[kept]).mean() > p[kept].mean() + 0.08
    assert tests["difficulty_score"].n == 0


def test_propensities_undo_the_choice(journey, fresh, tmp_path):
    """Easy requests were kept nine times as often as hard ones, of equal score: the map is that of
    all requests, not that of the kept ones.
    """
    outputs = scores_of(journey, fresh)
    rng = np.random.default_rng(5)
    hard = rng.random(len(fresh)) < 0.5
    p = np.where(hard, 0.85, 0.15)
    labelled = with_outcomes(fresh, p, outputs["p_frontier_fails"], seed=6)
    chance = np.where(hard, 0.1, 0.9)
    kept = rng.random(len(fresh)) < chance
    cheap = [
        value if keep else None
        for value, keep in zip(labelled.column("cheap_quality"), kept, strict=True)
    ]
    logged = labelled.with_columns(
        {
            "cheap_quality": cheap,
            "frontier_quality": [None] * len(fresh),
            "route": ["cheap" if keep else "frontier" for keep in kept],
            "propensity": np.where(kept, chance, 1.0 - chance).tolist(),
        }
    )
    result = recalibrate(journey.bundle, logged, tmp_path / "small-2", resampling=FEW)
    test = next(test for test in result.calibrators if test.output == "p_cheap_fails")
    assert test.moves
    after = test.map(outputs["p_cheap_fails"].astype(float))
    # 0.22 of the kept ones fail, 0.5 of all.
    assert after.mean() == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize("seeds", [range(20), pytest.param(range(300), marks=pytest.mark.slow)])
def test_promises_are_broken_in_few_draws(journey, fresh, seeds):
    """At most in 10 % of draws and binomial error, on traffic harder than the bundle knew: what a
    threshold keeps fails with a probability that is known.
    """
    case = UpkeepCase.of(
        read_bundle(journey.bundle),
        fresh,
        choose_share=0.5,
        objective=parse_objective("risk=0.45"),
        per_task=False,
        catch_rate=None,
        answer=BY_COST,
        prices=None,
        resampling=Resampling(2),
        seed=0,
    )
    outputs = case.served.scores.outputs
    p = LogitMap(0.8, 1.4)(outputs["p_cheap_fails"].astype(float))
    score = case.served.scored.difficulty_score
    by_rule = case.table(case.served).by_rule
    broken = promised = 0
    for seed in seeds:
        drawn = with_outcomes(fresh, p, outputs["p_frontier_fails"], seed=seed).outcomes
        scored = replace(case.served.scored, outcomes=drawn)
        one = replace(case, served=replace(case.served, scored=scored))
        try:
            point, _ = recalibrating._chosen(one, one.served, find_quick(one))
        except NotAttainableError:
            continue
        promised += 1
        kept = np.where(np.isnan(by_rule), score <= point.threshold, by_rule == 0.0)
        broken += p[kept].mean() > 0.45
    assert promised > len(seeds) / 2
    # 10 % and 3 binomial standard errors.
    assert broken <= 0.1 * promised + 3.0 * np.sqrt(0.09 * promised)


def find_quick(case):
    """Return evidence without its tests: the promise rests on none of them."""
    result = find_quick.cache.get("result")
    if result is None:
        samples = recalibrating.count_samples(case.served.traffic, case)
        result = find_quick.cache["result"] = find_evidence(case, samples=samples, warnings=())
    return result


find_quick.cache = {}


def test_bad_input_is_refused_before_the_work(journey, fresh, harder, tmp_path):
    with pytest.raises(BundleError, match="never overwritten"):
        recalibrate(journey.bundle, harder, journey.bundle)
    with pytest.raises(BundleError, match="must be named"):
        recalibrate(journey.bundle, harder, tmp_path / "small")
    own = Traffic.read(journey.traffic)
    fit = own.select(own.splits((0.6, 0.2, 0.2), 0) == "fit")
    with pytest.raises(SeenTrafficError, match="has seen all"):
        recalibrate(journey.bundle, fit, tmp_path / "small-2")
    with pytest.raises(TooFewSamplesError, match="at least 30 requests"):
        recalibrate(journey.bundle, fresh.select(np.arange(40)), tmp_path / "small-2")
    with pytest.raises(InvalidValueError, match="choose_share"):
        recalibrate(journey.bundle, fresh, tmp_path / "small-2", choose_share=1.0)
    assert list(tmp_path.iterdir()) == []


def test_other_traffic_is_ingested_first(tmp_path):
    """Anything that ingest reads will do, with feedback by id; what is none is refused."""
    rows = [dict(row, cheap_quality=None, cheap_passed=None) for row in sample_rows(50)]
    source = write_rows(tmp_path / "rows.jsonl", rows)
    feedback = write_rows(
        tmp_path / "feedback.jsonl",
        [{"id": row["id"], "side": "cheap", "quality": 1.0} for row in rows[:20]],
    )
    traffic, notes = read_material(source, [feedback])
    assert int((~np.isnan(traffic.outcomes.cheap_quality)).sum()) >= 20
    assert "feedback said something of 20 requests" in notes[0]
    with pytest.raises(TrafficError):
        read_material(tmp_path / "nothing.parquet")


def test_answers_whose_form_alone_was_checked_do_not_count_as_right(journey, quiet):
    """In a log every kept answer passed a check and a part was graded: the rest is unlabelled, or
    the cheap model would seem to fail far less than it does.
    """
    n, bundle = len(quiet), read_bundle(journey.bundle)
    graded = np.arange(n) % 2 == 0
    cheap = quiet.outcomes.cheap_quality
    log = quiet.with_columns(
        {
            "cheap_quality": [q if g else None for q, g in zip(cheap, graded, strict=True)],
            "cheap_passed": [True] * n,
            "measured_by": ["exact" if g else "validators:logged" for g in graded],
        }
    )
    usable, notes = without_forms(log, bundle)
    known = ~np.isnan(usable.outcomes.cheap_quality)
    assert known.tolist() == graded.tolist()
    assert usable.outcomes.cheap_quality[graded].tolist() == cheap[graded].tolist()
    assert f"of {n // 2:,} requests only a check" in notes[0]
    # Where nothing is graded, what there is stays, and is told of as before.
    assert without_forms(log.select(~graded), bundle)[0].outcomes.known.all()
    assert without_forms(quiet, bundle) == (quiet, ())
