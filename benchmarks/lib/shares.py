"""Shares with their exact intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from difficulty.metrics.intervals import exact_interval


@dataclass(frozen=True, slots=True)
class Share:
    """How many of n, with the Clopper-Pearson interval of 95 %."""

    count: int
    n: int
    value: float
    low: float
    high: float

    @classmethod
    def of(cls, count: int, n: int) -> Self:
        """Return the share of ``count`` among ``n``, which is 1 or more."""
        low, high = exact_interval(count, n)
        return cls(count, n, count / n, low, high)

    def __str__(self) -> str:
        return f"{self.value:.1%} [{self.low:.1%}, {self.high:.1%}]"
