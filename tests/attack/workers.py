"""A class of attack in a process of its own, which limits its own memory, processor time and, case
by case, the time of each: what goes beyond is ended by the system, and told by number.

The process is started as ``python -m tests.attack.workers ORDER``; the order is a file of JSON.
"""

import json
import os
import resource
import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from importlib import import_module

from tests.conftest import REPOSITORY

MOST_TOLD = 10
"""Faults that a process describes; it counts all."""
_GIB = 1 << 30


class Findings:
    """What an attack found: counts, faults, and the case that it is at."""

    def __init__(self, progress):
        self.counts, self.faults = Counter(), []
        self._progress = progress

    def fault(self, kind, told):
        """Count a fault, and describe it if it is one of the first."""
        self.counts[kind] += 1
        if len(self.faults) < MOST_TOLD:
            self.faults.append(f"{kind}: {told:.500}")

    @contextmanager
    def case(self, name, *, cpu_s=10.0):
        """Give a case so many seconds of processor time; beyond them the process is ended."""
        os.pwrite(self._progress, f"{name!s:.200}".ljust(200).encode("utf-8", "replace"), 0)
        signal.setitimer(signal.ITIMER_PROF, cpu_s)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0.0)


def attack(folder, function, *, memory_gib=4.0, cpu_s=3_600, **options):
    """Run ``module:function`` under limits; return its counts, and fail with its faults.

    Parameters
    ----------
    folder : Path
        For files of the attack, which is told it as ``folder``.
    function : str
        Takes :class:`Findings`, ``folder`` and the options.
    memory_gib, cpu_s : float
        Address space and processor time of the whole process.
    """
    order, result, progress = (folder / name for name in ("order", "result", "progress"))
    order.write_text(
        json.dumps(
            {
                "function": function,
                "folder": str(folder),
                "memory": round(memory_gib * _GIB),
                "cpu_s": cpu_s,
                "options": options,
            }
        )
    )
    done = subprocess.run(
        [sys.executable, "-m", "tests.attack.workers", str(order)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        cwd=REPOSITORY,
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "OMP_NUM_THREADS": "1",
            "MALLOC_ARENA_MAX": "2",
        },
    )
    at = progress.read_text(errors="replace").strip() if progress.exists() else "no case"
    assert done.returncode == 0, f"ended with {done.returncode} at {at}: {done.stderr[-2_000:]}"
    found = json.loads(result.read_text())
    assert found["faults"] == [], "\n".join(found["faults"])
    return found["counts"]


def main():
    """Carry out an order."""
    with open(sys.argv[1], encoding="utf-8") as file:
        order = json.load(file)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (order["memory"],) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (order["cpu_s"],) * 2)
    folder = os.path.dirname(sys.argv[1])
    progress = os.open(os.path.join(folder, "progress"), os.O_WRONLY | os.O_CREAT)
    findings = Findings(progress)
    module, _, name = order["function"].partition(":")
    from pathlib import Path

    getattr(import_module(module), name)(findings, Path(folder), **order["options"])
    with open(os.path.join(folder, "result"), "w", encoding="utf-8") as file:
        json.dump({"counts": findings.counts, "faults": findings.faults}, file)


if __name__ == "__main__":
    main()
