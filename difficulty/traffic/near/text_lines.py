"""Texts on their way to the workers that compare them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple


class TextLines(NamedTuple):
    """Texts with numbers on end: in a file that the worker reads too, or as they are."""

    first: int
    path: str | None
    start: int
    end: int
    content: bytes = b""

    def blocks(self) -> Iterator[list[str]]:
        """Yield the texts in blocks."""
        if self.path is None:
            yield from map(read_line, self.content.split(b"\n")[:-1])
            return
        with open(self.path, "rb") as file:
            file.seek(self.start)
            while file.tell() < self.end:
                yield read_line(file.readline())


def written_line(texts: Sequence[str]) -> bytes:
    """Return texts as one line."""
    # Half of the time of ASCII where texts are not; a lone surrogate stays what it is.
    said = json.dumps(list(texts), ensure_ascii=False)
    return said.encode("utf-8", "surrogatepass") + b"\n"


def read_line(line: bytes) -> list[str]:
    """Return the texts of a line."""
    texts: list[str] = json.loads(line.decode("utf-8", "surrogatepass"))
    return texts
