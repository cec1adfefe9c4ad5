"""Arrays of many requests that lie in a file: mapped into memory, read in parts, and let go of
again, so that what is at work bounds the memory and not what there is.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

MOST_IN_MEMORY = 1 << 26
"""Bytes of one array that are kept in memory; more lie in a file."""
_PART = 1 << 24
"""Bytes that are copied at a time."""
_ADVICE = getattr(mmap, "MADV_DONTNEED", None)


def let_go(array: NDArray[Any], start: int = 0, stop: int | None = None) -> None:
    """Tell the system that rows of a mapped array are not needed now: they are read from the file
    again when they are. Other arrays stay as they are.
    """
    mapped = _map_of(array)
    if mapped is None or _ADVICE is None or not array.size:
        return
    whole = np.frombuffer(mapped, np.uint8)
    width = array.nbytes // len(array)
    first = int(array.__array_interface__["data"][0] - whole.__array_interface__["data"][0])
    first, last = first + start * width, first + (len(array) if stop is None else stop) * width
    first -= first % mmap.PAGESIZE
    if last > first:
        mapped.madvise(_ADVICE, first, last - first)


def is_mapped(array: Any) -> bool:
    """Return whether an array lies in a file."""
    return isinstance(array, np.ndarray) and _map_of(array) is not None


def _map_of(array: NDArray[Any]) -> mmap.mmap | None:
    """Return the mapped file that an array is a view of."""
    owner: Any = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    return owner if isinstance(owner, mmap.mmap) else None


def trim_heap() -> None:
    """Give memory that was freed back to the system, where the C library keeps it: glibc does what
    lies between blocks that are still in use.
    """
    from ctypes import CDLL

    try:
        CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):  # another C library, which has no such thing
        return


class GrowingRows:
    """Rows that come one block after the other; past a number of bytes they lie in a file that is
    gone when nobody holds them any more.

    Parameters
    ----------
    dtype : dtype
    shape : tuple of int
        Of a row.
    most : int, optional
        Bytes that are kept in memory.
    """

    def __init__(
        self, dtype: DTypeLike, shape: tuple[int, ...] = (), *, most: int | None = None
    ) -> None:
        self._dtype, self._shape = np.dtype(dtype), shape
        self._most = MOST_IN_MEMORY if most is None else most
        self._blocks: list[NDArray[Any]] = []
        self._file: Any = None
        self._size = self._n = 0

    def add(self, block: NDArray[Any]) -> None:
        """Add rows."""
        block = np.ascontiguousarray(block, dtype=self._dtype)
        self._n, self._size = self._n + len(block), self._size + block.nbytes
        self._blocks.append(block)
        if self._file is None and self._size <= self._most:
            return
        from tempfile import TemporaryFile, gettempdir  # here: routers read ids too, and write none

        with _told_where(gettempdir()):
            if self._file is None:
                self._file = TemporaryFile(prefix="difficulty-")
            for each in self._blocks:
                _write_rows(self._file, each)
            self._file.flush()  # what waits would be refused when the file is closed
        self._blocks = []

    def whole(self) -> NDArray[Any]:
        """Return all rows, not to be written to."""
        shape = (self._n, *self._shape)
        if self._file is None:
            rows = (
                np.concatenate(self._blocks) if self._blocks else np.zeros(shape, self._dtype)
            ).reshape(shape)
        else:
            with self._file as file:
                rows = np.memmap(file, dtype=self._dtype, mode="r", shape=shape)
        self._blocks, self._file = [], None
        rows.flags.writeable = False
        return rows


def parts_of_rows(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield the rows of an array, some at a time; those that are mapped are let go of again."""
    rows = max(1, _PART // max(1, array.nbytes // max(1, len(array))))
    for start in range(0, len(array), rows):
        stop = min(start + rows, len(array))
        yield np.ascontiguousarray(array[start:stop])
        let_go(array, start, stop)


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], *, packed: bool = True) -> None:
    """Write arrays as ``numpy.savez`` does, or ``numpy.savez_compressed``, a part at a time."""
    import zipfile

    kind = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, mode="w", compression=kind, allowZip64=True) as file:
        for name, array in arrays.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                _write_header(member, array)
                for part in parts_of_rows(array):
                    member.write(part.tobytes())


def _write_header(file: IO[bytes], array: NDArray[Any]) -> None:
    header = np.lib.format.header_data_from_array_1_0(np.empty(0, array.dtype))
    np.lib.format.write_array_header_1_0(file, header | {"shape": array.shape})


def _write_rows(file: IO[bytes], rows: NDArray[Any]) -> None:
    """Write contiguous rows: ``tofile`` keeps to itself why it ended early."""
    file.write(rows.reshape(-1).view(np.uint8).data)


@contextmanager
def _told_where(place: str | Path) -> Iterator[None]:
    """Have what the system refuses, such as a full disk, name the place."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(place)) from error


def save_rows(path: Path, array: NDArray[Any]) -> None:
    """Write an array as ``numpy.save`` does, a part at a time."""
    with _told_where(path), path.open("wb") as file:
        _write_header(file, array)
        for part in parts_of_rows(array):
            _write_rows(file, part)


def load_rows(path: Path) -> NDArray[Any]:
    """Return an array that :func:`save_rows` wrote; a large one stays in the file."""
    mapped = path.stat().st_size > MOST_IN_MEMORY
    array: NDArray[Any] = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    return array
