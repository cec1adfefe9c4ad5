"""A bundle tried out in a process that can be ended: a graph that never ends, takes all memory or
brings the process down is found there, and not in the router that answers requests.

That process reads one line of JSON: ``folder``, ``memory`` (bytes of address space), and ``path``,
where the asking process imports from. It writes one line: ``digest`` of the bundle that passed
every check, why it was ``refused``, or what ``failed``.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

from difficulty.bundle import Bundle
from difficulty.errors import BundleError

_START = (
    "import json, sys; asked = json.loads(sys.stdin.readline()); sys.path[:] = asked['path'];"
    " from difficulty.runtime.probe import answer; sys.stdout.write(json.dumps(answer(asked)))"
)
_LONGEST_ANSWER = 10_000
_BASE_MEMORY = 2 << 30
_COPIES = 8
# Threads reserve memory that they never use, which counts against the limit all the same.
_SMALL = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}


class Limits(NamedTuple):
    """What trying out a bundle may take."""

    seconds: float = 60.0
    memory: int | None = None
    """Bytes of address space, where the system can limit it; ``None``: 2 GiB and eight times the
    bundle's files.
    """

    def memory_for(self, bundle: Bundle) -> int:
        """Return the limit for one bundle."""
        if self.memory is not None:
            return self.memory
        return _BASE_MEMORY + _COPIES * sum(map(len, bundle.files.values()))


def try_out(bundle: Bundle, limits: Limits) -> None:
    """Read a bundle, build its router and replay its golden vectors in another process.

    Raises
    ------
    BundleError
        If a check fails there, the limits do not suffice, the process does not end well, or the
        folder holds another bundle by now.
    """
    # Here, so that a router that follows nothing does not wait for them.
    import subprocess
    from multiprocessing.spawn import get_executable

    memory = limits.memory_for(bundle)
    asked = {"folder": str(bundle.path.resolve()), "memory": memory, "path": sys.path}
    what = f"bundle {bundle.label} was tried out in another process"
    try:
        with subprocess.Popen(
            [get_executable(), "-c", _START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, **_SMALL},
        ) as process:
            try:
                output, _ = process.communicate(json.dumps(asked) + "\n", limits.seconds)
            finally:
                process.kill()  # nothing where it has ended
    except subprocess.TimeoutExpired as error:
        raise BundleError(
            f"{what}, which was ended after {limits.seconds:g} s. Verify it where it was made."
        ) from error
    except OSError as error:
        raise BundleError(f"{what}, which could not be started ({error}).") from error
    found = _read_answer(output)
    if "refused" in found:
        raise BundleError(str(found["refused"]))
    if process.returncode or "digest" not in found:
        failed = str(found.get("failed", f"exit code {process.returncode}"))
        raise BundleError(
            f"{what} with {memory / (1 << 30):.1f} GiB of memory, which failed ({failed:.500})."
            " Verify it where it was made."
        )
    if found["digest"] != bundle.digest:
        raise BundleError(f"{what}, which found another one there. It is looked at again.")


def answer(asked: dict[str, Any]) -> dict[str, str]:
    """Return what came of a bundle; runs in the other process."""
    _limit_memory(int(asked["memory"]))
    try:
        # Here, under the limit.
        from difficulty.bundle import read_bundle
        from difficulty.runtime.golden import checked_router

        bundle = read_bundle(Path(asked["folder"]))
        checked_router(bundle)
    # A panic of a Rust library is no Exception; and whatever it is, it is the answer.
    except BaseException as error:
        # As short as the other side reads.
        if isinstance(error, BundleError):
            return {"refused": f"{error!s:.500}"}
        return {"failed": f"{type(error).__name__} {error!s:.400}".strip()}
    return {"digest": bundle.digest}


def _limit_memory(most: int) -> None:
    try:
        import resource  # POSIX alone
    except ImportError:
        return
    if most:
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    # A core of gigabytes is no answer.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _read_answer(output: str) -> dict[str, Any]:
    """Return the last line's object; what a library prints may stand before it."""
    try:
        found = json.loads(output.rstrip().rpartition("\n")[2][:_LONGEST_ANSWER])
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
