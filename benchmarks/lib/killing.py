"""Processes killed inside the work: an engine whose workers note each call as it begins, and of
which one kills itself, or the program that waits for it, in the middle of the call that was chosen.

The moment is a call and a part of the time that the call takes, not a time on the clock: on a busy
machine a time falls into the start of Ray more often than into the work.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from subprocess import PIPE
from typing import Any

from difficulty.engine import Engine, Work
from difficulty.engine.work import ShardWork

PAST_THE_END = 0.1
"""Part of the moments that come when a call is over and its answer on the way."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When to kill, and whom.

    Parameters
    ----------
    notes : Path
        A folder that all processes see; calls are counted in it, and that somebody was killed.
    call : int, optional
        Number of the call that is not survived, from 1 on in the order they begin; None: all are.
    after_s : float
        So long after its beginning.
    may_end : bool
        Whether the call may be over by then; else it is not.
    victim : int, optional
        Process to kill; by default the one that works.
    """

    notes: Path
    call: int | None = None
    after_s: float = 0.0
    may_end: bool = False
    victim: int | None = None

    @contextmanager
    def during_call(self) -> Iterator[None]:
        """Count a call, and kill if it is the one."""
        # One byte a call: the place behind it is its number, in whatever process it is.
        number = _append(self.notes / "begun", b".")
        began = time.perf_counter()
        timer = threading.Timer(self.after_s, self._kill) if number == self.call else None
        if timer is not None:
            timer.daemon = True
            timer.start()
        yield
        if timer is not None and not self.may_end:
            self._kill()
        took = time.perf_counter() - began
        _append(self.notes / "took", f"{number} {took:.6f}\n".encode())

    def _kill(self) -> None:
        victim = self.victim or os.getpid()
        _append(self.notes / "killed", f"{victim}\n".encode())
        os.kill(victim, signal.SIGKILL)

    @property
    def has_struck(self) -> bool:
        """Whether it came."""
        return (self.notes / "killed").exists()

    def calls(self) -> dict[int, float]:
        """Return the seconds of each call that ended, by its number."""
        lines = (self.notes / "took").read_text().splitlines()
        return {int(number): float(took) for number, took in map(str.split, lines)}


class StruckEngine:
    """An engine that has its calls counted, and a process killed at a moment."""

    def __init__(self, engine: Engine, moment: Moment) -> None:
        self._engine, self._moment = engine, moment
        self.shares_files = engine.shares_files

    @property
    def workers(self) -> int:
        """How many blocks are worked on at once."""
        return self._engine.workers

    def map_blocks(self, work: Work, blocks: Iterable[Any]) -> Iterator[Any]:
        """Yield the result of each block, in their order."""
        return self._engine.map_blocks(partial(_open_counted, self._moment, work), blocks)

    def hold(self, work: ShardWork, shards: Sequence[Any]) -> Any:
        """Open each shard once, spread over the workers."""
        return self._engine.hold(partial(_open_counted, self._moment, work), shards)


class _Counted:
    """What answers calls, each of them counted."""

    def __init__(self, moment: Moment, function: Callable[..., Any]) -> None:
        self._moment, self._function = moment, function

    def __call__(self, *args: Any) -> Any:
        with self._moment.during_call():
            return self._function(*args)


def _open_counted(moment: Moment, work: Callable[..., Any], *shard: Any) -> _Counted:
    """Open a work, or a shard, which is a call too."""
    with moment.during_call():
        return _Counted(moment, work(*shard))


def choose_moment(rng: random.Random, calls: dict[int, float], notes: Path) -> Moment:
    """Choose a call and a moment of it; ``calls`` are those of an undisturbed job."""
    call = rng.choice(sorted(calls))
    part = rng.uniform(0.0, 1.0 + PAST_THE_END)
    notes.mkdir()
    return Moment(notes, call, part * calls[call], may_end=part > 1.0)


def count_kills(
    engine: Engine, job: Callable[[Engine], str], n: int, *, folder: Path, seed: int
) -> dict[str, int]:
    """Do a job again and again while a worker is killed at some moment of its work.

    Parameters
    ----------
    engine : Engine
    job : callable
        Does the work on an engine and returns a hash of what came out.
    n : int
        How often.
    folder : Path
        An empty one, for notes.
    seed : int
        Of the moments.

    Returns
    -------
    dict
        Seed, how many jobs there were, how many calls one has, in how many a worker was killed,
        and how many had the result of the undisturbed one.
    """
    rng = random.Random(seed)
    (folder / "undisturbed").mkdir()
    undisturbed = Moment(folder / "undisturbed")
    wanted = job(StruckEngine(engine, undisturbed))
    calls = undisturbed.calls()
    killed = same = 0
    for number in range(n):
        moment = choose_moment(rng, calls, folder / str(number))
        result = job(StruckEngine(engine, moment))
        killed += moment.has_struck
        same += result == wanted
    return {"seed": seed, "jobs": n, "calls": len(calls), "killed": killed, "same": same}


def count_program_kills(
    argv: Sequence[str], n: int, *, folder: Path, seed: int, victim_only_waits: bool
) -> dict[str, int]:
    """Start a program again and again, kill it at some moment of its work, and run it again.

    Parameters
    ----------
    argv : sequence of str
        A job of :mod:`benchmarks.lib.killed_program`, without the moment and the output.
    n, folder, seed
        As of :func:`count_kills`.
    victim_only_waits : bool
        Whether others do the work, which kill the program they do it for.

    Returns
    -------
    dict
        As of :func:`count_kills`; and how many left a file where the output belongs that is not
        the whole of it.
    """
    rng = random.Random(seed)

    def run(moment: Moment, out: Path) -> int:
        told = [str(moment.notes), str(moment.call or 0), repr(moment.after_s)]
        told += [str(int(moment.may_end)), str(int(victim_only_waits)), str(out)]
        assert programs.stdin is not None
        assert programs.stdout is not None
        programs.stdin.write(json.dumps([*argv, *told]) + "\n")
        programs.stdin.flush()
        return int(programs.stdout.readline())

    def written(out: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(out.glob("[!.]*"))}

    undisturbed = Moment(folder / "undisturbed")
    program = "from benchmarks.lib.killed_program import main; main()"
    command = [sys.executable, "-c", program]
    killed = same = partly = 0
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as programs:
        for place in (undisturbed.notes, folder / "wanted"):
            place.mkdir()
        if code := run(undisturbed, folder / "wanted"):
            raise ChildProcessError(f"the undisturbed program must end well: got code {code}")
        wanted, calls = written(folder / "wanted"), undisturbed.calls()
        for number in range(n):
            moment = choose_moment(rng, calls, folder / str(number))
            out = moment.notes / "out"
            out.mkdir()
            code = run(moment, out)
            killed += code == -signal.SIGKILL
            partly += any(wanted.get(name) != content for name, content in written(out).items())
            if code:
                run(Moment(moment.notes), out)
            same += written(out) == wanted
    return {
        "seed": seed,
        "jobs": n,
        "calls": len(calls),
        "killed": killed,
        "partly": partly,
        "same": same,
    }


def _append(path: Path, content: bytes) -> int:
    """Append to a file that other processes append to; return where it ends then."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(handle, content)
        return os.lseek(handle, 0, os.SEEK_CUR)
    finally:
        os.close(handle)
