"""Training and judging on a simulated log, whose truth is known: weights undo the choice of the
policy, and bias is refused or said.
"""

import json

import numpy as np
import pytest

from difficulty.errors import TooFewSamplesError, TrafficError
from difficulty.evaluation import read_metrics
from difficulty.metrics import Resampling
from difficulty.stages.evaluate import evaluate_scorer
from difficulty.stages.ingest import ingest
from difficulty.stages.ship import ship
from difficulty.stages.thresholds import rechoose
from difficulty.traffic.stored.tokenized import tokenize
from difficulty.traffic.table import Traffic
from difficulty.training.run import Run
from tests.journey import train_on, write_rows
from tests.logs import complete_rows, logged_rows

pytestmark = pytest.mark.long

ACCEPTED = {"accept_selection_bias": True}


@pytest.fixture(scope="module")
def logs(journey, tmp_path_factory):
    """The same log with and without its propensities, the truth, and a run on either."""
    folder = tmp_path_factory.mktemp("logs")
    rows = complete_rows(4_600)
    forms = {
        "truth": rows,
        "known": logged_rows(rows),
        "unknown": logged_rows(rows, propensity=False),
    }
    for name, form in forms.items():
        ingest(
            [write_rows(folder / f"{name}.jsonl", form)],
            folder / f"{name}.parquet",
            near_duplicates=False,
        )
    train_on(folder / "known.parquet", folder / "weighted", journey.encoder)
    train_on(folder / "unknown.parquet", folder / "plain", journey.encoder, labels=ACCEPTED)
    return folder


def mean_prediction(run_path, traffic_path):
    """Return the mean P(cheap fails) that a run gives the test samples, and their true failure
    rate.
    """
    run = Run.read(run_path)
    truth = Traffic.read(traffic_path)
    test = truth.select(truth.splits() == "test")
    tokens = tokenize(test, view=run.view, tokenizer=run.tokenizer)
    return (
        run.model.predict(tokens.ids, tokens.tasks).p_cheap_fails.mean(),
        test.outcomes.cheap_failure.mean(),
    )


def test_unknown_policy_is_refused(logs, journey, tmp_path):
    with pytest.raises(
        TrafficError, match=r"rows with a route, no propensity, .*--accept-selection-bias"
    ):
        train_on(logs / "unknown.parquet", tmp_path / "run", journey.encoder)
    assert list(tmp_path.iterdir()) == []


def test_training_on_what_a_policy_let_through_is_biased_and_weights_undo_it(logs):
    """The policy kept from the cheap model what it fails: trained on the rest, a model promises too
    much.
    """
    plain, truth = mean_prediction(logs / "plain", logs / "truth.parquet")
    weighted, _ = mean_prediction(logs / "weighted", logs / "truth.parquet")
    assert plain < truth - 0.05
    assert weighted == pytest.approx(truth, abs=0.04)


@pytest.mark.slow
def test_judging_on_a_log_gives_the_figures_of_the_truth(logs, tmp_path):
    """Weighted, the Brier scores of one run on five logs scatter around that on the truth; as they
    are, all of them flatter.
    """
    truth = Traffic.read(logs / "truth.parquet")
    names = {name for name, split in zip(truth.ids, truth.splits(), strict=True) if split == "test"}
    rows = [row for row in complete_rows(4_600) if row["id"] in names]

    def judge(form):
        ingest(
            [write_rows(tmp_path / "rows.jsonl", form)],
            tmp_path / "rows.parquet",
            near_duplicates=False,
            overwrite=True,
        )
        return (
            evaluate_scorer(
                logs / "weighted",
                tmp_path / "rows.parquet",
                tmp_path / "figures",
                resampling=Resampling(2),
            )
            .evaluation.overall["brier"]
            .value
        )

    true = judge(rows)
    weighted, plain = (
        np.array([judge(logged_rows(rows, seed=seed, propensity=known)) for seed in range(1, 6)])
        for known in (True, False)
    )
    assert weighted.mean() == pytest.approx(true, abs=3 * weighted.std() / np.sqrt(len(weighted)))
    assert plain.max() < true
    assert true - plain.mean() > 4 * abs(true - weighted.mean())


def test_judging_a_log_says_what_was_done(logs, tmp_path):
    for name, sentence in (
        ("known", "weighted by inverse propensity"),
        ("unknown", "SELECTION BIAS ACCEPTED"),
        ("truth", None),
    ):
        log = Traffic.read(logs / f"{name}.parquet")
        log.select(log.splits() == "test").write(tmp_path / "test.parquet")
        evaluation = evaluate_scorer(
            logs / "weighted", tmp_path / "test.parquet", tmp_path / name, resampling=Resampling(20)
        ).evaluation
        said = [
            note for note in evaluation.notes if "propensit" in note or "SELECTION BIAS" in note
        ]
        assert len(said) == bool(sentence)
        assert sentence is None or sentence in said[0]
        assert read_metrics(tmp_path / name / "metrics.json").notes == evaluation.notes


def test_frontier_share_counts_requests_not_weights(logs, journey, tmp_path):
    """No outcome takes part in it, so a log and its truth give the same share for one bundle."""
    bundle = ship(
        logs / "weighted", tmp_path / "log-1", objective="share=0.3", draws=20, allow_no_signal=True
    ).bundle
    shares = []
    for name in ("truth", "known"):
        evaluation = evaluate_scorer(
            bundle.path, logs / f"{name}.parquet", tmp_path / name, resampling=Resampling(20)
        ).evaluation
        shares.append(evaluation.overall["frontier_share"].value)
    assert np.ptp(shares) < 0.05


def test_lineage_card_and_metrics_say_what_was_done(logs, tmp_path):
    for name, sentence in (
        ("weighted", "weighted by inverse propensity"),
        ("plain", "SELECTION BIAS ACCEPTED"),
    ):
        lineage = json.loads((logs / name / "run.json").read_text())["logged"]
        assert any(sentence in note for note in lineage["notes"])
        shipped = ship(logs / name, tmp_path / f"{name}-1", draws=20, allow_no_signal=True).bundle
        assert sentence in shipped.files["card.md"].decode()
        assert any(sentence in note for note in json.loads(shipped.files["metrics.json"])["notes"])
        again = rechoose(
            tmp_path / f"{name}-1",
            logs / "known.parquet",
            tmp_path / f"{name}-2",
            objective="share=0.4",
            resampling=Resampling(20),
        ).bundle
        assert (
            "weighted by inverse propensity" in again.files["card.md"].decode().partition("---")[0]
        )


def test_weights_that_leave_too_little_are_refused(journey, tmp_path):
    """One row in thirty was a toss of a hundred to one: after it nothing else counts."""
    rows = [
        row | {"propensity": 1e-5 if n % 30 == 0 else 1.0}
        for n, row in enumerate(logged_rows(complete_rows(900)))
    ]
    ingest(
        [write_rows(tmp_path / "rows.jsonl", rows)],
        tmp_path / "rows.parquet",
        near_duplicates=False,
    )
    with pytest.raises(
        TooFewSamplesError,
        match=(
            r"worth at least 60 equally weighted ones: got \d+ worth \d+, .* labels.largest_weight"
        ),
    ):
        train_on(
            tmp_path / "rows.parquet",
            tmp_path / "run",
            journey.encoder,
            labels={"largest_weight": 1e6},
        )
