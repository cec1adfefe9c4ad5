"""The engine of one machine gives the same whatever the number of processes and their losses."""

import signal
import subprocess
import sys
import time
from functools import partial
from os import kill
from pathlib import Path

import numpy as np
import pytest

from difficulty.engine import LocalEngine, tree_sum
from difficulty.engine.worker_pool import Task, WorkerPool
from difficulty.errors import EngineError, InvalidValueError
from tests.engine import works

BLOCKS = [list(range(start, start + 3)) for start in range(0, 60, 3)]
SQUARES = [works.square(block) for block in BLOCKS]


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_blocks(processes):
    engine = LocalEngine(processes=processes)
    assert list(engine.map_blocks(works.open_squares, iter(BLOCKS))) == SQUARES


def test_blocks_are_drawn_as_they_are_needed():
    drawn = []
    blocks = (drawn.append(number) or [number] for number in range(1_000))
    results = LocalEngine(processes=2).map_blocks(works.open_squares, blocks)
    assert next(results) == [0]
    results.close()
    assert len(drawn) <= 10


@pytest.mark.parametrize("processes", [1, 2])
def test_error_of_the_work_comes_out_as_itself_after_the_blocks_before_it(processes):
    results = LocalEngine(processes=processes).map_blocks(works.open_refusing, [[1], [2], [3], [4]])
    assert [next(results), next(results)] == [[1], [2]]
    with pytest.raises(InvalidValueError, match="number must be another"):
        next(results)


def test_work_that_does_not_open_says_why():
    with pytest.raises(InvalidValueError, match="bundle must be there"):
        list(LocalEngine(processes=2).map_blocks(works.open_failing, BLOCKS))


def test_lost_worker_changes_nothing(tmp_path):
    work = works.KilledOnce(str(tmp_path / "killed"), 31)
    assert list(LocalEngine(processes=2).map_blocks(work, BLOCKS)) == SQUARES
    assert (tmp_path / "killed").exists()


def test_block_that_kills_every_worker_is_given_up():
    work = works.KilledAlways("", 31)
    with pytest.raises(EngineError, match=r"block 11 has to be done by some process: 4 were ended"):
        list(LocalEngine(processes=2).map_blocks(work, BLOCKS))


def test_worker_killed_between_blocks_is_started_again():
    pool = WorkerPool([works.open_pid])
    (first,) = pool.run([Task([0])])
    kill(first, signal.SIGKILL)
    (second,) = pool.run([Task([0])])
    pool.close()
    assert first != second


@pytest.mark.parametrize("processes", [1, 2])
def test_shards_send_each_other_pieces(processes):
    shards = [["a", "bb"], ["bb", "cccc"], ["a"]]
    with LocalEngine(processes=processes).hold(works.Counter, shards) as held:
        assert held(None, held.send(None)) == [{}, {"a": 2, "cccc": 1}, {"bb": 2}]


def test_sums_over_shards_depend_on_neither_workers_nor_their_loss(tmp_path):
    rows = np.random.default_rng(0).normal(size=(4_000, 5))
    shards = np.array_split(rows, 7)
    shards[0][0, 0] = 0.0
    weights = np.array([1.0, 0.3, -2.0, 0.1, 7.0])
    sums = []
    for processes, marker in [(1, ""), (2, str(tmp_path / "killed"))]:
        engine = LocalEngine(processes=processes)
        with engine.hold(partial(works.Gradient, marker), shards) as held:
            loss, gradient = tree_sum(held(weights))
            sums.append((loss, *gradient.tolist()))
    assert (tmp_path / "killed").exists()
    assert sums[0] == sums[1]


def test_processes_end_with_a_driver_that_is_killed():
    script = (
        "import time; from difficulty.engine import LocalEngine; from tests.engine import works;"
        "results = LocalEngine(processes=2).map_blocks(works.open_pid, iter(range(20)));"
        "print(next(results), flush=True); time.sleep(60)"
    )
    driver = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    worker = int(driver.stdout.readline())
    driver.kill()
    driver.wait()
    driver.stdout.close()
    until = time.monotonic() + 30
    while runs(worker) and time.monotonic() < until:
        time.sleep(0.05)
    assert not runs(worker)


def runs(process):
    """Return whether a process has not ended, be it that nobody took note of it."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
