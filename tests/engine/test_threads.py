"""Threads that share a process's cores."""

import threading

import pytest
from threadpoolctl import threadpool_info

from difficulty.engine import threads
from difficulty.engine.threads import in_threads, one_core_each


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr(threads, "count_cores", lambda: 2)


@pytest.mark.usefixtures("two_cores")
def test_results_come_in_order_and_work_is_shared():
    both = threading.Barrier(2)  # passed by two threads that are there at once, or never

    def work(number):
        both.wait(timeout=20)
        return number, threading.get_ident()

    results = in_threads(work, range(4))
    assert [number for number, _ in results] == [0, 1, 2, 3]
    assert len({thread for _, thread in results}) == 2


@pytest.mark.usefixtures("two_cores")
def test_threads_begin_none_of_their_own():
    def inner(_):
        return threading.get_ident()

    def outer(_):
        return threading.get_ident(), in_threads(inner, range(3))

    for own, others in in_threads(outer, range(2)):
        assert own != threading.get_ident()
        assert others == [own] * 3


@pytest.mark.usefixtures("two_cores")
def test_an_error_in_one_comes_out():
    def work(number):
        if number == 1:
            raise ValueError("the second one")
        return number

    with pytest.raises(ValueError, match="the second one"):
        in_threads(work, range(3))


def test_one_item_is_worked_on_here():
    assert in_threads(lambda _: threading.get_ident(), [0]) == [threading.get_ident()]


@pytest.mark.usefixtures("two_cores")
def test_libraries_keep_to_one_core_inside_and_not_after():
    import numpy  # noqa: F401

    before = [pool["num_threads"] for pool in threadpool_info()]
    inside = in_threads(lambda _: [pool["num_threads"] for pool in threadpool_info()], range(2))
    with one_core_each():
        here = [pool["num_threads"] for pool in threadpool_info()]
    assert {*inside[0], *inside[1], *here} <= {1}
    assert [pool["num_threads"] for pool in threadpool_info()] == before
