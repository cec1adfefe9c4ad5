"""Columns of estimates along an axis: a figure at many thresholds, a frequency in many bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from difficulty.metrics.arrays import FloatArray, IntArray
from difficulty.metrics.bootstrap import percentile_intervals
from difficulty.records import Estimate


@dataclass(frozen=True, slots=True)
class Band:
    """Estimates at m places; ``None`` where a value or its interval is unknown.

    Attributes
    ----------
    value, low, high : tuple of m float or None
        The figure and the ends of its 95 % interval.
    n : tuple of m int
        Number of requests behind it.
    """

    value: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    n: tuple[int, ...]

    @classmethod
    def of(cls, value: FloatArray, draws: FloatArray, n: IntArray) -> Band:
        """Build from values of shape (m,) and bootstrap draws of shape (n_draws, m), NaN where
        undefined.
        """
        low, high = np.where(np.isnan(value), np.nan, percentile_intervals(draws))
        return cls(known_or_none(value), known_or_none(low), known_or_none(high), tuple(n.tolist()))

    @classmethod
    def from_dict(cls, form: Mapping[str, Sequence[Any]]) -> Band:
        """Return the band that :meth:`as_dict` wrote."""
        return cls(*(tuple(form[field.name]) for field in fields(cls)))

    def as_dict(self) -> dict[str, list[Any]]:
        """Return the JSON form: a list for each column."""
        return {field.name: list(getattr(self, field.name)) for field in fields(self)}

    def at(self, place: int) -> Estimate:
        """Return the estimate at one place."""
        return Estimate(
            value=self.value[place], low=self.low[place], high=self.high[place], n=self.n[place]
        )

    def with_estimate(self, place: int, estimate: Estimate) -> Band:
        """Return the same band with another estimate at one place."""
        columns = {field.name: list(getattr(self, field.name)) for field in fields(self)}
        for name, column in columns.items():
            column[place] = getattr(estimate, name)
        return replace(self, **{name: tuple(column) for name, column in columns.items()})


def known_or_none(values: Sequence[float] | FloatArray) -> tuple[float | None, ...]:
    """Return floats with ``None`` for NaN, as JSON needs them."""
    return tuple(None if np.isnan(value) else float(value) for value in values)
