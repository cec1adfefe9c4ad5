"""Packed text: ``.gz``, ``.bz2``, ``.xz``, ``.zst``, and ``.zip`` with one file in it."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, cast

from difficulty.errors import MissingExtraError, TrafficError

PACKINGS = (".gz", ".bz2", ".xz", ".zst", ".zip")
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError)
"""What reading a damaged archive raises; ``RuntimeError``: one with a password."""
_FOREIGN = ("__MACOSX/", ".")


def is_packed(path: Path) -> bool:
    """Return whether a file is packed, by its name."""
    return path.suffix.lower() in PACKINGS


def plain_name(path: Path) -> str:
    """Return the name, in lower case, of what a file holds: that of the file in a ``.zip``, else
    the name without its packing.

    Raises
    ------
    TrafficError
        If a ``.zip`` cannot be read or does not hold exactly one file.
    """
    if path.suffix.lower() == ".zip" and path.is_file():
        try:
            with zipfile.ZipFile(path) as archive:
                return Path(_member(path, archive).filename).name.lower()
        except DAMAGED as error:
            raise TrafficError(
                f"{path} cannot be read: {error}. Check that the file is complete."
            ) from error
    return path.with_suffix("").name.lower() if is_packed(path) else path.name.lower()


@contextmanager
def unpacked(path: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Open a text file: what it holds, and the file as it lies on the disk, whose position tells
    how much was read.
    """
    with ExitStack() as stack:
        packed = stack.enter_context(path.open("rb"))
        yield _opened(path, packed, stack), packed


def _opened(path: Path, packed: IO[bytes], stack: ExitStack) -> IO[bytes]:
    match path.suffix.lower():
        case ".gz":
            archive: Any = gzip.GzipFile(fileobj=packed)
        case ".bz2":
            archive = bz2.BZ2File(packed)
        case ".xz":
            archive = lzma.LZMAFile(packed)
        case ".zst":
            archive = _zstd(packed)
        case ".zip":
            whole = stack.enter_context(zipfile.ZipFile(packed))
            archive = whole.open(_member(path, whole))
        case _:
            return packed
    return cast(IO[bytes], stack.enter_context(archive))


def _zstd(packed: IO[bytes]) -> Any:
    """Return a Zstandard file as Arrow reads it, which Parquet needs anyway."""
    try:
        import pyarrow as pa
    except ImportError as error:  # pragma: no cover - the base install
        raise MissingExtraError("reading .zst", package="pyarrow", extra="train") from error
    return io.BufferedReader(pa.CompressedInputStream(packed, "zstd"))


def _member(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """Return the one file of an archive; what a file manager puts beside it does not count."""
    members = [
        member
        for member in archive.infolist()
        if not member.is_dir()
        and not member.filename.startswith(_FOREIGN)
        and not Path(member.filename).name.startswith(".")
    ]
    if len(members) != 1:
        raise TrafficError(
            f"a .zip must hold one file: {path} holds {len(members):,}. Unpack it, and pass the"
            " folder."
        )
    return members[0]
