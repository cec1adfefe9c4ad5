"""A reliability plot: how often requests fail, against how often they were said to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from difficulty.errors import InvalidValueError, UndefinedMetricError
from difficulty.evaluation.displays.axes import in_percent, pick_axes
from difficulty.metrics.arrays import FloatArray, column, probabilities
from difficulty.metrics.intervals import exact_interval
from difficulty.metrics.probability import equal_mass_bins

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from difficulty.evaluation.result import Evaluation


@dataclass(eq=False, repr=False)
class CalibrationDisplay:
    """Observed frequency of failures against the predicted probability, in equally large bins.

    Parameters
    ----------
    predicted, observed : ndarray of shape (n_bins,)
        Mean probability and share of failures, in [0, 1].
    low, high : ndarray of shape (n_bins,)
        Ends of the 95 % interval of ``observed``; NaN where unknown.
    name : str
        Of the probability.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
        There after :meth:`plot`.
    """

    predicted: FloatArray
    observed: FloatArray
    low: FloatArray
    high: FloatArray
    name: str = "p_cheap_fails"
    ax_: Axes = field(init=False)
    figure_: Any = field(init=False)

    @classmethod
    def from_evaluation(cls, evaluation: Evaluation, name: str = "p_cheap_fails") -> Self:
        """Return the bins of ``p_cheap_fails`` or ``p_frontier_fails``, intervals by groups.

        Raises
        ------
        UndefinedMetricError
            If no outcome of that model is known.
        """
        bins = evaluation.calibration.get(name)
        if bins is None:
            known = ", ".join(evaluation.calibration) or "none"
            raise UndefinedMetricError(
                f"the calibration of {name!r} is unknown here: its outcomes are not known. Known:"
                f" {known}."
            )
        band = bins.observed
        predicted, observed, low, high = (
            np.array(values, dtype=np.float64)
            for values in (bins.predicted, band.value, band.low, band.high)
        )
        return cls(predicted, observed, low, high, name)

    @classmethod
    def from_predictions(
        cls,
        probability: ArrayLike,
        failed: ArrayLike,
        *,
        n_bins: int = 10,
        name: str = "p_cheap_fails",
    ) -> Self:
        """Return the bins of any probability; intervals take requests as independent
        (Clopper and Pearson, 1934).

        Parameters
        ----------
        probability : array-like of shape (n,)
            In [0, 1].
        failed : array-like of shape (n,)
            1 where the request failed, else 0.
        n_bins : int
        name : str
            In the legend.
        """
        predicted = probabilities("probability", probability)
        outcome = column("failed", failed, n=len(predicted))
        if not np.isin(outcome, (0.0, 1.0)).all():
            raise InvalidValueError("failed", "other values", rule="hold 0 and 1 alone")
        bins = equal_mass_bins(predicted, n_bins=n_bins, weight=np.ones(len(predicted)))
        parts = [bins == number for number in np.unique(bins)]
        ends = [exact_interval(int(outcome[part].sum()), int(part.sum())) for part in parts]
        return cls(
            np.array([predicted[part].mean() for part in parts]),
            np.array([outcome[part].mean() for part in parts]),
            np.array([low for low, _ in ends]),
            np.array([high for _, high in ends]),
            name,
        )

    def plot(self, ax: Axes | None = None, **style: Any) -> Self:
        """Draw the bins beside the diagonal of a perfect probability, and return the display.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; default: a new figure.
        **style
            As ``matplotlib.axes.Axes.errorbar`` takes it.
        """
        ax = pick_axes(ax)
        below, above = self.observed - self.low, self.high - self.observed
        spread = np.nan_to_num(np.maximum(np.stack([below, above]), 0.0))
        ax.plot([0, 1], [0, 1], linestyle="--", color="grey", linewidth=1.0, label="perfect")
        look: dict[str, Any] = {"marker": "o", "capsize": 2, "label": self.name} | style
        ax.errorbar(self.predicted, self.observed, yerr=spread, **look)
        ax.set(xlabel=f"predicted {self.name}", ylabel="share that failed")
        in_percent(ax.xaxis)
        in_percent(ax.yaxis)
        ax.legend(frameon=False)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def __repr__(self) -> str:
        return f"CalibrationDisplay({self.name}, {len(self.predicted)} bins)"
