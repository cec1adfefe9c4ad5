"""A contender in a process of its own: answers on standard output, one JSON line for each line that
asks.

Imported by the scripts beside it from their own environments, so it needs nothing but the standard
library.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Call = Callable[[str], Any]
Batch = Callable[[Sequence[str]], Any]


def serve(
    calls: Mapping[str, Call],
    *,
    batches: Mapping[str, Batch] | None = None,
    before: Mapping[str, Callable[[], None]] | None = None,
) -> None:
    """Answer until standard input ends.

    ``{"texts": [...], "calls": [...], "rounds": n}`` runs the calls in turns on each text, n times
    over, and gives by call the wall and processor times in ns; ``{"batch": [...], "call": name}``
    gives those of one batch. What ``before`` names runs before each call, outside its time. The
    first line says that all is loaded, and how much memory is resident then.
    """
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print goes to standard error
    _say(
        out,
        {"calls": sorted(calls), "batches": sorted(batches or {}), "resident_mb": _resident_mb()},
    )
    for line in sys.stdin:
        asked = json.loads(line)
        if "batch" in asked:
            taken = _timed((batches or {})[asked["call"]], asked["batch"])
            _say(out, {asked["call"]: [taken], "resident_mb": _resident_mb()})
        else:
            _say(
                out,
                _in_turns(
                    {name: calls[name] for name in asked["calls"]},
                    before or {},
                    asked["texts"],
                    asked["rounds"],
                ),
            )


def _in_turns(
    calls: Mapping[str, Call],
    before: Mapping[str, Callable[[], None]],
    texts: Sequence[str],
    rounds: int,
) -> dict[str, Any]:
    times: dict[str, list[tuple[int, int]]] = {name: [] for name in calls}
    for _ in range(rounds):
        for text in texts:
            for name, call in calls.items():
                before.get(name, lambda: None)()
                times[name].append(_timed(call, text))
    return times | {"resident_mb": _resident_mb()}


def _timed(call: Callable[[Any], Any], asked: Any) -> tuple[int, int]:
    """Return wall and processor time in ns."""
    wall, processor = time.perf_counter_ns(), time.process_time_ns()
    call(asked)
    return time.perf_counter_ns() - wall, time.process_time_ns() - processor


def _resident_mb() -> float:
    with open("/proc/self/statm") as file:
        return round(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def _say(out: Any, answer: Mapping[str, Any]) -> None:
    out.write(json.dumps(answer) + "\n")
    out.flush()
