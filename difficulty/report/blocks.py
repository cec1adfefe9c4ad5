"""What a section of the report is made of; the page and the summary for pull requests show the same
blocks, each in its own way.

Everything in a block is plain text or numbers: whoever shows a block escapes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from difficulty.report.plot import Plot

Tone = Literal["good", "warning", "error", "info"]


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Some sentences."""

    text: str
    kind: ClassVar[str] = "paragraph"


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence that must not be missed; ``word`` says its tone to those who see no colour."""

    tone: Tone
    word: str
    text: str
    lead: bool = False
    """Whether it is the verdict of the page."""
    kind: ClassVar[str] = "notice"


@dataclass(frozen=True, slots=True)
class Tiles:
    """Few large figures: (name, value, what it means)."""

    items: tuple[tuple[str, str, str], ...]
    kind: ClassVar[str] = "tiles"


@dataclass(frozen=True, slots=True)
class Facts:
    """Names with what they are."""

    items: tuple[tuple[str, str], ...]
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table: its heading and its cells.

    Attributes
    ----------
    mark : str
        What sets the row apart, in words: ``too few to judge``.
    strong : bool
        Whether it is the row the others are compared with.
    at : mapping of str to str
        Where the row stands in the pictures that follow an explorer; see :class:`Explorer`.
    """

    head: str
    cells: tuple[str, ...]
    mark: str = ""
    strong: bool = False
    at: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a caption; the first column heads its rows."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    folded: bool = False
    """Whether it is shown only when asked for."""
    kind: ClassVar[str] = "table"

    @classmethod
    def of(
        cls, caption: str, columns: Sequence[str], rows: Sequence[Row], *, folded: bool = False
    ) -> Table:
        """Build a table from sequences."""
        return cls(caption, tuple(columns), tuple(rows), folded)


@dataclass(frozen=True, slots=True)
class Picture:
    """A plot with its legend, what it shows in words, and the numbers behind it."""

    key: str
    title: str
    plot: Plot
    legend: tuple[tuple[str, str], ...]
    """(style, name) of each line or area."""
    description: str
    table: Table | None = None
    kind: ClassVar[str] = "picture"


@dataclass(frozen=True, slots=True)
class Explorer:
    """A slider over the rows of a table: it shows the cells of the row it stands on, and moves a
    mark in the pictures.

    Attributes
    ----------
    start : int
        Row it stands on at first.
    chosen : int or None
        Row of the operating point.
    name : str
        What the slider moves over.
    low, high : str
        What lies at its ends.
    table : Table
        The rows.
    """

    start: int
    chosen: int | None
    name: str
    low: str
    high: str
    table: Table
    kind: ClassVar[str] = "explorer"


Block = Paragraph | Notice | Tiles | Facts | Table | Picture | Explorer


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the report with a heading."""

    key: str
    title: str
    blocks: tuple[Block, ...] = field(default_factory=tuple)
