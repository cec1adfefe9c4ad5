"""Labels are judged in training: what is suspicious is listed, weighted down when asked, and a
score without a signal is not shipped.
"""

import json

import numpy as np
import pytest

from difficulty.errors import NoSignalError, TooFewSamplesError
from difficulty.evaluation import read_metrics
from difficulty.stages.ingest import ingest
from difficulty.stages.ship import ship
from difficulty.training.run import Run
from tests.journey import sample_rows, train_on, write_rows

TASKS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa")


def known_rows():
    """Return the sample rows of which both qualities are known."""
    return [
        row
        for row in sample_rows()
        if row["cheap_quality"] is not None and row["frontier_quality"] is not None
    ]


def broken_rows():
    """Return rows of ten tasks, of one of which the frontier model is always marked as failing."""
    rng = np.random.default_rng(4)
    rows = []
    for number, row in enumerate(sample_rows()):
        task = TASKS[number % len(TASKS)]
        rate = 0.2 + 0.05 * (number % len(TASKS))
        frontier = 0 if task == "gamma" else int(rng.random() >= 0.4 * rate)
        messages = [
            {"role": "user", "content": f"{task} {message['content']}"}
            for message in row["messages"]
            if message["role"] == "user"
        ]
        outcome = {
            "cheap_quality": int(rng.random() >= rate),
            "frontier_quality": frontier,
            "cheap_passed": None,
            "preference": None,
        }
        rows.append({**row, "messages": messages, "task": task, **outcome})
    return rows


def shuffled_rows():
    """Return sample rows whose outcomes were dealt to others at random."""
    rows = known_rows()
    dealt = np.random.default_rng(4).permutation(len(rows))
    names = ("cheap_quality", "frontier_quality", "cheap_passed", "preference")
    return [
        {**row, **{name: rows[other].get(name) for name in names}}
        for row, other in zip(rows, dealt, strict=True)
    ]


def trained(folder, journey, rows, **changes):
    """Ingest rows and train on them."""
    ingest(
        [write_rows(folder / "rows.jsonl", rows)], folder / "rows.parquet", near_duplicates=False
    )
    return train_on(folder / "rows.parquet", folder / "run", journey.encoder, **changes)


@pytest.fixture(scope="module")
def broken(journey, tmp_path_factory):
    """A run on traffic of which one task's labels are broken."""
    return trained(tmp_path_factory.mktemp("broken"), journey, broken_rows())


@pytest.fixture(scope="module")
def noise(journey, tmp_path_factory):
    """A run on labels that are pure noise."""
    return trained(tmp_path_factory.mktemp("noise"), journey, shuffled_rows())


def listed(run):
    return [json.loads(line) for line in (run.folder / "suspicious.jsonl").read_text().splitlines()]


def test_broken_task_heads_the_report(broken):
    """Every sample of it is listed first, whatever split it is in, and no other task is."""
    run, _ = broken
    rows = [row for row in listed(run) if row["scope"] == "task"]
    assert rows == listed(run)[: len(rows)]
    assert {(row["task"], row["model"]) for row in rows} == {("gamma", "frontier")}
    assert len(rows) == 80
    assert {row["split"] for row in rows} == {"fit", "calibration", "test"}
    assert "the frontier model is marked as failing on 100% of" in rows[0]["why"]
    assert run.record.labels.suspicious.task == 80
    assert next(iter(run.record.labels.by_task)) == "gamma"


def test_report_holds_no_text_of_the_traffic(broken):
    run, _ = broken
    assert {*listed(run)[0]} == {
        "id",
        "task",
        "split",
        "model",
        "label",
        "p_fails",
        "label_quality",
        "scope",
        "why",
    }


def test_figures_stand_with_and_without_suspicious_samples(broken):
    run, evaluation = broken
    parts = evaluation.slices["labels"]
    gamma = sum(task == "gamma" for task in run.test.tasks)
    assert parts["suspicious"]["brier"].n == gamma
    assert parts["not suspicious"]["brier"].n == evaluation.overall["brier"].n - gamma
    assert any(note.startswith("Suspicious labels: task 'gamma'") for note in evaluation.notes)
    assert read_metrics(run.folder / "metrics.json").slices["labels"].keys() == parts.keys()


def test_bundle_says_which_labels_are_suspicious(broken, tmp_path):
    run, _ = broken
    bundle = ship(run.folder, tmp_path / "broken-1", allow_no_signal=True, draws=10).bundle
    assert "Suspicious labels: task 'gamma'" in bundle.files["card.md"].decode()
    assert "not suspicious" in json.loads(bundle.files["metrics.json"])["slices"]["labels"]


def test_single_labels_are_listed_only_where_they_are_to_count_less(journey):
    """Nothing is known to be wrong here, and yet one sample in twenty would be listed."""
    assert Run.read(journey.run).record.labels.suspicious.row == 0
    assert listed(Run.read(journey.run)) == []


def test_sound_labels_have_no_suspicious_group(journey):
    run = Run.read(journey.run)
    assert run.record.labels.groups == ()
    assert run.suspicious == set()
    assert "labels" not in read_metrics(journey.run / "metrics.json").slices


@pytest.mark.long
@pytest.mark.slow
def test_turned_labels_are_listed_more_often_than_others(journey, tmp_path):
    """One in ten cheap outcomes turned round, three times: the lists hold them several times as
    often as chance would.
    """
    known = [row for row in known_rows() if row["cheap_quality"] in (0, 1)]
    listed_at_all, listed_and_turned = 0, 0
    for seed in range(3):
        turned = np.random.default_rng(seed).random(len(known)) < 0.1
        rows = [
            {**row, "cheap_quality": 1 - row["cheap_quality"], "cheap_passed": None}
            if wrong
            else row
            for row, wrong in zip(known, turned, strict=True)
        ]
        (tmp_path / str(seed)).mkdir()
        run, _ = trained(tmp_path / str(seed), journey, rows, labels={"row_weight": 0.999})
        wrong = {row["id"] for row, flag in zip(rows, turned, strict=True) if flag}
        found = {
            row["id"] for row in listed(run) if row["model"] == "cheap" and row["scope"] == "row"
        }
        listed_at_all += len(found)
        listed_and_turned += len(found & wrong)
    assert listed_at_all >= 15
    assert listed_and_turned / listed_at_all > 2 * 0.1


def test_weights_of_suspicious_samples_change_the_fit_and_no_test_figure(broken, journey, tmp_path):
    """The score learns less of them; the test samples keep their weight."""
    run, plain = broken
    weighted, evaluation = trained(tmp_path, journey, broken_rows(), labels={"group_weight": 0.01})
    assert listed(weighted) == listed(run)
    gamma = [row for row, task in enumerate(run.test.tasks) if task == "gamma"]
    ids = run.tokenizer.encode_batch([view.text for view in run.test.select(gamma).views(run.view)])
    before, after = (
        one.model.predict([row.ids for row in ids], ["gamma"] * len(gamma)).p_frontier_fails
        for one in (run, weighted)
    )
    assert after.mean() < before.mean() - 0.1
    assert evaluation.overall["brier"].n == plain.overall["brier"].n
    assert evaluation.baselines["length"]["apgr"] == plain.baselines["length"]["apgr"]


def test_row_weight_reaches_single_samples(journey, tmp_path):
    run = Run.read(journey.run)
    weighted, _ = train_on(
        journey.traffic, tmp_path / "run", journey.encoder, labels={"row_weight": 0.1}
    )
    assert weighted.record.labels.suspicious.row > 0
    assert (weighted.folder / "model.npz").read_bytes() != (run.folder / "model.npz").read_bytes()


def test_noise_has_no_signal_and_is_not_shipped(noise, tmp_path):
    run, evaluation = noise
    assert run.record.signal.verdict == "none"
    assert any(note.startswith("The score carries no signal") for note in evaluation.notes)
    with pytest.raises(
        NoSignalError, match="shipping needs a score that carries a signal.* --allow-no-signal"
    ) as refused:
        ship(run.folder, tmp_path / "noise-1", draws=10)
    assert refused.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_noise_is_shipped_when_the_user_insists_and_says_so(noise, tmp_path):
    run, _ = noise
    bundle = ship(
        run.folder, tmp_path / "noise-1", objective="share=0.3", allow_no_signal=True, draws=10
    ).bundle
    assert "The score carries no signal" in bundle.files["card.md"].decode()
    assert any(
        note.startswith("The score carries no signal")
        for note in json.loads(bundle.files["metrics.json"])["notes"]
    )


def test_sample_has_a_clear_signal(journey):
    signal = Run.read(journey.run).record.signal
    assert signal.verdict == "clear"
    assert signal.n > 600
    assert not any("signal" in note for note in read_metrics(journey.run / "metrics.json").notes)


@pytest.mark.parametrize(
    ("label", "complaint"),
    [
        (lambda row: {"cheap_quality": 1}, "got 0 failures"),
        (lambda row: {"cheap_quality": 0}, "got 0 good answers|every known gain"),
        (
            lambda row: {"cheap_quality": 0.7, "frontier_quality": 0.9},
            "every known gain of the frontier model is equal",
        ),
        (
            lambda row: {"cheap_quality": 0.7, "frontier_quality": None},
            "every known outcome of the cheap model is equal",
        ),
        (
            lambda row: {"cheap_quality": None},
            "at least 60 fit samples with the cheap model's outcome known.* got 0",
        ),
    ],
    ids=[
        "cheap always good",
        "cheap always fails",
        "one gain",
        "one graded outcome",
        "frontier alone",
    ],
)
def test_labels_of_one_kind_are_refused(journey, tmp_path, label, complaint):
    rows = [{**row, "cheap_passed": None, "preference": None} | label(row) for row in known_rows()]
    with pytest.raises(TooFewSamplesError, match=complaint):
        trained(tmp_path, journey, rows)
    assert not (tmp_path / "run").exists()


def test_equal_quality_of_both_models_is_refused(journey, tmp_path):
    """Nothing to gain anywhere."""
    rows = [
        {**row, "frontier_quality": row["cheap_quality"], "cheap_passed": None, "preference": None}
        for row in known_rows()
    ]
    with pytest.raises(TooFewSamplesError, match="every known gain of the frontier model is equal"):
        trained(tmp_path, journey, rows)
