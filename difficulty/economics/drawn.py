"""Numbers with what chance does to them: arrays whose first entry is the value and whose others are
its bootstrap draws.

Whatever is worked out of several such arrays, entry by entry, is again one: the draws carry the
uncertainty through any formula.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from difficulty.metrics.arrays import FloatArray, Ratio
from difficulty.metrics.bootstrap import percentile_interval, weight_blocks
from difficulty.records import Estimate

_NEVER = 1e200
"""Stands for infinity where quantiles are interpolated."""


def draw_ratios(
    ratios: Mapping[str, Ratio],
    *,
    weight: FloatArray,
    groups: NDArray[np.str_],
    n_draws: int,
    rng: np.random.Generator,
) -> dict[str, FloatArray]:
    """Return each ratio and its bootstrap draws, as arrays of shape (1 + n_draws,); all ratios see
    the same draws of whole groups.
    """
    parts = {name: [part.value(weight[None, :])] for name, part in ratios.items()}
    for block in weight_blocks(groups, n_draws=n_draws, rng=rng):
        weighted = block * weight
        for name, part in ratios.items():
            parts[name].append(part.value(weighted))
    return {name: np.concatenate(values) for name, values in parts.items()}


def interval(drawn: FloatArray) -> tuple[float, float]:
    """Return the ends of the middle 95 % of the draws: NaN where they are undefined, infinite where
    the draws are.
    """
    low, high = percentile_interval(np.clip(drawn[1:], -_NEVER, _NEVER))
    return _unclipped(low), _unclipped(high)


def estimate(drawn: FloatArray, *, n: int, note: str = "") -> Estimate:
    """Return a value with its interval; an end that is not a finite number is ``None``."""
    value, (low, high) = float(drawn[0]), interval(drawn)
    if not np.isfinite(value):
        return Estimate(value=None, n=n, note=note)
    return Estimate(value=value, low=_finite(low), high=_finite(high), n=n, note=note)


def _unclipped(value: float) -> float:
    return float(np.copysign(np.inf, value)) if abs(value) > _NEVER / 1e6 else value


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
