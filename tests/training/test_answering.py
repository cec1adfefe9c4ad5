import dataclasses
import json

import numpy as np
import onnx
import pytest

from difficulty.answer_check.saved_check import read_answer_scores
from difficulty.economics import load_price_list
from difficulty.encoders.base import StaticEncoder
from difficulty.errors import NoSignalError, RunError
from difficulty.metrics import Resampling
from difficulty.runtime.router import Router
from difficulty.stages.evaluate import evaluate_scorer
from difficulty.stages.ingest import ingest
from difficulty.stages.ship import ship
from difficulty.stages.train import train
from difficulty.stages.verify import verify
from difficulty.stages.watching.recalibrating import recalibrate
from difficulty.thresholds.ways import WayWanted
from difficulty.traffic.table import Traffic
from difficulty.training.run import CARRIED_OVER, Run
from difficulty.training.shipped import shipped_file
from difficulty.upkeep.logit_map import LogitMap
from tests.journey import DRAWS, recipe_of, sample_rows, train_on, write_rows

CHECK = {"answer": {"form": "full"}}


def traffic_of(folder, rows):
    path = folder / "rows.parquet"
    ingest([write_rows(folder / "rows.jsonl", rows)], path, near_duplicates=False)
    return path


@pytest.fixture(scope="module")
def checked(journey, tmp_path_factory):
    """A run that learned from the sample's answers."""
    out = tmp_path_factory.mktemp("checked") / "run"
    run, evaluation = train_on(journey.traffic, out, journey.encoder, **CHECK)
    return run, evaluation


@pytest.fixture(scope="module")
def bundle(checked, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundle") / "checked-1"
    choices = {"allow_no_signal": True, "keep_rule": True, "answer": WayWanted("check")}
    ship(checked[0].folder, out, draws=DRAWS, **choices)
    return out


def test_run_holds_the_check(checked):
    run, evaluation = checked
    record = run.record.answer
    assert record.answers >= record.labels > 200
    assert record.skill > 0.0
    assert evaluation.baselines["answer_check"]["apgr"].value is not None
    assert Run.read(run.folder).check.form == "full"


def test_scores_are_there_where_an_answer_is(checked):
    run, _ = checked
    for traffic in (run.calibration, run.test):
        known = np.array([answer is not None for answer in traffic.column("cheap_answer")])
        scores = run.answer_scores(traffic)
        np.testing.assert_array_equal(~np.isnan(scores.answer_score), known)
        assert 0 < known.sum() < len(known)


def test_bundle_scores_answers_as_the_run_does(checked, bundle):
    run, _ = checked
    checker = Router.load(bundle).answers
    traffic = run.test
    bodies = [{"messages": messages} for messages in traffic.messages()]
    found = checker.score_many(bodies, traffic.column("cheap_answer"), traffic.tasks)
    expected = run.answer_scores(traffic).by_name()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-4)
    assert verify(bundle).differences == []
    assert onnx.load(bundle / "answer.onnx").opset_import[0].version == 17


def test_what_was_learned_is_said(checked):
    record = checked[0].record.answer
    said = record.sentence
    assert f"learned from {record.answers:,} answers" in said
    assert f"its skill {record.skill:.2f}" in said
    assert "carried on" in dataclasses.replace(record, answers=0).sentence


def test_evaluate_of_traffic_without_answers_or_prompt_tokens_says_so(bundle, tmp_path):
    without = {"cheap_answer", "prompt_tokens"}
    rows = [
        {key: value for key, value in row.items() if key not in without} for row in sample_rows()
    ]
    prices = load_price_list(shipped_file("data/prices.example.toml"), both_models=True)
    judged = evaluate_scorer(
        bundle,
        traffic_of(tmp_path, rows),
        tmp_path / "report",
        prices=prices,
        resampling=Resampling(DRAWS),
    ).evaluation
    assert "answers_unchecked" in {finding.name for finding in judged.findings}
    assert any("have no prompt_tokens" in note for note in judged.notes)
    assert judged.overall["cost"].value is not None


def test_bundle_holds_no_text_of_the_answers(checked, bundle):
    texts = [text for text in checked[0].test.column("cheap_answer") if text and len(text) > 30]
    for path in bundle.iterdir():
        content = path.read_bytes()
        assert not [text for text in texts if text.encode() in content], path.name


def test_recipe_may_want_no_check(journey, tmp_path):
    run, evaluation = train_on(journey.traffic, tmp_path / "run", journey.encoder)
    assert run.record.answer is None
    assert run.check is None
    assert run.answer_scores(run.test) is None
    assert "answer_check" not in evaluation.baselines


def test_few_answers_teach_nothing_and_a_note_says_so(journey, tmp_path):
    rows = [{**row, "cheap_answer": None} for row in sample_rows()]
    for row in rows[:50]:
        row["cheap_answer"] = "yes"
    run, evaluation = train_on(
        traffic_of(tmp_path, rows), tmp_path / "run", journey.encoder, **CHECK
    )
    assert run.record.answer is None
    assert any("No check of answers was learned: it needs 60" in note for note in evaluation.notes)


def test_answers_that_never_fail_teach_nothing(journey, tmp_path):
    rows = [row for row in sample_rows() if row["cheap_quality"] is not None]
    for row in rows:
        row["cheap_answer"] = None if row["cheap_quality"] < 1.0 else row["cheap_answer"]
    run, evaluation = train_on(
        traffic_of(tmp_path, rows), tmp_path / "run", journey.encoder, **CHECK
    )
    assert run.record.answer is None
    assert any("of which 0 fail" in note for note in evaluation.notes)


def started(journey, folder, rows, start, **changes):
    return train(
        traffic_of(folder, rows),
        folder / "run",
        recipe=recipe_of(journey.encoder, **CHECK, **changes),
        encoder=StaticEncoder.load(journey.encoder),
        start=start,
        more_labels=False,
        unseen_tasks=False,
        draws=DRAWS,
    )


def test_warm_start_carries_the_check_on(checked, journey, tmp_path):
    """The new traffic holds no answer at all: the check is there, and says what it said."""
    rows = [
        {**row, "cheap_answer": None, "cheap_model": "another", "id": f"new-{place}"}
        for place, row in enumerate(sample_rows(2_000)[900:])
    ]
    run, _ = started(journey, tmp_path, rows, checked[0])
    assert run.record.answer.started
    assert run.record.answer.answers == 0
    assert run.record.answer.facts == checked[0].record.answer.facts
    assert run.check.heads_ is None


def test_warm_start_learns_from_new_answers(checked, journey, tmp_path):
    rows = [
        {**row, "cheap_model": "another", "id": f"new-{place}"}
        for place, row in enumerate(sample_rows(2_000)[900:])
    ]
    run, evaluation = started(journey, tmp_path, rows, checked[0])
    assert run.record.answer.started
    assert run.record.answer.answers > 300
    assert "answer_check" in evaluation.baselines
    content = json.loads((run.folder / "answer_check.json").read_text())
    assert len(content["checks"]) == 2


def test_warm_start_on_the_same_requests_carries_the_check_over(checked, journey, tmp_path):
    """Another cheap model answered what the run saw: nothing that it saw is tested on, and no
    promise is shown on it.
    """
    start, _ = checked
    rows = [{**row, "cheap_model": "another"} for row in sample_rows()]
    run, evaluation = started(journey, tmp_path, rows, start, calibration="split")
    assert CARRIED_OVER in evaluation.notes
    assert CARRIED_OVER in run.record.notes
    assert CARRIED_OVER not in start.record.notes
    with pytest.raises(RunError, match="needs calibration samples that no check saw"):
        ship(run.folder, tmp_path / "b-1", objective="risk=0.5", allow_no_signal=True, draws=DRAWS)
    assert run.record.start.asks_again
    assert run.record.start.seen > 300
    assert run.record.answer.started
    assert run.record.answer.answers > 200
    assert set(run.test.ids) <= set(start.test.ids)
    assert not start.seen.holds(run.test).any()
    assert "answer_check" in evaluation.baselines


def test_warm_start_on_the_same_requests_needs_another_cheap_model(checked, journey, tmp_path):
    for place, name in enumerate((checked[0].record.cheap_model, None)):
        rows = [{**row, "cheap_model": name} for row in sample_rows()]
        (folder := tmp_path / str(place)).mkdir()
        with pytest.raises(RunError, match="only where another cheap model answered them"):
            started(journey, folder, rows, checked[0])


def meaningless(rows, answered):
    """Return rows whose requests say nothing of their outcome; ``answered`` makes the answer."""
    rng = np.random.default_rng(3)
    words = ["crate", "pallet", "invoice", "route", "label", "order"]
    rows = [row for row in rows if None not in (row["cheap_quality"], row["frontier_quality"])]
    for row in rows:
        text = " ".join(rng.choice(words, size=12))
        row["messages"] = [{"role": "user", "content": text}]
        row |= {"group": None, "task": None, "cheap_answer": answered(row)}
    return rows


def test_check_alone_is_signal_enough_to_ship(journey, tmp_path):
    """Requests tell nothing, answers do: what is shipped has to use the check."""
    rows = meaningless(
        sample_rows(1_300), lambda row: "sorry, no" if row["cheap_quality"] < 0.5 else "yes, 12"
    )
    run, _ = train_on(traffic_of(tmp_path, rows), tmp_path / "run", journey.encoder, **CHECK)
    assert run.record.signal.verdict == "none"
    choices = {"draws": DRAWS, "objective": "quality=0.7"}
    shipped = ship(run.folder, tmp_path / "with-1", **choices)
    assert shipped.point.answer is not None
    with pytest.raises(NoSignalError, match="a score that carries a signal"):
        ship(run.folder, tmp_path / "without-1", answer=WayWanted("off"), **choices)
    assert not (tmp_path / "without-1").exists()


def test_run_for_failures_with_tasks_is_read_again(journey, tmp_path):
    """What the mean gain of a task leaves over knows nothing of a failure."""
    rows = sample_rows()
    for row in rows:
        row["frontier_quality"] = row["preference"] = None
    features = {"ngrams": {"buckets": 1024, "mean_penalty": 5.0}, "tasks": {"least_samples": 3}}
    run, _ = train_on(
        traffic_of(tmp_path, rows), tmp_path / "run", journey.encoder, features=features
    )
    assert run.record.target == "failure"
    assert Run.read(run.folder).model.target == "failure"


def test_damaged_scores_of_answers_are_refused(checked, tmp_path):
    path = tmp_path / "answer_scores.npz"
    content = dict(np.load(checked[0].folder / "answer_scores.npz"))
    for damage in (
        {**content, "answer_score": content["answer_score"] * 5.0},
        {**content, "answer_score": content["answer_score"][:3]},
        {"ids": content["ids"]},
    ):
        np.savez(path, **damage)
        with pytest.raises(RunError, match=r"answer_scores\.npz.*Train again"):
            read_answer_scores(path, checked[0].test.ids)
    path.write_bytes(b"nothing")
    with pytest.raises(RunError, match="Train again"):
        read_answer_scores(path, checked[0].test.ids)


def test_recalibrating_moves_what_the_check_says_of_answers(bundle, tmp_path):
    """Answers fail more often than it says: its probability follows, and its order stays."""
    fresh = Traffic.read(traffic_of(tmp_path, sample_rows(1_800)[800:]))
    checker = Router.load(bundle).answers
    bodies = [{"messages": messages} for messages in fresh.messages()]
    asked = (bodies, fresh.column("cheap_answer"), fresh.tasks)
    before = checker.score_many(*asked)
    p = np.nan_to_num(LogitMap(1.0, 1.5)(before["p_answer_fails"].astype(float)), nan=0.5)
    fails = np.random.default_rng(0).random(len(p)) < p
    labelled = fresh.with_columns(
        {
            "cheap_quality": (1.0 - fails).tolist(),
            "measured_by": ["exact"] * len(p),
            "preference": [None] * len(p),
            "cheap_passed": [None] * len(p),
        }
    )
    out = tmp_path / "checked-2"
    choices = {"objective": "share=0.3", "answer": WayWanted("off")}
    result = recalibrate(bundle, labelled, out, resampling=Resampling(DRAWS), **choices)
    (test,) = [test for test in result.calibrators if test.output == "p_answer_fails"]
    assert test.moves
    assert test.map.shift > 0.5
    after = Router.load(out).answers.score_many(*asked)
    known = ~np.isnan(before["p_answer_fails"])
    wanted = test.map(before["p_answer_fails"][known].astype(float))
    np.testing.assert_allclose(after["p_answer_fails"][known], wanted, atol=1e-4)
    np.testing.assert_allclose(after["answer_score"], before["answer_score"], atol=1e-4)
    assert result.brier["p_answer_fails"].value < 0.0
    assert verify(out).passed
