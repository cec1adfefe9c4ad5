"""Read and write what lies behind a URL; the one module that knows fsspec.

Credentials and addresses are those of each storage's own library: environment, profiles, the role
of the machine, ``FSSPEC_<SCHEME>_<OPTION>``. Nothing is asked for here, and nothing is kept.

A file appears under its name when all of it has arrived: object stores show nothing of an upload
before its end, elsewhere it is written under a hidden name and renamed. A folder is many objects,
and no store shows them all at once: while one is written, a mark lies in it, and readers refuse a
folder that has the mark.
"""

from __future__ import annotations

import fnmatch
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, TypeVar

from difficulty.errors import DifficultyError, OutputExistsError, StorageError, StorageNotFoundError
from difficulty.storage.failures import is_bucket_absent, is_passing, missing_package, told_by

Result = TypeVar("Result")

MARK = ".difficulty-upload.part"
"""Lies in a folder while it is written."""
_BLOCK = 16 * 2**20
"""Bytes of one call: after an error only these are read again."""
_TRIES = 4
_FIRST_WAIT_S = 0.1
_STALE_S = 3_600.0
"""Age of a mark, in seconds, after which its upload counts as cut."""
_OBJECT_STORES = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "hf")
"""Stores that show an object when its upload is complete."""
# Files by which a reader knows a folder: last, so that what they speak of is there.
_LAST = ("manifest.json", "run.json", "metrics.json", "state.json", "dataset_dict.json")


class Place:
    """A file or folder behind a URL.

    Parameters
    ----------
    url : str

    Raises
    ------
    MissingExtraError
        If the package of its storage is not installed.
    StorageError
        If the storage cannot be set up.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._scheme = url.partition("://")[0]
        self._files, self._path = _open_storage(self.url, self._scheme)

    def is_folder(self) -> bool:
        """Return whether a folder lies there.

        Raises
        ------
        StorageNotFoundError
            If nothing does.
        """
        return bool(self._ask(lambda: self._files.info(self._path))["type"] == "directory")

    def exists(self) -> bool:
        """Return whether anything lies there.

        Raises
        ------
        StorageNotFoundError
            If not even its bucket does: nothing can be written there.
        """
        try:
            # fsspec's own exists() says no of whatever it could not ask.
            self.is_folder()
        except StorageNotFoundError as error:
            if is_bucket_absent(error.__cause__):
                raise
            return False
        return True

    def child(self, name: str) -> Place:
        """Return the place of a part of the folder."""
        return Place(f"{self.url}/{name}")

    def open(self) -> IO[bytes]:
        """Open a file to read any part of it, a block at a time."""
        self._fresh()
        opened = self._ask(lambda: self._files.open(self._path, "rb", block_size=_BLOCK))
        return _Patient(self, opened)  # type: ignore[return-value]

    def size(self) -> int:
        """Return the bytes of a file."""
        return int(self._ask(lambda: self._files.info(self._path))["size"] or 0)

    def version(self) -> str:
        """Return what changes when the file does: tag, time and size, as its storage tells."""
        self._fresh()
        info = self._ask(lambda: self._files.info(self._path))
        tags = ("ETag", "etag", "md5", "generation", "LastModified", "mtime", "size")
        return "|".join(str(info[name]) for name in tags if info.get(name) is not None)

    def files(self) -> list[str]:
        """Return the files of the folder and below, as paths from it, in order."""
        self._fresh()
        names = self._ask(lambda: self._files.find(self._path))
        cut = len(self._path.rstrip("/")) + 1
        return sorted(name[cut:] for name in names if len(name) > cut)

    def matching(self) -> list[str]:
        """Return the URLs of the files that the URL names with ``*``, ``?`` or ``[...]``.

        Raises
        ------
        StorageNotFoundError
            If there are none.
        """
        self._fresh()
        names = self._ask(lambda: self._files.glob(self._path))
        if not names:
            raise StorageNotFoundError(f"no file fits {self.url!r}. Check the address.")
        return [f"{self._scheme}://{name.lstrip('/')}" for name in sorted(names)]

    def siblings(self, pattern: str) -> list[str]:
        """Return the names of files that lie beside this one and fit a pattern."""
        self._fresh()
        try:
            names = self._ask(lambda: self._files.ls(_parent(self._path), detail=False))
        except StorageNotFoundError:
            return []
        last = [name.rstrip("/").rpartition("/")[2] for name in names]
        return sorted(name for name in last if fnmatch.fnmatchcase(name, pattern))

    def copy_in(self, local: Path) -> None:
        """Copy what lies there to a path that is free.

        Raises
        ------
        StorageNotFoundError
            If nothing lies there.
        StorageError
            If it cannot be read, changes meanwhile, or is a folder that is being written.
        """
        if not self.is_folder():
            self._copy_file_in(local)
            return
        names = self.files()
        if MARK in names:
            raise StorageError(
                f"{self.url!r} must be whole: an upload to it is under way, or was cut. Write it"
                " again, or wait for its end."
            )
        local.mkdir(parents=True)
        for name in names:
            (local / name).parent.mkdir(parents=True, exist_ok=True)
            self.child(name)._copy_file_in(local / name)

    def copy_file_out(self, local: Path) -> None:
        """Copy a file there, over what is there; it appears whole or not at all."""
        if self._scheme in _OBJECT_STORES:
            self._ask(lambda: self._files.put_file(str(local), self._path))
        else:
            self._put_and_rename(local)
        if (sent := local.stat().st_size) != (came := self.size()):
            raise StorageError(
                f"{self.url!r} must have {sent:,} bytes: it has {came:,}. Another process writes to"
                " it too: use a name of its own."
            )

    def copy_folder_out(self, local: Path) -> None:
        """Copy a folder to a free place; readers refuse it until all of it is there.

        Raises
        ------
        OutputExistsError
            If something lies there already.
        """
        self._take_place()
        mark = self.child(MARK)
        mark._put_bytes(b"")
        files = [path for path in local.rglob("*") if path.is_file()]
        for path in sorted(files, key=lambda path: (path.name in _LAST, path)):
            self.child(path.relative_to(local).as_posix()).copy_file_out(path)
        mark.remove()

    def remove(self) -> None:
        """Remove a file, where there is one."""
        try:
            self._ask(lambda: self._files.rm_file(self._path))
        except StorageNotFoundError:
            return

    def _take_place(self) -> None:
        """Remove what an upload that was cut has left; refuse whatever else lies there."""
        if not self.exists():
            return
        names = self.files() if self.is_folder() else ["."]
        if MARK not in names:
            raise OutputExistsError(f"{self.url!r} exists already. Choose another name.")
        age_s = self.child(MARK).age_s()
        if age_s < _STALE_S:
            raise OutputExistsError(
                f"{self.url!r} is being written, or its upload was cut {age_s / 60:.0f} minutes"
                f" ago. Choose another name, or remove it; after {_STALE_S / 60:.0f} minutes it is"
                " replaced."
            )
        # The mark last: until then the rest is known to be a part.
        for name in sorted(names, key=lambda name: name == MARK):
            self.child(name).remove()

    def age_s(self) -> float:
        """Return the seconds since a file was written; 0 where its storage does not tell."""
        try:
            written = self._files.modified(self._path)
        except Exception:  # not every storage knows
            return 0.0
        if written.tzinfo is None:
            written = written.replace(tzinfo=UTC)
        return float((datetime.now(UTC) - written).total_seconds())

    def _copy_file_in(self, local: Path) -> None:
        self._fresh()
        before = self.version()
        info = self._ask(lambda: self._files.info(self._path))
        with local.open("wb") as file:
            if info.get("size") is None:  # a web server that does not tell
                file.write(self._ask(lambda: self._files.cat_file(self._path)))
                return
            size = int(info["size"])
            for start in range(0, size, _BLOCK):
                file.write(self.read(start, min(size, start + _BLOCK)))
        if self.version() != before:
            raise StorageError(f"{self.url!r} changed while it was read. Read it again.")

    def read(self, start: int, end: int) -> bytes:
        """Read some bytes of a file, all of them."""

        def read() -> bytes:
            content = bytes(self._files.cat_file(self._path, start=start, end=end))
            if len(content) != end - start:
                raise ConnectionError(f"{len(content):,} of {end - start:,} bytes came")
            return content

        return self._ask(read)

    def _put_and_rename(self, local: Path) -> None:
        hidden = f"{_parent(self._path)}/.{_last(self._path)}-{secrets.token_hex(4)}.part"
        try:
            self._ask(lambda: self._files.makedirs(_parent(self._path), exist_ok=True))
            self._ask(lambda: self._files.put_file(str(local), hidden))
            self._ask(lambda: self._files.mv(hidden, self._path))
        except BaseException:
            with _quietly():
                self._files.rm_file(hidden)
            raise

    def _put_bytes(self, content: bytes) -> None:
        self._ask(lambda: self._files.pipe_file(self._path, content))

    def _fresh(self) -> None:
        # Listings are kept, and other processes write too.
        self._files.invalidate_cache()

    def _ask(self, call: Callable[[], Result]) -> Result:
        """Return what a call of the storage gives; ask again while it is busy."""
        for left in reversed(range(_TRIES)):
            try:
                return call()
            except DifficultyError:
                raise
            except Exception as error:  # each library has its own
                if not left or not is_passing(error):
                    raise told_by(error, url=self.url, scheme=self._scheme, tries=_TRIES) from error
                time.sleep(_FIRST_WAIT_S * 2 ** (_TRIES - 1 - left))
        raise AssertionError("the last try returns or raises")


class _Patient:
    """A remote file whose reads are tried again; ``pyarrow`` reads it as any file."""

    def __init__(self, place: Place, opened: Any) -> None:
        self._place, self._opened = place, opened
        self.size = int(opened.size)
        self._at = 0
        self.closed = False
        self.mode = "rb"

    def read(self, n: int = -1) -> bytes:
        left = max(0, self.size - self._at)
        n = left if n is None or n < 0 else min(n, left)
        content = self._place.read(self._at, self._at + n) if n else b""
        self._at += len(content)
        return content

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def flush(self) -> None:
        return

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._opened.close()

    def __enter__(self) -> _Patient:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _open_storage(url: str, scheme: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError as error:
        raise missing_package(scheme, error) from error
    try:
        files, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise missing_package(scheme, error) from error
    except OSError as error:  # some connect at once
        raise told_by(error, url=url, scheme=scheme) from error
    except Exception as error:
        raise StorageError(
            f"the storage of {url!r} cannot be set up: {str(error).strip(' .'):.300}. Check its"
            " settings."
        ) from error
    return files, path


@contextmanager
def _quietly() -> Iterator[None]:
    try:
        yield
    except Exception:  # what matters is the first error
        return


def _parent(path: str) -> str:
    return path.rstrip("/").rpartition("/")[0]


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]
