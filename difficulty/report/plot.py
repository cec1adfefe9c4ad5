"""Plots as plain geometry: a frame with two linear axes, and paths in it. The template turns them
into inline SVG.

Lengths are in the units of the view box, ``WIDTH`` by ``HEIGHT``. Colours and dashes are CSS
classes, so that the page's light and dark style holds for plots too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

WIDTH, HEIGHT = 560.0, 360.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 18.0, 34.0, 58.0
_RADIUS = 6.0

Number = float | None


@dataclass(frozen=True, slots=True)
class Axis:
    """A linear axis: what it measures, its ends, its ticks."""

    title: str
    low: float
    high: float
    ticks: tuple[float, ...]
    digits: int
    unsigned: bool = False
    """Whether ticks are written without a sign: both directions are counts."""

    @classmethod
    def over(
        cls, title: str, values: Iterable[Number], *, most: int = 6, margin: float = 0.03
    ) -> Axis:
        """Return an axis that holds all values, widened by a margin."""
        finite = [value for value in values if value is not None and math.isfinite(value)]
        low, high = min(finite, default=0.0), max(finite, default=1.0)
        # Around a single value there is no spread to take a margin of.
        room = margin * (high - low) or 0.05 * max(abs(high), 1.0)
        return cls._with_ticks(title, low - room, high + room, most)

    @classmethod
    def between(cls, title: str, low: float, high: float, *, most: int = 6) -> Axis:
        """Return an axis from ``low`` to ``high``."""
        return cls._with_ticks(title, low, high, most)

    @classmethod
    def _with_ticks(cls, title: str, low: float, high: float, most: int) -> Axis:
        ticks, digits = nice_ticks(low, high, most=most)
        return cls(title, low, high, ticks, digits)

    def text(self, tick: float) -> str:
        """Return a tick as text; negative ones with a minus sign."""
        return f"{abs(tick) if self.unsigned else tick:,.{self.digits}f}".replace("-", "\u2212")


@dataclass(frozen=True, slots=True)
class Shape:
    """A path with its CSS class."""

    style: str
    path: str


@dataclass(frozen=True, slots=True)
class PlotLabel:
    """Words in a frame, at a place of the view box."""

    x: float
    y: float
    text: str
    anchor: str


@dataclass(slots=True)
class Plot:
    """A frame to draw in, in the coordinates of its axes. Unknown points break a line."""

    x: Axis
    y: Axis
    shapes: list[Shape] = field(default_factory=list)
    markers: list[str] = field(default_factory=list)
    """Names of marks that an explorer moves: upright lines over the whole height."""

    labels: list[PlotLabel] = field(default_factory=list)
    movable: bool = False
    """Whether a disc lies on it that an explorer moves."""

    left, right, top, bottom = _LEFT, WIDTH - _RIGHT, _TOP, HEIGHT - _BOTTOM
    width, height = WIDTH, HEIGHT

    def at_x(self, value: float) -> float:
        """Return where a value lies from the left."""
        return _scale(value, self.x, self.left, self.right)

    def at_y(self, value: float) -> float:
        """Return where a value lies from the top."""
        return _scale(value, self.y, self.bottom, self.top)

    def line(self, xs: Sequence[Number], ys: Sequence[Number], *, style: str) -> None:
        """Draw a line through the known points."""
        if runs := _split_runs(xs, ys):
            self._add(style, "".join(f"M{self._path(run)}" for run in runs))

    def band(
        self, xs: Sequence[Number], low: Sequence[Number], high: Sequence[Number], *, style: str
    ) -> None:
        """Fill the area between two lines, where both are known."""
        for run in _split_runs(xs, low, high):
            upper = [(x, above) for x, _, above in run]
            lower = [(x, below) for x, below, _ in reversed(run)]
            self._add(style, f"M{self._path(upper + lower)}Z")

    def bar(self, left: float, right: float, low: float, high: float, *, style: str) -> None:
        """Fill a rectangle."""
        self.band([left, right], [low, low], [high, high], style=style)

    def point(self, x: Number, y: Number, *, style: str) -> None:
        """Draw a disc."""
        if x is not None and y is not None:
            # Two half circles: SVG draws no arc that ends where it starts.
            start = f"{self.at_x(x) - _RADIUS:.1f} {self.at_y(y):.1f}"
            across = f"{_RADIUS:g} {_RADIUS:g} 0 1 0"
            self._add(style, f"M{start}a{across} {2 * _RADIUS:g} 0a{across} {-2 * _RADIUS:g} 0")

    def label(self, x: Number, y: Number, text: str, *, before: bool = False) -> None:
        """Write beside a point: after it, or before it."""
        if x is not None and y is not None:
            across, down, anchor = (4.0, -12.0, "end") if before else (10.0, 5.0, "start")
            self.labels.append(PlotLabel(self.at_x(x) + across, self.at_y(y) + down, text, anchor))

    def segment(
        self, start: tuple[Number, Number], end: tuple[Number, Number], *, style: str
    ) -> None:
        """Draw a straight line between two points."""
        self.line([start[0], end[0]], [start[1], end[1]], style=style)

    def upright(self, x: float, *, style: str) -> None:
        """Draw a line over the whole height."""
        self.line([x, x], [self.y.low, self.y.high], style=style)

    def _add(self, style: str, path: str) -> None:
        self.shapes.append(Shape(style, path))

    def _path(self, points: Iterable[Sequence[float]]) -> str:
        return " ".join(f"{self.at_x(x):.1f} {self.at_y(y):.1f}" for x, y in points)


def nice_ticks(low: float, high: float, *, most: int) -> tuple[tuple[float, ...], int]:
    """Return at most ``most`` round ticks within [low, high], and their decimals."""
    if not high > low:
        return (low,), 2
    size = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(
        step
        # People read steps of 1, 2 and 5 times a power of ten.
        for factor in (1.0, 2.0, 5.0, 10.0, 20.0)
        if (high - low) / (step := factor * size) <= most - 1
    )
    # The small terms keep ticks at the ends that floating point has put just outside.
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    # Adding 0.0 makes a tick of -0.0 one without a sign.
    return tuple(round(place * step, 12) + 0.0 for place in range(first, last + 1)), digits


def _scale(value: float, axis: Axis, start: float, end: float) -> float:
    """Return where a value lies between the ends of a frame; beyond the axis, on its end."""
    share = (value - axis.low) / (axis.high - axis.low)
    return start + min(1.0, max(0.0, share)) * (end - start)


def _split_runs(*columns: Sequence[Number]) -> list[list[tuple[float, ...]]]:
    """Return the rows of some columns, broken where one is unknown."""
    runs: list[list[tuple[float, ...]]] = [[]]
    for row in zip(*columns, strict=True):
        finite = tuple(value for value in row if value is not None and math.isfinite(value))
        if len(finite) == len(row):
            runs[-1].append(finite)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]
