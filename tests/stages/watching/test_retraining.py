import json
from datetime import datetime, timedelta

import numpy as np
import pytest

from difficulty.encoders.base import StaticEncoder
from difficulty.errors import InvalidValueError, OutputExistsError, TooFewSamplesError, TrafficError
from difficulty.metrics import Resampling
from difficulty.stages.ingest import ingest
from difficulty.stages.watching import retraining
from difficulty.stages.watching.retraining import retrain
from difficulty.traffic.table import Traffic
from difficulty.training.run import Run
from tests.journey import DRAWS, recipe_of, sample_rows, write_rows

FEW = Resampling(DRAWS)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Old traffic and new, 100 requests of which are in both."""
    folder = tmp_path_factory.mktemp("traffic")
    rows = sample_rows(1_000)
    for name, part in {"old": rows[:500], "new": rows[400:]}.items():
        ingest([write_rows(folder / f"{name}.jsonl", part)], folder / f"{name}.parquet")
    return folder


def again(journey, files, out, **changes):
    given = {
        "recipe": recipe_of(journey.encoder),
        "encoder": StaticEncoder.load(journey.encoder),
        "resampling": FEW,
    } | changes
    old, new = (given.pop(name, files / f"{name}.parquet") for name in ("old", "new"))
    return retrain(old, new, journey.bundle, out, **given)


def test_the_newest_judge_and_are_not_learned(journey, files, tmp_path):
    """No key of the newest slice is in what was learned, and all of it is newer."""
    result = again(journey, files, tmp_path / "run", half_lives=[60.0])
    assert Run.read(tmp_path / "run").record.training_data == result.run.record.training_data
    mixed, newest = (
        Traffic.read(result.material / f"{name}.parquet") for name in ("mixed", "newest")
    )
    keys = [{*part.split_groups} for part in (mixed, newest)]
    assert not keys[0] & keys[1]
    assert len(newest) == result.counts["newest"] >= 50
    cut = min(newest.column("timestamp"))
    assert np.mean([when < cut for when in mixed.column("timestamp")]) > 0.8
    assert {figure.figure for figure in result.figures} >= {"apgr", "auroc", "brier"}
    assert result.loss.n > 0
    assert json.loads((result.material / "retrained.json").read_text()) == result.as_dict()
    assert any("100 requests are in both files" in note for note in result.notes)
    # Weights halve with age.
    weight = np.array(mixed.column("weight"))
    times = np.array([when.timestamp() for when in mixed.column("timestamp")])
    age = (times.max() - times) / 86_400
    assert np.corrcoef(np.log(weight), age)[0, 1] == pytest.approx(-1.0, abs=1e-6)


def test_a_run_to_start_from_is_one_of_the_ways(journey, files, tmp_path, monkeypatch):
    """It is judged by what it has not seen."""
    monkeypatch.setattr(retraining, "_FOLDS", 1)
    result = again(
        journey,
        files,
        tmp_path / "run",
        recipe=Run.read(journey.run).recipe,
        half_lives=[None],
        start=Run.read(journey.run),
    )
    assert [(way.half_life, way.warm) for way in result.tried] == [(None, False), (None, True)]
    assert sum(way.chosen for way in result.tried) == 1
    assert result.tried[0].behind_first.value == 0.0


def test_old_labels_that_no_longer_hold_lose_their_weight(journey, tmp_path):
    """The cheap model became good at what it failed, half a year ago: a half-life is chosen."""
    rng, rows = np.random.default_rng(0), []
    start = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    for number in range(1_000):
        hard, late = rng.random() < 0.5, number >= 700
        text = f"w{rng.integers(900)} {'solve' if hard else 'like'} {rng.integers(9**9)}"
        fails = rng.random() < (0.1 if hard == late else 0.9)
        rows.append(
            {
                "id": str(number),
                "prompt": text,
                "timestamp": (start + timedelta(hours=3 * number)).isoformat(),
                "cheap_quality": float(not fails),
                "frontier_quality": 1.0,
            }
        )
    for name, part in {"old": rows[:700], "new": rows[700:]}.items():
        source = write_rows(tmp_path / f"{name}.jsonl", part)
        ingest([source], tmp_path / f"{name}.parquet", near_duplicates=False)
    result = again(journey, tmp_path, tmp_path / "run", half_lives=[None, 10.0])
    assert result.chosen.half_life == 10.0
    assert not result.is_worse
    assert result.loss.high < 0.0


def test_bad_input_writes_nothing(journey, files, tmp_path):
    with pytest.raises(InvalidValueError, match="newest"):
        again(journey, files, tmp_path / "run", newest=1.0)
    with pytest.raises(InvalidValueError, match="half_life"):
        again(journey, files, tmp_path / "run", half_lives=[-3.0])
    with pytest.raises(TooFewSamplesError, match="at least 50 requests"):
        again(journey, files, tmp_path / "run", newest=0.01)
    rows = [dict(row, timestamp=None) for row in sample_rows(700)[600:]]
    undated = tmp_path / "undated.parquet"
    ingest([write_rows(tmp_path / "undated.jsonl", rows)], undated)
    with pytest.raises(TrafficError, match="none of the new ones has a timestamp"):
        again(journey, files, tmp_path / "run", new=undated)
    old, new = (files / f"{name}.parquet" for name in ("old", "new"))
    with pytest.raises(TrafficError, match="new traffic must be newer than the old"):
        again(journey, files, tmp_path / "run", old=new, new=old)
    with pytest.raises(TrafficError, match="requests that the old traffic does not have: all"):
        again(journey, files, tmp_path / "run", old=new)
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "run-material").exists()
    (tmp_path / "run-material").mkdir()
    with pytest.raises(OutputExistsError):
        again(journey, files, tmp_path / "run")
