import json

import numpy as np
import pyarrow as pa
import pytest

from difficulty.errors import (
    OutputExistsError,
    RecipeError,
    RunError,
    TooFewSamplesError,
    TrafficError,
)
from difficulty.recipe import parse_recipe
from difficulty.stages import train as train_module
from difficulty.stages.ingest import ingest
from difficulty.stages.ship import ship
from difficulty.traffic.duplicates import text_hash
from difficulty.traffic.stored.text_columns import as_sent
from difficulty.traffic.table import Traffic
from difficulty.training.material import check_outcomes
from difficulty.training.run import Run
from difficulty.training.seen_traffic import Seen
from tests.fakes import labelled_tokens
from tests.journey import RECIPE, sample_rows, timeless_metrics, train_on, write_rows

OUTCOMES = ("cheap_quality", "frontier_quality", "cheap_passed", "preference")


def traffic_of(folder, rows):
    """Write rows and ingest them."""
    ingest(
        [write_rows(folder / "rows.jsonl", rows)], folder / "rows.parquet", near_duplicates=False
    )
    return folder / "rows.parquet"


def relabelled(label, rows=None):
    """Return sample rows whose outcomes are what ``label`` makes of the qualities."""
    kept = [
        row
        for row in rows or sample_rows()
        if row["cheap_quality"] is not None and row["frontier_quality"] is not None
    ]
    return [
        {key: value for key, value in row.items() if key not in OUTCOMES} | label(row)
        for row in kept
    ]


def fails(match, folder, rows, journey, error, **changes):
    """Check that training on rows is refused and leaves nothing behind."""
    traffic = traffic_of(folder, rows)
    before = sorted(folder.iterdir())
    with pytest.raises(error, match=match):
        train_on(traffic, folder / "run", journey.encoder, **changes)
    assert sorted(folder.iterdir()) == before


def test_run_holds_its_record(journey):
    record, traffic = Run.read(journey.run).record, Traffic.read(journey.traffic)
    assert (record.target, record.cheap_model, record.frontier_model) == (
        "benefit",
        "example/cheap-8b",
        "example/frontier",
    )
    assert record.training_data == traffic.data_hash
    assert sum(record.samples.as_dict().values()) == len(traffic) == 800
    assert record.recipe.features.ngrams.buckets == 1024
    assert {"difficulty", "numpy", "scikit-learn", "onnxruntime"} <= set(record.libraries)


def test_same_seed_gives_the_same_run_and_the_same_graph(journey, tmp_path):
    """Byte by byte: model and, once shipped, scorer and golden vectors; metrics but for the time
    and the name in their lineage.
    """
    run, _ = train_on(journey.traffic, tmp_path / "again", journey.encoder)
    for name in ("model.json", "calibration.parquet", "test.parquet"):
        assert (run.folder / name).read_bytes() == (journey.run / name).read_bytes(), name
    ship(run.folder, tmp_path / "again-1", draws=20)
    for name in ("scorer.onnx", "golden.jsonl", "policy.json"):
        assert (tmp_path / "again-1" / name).read_bytes() == (journey.bundle / name).read_bytes(), (
            name
        )
    assert timeless_metrics(run.folder) == timeless_metrics(journey.run)
    assert timeless_metrics(tmp_path / "again-1") == timeless_metrics(journey.bundle)


def test_another_seed_gives_another_split(journey, tmp_path):
    run, _ = train_on(journey.traffic, tmp_path / "other", journey.encoder, seed=1)
    assert set(run.test.ids) != set(Run.read(journey.run).test.ids)


def test_fit_calibration_and_test_share_no_group_and_no_text(journey):
    run, traffic = Run.read(journey.run), Traffic.read(journey.traffic)
    splits = traffic.splits(run.recipe.split.fractions, run.recipe.seed)
    for column in (traffic.split_groups, traffic.text_hashes()):
        sides = [
            {value for value, split in zip(column, splits, strict=True) if split == name}
            for name in ("fit", "calibration", "test")
        ]
        assert all(sides)
        assert not sides[0] & sides[1]
        assert not sides[0] & sides[2]
        assert not sides[1] & sides[2]
    assert run.calibration.ids == [
        name for name, split in zip(traffic.ids, splits, strict=True) if split == "calibration"
    ]
    assert run.test.ids == [
        name for name, split in zip(traffic.ids, splits, strict=True) if split == "test"
    ]


def test_added_rows_move_no_old_row(journey, tmp_path):
    """Six hundred rows first, then two hundred more behind them."""
    ingest([write_rows(tmp_path / "first.jsonl", sample_rows(600))], tmp_path / "first.parquet")
    first, both = Traffic.read(tmp_path / "first.parquet"), Traffic.read(journey.traffic)
    later = dict(zip(both.ids, both.splits().tolist(), strict=True))
    assert [later[name] for name in first.ids] == first.splits().tolist()


def test_cheap_validation_alone_trains_for_failure(journey, tmp_path):
    """All that production knows is whether the cheap answer passed: no frontier output, and the
    score is p_cheap_fails.
    """
    rows = relabelled(lambda row: {"cheap_passed": row["cheap_quality"] >= 0.5})
    run, evaluation = train_on(traffic_of(tmp_path, rows), tmp_path / "run", journey.encoder)
    assert (run.record.target, run.record.task_gains) == ("failure", None)
    assert evaluation.overall["auroc"].value > 0.55
    assert evaluation.overall["apgr"].value is None
    bundle = ship(tmp_path / "run", tmp_path / "failure-1", objective="share=0.2", draws=10).bundle
    assert (bundle.manifest.target, bundle.manifest.outputs) == (
        "failure",
        ("difficulty_score", "p_cheap_fails", "familiarity"),
    )
    rows = [json.loads(line) for line in bundle.files["golden.jsonl"].splitlines()]
    assert {row["difficulty_score"] for row in rows} == {row["p_cheap_fails"] for row in rows}


def test_failure_can_be_asked_for_though_both_outcomes_are_known(journey, tmp_path):
    run, _ = train_on(journey.traffic, tmp_path / "run", journey.encoder, target="failure")
    assert run.record.target == "failure"
    assert run.model.predict([[1, 2]]).p_frontier_fails is not None


def test_votes_alone_train_for_benefit(journey, tmp_path):
    """Who won is enough to learn whom to ask."""

    def vote(row):
        gain = row["frontier_quality"] - row["cheap_quality"]
        return {"preference": "tie" if gain == 0 else "frontier" if gain > 0 else "cheap"}

    run, evaluation = train_on(
        traffic_of(tmp_path, relabelled(vote)), tmp_path / "run", journey.encoder
    )
    assert run.record.target == "benefit"
    assert evaluation.overall["apgr"].value > 0.5


def test_ten_rows_are_too_few(journey, tmp_path):
    fails(
        r"at least 60 fit samples with .* known, about 200 in all: got \d of 10\. Add labels",
        tmp_path,
        sample_rows(10),
        journey,
        TooFewSamplesError,
    )


@pytest.mark.parametrize(("quality", "what"), [(1.0, "failures"), (0.0, "good answers")])
def test_one_class_teaches_nothing(journey, tmp_path, quality, what):
    rows = relabelled(
        lambda row: {"cheap_quality": quality, "frontier_quality": row["frontier_quality"]}
    )
    fails(
        f"5 failures and 5 good answers of the cheap model .*: got 0 {what}. Add labels, or check",
        tmp_path,
        rows,
        journey,
        TooFewSamplesError,
    )


def test_frontier_model_that_is_worse_is_refused(journey, tmp_path):
    """The columns may be swapped; training on them would send the easy requests away."""
    rows = relabelled(
        lambda row: {
            "cheap_quality": row["frontier_quality"],
            "frontier_quality": row["cheap_quality"],
        }
    )
    fails(
        r"must be better than the cheap one .* mean quality is 0\.\d+ lower\. Check that .* not"
        r" swapped",
        tmp_path,
        rows,
        journey,
        TrafficError,
    )


def test_benefit_cannot_be_learned_without_frontier_outcomes(journey, tmp_path):
    rows = relabelled(lambda row: {"cheap_quality": row["cheap_quality"]})
    message = "at least 60 fit samples with both outcomes known, about 200 in all: got 0"
    fails(message, tmp_path, rows, journey, TooFewSamplesError, target="benefit")


def test_split_without_test_samples_cannot_be_judged(journey, tmp_path):
    split = {"fit": 0.6, "calibration": 0.4, "test": 0.0}
    with pytest.raises(
        TooFewSamplesError,
        match=r"needs test samples to judge the score by: got none.* raise split.test",
    ):
        train_on(journey.traffic, tmp_path / "run", journey.encoder, split=split)
    assert list(tmp_path.iterdir()) == []


def test_unscorable_text_stops_neither_training_nor_shipping(journey, tmp_path):
    """A zero-width space passes for text until the tokenizer drops it."""
    rows = [
        (
            {**row, "messages": [{"role": "user", "content": "\u200b"}], "group": None}
            if n % 40 == 0
            else row
        )
        for n, row in enumerate(sample_rows())
    ]
    train_on(traffic_of(tmp_path, rows), tmp_path / "run", journey.encoder)
    assert ship(tmp_path / "run", tmp_path / "b-1", draws=10).parity.flips == 0


def test_crash_while_writing_leaves_no_run(journey, tmp_path, monkeypatch):
    def crash(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(train_module, "write_metrics", crash)
    with pytest.raises(KeyboardInterrupt):
        train_on(journey.traffic, tmp_path / "run", journey.encoder)
    assert list(tmp_path.iterdir()) == []


def test_existing_folder_is_refused_before_any_work(journey, tmp_path):
    """Not after an hour of fitting: the traffic need not even be there."""
    (tmp_path / "run").mkdir()
    with pytest.raises(
        OutputExistsError,
        match="run folder .* exists already. Choose another folder, or remove it first",
    ):
        train_on(tmp_path / "no traffic", tmp_path / "run", journey.encoder)
    assert list((tmp_path / "run").iterdir()) == []


def test_tracker_is_told_about_the_finished_run(journey, tmp_path, monkeypatch):
    told = []

    class Tracker:
        def log(self, step):
            # While it is told: the report lies in a scratch folder.
            assert all(path.is_file() for path, _ in step.files)
            told.append(step)

    run = Run.read(journey.run)
    train_module.train(
        journey.traffic,
        tmp_path / "run",
        recipe=run.recipe,
        encoder=run.encoder,
        tracker=Tracker(),
        draws=5,
        progress=lambda _: None,
    )
    (told,) = told
    assert told.name == "train run (small)"
    parameters = told.parameters
    assert (parameters["features.ngrams.buckets"], parameters["seed"], parameters["test"]) == (
        1024,
        0,
        194,
    )
    assert 0.5 < told.metrics["low/apgr"] < told.metrics["apgr"] < told.metrics["high/apgr"] < 1
    assert None not in told.metrics.values()
    assert told.tags["training_data"] == run.record.training_data == told.data.digest
    assert {*told.pictures} >= {"calibration.png", "scores.png"}
    assert all(picture.startswith(b"\x89PNG") for picture in told.pictures.values())
    assert "464 fit, 141 calibration, 194 test samples" in told.note


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"colour": "red"},
            (
                "small.toml: colour is not a field that this version knows: got 'red'. Known:"
                " answer, augment, calibration, distil,"
            ),
        ),
        (
            {"features": {"ngram": {}}},
            "small.toml: features.ngram is not a field .* Perhaps 'ngrams' is meant",
        ),
        (
            {"split": {"fit": 0.5, "calibration": 0.2, "test": 0.2}},
            "split must have fit, calibration and test add up to 1: got 0.5, 0.2, 0.2",
        ),
        (
            {"features": {"ngrams": False, "embedding": False}},
            "small.toml: features must hold at least one of ngrams and embedding",
        ),
        (
            {"policy": {"easy_tasks": ["a"], "hard_tasks": ["a"]}},
            "policy must say of a task that it is easy or hard, not both: got a",
        ),
        (
            {"target": "gain"},
            "small.toml: target must be 'auto' or 'benefit' or 'failure': got 'gain'",
        ),
        ({"seed": -1}, "small.toml: seed must be at least 0: got -1"),
        ({"name": ""}, "small.toml: name must be a non-empty string"),
    ],
    ids=str,
)
def test_recipe_refuses(change, message):
    with pytest.raises(RecipeError, match=message):
        parse_recipe({**RECIPE, **change}, name="small.toml")


class Rows:
    """As much of traffic as :class:`Seen` looks at."""

    def __init__(self, *rows):
        self.texts, self.split_groups, self.near_groups = zip(*rows, strict=True)

    def __len__(self):
        return len(self.texts)

    def text_hashes(self):
        """Return the hash of each text."""
        return list(map(text_hash, self.texts))

    def comparable_texts(self):
        """Return the texts themselves."""
        return iter(self.texts)

    def blocks(self, name):
        """Yield a column of the texts."""
        yield getattr(self, f"{name}s")

    def sent(self, names):
        """Yield the texts as messages of one user."""
        messages = [[{"role": "user", "content": text}] for text in self.texts]
        yield as_sent(pa.table({name: messages for name in names}))


def test_seen_are_texts_groups_and_near_duplicates():
    """The last row is nearly the text of a row that was fitted on, though its own group is new."""
    seen, hashes = Seen.of(Rows(("text a", "group 1", ()), ("text b", "group 2", ())))
    assert hashes.tolist() == [text_hash("text a"), text_hash("text b")]
    asked = Rows(
        ("text a", "group 9", ()),
        ("text c", "group 2", ()),
        ("text c", "group 9", ("group 8",)),
        ("text d", "group 9", ("group 8", "group 1")),
    )
    assert seen.holds(asked).tolist() == [True, True, False, True]
    assert Seen(np.zeros(0, np.uint64), np.zeros(0, np.uint64)).holds(asked).any() == np.False_


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no run at .* run.json is missing. Name a folder written by 'difficulty train'"),
        ("{", "run.json in .* is damaged"),
        ('{"format": 99}', r"run format 99 is not the one this version reads \(1\). Train again"),
        ("{}", "run format None is not the one"),
    ],
)
def test_run_that_is_none_is_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunError, match=message):
        Run.read(tmp_path)


def test_split_that_no_group_fell_into_is_not_for_lack_of_labels():
    """Of a few large groups all may lie on other sides."""
    outcomes = labelled_tokens(300).outcomes
    splits = np.where(np.arange(300) < 200, "fit", "test")
    with pytest.raises(TooFewSamplesError, match="no group of the 300 samples fell"):
        check_outcomes(outcomes, splits, "benefit")
