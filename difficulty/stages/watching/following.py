"""Watching a log that grows: look again when it did, and tell what rose or fell."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from difficulty.alarms import Alarm
from difficulty.errors import LogError
from difficulty.stages.watching.monitoring import Monitored

_Stamp = tuple[str, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """One look at a log that is followed.

    Attributes
    ----------
    monitored : Monitored or None
        None where the log could not be read, or holds nothing yet.
    risen, fallen : tuple of Alarm
        Alarms that stand and did not at the look before, and the other way round.
    problem : str
        Why there is nothing, the first time that it is so.
    """

    monitored: Monitored | None = None
    risen: tuple[Alarm, ...] = ()
    fallen: tuple[Alarm, ...] = ()
    problem: str = ""


def follow(
    look: Callable[[], Monitored],
    paths: Sequence[Path],
    *,
    every_s: float,
    stop: threading.Event,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Glance]:
    """Yield what a log says, at once and whenever it has changed, until ``stop`` is set.

    Between two looks lie at least ``every_s`` seconds, and as long as the last look took: a log
    that is too large for so many looks is looked at less often, and half of a processor stays free.
    A log that cannot be read for the moment is looked at again; nothing that stood is forgotten.

    Parameters
    ----------
    look : callable
        Reads the log.
    paths : sequence of Path
        Files and folders; where none of them has changed there is no look.
    every_s : float
        Seconds.
    stop : threading.Event
    clock : callable
        Seconds that pass.
    """
    seen: tuple[_Stamp, ...] | None = None
    standing: dict[str, Alarm] = {}
    problem, wait_s = "", 0.0
    while not stop.wait(wait_s):
        wait_s = every_s
        stamps = tuple(_stamps(paths))
        if stamps == seen:
            continue
        # What is written during the look is for the next one.
        seen, start = stamps, clock()
        try:
            monitored = look()
        except LogError as error:
            if str(error) != problem:
                problem = str(error)
                yield Glance(problem=problem)
            continue
        finally:
            wait_s = max(every_s, clock() - start)
        problem = ""
        now = {alarm.name: alarm for alarm in monitored.alarms.standing}
        yield Glance(
            monitored=monitored,
            risen=tuple(alarm for name, alarm in now.items() if name not in standing),
            fallen=tuple(alarm for name, alarm in standing.items() if name not in now),
        )
        standing = now


def _stamps(paths: Sequence[Path]) -> Iterator[_Stamp]:
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            try:
                state = file.stat()
            except FileNotFoundError:  # rotated away meanwhile
                continue
            yield str(file), state.st_size, state.st_mtime_ns
