"""Threads of one process that share its cores: for fits, whose time goes into products and sorts
that hold no lock of Python's.

Each runs alone on its core. Libraries that spread every product over all cores wait for each other
more than they work where products are small, and on a busy machine they do little else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import local
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_here = local()


def count_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def one_core_each() -> Iterator[None]:
    """Keep libraries from spreading products over cores, in the threads begun in here as well."""
    # Here, as routers need no such thing.
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield


@contextmanager
def one_after_the_other() -> Iterator[None]:
    """Have :func:`in_threads` begin no threads from this one."""
    before, _here.busy = getattr(_here, "busy", False), True
    try:
        yield
    finally:
        _here.busy = before


def in_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return what work makes of each item, in order, as many at once as there are cores.

    What comes out does not depend on the number of cores where work is a pure function. Threads
    begin none of their own: called in one of them, the items are worked on one after the other.
    """
    waiting = [*items]
    cores = min(count_cores(), len(waiting))
    if cores < 2 or getattr(_here, "busy", False):
        return [work(item) for item in waiting]
    with one_core_each(), ThreadPoolExecutor(cores, initializer=_begin) as pool:
        return [*pool.map(work, waiting)]


def in_blocks(
    work: Callable[[slice], Result], n: int, *, size: int, threads: bool = True
) -> list[tuple[slice, Result]]:
    """Return blocks of n items and what work makes of each, in order."""
    blocks = [slice(at, at + size) for at in range(0, n, size)]
    return [*zip(blocks, in_threads(work, blocks) if threads else map(work, blocks), strict=True)]


def _begin() -> None:
    from threadpoolctl import threadpool_limits

    _here.busy = True
    threadpool_limits(1)  # OpenMP counts its threads for each of ours
