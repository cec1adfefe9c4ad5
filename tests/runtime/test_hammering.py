"""Many threads on one router, for a while: no error, no wrong score, no growth."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.runtime.hammer import THREADS

MOST_GROWTH = 8_000_000
"""Bytes. In 150 s it was 1.6 million at most; a decision that kept a hundred bytes would pass this
in a minute.
"""


@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="needs /proc to read the process's memory"
)
@pytest.mark.parametrize("seconds", [2, pytest.param(60, marks=pytest.mark.slow)])
def test_router_bears_many_threads(small, texts, seconds):
    """The allocator has one arena: with one for each few threads, what it keeps grows for minutes
    and says nothing of the router.
    """
    command = [sys.executable, "-m", "tests.runtime.hammer", str(small.path), str(seconds)]
    environment = os.environ | {"MALLOC_ARENA_MAX": "1", "PYTHONPATH": str(REPOSITORY)}
    said = subprocess.run(
        command,
        input=json.dumps(texts),
        env=environment,
        cwd=REPOSITORY,
        text=True,
        check=True,
        stdout=subprocess.PIPE,
    )
    found = json.loads(said.stdout)
    assert found["wrong"] == []
    assert found["rounds"] > THREADS
    assert found["scorer_errors"] == 0
    assert found["growth"] < MOST_GROWTH
