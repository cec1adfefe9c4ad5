"""Write a file or a folder whole or not at all.

What is new is put together in a hidden scratch folder beside its place and takes it in one step, so
a reader sees what was there before, or all of the new. An error or Ctrl-C leaves nothing behind; a
process that is killed leaves at most the scratch folder, whose name begins with a dot, and which
the next one that writes there removes. Each process holds a lock on its scratch folder: one that
nobody holds is left over.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from difficulty.errors import OutputExistsError

DEFAULT_CACHE = Path.home() / ".cache" / "difficulty"
"""Where converted encoders and embeddings are kept, unless the user names another folder."""

_SCRATCH = ".difficulty-part"
_SCRATCH_NAME = re.compile(rf"\..+-\w{{8}}{re.escape(_SCRATCH)}", re.DOTALL)
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a disk, or of a user's part of it, that holds no more."""


def refuse_existing(*paths: Path, what: str = "", overwrite: bool | None = None) -> None:
    """Refuse to write where something is already; also asked before long work.

    Parameters
    ----------
    *paths : Path
        What would be written.
    what : str
        What it is, as ``"run folder"``.
    overwrite : bool, optional
        Whether the user allowed it with ``--overwrite``; ``None`` where no option allows it.

    Raises
    ------
    OutputExistsError
        If something is there, be it a link to nothing.
    """
    for path in paths:
        if not overwrite and (path.exists() or path.is_symlink()):
            advice = (
                "Choose another folder, or remove it first."
                if overwrite is None
                else "Nothing was written: choose another name, or pass --overwrite to replace it."
            )
            subject = f"{what} {str(path)!r}" if what else repr(str(path))
            raise OutputExistsError(f"{subject} exists already. {advice}")


@contextmanager
def scratch_beside(place: Path) -> Iterator[Path]:
    """Give an empty hidden folder beside ``place``, which goes with all that is still in it.

    What is finished is moved out of it; beside its place, because a move to another file system is
    not one step.
    """
    # Here, because routers only read: it loads compression libraries, and their start would wait.
    import shutil

    place.parent.mkdir(parents=True, exist_ok=True)
    _remove_left_over(place.parent)
    scratch, lock = _make_scratch(place)
    try:
        yield scratch
    except OSError as error:
        # What was being written is known here, and not to who writes.
        if error.errno in FULL and error.filename is None:
            raise OSError(error.errno, os.strerror(error.errno), str(place)) from error
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _make_scratch(place: Path) -> tuple[Path, int | None]:
    import tempfile

    while True:
        scratch = Path(
            tempfile.mkdtemp(prefix=f".{place.name[:50]}-", suffix=_SCRATCH, dir=place.parent)
        )
        lock = _lock(scratch, wait=True)
        # Between the two lines another process may have taken it for left over.
        if scratch.exists():
            return scratch, lock
        if lock is not None:
            os.close(lock)


def _lock(folder: Path, *, wait: bool) -> int | None:
    """Lock a folder until its handle is closed, at the latest by the end of the process; ``None``
    where another process has it, or there are no locks.
    """
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(handle)
        return None
    return handle


def _remove_left_over(folder: Path) -> None:
    """Remove scratch folders whose process is gone."""
    import shutil

    with suppress(OSError):  # what cannot be listed cannot be tidied
        for entry in os.scandir(folder):
            if not _SCRATCH_NAME.fullmatch(entry.name) or not entry.is_dir(follow_symlinks=False):
                continue
            lock = _lock(Path(entry.path), wait=False)
            if lock is not None:
                shutil.rmtree(entry.path, ignore_errors=True)
                os.close(lock)


@contextmanager
def whole_file(path: Path, *, errors: str = "strict", durable: bool = False) -> Iterator[IO[str]]:
    """Open a UTF-8 text file that takes its place only when the block ends without an error.

    Parameters
    ----------
    path : Path
        Its folder is made where it is missing; a file that is there is replaced.
    errors : str
        What becomes of lone surrogates, as ``open`` takes it.
    durable : bool
        Whether it must outlast a power cut once the block is done.
    """
    with scratch_beside(path) as scratch:
        with (scratch / path.name).open("w", encoding="utf-8", errors=errors, newline="\n") as file:
            yield file
        (scratch / path.name).chmod(0o644)
        move_into_place(scratch / path.name, path, durable=durable)


@contextmanager
def whole_folder(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Give an empty folder that takes its place only when the block ends without an error.

    Parameters
    ----------
    path : Path
        Must not exist; the folder around it is made where it is missing.
    durable : bool
        Whether its files must outlast a power cut once the block is done.
    """
    with scratch_beside(path) as scratch:
        folder = scratch / path.name
        folder.mkdir()
        folder.chmod(0o755)  # also where the umask would hide what others are to read
        yield folder
        if durable:
            for part in (*folder.rglob("*"), folder):
                _sync(part)
        os.rename(folder, path)  # never replaces a folder that holds something
        if durable:
            _sync(path.parent)


def move_into_place(finished: Path, path: Path, *, durable: bool = False) -> None:
    """Move a finished file from a scratch folder to its place, over what is there."""
    if durable:
        _sync(finished)
    os.replace(finished, path)
    if durable:
        _sync(path.parent)  # the name is the folder's to keep


def _sync(path: Path) -> None:
    """Have the disk hold a file's content, or a folder's names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
