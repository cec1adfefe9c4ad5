"""Many threads on one router, for a while: no error, no wrong score, no growth."""

import ctypes
import os
import threading
import time
from pathlib import Path

import pytest

from difficulty.runtime import Request, Router

THREADS = 64
MOST_GROWTH = 24_000_000
"""Bytes; a batch of the largest size is about half of it."""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc to read the process's memory")
@pytest.mark.parametrize("seconds", [2, pytest.param(60, marks=pytest.mark.slow)])
def test_router_bears_many_threads(small, texts, seconds):
    router = Router.from_bundle(small)
    requests = [Request(messages) for messages in texts] + [Request("a" * length + " é", "classify", length) for length in (10, 9_000)]
    expected = [router.consider(request) for request in requests]
    wrong = []
    _hammer(router, requests, expected, wrong, seconds=min(seconds, 5) / 2)  # until every thread has its stack and its buffers
    before = _resident()
    rounds = _hammer(router, requests, expected, wrong, seconds=seconds)
    assert wrong == []
    assert rounds > THREADS
    assert router.scorer_errors == 0
    assert _resident() - before < MOST_GROWTH


def _hammer(router, requests, expected, wrong, *, seconds):
    """Return how often the requests were decided, all threads together; what was not as expected goes to ``wrong``."""
    end, rounds = time.monotonic() + seconds, []

    def work(start):
        number = start
        while time.monotonic() < end and not wrong:
            row = number % len(requests)
            try:
                if router.decide(*requests[row][:2], tokens=requests[row].tokens) != expected[row]:
                    wrong.append(row)
            except Exception as error:
                wrong.append(error)
            number += 1
        rounds.append(number - start)

    threads = [threading.Thread(target=work, args=(start,)) for start in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(rounds)


def _resident():
    """Return the resident memory of this process in bytes, once the allocator has given back what nobody holds.

    What it keeps is no leak, and how much depends on how many threads happened to be inside a large request at once.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
    if trim:
        trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
