"""A worker killed at a random moment, twenty times each: the same bytes. `make test-scale`."""

import json
from functools import partial

import pytest

from benchmarks.engines import count_kills, gradient_job, near_job, score_job
from difficulty.request import request_row
from difficulty.traffic.duplicates import comparable_text
from tests.journey import sample_rows

KILLS = 20
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def jobs(journey):
    rows = sample_rows()
    asked = [
        request_row({**row, "id": f"{n}-{copy}"}, n)
        for copy in range(10)
        for n, row in enumerate(rows, 1)
    ]
    texts = [
        comparable_text((each["role"], each["content"]) for each in row["messages"]) for row in rows
    ]
    return {
        "score": partial(score_job, journey.bundle, asked),
        "near": partial(near_job, list(dict.fromkeys(texts))),
        "gradient": partial(gradient_job, 4_000),
    }


@pytest.mark.parametrize("job", ["score", "near", "gradient"])
@pytest.mark.parametrize("engine", ["local", "ray"])
def test_killed_worker_leaves_the_same_bytes(jobs, engine, job):
    if engine == "ray":
        pytest.importorskip("ray", reason="needs the extra scale: make test-scale")
    counts = count_kills(engine, jobs[job], KILLS, most_s=0.8)
    assert counts["killed"] >= KILLS / 4, json.dumps(counts)
    assert counts["same"] == counts["killed"]
