"""Write a file or a folder whole or not at all.

What is new is put together in a hidden scratch folder beside its place and takes it in one step, so
a reader sees what was there before, or all of the new. An error or Ctrl-C leaves nothing behind; a
process that is killed leaves at most the scratch folder, whose name begins with a dot and ends with
``.part``; the next that writes to the same place removes it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from difficulty.errors import OutputExistsError

_PART = ".part"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a disk, or of a user's part of it, that holds no more."""
DEFAULT_CACHE = Path.home() / ".cache" / "difficulty"
"""Where converted encoders and embeddings are kept, unless the user names another folder."""


def read_bounded(path: Path, *, most: int) -> bytes:
    """Read a plain file of at most ``most`` bytes; of a larger one, or of a device that never ends,
    no more than that is read.

    Raises
    ------
    ValueError
        If it is larger.
    OSError
        If it cannot be read.
    """
    # Without waiting: a pipe that took the file's place would hold up who opens it for ever.
    with open(path, "rb", opener=_open_at_once) as file:
        content = file.read(most + 1) or b""
    if len(content) > most:
        raise ValueError(f"it is larger than {most:,} bytes")
    return content


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


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
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise OutputExistsError(
                f"{str(path)!r} is a device or a pipe, and a file would take its place. Choose"
                " another name, or write to standard output."
            )
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
    # Here, because routers only read: these load compression libraries, and their start would wait.
    import shutil

    place.parent.mkdir(parents=True, exist_ok=True)
    _remove_left(place)
    scratch, held = _make_scratch(place)
    try:
        yield scratch
    except OSError as error:
        # What was being written is known here, and not to who writes.
        if error.errno in FULL and error.filename is None:
            raise OSError(error.errno, os.strerror(error.errno), str(place)) from error
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        if held is not None:
            os.close(held)


def _make_scratch(place: Path) -> tuple[Path, int | None]:
    """Return a new scratch folder, and the handle by which it is seen to be in use."""
    import tempfile

    while True:
        scratch = Path(tempfile.mkdtemp(prefix=f".{place.name}-", suffix=_PART, dir=place.parent))
        held = _hold(scratch)
        # Another process may have taken it for a leftover before it was held.
        if scratch.is_dir():
            return scratch, held
        if held is not None:
            os.close(held)


def _remove_left(place: Path) -> None:
    """Remove scratch folders of the same place whose process was killed."""
    import re
    import shutil

    ours = re.compile(re.escape(f".{place.name}-") + r"[a-z0-9_]{8}" + re.escape(_PART))
    # Names alone: a cache holds a hundred thousand files.
    for left in [place.parent / name for name in os.listdir(place.parent) if ours.fullmatch(name)]:
        if left.is_symlink() or (held := _hold(left)) is None:
            continue
        shutil.rmtree(left, ignore_errors=True)
        os.close(held)


def _hold(folder: Path) -> int | None:
    """Lock a folder until its handle is closed or the process ends; ``None`` where another holds
    it, or the system knows no such locks.
    """
    try:
        import fcntl  # POSIX alone

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def lock_alone(handle: int) -> bool:
    """Lock an open file until its handle is closed or the process ends; return whether nobody else
    holds it. A system that knows no such locks has nobody else.
    """
    try:
        import fcntl  # POSIX alone
    except ImportError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


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
