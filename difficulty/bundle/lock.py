"""One process at a time: a lock that the operating system gives back when its holder ends, however
it ends.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from difficulty.errors import RegistryError

_WAIT_S = 30.0
_PAUSE_S = 0.05


@contextmanager
def locked(path: Path, *, wait_s: float = _WAIT_S) -> Iterator[None]:
    """Hold a lock file while the block runs.

    A lock whose holder was killed is free at once: it belongs to the open file, not to the file's
    being there. The file stays.

    Raises
    ------
    RegistryError
        If another process holds it for longer than ``wait_s`` seconds.
    """
    import fcntl  # POSIX

    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        end = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise RegistryError(
                        f"another process holds {str(path)!r} for more than {wait_s:g} s. Try"
                        " again."
                    ) from None
                time.sleep(_PAUSE_S)
        yield
    finally:
        os.close(handle)
