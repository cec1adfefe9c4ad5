"""Finished parts of a long training, kept beside the run until it is whole: after a crash the same
command goes on at the last of them, with ``--resume``.

A part is a file or folder that appears whole or not at all. All belong to one key, a hash of what
the run is made from; parts of another key are thrown away. Everything in them is exact, so a run
that was resumed is, to the byte, the one that would have come of it undisturbed. They hold token
ids of the user's texts and stay beside the run, in the lab.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from difficulty.errors import RunError
from difficulty.form import SavedForm
from difficulty.storage import lock_alone
from difficulty.storage.mapped import load_rows, save_rows

Arrays = dict[str, NDArray[Any]]
Value = TypeVar("Value")
Form = TypeVar("Form", bound=SavedForm)
_KEY, _LOCK, _UNFINISHED = "key.json", "lock", "unfinished"


class FinishedParts:
    """The parts of one run; use it as a context manager.

    Until :meth:`claim`, and without a folder, none is kept: every part is made.

    Parameters
    ----------
    folder : Path, optional
        Where they are kept.
    resume : bool, default False
        Whether parts that are there already are used.
    """

    def __init__(self, folder: Path | None = None, *, resume: bool = False) -> None:
        self._wanted, self._resume = folder, resume
        self._folder: Path | None = None
        self._lock: int | None = None

    @property
    def kept(self) -> bool:
        """Whether parts are kept."""
        return self._folder is not None

    def claim(self, key: dict[str, Any]) -> None:
        """Begin to keep parts, and throw away those of another key.

        Parameters
        ----------
        key : dict
            What the run is made from, as JSON.

        Raises
        ------
        RunError
            If another training is writing them.
        """
        folder = self._wanted
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(folder / _LOCK)
        self._folder = folder
        text = json.dumps(key, sort_keys=True, default=str)
        said = {"sha256": sha256(text.encode()).hexdigest()}
        kept, whole = folder / _KEY, json.dumps(said)
        # As text: one that a kill cut short is another key.
        if not (self._resume and kept.is_file() and kept.read_bytes() == whole.encode()):
            self._clear()
            kept.write_text(whole, encoding="utf-8")

    def __enter__(self) -> FinishedParts:
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            os.close(self._lock)  # the parts stay: an error may be mended, and the run go on

    def remove(self) -> None:
        """Remove them: the run is whole."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def arrays(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """Return the arrays of a part, made now where it is not there yet."""
        if not self.kept:
            return make()

        def write(folder: Path) -> Arrays:
            for key, array in make().items():
                save_rows(folder / f"{key}.npy", array)
            return read(folder)

        def read(folder: Path) -> Arrays:
            # As they are read the files may go: what is mapped from them stays.
            files = sorted(folder.glob("*.npy"))
            return {file.stem: load_rows(file) for file in files}

        return self.part(name, write, read)

    def form(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return a part that is JSON, made now where it is not there yet."""
        if not self.kept:
            return make()

        def write(folder: Path) -> dict[str, Any]:
            content = make()
            (folder / "form.json").write_text(json.dumps(content), encoding="utf-8")
            return content

        def read(folder: Path) -> dict[str, Any]:
            content: dict[str, Any] = json.loads((folder / "form.json").read_text("utf-8"))
            return content

        return self.part(name, write, read)

    def saved(self, name: str, form: type[Form], make: Callable[[], Form]) -> Form:
        """Return a part that is a form, made now where it is not there yet."""
        if not self.kept:
            return make()
        return form.parse_from(name, self.form(name, lambda: make().as_dict()))

    def part(
        self, name: str, write: Callable[[Path], Value], read: Callable[[Path], Value]
    ) -> Value:
        """Return what a part holds: read from its folder, or written there now.

        Parameters
        ----------
        name : str
        write, read : callable
            From the part's folder to what it holds; ``write`` finds it empty.
        """
        if self._folder is None:
            raise RunError("a run without parts has no part to read.")
        place = self._folder / name
        if place.is_dir():
            return read(place)
        scratch = self._folder / _UNFINISHED
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        value = write(scratch)
        for file in scratch.rglob("*"):
            if file.is_file():
                with file.open("rb") as written:
                    os.fsync(written.fileno())
        scratch.rename(place)
        return value

    def _clear(self) -> None:
        assert self._folder is not None
        for path in self._folder.iterdir():
            if path.name != _LOCK:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _locked(path: Path) -> int:
    """Return a handle that holds a lock until it is closed or the process ends."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    if not lock_alone(handle):
        os.close(handle)
        raise RunError(
            f"the parts of an unfinished run, {str(path.parent)!r}, must be one training's: another"
            " one is writing them. Wait for it, or choose another -o."
        )
    return handle
