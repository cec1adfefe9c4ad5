"""Runs whose heads learned from the calibration samples: what is chosen on those, and what is not
promised of them.
"""

import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from difficulty.bundle import read_bundle
from difficulty.errors import LosingRuleError, RecipeError, RunError, SeenTrafficError
from difficulty.metrics import auroc
from difficulty.runtime.scorer import Scorer
from difficulty.stages.deploying.traffic_scores import score_traffic
from difficulty.stages.ingest import ingest
from difficulty.stages.overlap import hash_of_texts
from difficulty.stages.ship import ship
from difficulty.stages.thresholds import rechoose
from difficulty.traffic.table import Traffic
from difficulty.training.assemble import CROSS_BELOW, calibration_of
from difficulty.training.distil import check_teacher
from difficulty.training.run import Run
from tests.journey import DRAWS, recipe_of, sample_rows, train_on, write_rows


@pytest.fixture(scope="module")
def crossed(journey, tmp_path_factory):
    """The small run with heads that learned from all but the test samples."""
    out = tmp_path_factory.mktemp("crossed") / "run"
    return train_on(journey.traffic, out, journey.encoder, calibration="cross")[0]


@pytest.fixture(scope="module")
def shipped(crossed, tmp_path_factory):
    return ship(crossed.folder, tmp_path_factory.mktemp("shipped") / "small-1", draws=DRAWS)


def test_same_requests_are_judged(journey, crossed):
    """The split is that of any run; nothing learned from the test samples."""
    split = Run.read(journey.run)
    assert crossed.record.calibration == "cross"
    assert split.record.calibration == "split"
    assert crossed.test.ids == split.test.ids
    assert crossed.calibration.ids == split.calibration.ids
    assert not crossed.seen.holds(crossed.test).any()


def test_out_of_fold_scores_are_of_fit_and_calibration_samples(crossed):
    samples, ids = crossed.record.samples, crossed.out_of_fold.ids
    assert len(ids) == samples.fit + samples.calibration
    assert ids[samples.fit :] == crossed.calibration.ids
    assert not set(ids) & set(crossed.test.ids)


def test_threshold_is_chosen_on_scores_by_heads_that_did_not_see_the_sample(crossed, shipped):
    """At most 30 % of these are above it; the scores of the bundle's own heads, which know the
    outcomes, tell failures apart better than they tell those of the test samples.
    """
    learned, policy = crossed.learned, shipped.bundle.policy
    scores = crossed.out_of_fold.scores.difficulty_score
    fixed = np.isin(learned.tasks, [*policy.easy_tasks, *policy.hard_tasks])
    hard = np.isin(learned.tasks, policy.hard_tasks)
    sent = np.where(fixed, hard, scores > policy.threshold)
    assert np.mean(sent) == pytest.approx(policy.chosen.expected["frontier_share"]["value"])
    assert np.mean(sent) <= 0.3
    samples = crossed.record.samples
    assert policy.chosen.n == len(learned) == samples.fit + samples.calibration
    unseen, calibration = crossed.unseen_calibration, crossed.calibration
    scorer = Scorer.from_bundle(read_bundle(shipped.bundle.path))
    known = ~np.isnan(calibration.outcomes.cheap_failure)
    failed = calibration.outcomes.cheap_failure[known] > 0.5
    by_heart = score_traffic(scorer, calibration).outputs["p_cheap_fails"][known]
    assert auroc(by_heart, failed) > auroc(unseen.p_cheap_fails[known], failed) + 0.05


def test_run_keeps_outcomes_of_fit_samples_and_none_of_their_texts(journey, crossed):
    """In the order of the scores, as the traffic has them; split runs keep nothing of them."""
    learned, kept = crossed.learned, crossed.out_of_fold
    assert learned.ids == kept.ids
    assert learned.messages() == [[]] * len(learned)
    for name in ("cheap_answer", "frontier_answer", "tools"):
        assert learned.column(name) == [None] * len(learned)
    traffic = Traffic.read(journey.traffic)
    place = {name: row for row, name in enumerate(traffic.ids)}
    same = traffic.select([place[name] for name in learned.ids])
    assert same.text_hashes() == kept.text_hashes
    same, _ = same.without_forms()
    np.testing.assert_array_equal(same.outcomes.gain, learned.outcomes.gain)
    assert (kept.totals > 0).all()
    assert Run.read(journey.run).learned is None


def test_bundle_remembers_the_requests_that_chose_the_threshold(journey, crossed, shipped):
    traffic = Traffic.read(journey.traffic)
    chosen = shipped.bundle.policy.chosen
    rows = np.isin(traffic.ids, crossed.out_of_fold.ids)
    assert chosen.calibration_data == hash_of_texts(traffic.select(rows))
    card = (shipped.bundle.path / "card.md").read_text()
    assert f"on {chosen.n:,} fit and calibration requests" in card


@pytest.mark.parametrize("reason", ["run of before", "familiarity"])
def test_calibration_samples_alone_choose_where_others_would_mislead(crossed, tmp_path, reason):
    """A run of an earlier version kept no outcomes of the fit samples; and their familiarity knows
    them.
    """
    run = shutil.copytree(crossed.folder, tmp_path / "run")
    policy = replace(crossed.recipe.policy, min_familiarity=0.01)
    if reason == "run of before":
        policy = crossed.recipe.policy
        (run / "learned.parquet").unlink()
        with np.load(run / "out_of_fold.npz") as arrays:
            before = {
                name: arrays[name] for name in arrays if name not in ("totals", "text_hashes")
            }
        np.savez_compressed(run / "out_of_fold.npz", **before)
    shipped = ship(run, tmp_path / "small-1", policy=policy, draws=DRAWS)
    assert shipped.bundle.policy.chosen.n == len(crossed.calibration)
    assert shipped.bundle.policy.chosen.calibration_data == hash_of_texts(crossed.calibration)


def test_rule_that_loses_is_refused_by_all_samples_that_were_scored_unseen(crossed, tmp_path):
    """The cheap model gets none of the easy task right, and the score knows it: the calibration
    samples alone have too few of it to say so; with the fit samples, by scores out of fold, it is
    refused. The test samples are not asked.
    """
    run = shutil.copytree(crossed.folder, tmp_path / "run")
    for name in ("calibration", "learned"):
        table = pq.read_table(run / f"{name}.parquet")
        easy = pc.equal(table["task"], "classify")
        quality = pc.if_else(pc.fill_null(easy, False), 0.0, table["cheap_quality"])
        place = table.schema.get_field_index("cheap_quality")
        pq.write_table(table.set_column(place, "cheap_quality", quality), run / f"{name}.parquet")
    with np.load(run / "out_of_fold.npz") as arrays:
        kept = dict(arrays)
    kept["difficulty_score"] = kept["difficulty_score"].copy()
    kept["difficulty_score"][np.isin(crossed.learned.tasks, ["classify"])] += 0.3
    np.savez_compressed(run / "out_of_fold.npz", **kept)
    rules = replace(crossed.recipe.policy, easy_tasks=("classify",), hard_tasks=())
    asked = {"policy": rules, "objective": "share=0.3", "draws": 100}
    with pytest.raises(LosingRuleError, match="'classify' clearly loses on the fit and calibratio"):
        ship(run, tmp_path / "small-1", **asked)
    assert not (tmp_path / "small-1").exists()
    (run / "learned.parquet").unlink()
    (task,) = ship(run, tmp_path / "small-1", **asked).rule
    assert task.verdict == "too few"


def test_expected_gap_is_no_better_than_that_of_the_test_samples(crossed, shipped):
    """Chosen on what heads know by heart it would promise more than new requests hold. The gap, as
    quality itself differs between samples so few.
    """
    chosen = shipped.bundle.policy.chosen.expected["gap_recovered"]
    found = shipped.evaluation.overall["gap_recovered"]
    assert chosen["low"] < found.high
    assert found.low < chosen["high"]


@pytest.mark.parametrize("objective", ["risk=0.6", "missed=0.6,delta=0.2"])
def test_promise_is_refused(crossed, tmp_path, objective):
    with pytest.raises(RunError, match='Train again by a recipe file with calibration = "split"'):
        ship(crossed.folder, tmp_path / "small-1", objective=objective, draws=DRAWS)
    assert not list(tmp_path.iterdir())


def test_promise_of_a_split_run_is_given(journey, tmp_path):
    shipped = ship(journey.run, tmp_path / "small-1", objective="risk=0.6", draws=DRAWS)
    assert shipped.bundle.policy.chosen.guarantee


def test_bundle_says_that_it_learned_from_the_calibration_samples(journey, shipped, tmp_path):
    """So they are not taken to choose a threshold again."""
    assert read_bundle(shipped.bundle.path).manifest.recipe["calibration"] == "cross"
    with pytest.raises(SeenTrafficError, match="Pass other labelled traffic"):
        rechoose(shipped.bundle.path, journey.traffic, tmp_path / "small-2", objective="share=0.2")


def test_card_says_what_heads_learned_from(journey, shipped):
    sentence = "heads learned from the fit and the calibration samples"
    assert sentence in (shipped.bundle.path / "card.md").read_text()
    assert sentence not in (journey.bundle / "card.md").read_text()


def test_promise_is_given_on_other_traffic(shipped, tmp_path):
    rows = write_rows(tmp_path / "rows.jsonl", sample_rows(1_200)[800:])
    ingest([rows], tmp_path / "new.parquet", near_duplicates=False)
    rechosen = rechoose(
        shipped.bundle.path, tmp_path / "new.parquet", tmp_path / "small-2", objective="risk=0.6"
    )
    assert rechosen.bundle.policy.chosen.guarantee


def test_few_labels_are_crossed_unless_a_promise_is_wanted(journey, tmp_path):
    for name, policy, how in (
        ("plain", {}, "cross"),
        ("promise", {"objective": "risk=0.6"}, "split"),
    ):
        run, _ = train_on(
            journey.traffic, tmp_path / name, journey.encoder, calibration="auto", policy=policy
        )
        assert run.record.calibration == how


def test_cross_and_a_promise_are_refused_together(journey, tmp_path):
    with pytest.raises(RecipeError, match=r"wants a promise, policy.objective = 'risk=0.6'"):
        train_on(
            journey.traffic,
            tmp_path / "run",
            journey.encoder,
            calibration="cross",
            policy={"objective": "risk=0.6"},
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("section", [{"distil": {}}, {"export": {"early": True}}])
def test_cross_is_refused_where_samples_must_be_unseen(section):
    with pytest.raises(RecipeError, match='must hold calibration = "cross" without'):
        recipe_of("encoder", calibration="cross", **section)


def test_teacher_must_keep_off_the_calibration_samples(journey, crossed):
    traffic = Traffic.read(journey.traffic)
    with pytest.raises(RunError, match='the teacher must be trained with calibration = "split"'):
        check_teacher(recipe_of("encoder", calibration="split", distil={}), crossed, traffic, None)


def test_suspicious_calibration_samples_weigh_less_too(journey, crossed, tmp_path):
    """They are among the samples that heads learn from, so their weight changes the heads."""
    labels = {"row_weight": 0.1, "group_weight": 0.1}
    run, _ = train_on(
        journey.traffic, tmp_path / "run", journey.encoder, calibration="cross", labels=labels
    )
    listed = (run.folder / "suspicious.jsonl").read_text().splitlines()
    assert any(json.loads(line)["split"] == "calibration" for line in listed)
    heads, plain = (each.model.fitted_["ngrams"].cheap for each in (run, crossed))
    assert heads.coefficients != pytest.approx(plain.coefficients, abs=1e-3)
    assert run.record.samples == crossed.record.samples


@pytest.mark.parametrize(("n", "how"), [(CROSS_BELOW - 1, "cross"), (CROSS_BELOW, "split")])
def test_auto_crosses_below_a_number_of_labels(n, how):
    assert calibration_of(recipe_of("encoder", calibration="auto"), n) == how


def test_auto_splits_where_samples_must_be_unseen():
    for section in ({"distil": {}}, {"export": {"early": True}}):
        assert calibration_of(recipe_of("encoder", calibration="auto", **section), 100) == "split"


def test_early_exit_is_refused_with_its_reason(crossed, tmp_path):
    with pytest.raises(RunError, match="its calibration is 'split'"):
        ship(crossed.folder, tmp_path / "small-1", early=True, draws=DRAWS)
