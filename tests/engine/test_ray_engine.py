"""The engine of a Ray cluster gives what the one of this machine gives: `make test-scale`."""

import socket
import subprocess
import sys
import time
from functools import partial
from subprocess import DEVNULL, PIPE
from threading import Thread

import numpy as np
import pytest

from difficulty.engine import LocalEngine, open_engine, tree_sum
from difficulty.engine.ray_engine import RayEngine, waiting_for_node
from difficulty.errors import EngineError, InvalidValueError
from tests.engine import works
from tests.engine.test_local_engine import runs

pytest.importorskip("ray", reason="needs the extra scale: make test-scale")
pytestmark = [
    pytest.mark.slow,
    # Ray leaves sockets to the collector, and warns of its own settings.
    pytest.mark.filterwarnings("ignore"),
]

BLOCKS = [list(range(start, start + 3)) for start in range(0, 60, 3)]
SQUARES = [works.square(block) for block in BLOCKS]


def test_address_without_ray_is_told_at_once():
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    began = time.monotonic()
    with pytest.raises(EngineError, match=rf"no Ray answers at '{address}'.*ray start --head"):
        with open_engine("ray", address=address):
            pass
    assert time.monotonic() - began < 30  # Ray itself tries for two minutes, then ends the program


def test_address_of_something_else_is_told_at_once():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = Thread(target=serve, daemon=True)
        thread.start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(EngineError, match="is no Ray"), open_engine("ray", address=address):
            pass
        thread.join()


@pytest.mark.parametrize("address", ["nonsense:port", "127.0.0.1:"])
def test_address_that_is_none_is_refused(address):
    with pytest.raises(InvalidValueError, match="must be HOST:PORT or auto"):
        with open_engine("ray", address=address):
            pass


@pytest.fixture(scope="module")
def engine():
    with open_engine("ray", workers=2) as engine:
        yield engine


def test_results_come_in_the_order_of_the_blocks(engine):
    assert list(engine.map_blocks(works.open_squares, iter(BLOCKS))) == SQUARES


def test_blocks_are_drawn_as_they_are_needed(engine):
    """So the object store holds a few blocks, however many there are."""
    drawn = []
    blocks = (drawn.append(number) or [number] for number in range(1_000))
    results = engine.map_blocks(works.open_squares, blocks)
    assert next(results) == [0]
    results.close()
    assert len(drawn) <= 10


def test_error_of_the_work_comes_out_as_itself(engine):
    results = engine.map_blocks(works.open_refusing, [[1], [2], [3], [4]])
    assert [next(results), next(results)] == [[1], [2]]
    with pytest.raises(InvalidValueError, match="number must be another"):
        next(results)


def test_work_that_does_not_open_says_why(engine):
    with pytest.raises(InvalidValueError, match="bundle must be there"):
        list(engine.map_blocks(works.open_failing, BLOCKS))


def test_killed_worker_changes_nothing(engine, tmp_path):
    work = works.KilledOnce(str(tmp_path / "killed"), 31)
    assert list(engine.map_blocks(work, BLOCKS)) == SQUARES
    assert (tmp_path / "killed").exists()


def test_block_that_kills_every_worker_is_given_up(engine):
    with pytest.raises(EngineError, match=r"block 11 has to be done by some Ray worker: 4"):
        list(engine.map_blocks(works.KilledAlways("", 31), BLOCKS))


def test_shards_send_each_other_pieces(engine):
    shards = [["a", "bb"], ["bb", "cccc"], ["a"]]
    with engine.hold(works.Counter, shards) as held:
        assert held(None, held.send(None)) == [{}, {"a": 2, "cccc": 1}, {"bb": 2}]


def test_sums_over_shards_are_those_of_one_process_though_a_worker_is_killed(engine, tmp_path):
    rows = np.random.default_rng(0).normal(size=(4_000, 5))
    shards = np.array_split(rows, 7)
    shards[0][0, 0] = 0.0
    weights = np.array([1.0, 0.3, -2.0, 0.1, 7.0])
    sums = []
    for each, marker in [(LocalEngine(), ""), (engine, str(tmp_path / "killed"))]:
        with each.hold(partial(works.Gradient, marker), shards) as held:
            loss, gradient = tree_sum(held(weights))
            sums.append((loss, *gradient.tolist()))
    assert (tmp_path / "killed").exists()
    assert sums[0] == sums[1]


def test_worker_with_another_version_is_refused_by_both_names(engine, monkeypatch):
    """The workers have the real one: to them this program is the other."""
    monkeypatch.setattr("difficulty.engine.ray_engine.__version__", "99.1")
    with pytest.raises(EngineError, match=r"this program has, 99\.1: it has 0\."):
        with open_engine("ray"):
            pass


def test_more_workers_than_the_cluster_has_processors_are_refused(engine):
    """Ray would wait for them for ever."""
    with pytest.raises(InvalidValueError, match="at most the processors of the cluster, 2: got 9"):
        with open_engine("ray", workers=9):
            pass


def test_node_that_comes_late_is_waited_for_and_said(monkeypatch, caplog):
    """Ray itself would ask for it during 30 s."""
    from ray._private import services

    answers = iter([RuntimeError("not yet"), RuntimeError("not yet"), "the node"])

    def get_node(*_):
        answer = next(answers)
        if isinstance(answer, str):
            return answer
        raise answer

    monkeypatch.setattr(services, "get_node", get_node)
    monkeypatch.setattr("difficulty.engine.ray_engine._SILENT_S", 0.0)
    with waiting_for_node(120.0):
        assert services.get_node("address", "id") == "the node"
    assert services.get_node is get_node
    assert [record.getMessage() for record in caplog.records] == [
        "Ray has been starting on this machine for 0 s; it is waited for up to 120 s."
    ]


def test_node_that_ends_while_it_starts_is_started_again(monkeypatch):
    """Under load Ray's node waits too short for a process of its own, and ends."""
    from ray._private import services

    def get_node(*_):
        raise RuntimeError("not yet")

    ended = iter([0, 1, 1, 2, 2])
    monkeypatch.setattr(services, "get_node", get_node)
    monkeypatch.setattr("difficulty.engine.ray_engine._ended_nodes", lambda: next(ended))

    class Ray:
        starts = 0

        @classmethod
        def init(cls, **_):
            cls.starts += 1
            if cls.starts < 3:
                services.get_node("address", "id")

    engine = RayEngine()
    engine._ray = Ray
    engine._connect()
    assert Ray.starts == 3


def test_ray_that_was_started_here_ends_with_a_driver_that_is_killed():
    """Its workers, and the processes of Ray above them."""
    script = (
        "import sys; from difficulty.engine import open_engine; from tests.engine import works\n"
        "with open_engine('ray', workers=1) as engine:\n"
        "    print(*next(engine.map_blocks(works.open_parents, [0])), flush=True); sys.stdin.read()"
    )
    driver = subprocess.Popen(
        [sys.executable, "-c", script], stdin=PIPE, stdout=PIPE, stderr=DEVNULL, text=True
    )
    processes = [int(word) for word in driver.stdout.readline().split()]
    driver.kill()
    driver.wait()
    for pipe in (driver.stdin, driver.stdout):
        pipe.close()
    until = time.monotonic() + 60
    while any(map(runs, processes)) and time.monotonic() < until:
        time.sleep(0.1)
    assert len(processes) == 2
    assert not any(map(runs, processes))
