import importlib.util

import numpy as np
import pytest

from difficulty.engine import open_engine, tree_sum
from difficulty.engine.ray_engine import RayEngine
from difficulty.engine.work import Host, answer, spread
from difficulty.errors import EngineError, InvalidValueError, MissingExtraError, UnknownNameError
from tests.engine.works import Counter, open_refusing


def test_tree_sum_adds_neighbours_then_neighbouring_sums():
    """((a + b) + (c + d)) + e, told by where a large number swallows small ones."""
    large, small = 2.0**53, 1.0
    parts = [large, small, small, small, -large]
    assert tree_sum(parts) == ((large + small) + (small + small)) + -large


def test_tree_sum_adds_tuples_of_arrays():
    loss, gradient = tree_sum([(1.0, np.ones(2)), (2.0, np.ones(2)), (3.0, np.ones(2))])
    assert (loss, gradient.tolist()) == (6.0, [3.0, 3.0])


def test_tree_sum_of_nothing_is_refused():
    with pytest.raises(ValueError, match="nothing to add"):
        tree_sum([])


def test_answered_error_is_raised_as_itself():
    """Though its constructor takes other arguments than it keeps."""
    answered = answer(open_refusing(), [3])
    with pytest.raises(InvalidValueError, match="number must be another: got 3"):
        answered.value()


@pytest.mark.parametrize(("n", "workers"), [(0, 2), (1, 4), (5, 2), (7, 3)])
def test_spread_gives_no_worker_two_more_than_another(n, workers):
    homes = spread(n, workers)
    counts = np.bincount(homes, minlength=1)
    assert homes == sorted(homes)
    assert counts.max() - counts.min() <= 1


def test_host_passes_pieces_on_in_the_order_of_their_senders():
    words = {0: ["a", "bb"], 1: ["bb", "cccc"]}
    host = Host(Counter, words, [0, 0, 0])
    host._opened[2] = Counter(["a"])
    (parcel,) = host.send(None)
    assert host.call(None, [parcel]) == {0: {}, 1: {"a": 2, "cccc": 1}, 2: {"bb": 2}}


def test_unknown_engine_is_refused():
    with pytest.raises(UnknownNameError, match="Known: local, ray"), open_engine("spark"):
        pass


def test_address_is_for_ray_alone():
    with pytest.raises(InvalidValueError, match="with the engine ray alone"):
        with open_engine("local", address="127.0.0.1:6379"):
            pass


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")
def test_engine_without_ray_names_the_extra():
    with pytest.raises(MissingExtraError, match=r"pip install .*\[scale\]'"):
        with open_engine("ray"):
            pass


class SlowRay:
    """A Ray that is not up in time."""

    def init(self, **_):
        """Fail to start."""
        raise Exception("The current node timed out during startup.")


def test_ray_that_starts_too_slowly_says_what_to_do():
    engine = RayEngine()
    engine._ray = SlowRay()
    with pytest.raises(
        EngineError, match="no Ray can be used on this machine.*take the engine loc"
    ):
        engine._connect()
