"""Many threads on one router, in a process of its own: ``python -m tests.runtime.hammer BUNDLE
SECONDS < texts.json``.
"""

import ctypes
import json
import os
import sys
import threading
import time
from pathlib import Path

from difficulty.request import Request
from difficulty.runtime import Router

THREADS = 64


def main():
    """Hammer until every thread has its stack and its buffers, then measure."""
    seconds = float(sys.argv[2])
    router = Router.load(sys.argv[1])
    requests = [Request(messages) for messages in json.load(sys.stdin)]
    requests += [Request("a" * length + " é", "classify", length) for length in (10, 9_000)]
    expected = [router.consider(request) for request in requests]
    wrong = []
    hammer(router, requests, expected, wrong, seconds=min(seconds, 10) / 2)
    before = _resident()
    rounds = hammer(router, requests, expected, wrong, seconds=seconds)
    json.dump(
        {
            "rounds": rounds,
            "wrong": wrong,
            "scorer_errors": router.scorer_errors,
            "growth": _resident() - before,
        },
        sys.stdout,
    )


def hammer(router, requests, expected, wrong, *, seconds):
    """Return how often the requests were decided, all threads together; what was not as expected
    goes to ``wrong``.
    """
    end, rounds = time.monotonic() + seconds, []

    def work(start):
        number = start
        while time.monotonic() < end and not wrong:
            row = number % len(requests)
            try:
                if router.decide(*requests[row][:2], tokens=requests[row].tokens) != expected[row]:
                    wrong.append(row)
            except Exception as error:
                wrong.append(repr(error))
            number += 1
        rounds.append(number - start)

    threads = [threading.Thread(target=work, args=(start,)) for start in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(rounds)


def _resident():
    """Return the resident memory of this process in bytes, once the allocator has given back what
    nobody holds.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
    if trim:
        trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
