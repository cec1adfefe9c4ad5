"""A worker or the program itself killed at a random moment of the work, twenty times each: the same
bytes. `make test-scale`; the seed of the moments is in the message of a failure, and taken from
DIFFICULTY_KILL_SEED.
"""

import json
import os
import random
from functools import partial

import pytest

from benchmarks.engines import gradient_job, near_job, score_job
from benchmarks.lib.killing import count_kills, count_program_kills
from difficulty.engine import open_engine
from difficulty.request import request_row
from difficulty.traffic.duplicates import comparable_text
from tests.journey import sample_rows, write_rows

KILLS = int(os.environ.get("DIFFICULTY_KILLS") or 20)
SEED = int(os.environ.get("DIFFICULTY_KILL_SEED") or random.SystemRandom().randrange(1 << 32))
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def rows():
    return [
        {**row, "id": f"{n}-{copy}"} for copy in range(10) for n, row in enumerate(sample_rows(), 1)
    ]


@pytest.fixture(scope="module")
def jobs(journey, rows):
    asked = [request_row(row, n) for n, row in enumerate(rows, 1)]
    texts = [
        comparable_text((each["role"], each["content"]) for each in row["messages"]) for row in rows
    ]
    return {
        "score": partial(score_job, journey.bundle, asked),
        "near": partial(near_job, list(dict.fromkeys(texts))),
        "gradient": partial(gradient_job, 4_000),
    }


@pytest.fixture(scope="module")
def programs(journey, rows, tmp_path_factory):
    asked = write_rows(tmp_path_factory.mktemp("asked") / "asked.jsonl", rows[:3_000])
    return {
        "score": ["score", json.dumps([str(journey.bundle), str(asked)])],
        "ingest": ["ingest", json.dumps([str(journey.source)])],
    }


@pytest.fixture(scope="module", params=["local", "ray"])
def engine(request):
    if request.param == "ray":
        pytest.importorskip("ray", reason="needs the extra scale: make test-scale")
    with open_engine(request.param, workers=2) as engine:
        yield engine


@pytest.mark.parametrize("job", ["score", "near", "gradient"])
def test_killed_worker_leaves_the_same_bytes(jobs, engine, job, tmp_path):
    counts = count_kills(engine, jobs[job], KILLS, folder=tmp_path, seed=SEED)
    check(counts)


@pytest.mark.parametrize("job", ["score", "ingest"])
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_program_is_run_again_to_the_same_bytes(programs, workers, job, tmp_path):
    """One process, and one that has processes work for it."""
    argv = [*programs[job], "local", str(workers), ""]
    check(
        count_program_kills(argv, KILLS, folder=tmp_path, seed=SEED, victim_only_waits=workers > 1)
    )


@pytest.mark.parametrize("job", ["score", "ingest"])
def test_killed_driver_of_a_ray_cluster_is_run_again_to_the_same_bytes(programs, job, tmp_path):
    """The cluster stays, as one of many machines would."""
    ray = pytest.importorskip("ray", reason="needs the extra scale: make test-scale")
    with open_engine("ray", workers=2):
        address = ray.get_runtime_context().gcs_address
        argv = [*programs[job], "ray", "2", address]
        check(count_program_kills(argv, KILLS, folder=tmp_path, seed=SEED, victim_only_waits=True))


def check(counts):
    """Nearly all were killed: a moment after the last call may come when all is over."""
    assert counts["same"] == counts["jobs"], json.dumps(counts)
    assert counts.get("partly", 0) == 0, json.dumps(counts)
    assert counts["killed"] >= 0.75 * counts["jobs"], json.dumps(counts)
