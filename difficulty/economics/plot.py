"""The break-even plot: saving a month against requests a month, for each way to host."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from difficulty.economics.options import Option
from difficulty.economics.result import Curve, Plot
from difficulty.economics.sections import Shape
from difficulty.metrics.arrays import FloatArray

_POINTS = 61
_DEFAULT = 1e6
_BEYOND = 2.0


def break_even_plot(options: Mapping[Shape, Option], volume: FloatArray) -> Plot:
    """Return the curves from no request to twice the month's volume, or the first break-even where
    that is more.

    The bands hold 95 % of the draws at each volume. Where the cost to keep it is unknown the curves
    are without it.
    """
    net = all(not np.isnan(option.net.cost.fixed).any() for option in options.values())
    savings = {shape: option.net if net else option.saving for shape, option in options.items()}
    even = [float(saving.break_even()[0]) for saving in savings.values()]
    first = min((mark for mark in even if np.isfinite(mark)), default=0.0)
    top = max(first, float(volume[0])) if np.isfinite(volume[0]) else first
    volumes = np.linspace(0.0, _BEYOND * (top or _DEFAULT), _POINTS)
    curves = {
        shape: _curve(np.stack([saving.at(at) for at in volumes]))
        for shape, saving in savings.items()
    }
    return Plot(tuple(map(float, volumes)), curves, "net_saving" if net else "saving")


def _curve(values: FloatArray) -> Curve:
    """Return value and band from values of shape (n_volumes, 1 + n_draws)."""
    low, high = np.quantile(values[:, 1:], [0.025, 0.975], axis=1, method="weibull")
    return Curve(
        *(
            tuple(None if np.isnan(number) else float(number) for number in ends)
            for ends in (values[:, 0], low, high)
        )
    )
