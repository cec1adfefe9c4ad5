"""The scores of requests by what became of them, as bars."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from difficulty.errors import UndefinedMetricError
from difficulty.evaluation.displays.axes import pick_axes
from difficulty.metrics.arrays import FloatArray, column
from difficulty.text import quantity_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from difficulty.evaluation.result import Evaluation

_LABELS = {"needed": "needed the frontier model", "not_needed": "did not", "unknown": "not known"}


@dataclass(eq=False, repr=False)
class ScoreDisplay:
    """How many requests have which ``difficulty_score``, by whether they needed the frontier model.

    The further right the bars of those that needed it lie from the others, the better the score.

    Parameters
    ----------
    edges : ndarray of shape (n_bins + 1,)
        Of the bins, ascending.
    counts : dict of str to ndarray of shape (n_bins,)
        Requests under ``needed``, ``not_needed`` and ``unknown``.
    threshold : float, optional

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        There after :meth:`plot`.
    """

    edges: FloatArray
    counts: dict[str, FloatArray]
    threshold: float | None = None
    ax_: Axes = field(init=False)
    figure_: Any = field(init=False)

    @classmethod
    def from_evaluation(cls, evaluation: Evaluation) -> Self:
        """Return the bars of an evaluation, with its threshold.

        Raises
        ------
        UndefinedMetricError
            If the evaluation is of an earlier version, which held none.
        """
        bars = evaluation.histogram
        if bars is None:
            raise UndefinedMetricError("this evaluation holds no scores. Evaluate again.")
        counts = {name: np.array(getattr(bars, name), dtype=np.float64) for name in _LABELS}
        return cls(np.array(bars.edges), counts, evaluation.threshold)

    @classmethod
    def from_predictions(
        cls,
        difficulty_score: ArrayLike,
        needed: ArrayLike,
        *,
        threshold: float | None = None,
        n_bins: int = 40,
    ) -> Self:
        """Return the bars of any score.

        Parameters
        ----------
        difficulty_score : array-like of shape (n,)
        needed : array-like of shape (n,)
            1 where the request needed the frontier model, 0 where not, NaN where unknown.
        threshold : float, optional
        n_bins : int
        """
        score = column("difficulty_score", difficulty_score)
        said = np.asarray(needed, dtype=np.float64)
        edges = np.histogram_bin_edges(score, bins=n_bins)
        masks = {"needed": said == 1.0, "not_needed": said == 0.0, "unknown": np.isnan(said)}
        counts = {
            name: np.histogram(score[mask], edges)[0].astype(np.float64)
            for name, mask in masks.items()
        }
        return cls(edges, counts, threshold)

    def plot(self, ax: Axes | None = None, **style: Any) -> Self:
        """Draw the bars and return the display.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; default: a new figure.
        **style
            As ``matplotlib.axes.Axes.stairs`` takes it.
        """
        ax = pick_axes(ax)
        for name, label in _LABELS.items():
            if self.counts[name].any():
                look: dict[str, Any] = {"fill": True, "alpha": 0.5, "label": label} | style
                ax.stairs(self.counts[name], self.edges, **look)
        if self.threshold is not None:
            ax.axvline(self.threshold, color="black", linestyle="--", label="threshold")
        ax.set(xlabel="difficulty_score", ylabel="requests")
        ax.legend(frameon=False)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def __repr__(self) -> str:
        return (
            f"ScoreDisplay({quantity_text(int(sum(map(np.sum, self.counts.values()))), 'request')})"
        )
