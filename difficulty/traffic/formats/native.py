"""The native format: files whose columns are already those of the traffic contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from difficulty.traffic.readers import RawRow, read_rows, readable_files


class NativeFormat:
    """Files of any type in ``READERS``, as they are."""

    def files(self, path: Path) -> list[Path]:
        """Return the readable files; raise ``TrafficError`` when there are none."""
        return readable_files(path)

    def rows(self, file: Path) -> Iterator[RawRow]:
        """Yield the rows as they come."""
        return read_rows(file)
