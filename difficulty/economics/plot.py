"""The break-even plot: saving a month against requests a month, for each way to host."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from difficulty.economics.options import Option
from difficulty.economics.result import Curve, Plot
from difficulty.economics.sections import Shape
from difficulty.metrics.arrays import FloatArray

__all__ = ["break_even_plot"]

_POINTS = 61
_DEFAULT = (1e3, 1e7)
_AROUND = 10.0


def break_even_plot(options: Mapping[Shape, Option], volume: FloatArray) -> Plot:
    """Return the curves over a range of volumes that reaches a factor of ten beyond the month's volume and each break-even.

    The bands hold 95 % of the draws at each volume. Where the cost to keep it is unknown the curves are without it.
    """
    net = all(not np.isnan(option.net.cost.fixed).any() for option in options.values())
    savings = {shape: option.net if net else option.saving for shape, option in options.items()}
    marks = [float(volume[0]), *(float(saving.break_even()[0]) for saving in savings.values())]
    known = [mark for mark in marks if np.isfinite(mark) and mark > 0]
    low, high = (min(known) / _AROUND, max(known) * _AROUND) if known else _DEFAULT
    volumes = np.geomspace(low, high, _POINTS)
    curves = {shape: _curve(np.stack([saving.at(at) for at in volumes])) for shape, saving in savings.items()}
    return Plot(tuple(map(float, volumes)), curves, "net_saving" if net else "saving")


def _curve(values: FloatArray) -> Curve:
    """Return value and band from values of shape (n_volumes, 1 + n_draws)."""
    low, high = np.quantile(values[:, 1:], [0.025, 0.975], axis=1, method="weibull")
    return Curve(*(tuple(None if np.isnan(number) else float(number) for number in ends) for ends in (values[:, 0], low, high)))
