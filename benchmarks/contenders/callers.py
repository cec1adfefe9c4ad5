"""Concurrent callers of our router in one event loop: ``callers.py BUNDLE``, texts as a JSON list
on standard input.

Three ways: ``adecide``; ``decide`` in asyncio's own pool of threads; ``decide`` in the loop, which
then stands still meanwhile. Each caller asks for its next decision when it has the last one, so
nothing waits but for the machine. A ticker beside them says how late the loop is for whatever else
it serves.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import numpy as np

from difficulty.runtime import Router

CALLERS = (1, 8, 64)
ROUNDS = 5
TICK_S = 0.002
Ask = Callable[[str], Awaitable[object]]


async def measure(ask: Ask, texts: list[str], callers: int) -> dict[str, list[float]]:
    """Return what each request took, how late each tick was, and what all took together of wall and
    processor time, in s.
    """
    rest, taken, late = iter(texts), [], []
    ticking = asyncio.ensure_future(_tick(late))
    wall, processor = time.perf_counter(), time.process_time()
    await asyncio.gather(*(_call(ask, rest, taken) for _ in range(callers)))
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    ticking.cancel()
    return {"taken": taken, "late": late, "wall": [wall], "processor": [processor]}


async def _call(ask: Ask, rest: Iterator[str], taken: list[float]) -> None:
    for text in rest:
        started = time.perf_counter()
        await asyncio.sleep(
            0
        )  # a request is there; its turn comes when the loop has done what else is due
        await ask(text)
        taken.append(time.perf_counter() - started)


async def _tick(late: list[float]) -> None:
    while True:
        due = time.perf_counter() + TICK_S
        await asyncio.sleep(TICK_S)
        late.append(time.perf_counter() - due)


def ways(router: Router) -> dict[str, Ask]:
    """Return the ways to ask."""

    async def in_loop(text: str) -> object:
        return router.decide(text)

    return {
        "adecide": router.adecide,
        "decide in a pool": lambda text: asyncio.to_thread(router.decide, text),
        "decide in the loop": in_loop,
    }


async def main() -> list[dict[str, Any]]:
    """Return a row for each way and number of callers, over rounds in which all take turns."""
    router, texts = Router.load(sys.argv[1]), json.load(sys.stdin)
    found: dict[tuple[str, int], list[dict[str, list[float]]]] = {}
    for number in range(ROUNDS + 1):
        for callers in CALLERS:
            for way, ask in ways(router).items():
                one = await measure(ask, texts, callers)
                if number:  # the first round warms up
                    found.setdefault((way, callers), []).append(one)
    return [_row(way, callers, rounds, len(texts)) for (way, callers), rounds in found.items()]


def _row(way: str, callers: int, rounds: list[dict[str, list[float]]], n: int) -> dict[str, Any]:
    taken, late = (
        np.concatenate([one[name] for one in rounds]) * 1e3 for name in ("taken", "late")
    )
    return {
        "way": way,
        "callers": callers,
        "per_second": round(n / float(np.median([one["wall"][0] for one in rounds]))),
        "processor_ms": float(np.median([one["processor"][0] for one in rounds])) / n * 1e3,
        "p50_ms": float(np.quantile(taken, 0.5)),
        "p99_ms": float(np.quantile(taken, 0.99)),
        "loop_late_p99_ms": float(np.quantile(late, 0.99)),
    }


if __name__ == "__main__":
    json.dump(asyncio.run(main()), sys.stdout)
