"""The cost–quality curve as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from difficulty.errors import UndefinedMetricError, UnknownNameError
from difficulty.evaluation.displays.axes import UNCERTAIN, in_percent, pick_axes
from difficulty.metrics.arrays import FloatArray, column, weights
from difficulty.metrics.ranking import Ranking

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from difficulty.evaluation.result import Evaluation

_SHARES = np.linspace(0.0, 1.0, 101)
_BASELINES = {"random": "at random", "oracle": "oracle", "task_mean": "by task"}
"""Baselines that are drawn beside the score, where they were judged."""
_ON_X = {"frontier_share": "sent to the frontier model", "cost": "cost, USD per 1,000 requests"}
_ON_Y = {
    "quality": "mean quality of the answers",
    "gap_recovered": "quality gain kept",
    "risk": "failures among the requests kept cheap",
    "saving": "saving",
    "routing_precision": "of those sent, needed it",
    "routing_recall": "of those that needed it, sent",
}
_SHARES_OF_ALL = {"frontier_share", "gap_recovered", "risk", "saving", *_ON_Y} - {"quality"}


class Line(NamedTuple):
    """One line of the picture: arrays of shape (m,); ``low`` and ``high`` are its 95 % interval."""

    x: FloatArray
    y: FloatArray
    low: FloatArray | None = None
    high: FloatArray | None = None


@dataclass(eq=False, repr=False)
class CostQualityDisplay:
    """Mean quality against the share of requests that the frontier model gets.

    Make one with :meth:`from_evaluation` or :meth:`from_predictions`, then :meth:`plot` it.

    Parameters
    ----------
    lines : mapping of str to Line
        Name in the legend to line, the score's first.
    chosen : tuple of float, optional
        Place of the operating point.
    on_x, on_y : str
        What the axes are: ``frontier_share`` or ``cost``; ``quality``, ``gap_recovered``, ...

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        There after :meth:`plot`.

    Examples
    --------
    >>> evaluation = run.evaluate("traffic.parquet")  # doctest: +SKIP
    >>> CostQualityDisplay.from_evaluation(evaluation).plot()  # doctest: +SKIP
    """

    lines: Mapping[str, Line]
    chosen: tuple[float, float] | None = None
    on_x: str = "frontier_share"
    on_y: str = "quality"
    ax_: Axes = field(init=False)
    figure_: Any = field(init=False)

    @classmethod
    def from_evaluation(
        cls, evaluation: Evaluation, *, x: str = "frontier_share", y: str = "quality"
    ) -> Self:
        """Return the curve of an evaluation with its interval, its baselines and the operating
        point.

        Parameters
        ----------
        evaluation : Evaluation
        x : {"frontier_share", "cost"}
        y : str
            ``quality``, ``gap_recovered``, ``risk``, ``saving``, ``routing_precision`` or
            ``routing_recall``; baselines are drawn for ``quality`` alone.

        Raises
        ------
        UnknownNameError
            If there is no such figure.
        UndefinedMetricError
            If the evaluation does not know it.
        """
        for name, known in ((x, _ON_X), (y, _ON_Y)):
            if name not in known:
                raise UnknownNameError("figure of the curve", name, known)
        line = _own_line(evaluation, x, y)
        lines = {"this score": line}
        for name, label in _BASELINES.items():
            columns = evaluation.baseline_curves.get(name, {})
            if x in columns and y in columns:
                lines[label] = Line(np.array(columns[x]), np.array(columns[y]))
        at = [evaluation.overall[name].value for name in (x, y) if name in evaluation.overall]
        chosen = None
        if len(at) == 2 and at[0] is not None and at[1] is not None:
            chosen = (at[0], at[1])
        return cls(lines, chosen, x, y)

    @classmethod
    def from_predictions(
        cls,
        difficulty_score: ArrayLike,
        cheap_quality: ArrayLike,
        frontier_quality: ArrayLike,
        *,
        weight: ArrayLike | None = None,
        name: str = "this score",
    ) -> Self:
        """Return the curve of any score, beside routing at random.

        Parameters
        ----------
        difficulty_score : array-like of shape (n,)
            Higher = sent to the frontier model first; equal scores are sent together.
        cheap_quality, frontier_quality : array-like of shape (n,)
            In one unit, known of every request.
        weight : array-like of shape (n,), optional
        name : str
            In the legend.
        """
        score = column("difficulty_score", difficulty_score)
        n = len(score)
        cheap = column("cheap_quality", cheap_quality, n=n)
        frontier = column("frontier_quality", frontier_quality, n=n)
        mass = weights(weight, n=n)
        ranking = Ranking.of(score)
        sent = ranking.sums(mass[ranking.order])
        gained = ranking.sums((mass * (frontier - cheap))[ranking.order])
        kept = float(mass @ cheap)
        along = (kept + np.interp(_SHARES, sent / sent[-1], gained)) / mass.sum()
        ends = along[[0, -1]]
        return cls({name: Line(_SHARES, along), "at random": Line(_SHARES[[0, -1]], ends)})

    def plot(self, ax: Axes | None = None, **style: Any) -> Self:
        """Draw the curve and return the display.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; default: a new figure.
        **style
            Of the score's line, as ``matplotlib.axes.Axes.plot`` takes it.
        """
        ax = pick_axes(ax)
        for place, (name, line) in enumerate(self.lines.items()):
            look: dict[str, Any] = {"label": name, "linewidth": 1.2, "linestyle": "--"}
            if not place:
                look |= {"linewidth": 2.0, "linestyle": "-", "zorder": 3, **style}
            (drawn,) = ax.plot(line.x, line.y, **look)
            if line.low is not None and line.high is not None:
                ax.fill_between(line.x, line.low, line.high, color=drawn.get_color(), **UNCERTAIN)
        if self.chosen:
            ax.plot(*self.chosen, "o", color="black", zorder=4, label="as chosen")
        ax.set(xlabel=_ON_X.get(self.on_x, self.on_x), ylabel=_ON_Y.get(self.on_y, self.on_y))
        for axis, name in ((ax.xaxis, self.on_x), (ax.yaxis, self.on_y)):
            if name in _SHARES_OF_ALL:
                in_percent(axis)
        ax.legend(frameon=False)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def __repr__(self) -> str:
        return f"CostQualityDisplay({self.on_y} against {self.on_x}: {', '.join(self.lines)})"


def _own_line(evaluation: Evaluation, x: str, y: str) -> Line:
    figures = evaluation.curve.figures if evaluation.curve else {}
    if x not in figures or y not in figures:
        raise UndefinedMetricError(
            f"this evaluation has no curve of {y} against {x}. Evaluate again, or train on traffic"
            " with the outcomes of both models."
        )
    across, up = figures[x], figures[y]
    columns = [_floats(values) for values in (across.value, up.value, up.low, up.high)]
    known = ~np.isnan(columns[0]) & ~np.isnan(columns[1])
    if not known.any():
        note = evaluation.overall[y].note if y in evaluation.overall else ""
        raise UndefinedMetricError(
            f"{y} against {x} is unknown here{f': {note}' if note else ''}. Name another figure,"
            " for example y='risk'."
        )
    return Line(*(values[known] for values in columns))


def _floats(values: tuple[float | None, ...]) -> FloatArray:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
