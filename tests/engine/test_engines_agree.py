"""The whole way from a log to scores, on this machine and on Ray, to the same bytes."""

import importlib.util
import json
import shutil
from datetime import date, datetime
from functools import partial
from hashlib import sha256

import numpy as np
import pytest

from benchmarks.monitor import write_service
from difficulty import stages
from difficulty.bundle import read_bundle
from difficulty.decisions import log_shards
from difficulty.encoders.transformer import MemoryCache
from difficulty.engine import open_engine
from difficulty.request import read_requests
from difficulty.runtime.scorer import Scorer
from difficulty.stages.ingest import ingest
from difficulty.stages.route import score_rows, score_rows_on, write_rows
from difficulty.stages.ship import ship
from difficulty.stages.watching.monitoring import MonitorOptions, monitor
from tests.fakes import load_transformer, random_ids
from tests.journey import DRAWS, train_on


@pytest.fixture(scope="module")
def asked(journey, tmp_path_factory):
    """Requests of a file, more than two blocks."""
    path = tmp_path_factory.mktemp("asked") / "asked.jsonl"
    rows = [{"id": str(n), "prompt": f"sort {n} numbers, then plan the week"} for n in range(5_000)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def score(engine, bundle, asked, out):
    checked = read_bundle(bundle)
    rows = read_requests(asked)
    if engine is None:
        scored = score_rows(Scorer.from_bundle(checked), rows, version=checked.label)
    else:
        scored = score_rows_on(engine, checked, rows)
    write_rows(scored, out)
    return out.read_bytes()


def test_processes_score_what_one_scores(journey, asked, tmp_path):
    with open_engine("local", workers=2) as engine:
        spread = score(engine, journey.bundle, asked, tmp_path / "spread.jsonl")
    assert spread == score(None, journey.bundle, asked, tmp_path / "plain.jsonl")


class Noon(datetime):
    """A clock that stands."""

    @classmethod
    def now(cls, tz=None):
        """Return the same moment."""
        return datetime(2026, 1, 1, 12, tzinfo=tz)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray: make test-scale")
@pytest.mark.filterwarnings("ignore")
def test_ray_makes_the_bundle_and_the_scores_that_processes_make(
    journey, asked, tmp_path, monkeypatch
):
    """Ingest, train, ship and score with each engine at one time of day: every file has the same
    hash.
    """
    for step in (stages.train, stages.ship):
        monkeypatch.setattr(step, "datetime", Noon)
    hashes = []
    for name in ("local", "ray"):
        folder = tmp_path / "work"  # the same names, since some are written down
        folder.mkdir()
        with open_engine(name, workers=2) as engine:
            ingest([journey.source], folder / "traffic.parquet", engine=engine)
            train_on(folder / "traffic.parquet", folder / "run", journey.encoder)
            ship(folder / "run", folder / "small-1", today=date(2026, 1, 1), draws=DRAWS)
            score(engine, folder / "small-1", asked, folder / "scores.jsonl")
        files = [folder / "traffic.parquet", folder / "scores.jsonl"]
        files += sorted((folder / "small-1").rglob("*"))
        hashes.append({file.name: sha256(file.read_bytes()).hexdigest() for file in files})
        shutil.rmtree(folder)
    assert hashes[0] == hashes[1]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray: make test-scale")
@pytest.mark.filterwarnings("ignore")
def test_engines_report_what_one_process_reports_of_a_log(journey, tmp_path, monkeypatch):
    """Each file held apart, read where it lies and sent to workers that do not see it."""
    monkeypatch.setattr(log_shards, "PART_BYTES", 1)
    log = write_service(tmp_path, 3_000)
    lines = next(log.iterdir()).read_text().splitlines(True)
    for name, part in {"b": lines[2_000:], "c": lines[1_500:2_500], "d": lines[:10]}.items():
        (log / f"{name}.jsonl").write_text("".join(part))
    wanted = report(journey.bundle, log, None)
    for name in ("local", "ray"):
        with open_engine(name, workers=2) as engine:
            assert report(journey.bundle, log, engine) == wanted
            with monkeypatch.context() as other:
                # By another begin: no worker takes the file that lies there for this one.
                other.setattr(log_shards.LogFile, "of", partial(other_file, log_shards.LogFile.of))
                assert report(journey.bundle, log, engine) == wanted


def other_file(of, path):
    return of(path)._replace(head_sha256="other")


def report(bundle, log, engine):
    options = MonitorOptions(any_bundle=True, outcomes=[log.parent / "said-3000.jsonl"])
    return json.dumps(monitor([log], bundle, options, engine=engine).as_dict(), default=str)


def test_processes_embed_what_one_embeds(tmp_path):
    encoder = load_transformer(tmp_path)
    ids = random_ids(np.random.default_rng(0), 300)
    with open_engine("local", workers=2) as engine:
        spread = encoder.using(engine=engine, cache=MemoryCache()).encode(ids)
    np.testing.assert_array_equal(spread, encoder.encode(ids))
