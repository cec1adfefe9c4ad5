"""Formats: what the rows of a source mean, beyond how its files are read.

A format turns its own layout into rows of the traffic contract. To add one, write a module with a
class that has the two methods of :class:`Format` and add one line to ``FORMATS``; another package
registers it as an entry point of group ``difficulty.formats``.
"""

from __future__ import annotations

from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from typing import Any, Protocol

from difficulty.errors import TrafficError, TrafficNotFoundError
from difficulty.kinds import PathKind, kind_of, mistaken
from difficulty.plugins import known_names, resolve
from difficulty.traffic.formats.json_records import read_table
from difficulty.traffic.readers import RawRow, readable_files
from difficulty.traffic.reading.dialect import AS_FOUND, ReadOptions

FORMATS = {
    "arena": "difficulty.traffic.formats.arena:ArenaFormat",
    "langfuse": "difficulty.traffic.formats.langfuse:LangfuseFormat",
    "litellm": "difficulty.traffic.formats.litellm_spend:LiteLLMFormat",
    "log": "difficulty.traffic.formats.decision_log:LogFormat",
    "mlflow": "difficulty.traffic.formats.mlflow_traces:MLflowFormat",
    "native": "difficulty.traffic.formats:NativeFormat",
    "openai": "difficulty.traffic.formats.openai:OpenAIFormat",
    "openinference": "difficulty.traffic.formats.openinference:OpenInferenceFormat",
    "routerbench": "difficulty.traffic.formats.routerbench:RouterBenchFormat",
    "routellm": "difficulty.traffic.formats.routellm:RouteLLMFormat",
    "wire": "difficulty.traffic.formats.wire:WireFormat",
}
AUTO = "auto"
_NO_SOURCES = frozenset(PathKind) - {
    PathKind.ROWS,
    PathKind.TRAFFIC,
    PathKind.LOG,
    PathKind.FOLDER,
    PathKind.FILE,
    PathKind.NOTHING,
}
"""What is refused: some of it holds Parquet or JSON lines too, of other requests or of none."""


class Format(Protocol):
    """A layout of labelled traffic. A class whose constructor has a parameter ``options`` is given
    what the user said of the files and of the models (:class:`ReadOptions`).
    """

    def files(self, path: Path) -> list[Path]:
        """Return what to read for ``path``, in a fixed order; empty when ``path`` is not of this
        layout.
        """

    def rows(self, file: Path) -> Iterator[RawRow]:
        """Yield the rows of one of those files, with columns of the traffic contract."""


def find_format(
    path: Path, name: str = AUTO, options: ReadOptions = AS_FOUND
) -> tuple[str, Format, list[Path]]:
    """Return the name of the format of ``path``, the format, and the files to read.

    Parameters
    ----------
    path : Path
        A file or folder.
    name : str, default "auto"
        A name of ``FORMATS``; ``"auto"`` takes the first other format whose layout matches, else
        ``"native"``.
    options : ReadOptions
        What is known of the files.

    Raises
    ------
    UnknownNameError
        If no format has this name.
    TrafficError
        If ``path`` does not exist or does not have the layout of the named format.
    """
    if not path.exists():
        raise TrafficNotFoundError(f"what is read must exist: got {str(path)!r}. Check the path.")
    if kind_of(path) in _NO_SOURCES:
        raise TrafficError(mistaken(path, PathKind.ROWS))
    # What knows its tool's log first, then bodies by their form. Native last: it reads any file,
    # also those that another format understands better.
    last = {"wire": 1, "native": 2}
    names = sorted(known_names(FORMATS, kind="format"), key=lambda known: last.get(known, 0))
    for candidate in names if name == AUTO else [name]:
        layout = _made(resolve(candidate, FORMATS, kind="format"), options)
        if files := layout.files(path):
            return candidate, layout, files
    raise TrafficError(
        f"a source must have the layout of its format: found nothing of format {name!r} in"
        f" {str(path)!r}. See docs/traffic.md."
    )


def _made(kind: Any, options: ReadOptions) -> Format:
    if "options" in signature(kind).parameters:
        return kind(options=options)  # type: ignore[no-any-return]
    return kind()  # type: ignore[no-any-return]


class NativeFormat:
    """Files of any type in ``READERS``, as they are."""

    def __init__(self, options: ReadOptions = AS_FOUND) -> None:
        self._options = options

    def files(self, path: Path) -> list[Path]:
        """Return the readable files; raise ``TrafficError`` when there are none."""
        return readable_files(path)

    def rows(self, file: Path) -> Iterator[RawRow]:
        """Yield the rows as they come: lines, elements of a JSON array, or those of the list in one
        JSON document.
        """
        return read_table(file, self._options)
