"""Let a function that reads and writes local paths take URLs: copied in before, and out after.

Training maps files into memory, and whole-or-not-at-all needs renames and locks, so every function
of the package works on local paths. This is the one place where a URL becomes one. What a function
writes beside its output (rejects, a summary) goes with it.
"""

from __future__ import annotations

import functools
import inspect
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

from difficulty.errors import DifficultyError, OutputExistsError, StorageError
from difficulty.storage.urls import (
    forget_copies,
    local_path,
    name_copies,
    name_of,
    named,
    parent_of,
    place_of,
    url_of,
)

if TYPE_CHECKING:
    from difficulty.storage.remote import Place

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

WRITTEN = ("out", "out_path", "export", "prometheus")
"""Parameters that name what is written."""
KEPT = ("cache", "journal", "log", "work_dir")
"""Parameters that name what is locked, or grows while the program runs: local always."""


def on_urls(
    function: Callable[Arguments, Result],
    hold: Callable[[], AbstractContextManager[Callable[[], None]]] | None = None,
) -> Callable[Arguments, Result]:
    """Let the paths of a function be URLs: ``s3://``, ``gs://``, ``abfs://``, ``hf://``, ...

    Paths are the arguments that are a ``Path``, alone or in a list, and texts where the annotation
    names one; a text that stands where only paths may becomes one. Those of :data:`WRITTEN` are
    copied out when the function is done, be it with an error after which a local file would stand
    there too; Ctrl-C copies nothing. ``hold`` opens what holds back the function's words while an
    output is on its way, and gives what drops them: what cannot be copied out was not written.

    Raises
    ------
    StorageError
        If something cannot be copied; of the function, whatever it raises. What was written then
        stays on this machine, and the error says where.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def carried(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        _make_paths(bound, signature)
        urls = _find_urls(bound, signature)
        if not urls:
            return function(*bound.args, **bound.kwargs)
        with _workspace() as space:
            copies = _Copies(space)
            for name, value in urls.items():
                bound.arguments[name] = copies.bring(name, value, bound.arguments)
            is_held = hold is not None and not {*urls}.isdisjoint(WRITTEN)
            with hold() if hold and is_held else nullcontext(_drop_nothing) as drop:
                try:
                    result = function(*bound.args, **bound.kwargs)
                except Exception as error:
                    copies.send_or_keep(drop)
                    _say_urls(error)
                    raise
                copies.send_or_keep(drop)
            return result

    return carried


@contextmanager
def local_copy(path: str | Path) -> Iterator[Path]:
    """Give the local path of what lies at a path or URL; a copy goes at the end."""
    url = url_of(path)
    if url is None:
        yield Path(path)
        return
    with _workspace() as space:
        try:
            yield _Copies(space).read(url)
        except DifficultyError as error:
            _say_urls(error)
            raise


def _drop_nothing() -> None:
    """Nothing is held back."""


def _make_paths(bound: inspect.BoundArguments, signature: inspect.Signature) -> None:
    """Put paths in the place of texts, alone or in a list, where the annotation knows paths alone:
    in a notebook a path is a text.
    """
    for name, value in bound.arguments.items():
        words = re.findall(r"\w+", str(signature.parameters[name].annotation))
        if "Path" not in words or "str" in words:
            continue
        if isinstance(value, str):
            bound.arguments[name] = Path(value)
        elif isinstance(value, list | tuple) and any(isinstance(item, str) for item in value):
            bound.arguments[name] = [Path(item) for item in value]


def read_remote(url: str) -> IO[bytes]:
    """Open the file at a URL where it lies, to read any part of it."""
    from difficulty.storage.remote import Place

    return Place(url).open()


def _find_urls(
    bound: inspect.BoundArguments, signature: inspect.Signature
) -> dict[str, str | list[str | Path]]:
    """Return the arguments that are URLs, or lists with some, by name."""
    urls: dict[str, str | list[str | Path]] = {}
    for name, value in bound.arguments.items():
        if isinstance(value, list | tuple):
            if any(isinstance(item, Path) and url_of(item) for item in value):
                urls[name] = [url_of(item) or item for item in value]
        elif isinstance(value, Path) or (
            isinstance(value, str) and "Path" in str(signature.parameters[name].annotation)
        ):
            url = url_of(value)
            if url is not None:
                urls[name] = url
    return urls


class _Sent(NamedTuple):
    """An output: where it is written, what it is to become."""

    local: Path
    url: str
    stubs: dict[Path, int]
    """Empty files in the places of what is there already, and when they were made."""


class _Copies:
    """Copies of one call, in a folder of their own."""

    def __init__(self, space: Path) -> None:
        self._space = space
        self._sent: list[_Sent] = []
        self._read: dict[str, Path] = {}
        self._n = 0

    def bring(self, name: str, value: str | list[str | Path], arguments: dict[str, Any]) -> Any:
        """Return what the function is given in the place of a URL, or of a list with some."""
        if isinstance(value, list):
            return [self.read(item) if isinstance(item, str) else item for item in value]
        if (path := local_path(value)) is not None:
            return path
        if name in KEPT:
            raise StorageError(
                f"{name} must be on this machine: got {value!r}. It is locked, or grows while the"
                " program runs. Pass a local path."
            )
        if name not in WRITTEN:
            return self.read(value)
        others = {key: item for key, item in arguments.items() if key != name}
        read = [url_of(item) for item in others.values() if isinstance(item, str | Path)]
        places = {place_of(url) for url in [*read, *self._read] if url}
        if place_of(value) in places:
            raise OutputExistsError(
                f"the output must not be what is read: got {value!r} for both. Choose another name."
            )
        if arguments.get("journal", "none is asked for") is None:
            raise StorageError(
                "a journal on this machine is needed where the output is a URL: it keeps every call"
                " that was paid for. Pass --journal FILE."
            )
        return self._write(value)

    def read(self, url: str) -> Path:
        """Return a local copy of what lies at a URL."""
        from difficulty.storage.remote import Place

        if (path := local_path(url)) is not None:
            return path
        if url not in self._read:
            local = self._new(url)
            Place(url).copy_in(local)
            self._read[url] = local
        return self._read[url]

    def send(self) -> None:
        """Copy out what the function has written: an output last, so what lies beside it is there
        before.
        """
        from difficulty.storage.remote import Place

        for sent in self._sent:
            parent = parent_of(sent.url)
            for stub in sent.stubs:
                if not stub.exists() and stub.parent == sent.local.parent:
                    Place(f"{parent}/{stub.name}").remove()
            written = [path for path in sent.local.parent.iterdir() if _is_new(path, sent)]
            for path in sorted(written, key=lambda path: path == sent.local):
                self._send(Place(f"{parent}/{path.name}"), path, sent)

    def send_or_keep(self, drop: Callable[[], None]) -> None:
        """Copy out; where that fails, drop what was said of it, and move what was written to where
        it outlasts the call.
        """
        try:
            self.send()
        except DifficultyError as error:
            drop()
            if (kept := self._keep()) is not None:
                error.args = (
                    f"{error} What was written is kept in {str(kept)!r}: copy it from there, then"
                    " remove that folder.",
                    *error.args[1:],
                )
            raise

    def _keep(self) -> Path | None:
        import shutil
        import tempfile

        parents = {sent.local.parent: sent for sent in self._sent}
        written = [
            path for at, sent in parents.items() for path in at.iterdir() if _is_new(path, sent)
        ]
        if not written:
            return None
        kept = Path(tempfile.mkdtemp(prefix="difficulty-unsent-"))
        for path in written:
            shutil.move(path, kept / path.name)
        return kept

    def _send(self, place: Place, path: Path, sent: _Sent) -> None:
        if path.is_file():
            place.copy_file_out(path)
        elif not sent.stubs:
            place.copy_folder_out(path)
        else:  # a folder that was there: files of a report
            for file in path.rglob("*"):
                if file.is_file() and _is_new(file, sent):
                    place.child(file.relative_to(path).as_posix()).copy_file_out(file)

    def _write(self, url: str) -> Path:
        from difficulty.storage.remote import MARK, Place

        local, place = self._new(url), Place(url)
        stubs: list[Path] = []
        # Empty files in the places of what is there, for whoever asks before it writes.
        if place.exists():
            if place.is_folder():
                names = place.files()
                stubs += [] if MARK in names else [local / name for name in names]
            else:
                stubs.append(local)
        stubs += [local.with_name(name) for name in place.siblings(f"{local.stem}.*")]
        for stub in stubs:
            stub.parent.mkdir(parents=True, exist_ok=True)
            stub.touch()
        times = {stub: stub.stat().st_mtime_ns for stub in stubs}
        if stubs:
            time.sleep(0.01)  # what is written next has another time
        self._sent.append(_Sent(local, url, times))
        return local

    def _new(self, url: str) -> Path:
        folder = self._space / str(self._n)
        self._n += 1
        folder.mkdir()
        name_copies(folder, parent_of(url))
        return folder / name_of(url)


def _is_new(path: Path, sent: _Sent) -> bool:
    """Return whether a path was written by the function: no scratch folder, no stub."""
    if path.name.startswith("."):
        return False
    if path.is_dir():
        return any(_is_new(part, sent) for part in path.rglob("*") if part.is_file())
    stub = sent.stubs.get(path)
    return stub is None or path.stat().st_size > 0 or path.stat().st_mtime_ns != stub


@contextmanager
def _workspace() -> Iterator[Path]:
    # Here, because routers only read: these load compression libraries.
    import tempfile

    with tempfile.TemporaryDirectory(prefix="difficulty-copies-") as folder:
        space = Path(folder).resolve()
        try:
            yield space
        finally:
            forget_copies(space)


def _say_urls(error: BaseException) -> None:
    """Have an error name URLs, and not their copies."""
    if isinstance(error, DifficultyError):
        error.args = tuple(named(part) if isinstance(part, str) else part for part in error.args)
    elif isinstance(error, OSError) and isinstance(error.filename, str):
        error.filename = named(error.filename)
