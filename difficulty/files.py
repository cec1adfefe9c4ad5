"""Write a text file whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def whole_file(out: Path, *, errors: str = "strict") -> Iterator[IO[str]]:
    """Open a UTF-8 text file that takes its place only when the block ends without an error; a
    reader sees the old file or the new one.

    Parameters
    ----------
    out : Path
        Its folder is made where it is missing.
    errors : str
        What becomes of lone surrogates, as ``open`` takes it.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{out.name}-", dir=out.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors=errors, newline="\n") as file:
            yield file
        os.chmod(name, 0o644)
        os.replace(name, out)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
