import json

import pytest

from difficulty.errors import RunError
from difficulty.stages.ingest import ingest
from difficulty.stages.ship import ship
from difficulty.stages.train import train
from difficulty.training.run import Run
from tests.journey import DRAWS, recipe_of, sample_rows, write_rows, write_word_encoder


@pytest.fixture(scope="module")
def start(journey):
    return Run.read(journey.run)


def traffic_of(folder, rows):
    """Write rows of another model pair and ingest them."""
    renamed = [{**row, "cheap_model": "example/new-8b"} for row in rows]
    ingest(
        [write_rows(folder / "rows.jsonl", renamed)], folder / "rows.parquet", near_duplicates=False
    )
    return folder / "rows.parquet"


def train_from(start, traffic, out, *, encoder=None, recipe=None):
    return train(
        traffic,
        out,
        recipe=recipe or start.recipe,
        encoder=encoder or start.encoder,
        start=start,
        more_labels=False,
        draws=DRAWS,
    )


def test_warm_run_says_where_it_started_and_ships(start, tmp_path):
    """Of a few hundred labels of the new pair; the graph has the same inputs and outputs as
    ever.
    """
    run, _ = train_from(start, traffic_of(tmp_path, sample_rows(1_300)[800:]), tmp_path / "run")
    found = run.record.start
    assert (found.training_data, found.cheap_model) == (
        start.record.training_data,
        "example/cheap-8b",
    )
    assert run.record.cheap_model == "example/new-8b"
    shipped = ship(tmp_path / "run", tmp_path / "warm-1", draws=10, allow_no_signal=True)
    assert shipped.parity.flips == 0


def test_requests_that_the_run_saw_are_set_aside(start, tmp_path):
    """The run was fitted on most of the first 200 of these rows, and on others of the groups of
    some that follow.
    """
    traffic = traffic_of(tmp_path, sample_rows(1_300)[600:])
    run, _ = train_from(start, traffic, tmp_path / "run")
    seen = run.record.start.seen
    assert 100 < seen < 700
    assert run.record.samples.aside >= seen
    assert not start.seen.holds(run.calibration).any()
    assert not start.seen.holds(run.test).any()


def test_start_that_saw_every_request_and_has_no_check_is_refused(start, journey, tmp_path):
    known = set(start.test.ids)
    rows = [row for row in sample_rows() if row["id"] not in known]
    with pytest.raises(
        RunError, match=r"needs requests that the run did not see, .*no check .* carried over"
    ):
        train_from(start, traffic_of(tmp_path, rows), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_the_run_was_tested_on_alone_is_split_anew(start, journey, tmp_path):
    """By the same hash all of it would be tested on, and nothing learned from."""
    tested = set(start.test.ids)
    rows = [row for row in sample_rows(2_000) if row["id"] in tested]
    rows += [
        {**row, "id": f"again-{row['id']}", "messages": [{"role": "user", "content": text}]}
        for row in rows
        for text in [f"{row['messages'][-1]['content']} Answer in one line."]
    ]
    run, _ = train_from(start, traffic_of(tmp_path, rows), tmp_path / "run")
    assert run.record.start.seen == 0
    assert min(run.record.samples.fit, run.record.samples.test) > 10


def test_start_with_another_encoder_is_refused(start, tmp_path):
    from difficulty.encoders.base import load_encoder

    other = load_encoder(write_word_encoder(tmp_path / "other", sample_rows(50), dim=12))
    with pytest.raises(
        RunError,
        match=r"needs the encoder of the run, \w{12}: got \w{12}\. .* train without --start-from",
    ):
        train_from(start, tmp_path / "no traffic", tmp_path / "run", encoder=other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"features": {"ngrams": {"buckets": 512}, "embedding": {"strength": 0.1}}},
            r"needs features.ngrams as in the run",
        ),
        ({"text": {"max_tokens": 100}}, r"needs text.max_tokens as in the run, 512: got 100"),
    ],
)
def test_start_with_other_features_is_refused(start, journey, tmp_path, changes, message):
    with pytest.raises(RunError, match=message):
        train_from(
            start,
            tmp_path / "no traffic",
            tmp_path / "run",
            recipe=recipe_of(journey.encoder, **changes),
        )


def test_cold_run_has_no_start(start):
    assert start.record.start is None
    assert json.loads((start.folder / "run.json").read_text())["start"] is None
