"""What the pages are made of: sections of blocks, and what is said beside the figures.

Every page shows the same blocks, each in its own way: HTML with pictures and a slider, Markdown
without. A block holds plain text or numbers: who shows it escapes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from difficulty.evaluation.slices import Mistakes
from difficulty.records import Estimate
from difficulty.report.plot import Plot

Tone = Literal["good", "warning", "error", "info"]
When = Literal["pays", "unsure", "loses"]


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Some sentences; lines that must stay lines are set apart by a line feed."""

    text: str
    kind: ClassVar[str] = "paragraph"


@dataclass(frozen=True, slots=True)
class Points:
    """A list of sentences."""

    items: tuple[str, ...]
    kind: ClassVar[str] = "points"


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
    """A row of a table."""

    head: str
    cells: tuple[str, ...]
    mark: str = ""
    """What sets the row apart, in words: ``too few to judge``."""
    strong: bool = False
    """Whether it is the row the others are compared with."""
    at: tuple[tuple[str, str], ...] = ()
    """Where it stands in the pictures that follow an explorer: (marker, place)."""


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
    """A slider over the rows of a table, which moves a mark in the pictures too."""

    start: int
    """Row it stands on at first."""
    chosen: int | None
    """Row of the operating point."""
    name: str
    """What the slider moves over."""
    low: str
    """What lies at its lower end."""
    high: str
    table: Table
    kind: ClassVar[str] = "explorer"


@dataclass(frozen=True, slots=True)
class LargeFigure:
    """A figure that is shown large: its value, its range, and what it is of."""

    value: str
    range: str
    """``2.0 to 4.3``; empty where there is none."""
    meaning: str
    is_known: bool = True


@dataclass(frozen=True, slots=True)
class TypedVolume:
    """What is saved a month at a volume that a reader types in."""

    start: float
    """Requests a month at first."""
    is_example: bool
    """Whether nobody has said the volume."""
    points: tuple[tuple[float, float, float | None, float | None], ...]
    """(requests a month, USD, low, high), ascending; between them lie straight lines."""
    goes_on: bool = False
    """Whether the last line goes on beyond the last point."""


@dataclass(frozen=True, slots=True)
class Turned:
    """The decision at a volume that a reader types in."""

    when: When
    """What the interval of the saving says there."""
    tone: Tone
    word: str
    why: str


@dataclass(frozen=True, slots=True)
class BeforeAfter:
    """A row of a before-and-after strip: lengths are shares of the longest, ``None``: unknown."""

    name: str
    cost: str
    cost_length: float | None
    quality: str
    quality_length: float | None
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Remark:
    """What stands against a router, and what to type."""

    text: str
    command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstScreen:
    """The first screen: the decision, three figures, before and after, what stands against it."""

    tone: Tone
    word: str
    why: str
    command: str
    """What mends it; empty where nothing has to be."""
    money: LargeFigure
    volume: TypedVolume | None
    figures: tuple[LargeFigure, ...]
    strip: tuple[BeforeAfter, ...]
    remarks: tuple[Remark, ...]
    more: int = 0
    """How many more stand under the findings."""
    turned: tuple[Turned, ...] = ()
    """What is decided at other volumes; empty where a volume decides nothing."""
    command_there: str = ""
    """What judges at the volume that is typed in, which takes the place of ``N``."""
    kind: ClassVar[str] = "decision"


@dataclass(frozen=True, slots=True)
class CurveExplorer:
    """A curve with a disc on it that a reader moves; the rows of the table are the points."""

    picture: Picture
    start: int
    chosen: int | None
    name: str
    """What moving the disc changes."""
    presets: tuple[tuple[str, int], ...]
    """Buttons: what stands on them, and the row they go to."""
    readings: tuple[int, ...]
    """Columns of the table that are shown large."""
    table: Table
    kind: ClassVar[str] = "curve"


@dataclass(frozen=True, slots=True)
class HeatRow:
    """A row of a heat strip: (text, level from 0 to 5) of each cell; ``None``: no colour."""

    head: str
    cells: tuple[tuple[str, int | None], ...]
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Heat:
    """A table whose cells are the darker the more they matter, with all figures behind it."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[HeatRow, ...]
    table: Table | None = None
    more: str = ""
    """What is left out."""
    kind: ClassVar[str] = "heat"


@dataclass(frozen=True, slots=True)
class Fold:
    """Blocks that are shown only when asked for."""

    title: str
    blocks: tuple[Any, ...]
    kind: ClassVar[str] = "fold"


@dataclass(frozen=True, slots=True)
class Definitions:
    """Words of the page, each in a line: (anchor, word, meaning)."""

    items: tuple[tuple[str, str, str], ...]
    kind: ClassVar[str] = "definitions"


Block = (
    Paragraph
    | Points
    | Notice
    | Tiles
    | Facts
    | Table
    | Picture
    | Explorer
    | FirstScreen
    | CurveExplorer
    | Heat
    | Fold
    | Definitions
)


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page with a heading."""

    key: str
    title: str
    blocks: tuple[Block, ...] = ()
    short: str = ""
    """The title in the list of sections, where that is another."""
    part: str = ""
    """Name of the part of the page that begins with it."""

    @classmethod
    def of(
        cls, key: str, title: str, *blocks: Block | str, short: str = "", part: str = ""
    ) -> Section:
        """Build a section; a string is a paragraph."""
        parts = (Paragraph(block) if isinstance(block, str) else block for block in blocks)
        return cls(key, title, tuple(parts), short, part)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenThreshold:
    """How the threshold was chosen."""

    objective: str
    """As the user wrote it: ``share=0.3``."""
    expected: Mapping[str, Estimate]
    """What was expected of it then."""
    n: int
    """Requests it was chosen on."""
    review_date: str
    """ISO date by which to look at it again."""
    guarantee: str | None = None
    rules: tuple[str, ...] = ()
    """What else decides the route, in words."""
    way: str = ""
    """Whether answers are checked, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspects:
    """Labels that training found suspicious."""

    by_task: Mapping[str, Mapping[str, int]]
    """Task to scope (``task``, ``region``, ``row``) to samples; the task with most first."""
    reasons: tuple[str, ...]
    """Why a task or a region is suspicious, one sentence each."""
    checked: int
    """Samples that were looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What stands in a report beside the figures; all of it may be unknown."""

    scorer: str = ""
    """Name of what was judged."""
    kind: str = "scorer"
    """Whether that is a run or a bundle."""
    traffic: str = ""
    """Name of the traffic file."""
    places: Mapping[str, str] = field(default_factory=dict)
    """What to write for the names in capitals of a command, as ``BUNDLE``."""
    note: str = ""
    """Which of its requests were judged."""
    cheap_model: str | None = None
    frontier_model: str | None = None
    chosen: ChosenThreshold | None = None
    """None where there is no threshold, or nothing is known of it."""
    mistakes: Mistakes | None = None
    """None without a threshold."""
    texts_shown: bool = False
    """Whether mistakes come with their texts."""
    suspects: Suspects | None = None
    """None where no run says."""
    economics: Mapping[str, Any] | None = None
    """What the money says, as ``difficulty economics --json`` has it."""
    made_on: str = ""
    """ISO date."""

    @property
    def cheap(self) -> str:
        """How to call the cheap model."""
        return self.cheap_model or "the cheap model"

    @property
    def frontier(self) -> str:
        """How to call the frontier model."""
        return self.frontier_model or "the frontier model"
