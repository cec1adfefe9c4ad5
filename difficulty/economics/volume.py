"""How many requests come in a month, and how unevenly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np

from difficulty.economics.sections import HOURS_A_MONTH
from difficulty.errors import InvalidValueError
from difficulty.metrics.arrays import FloatArray

_LEAST_DAYS = 7.0
_LEAST_REQUESTS = 240
"""For the peak: ten in each hour of the day."""


class Volume(NamedTuple):
    """Requests a month: a range whose ends are equal where the number is sure."""

    low: float
    high: float


class Arrivals(NamedTuple):
    """What the times of the requests say."""

    volume: Volume | None
    peak_to_mean: float | None
    days: float

    @classmethod
    def of(cls, times: Sequence[datetime | None], groups: Sequence[str]) -> Arrivals:
        """Return volume and peak; ``None`` where fewer than two requests, or under a week, cannot
        tell.

        The range of the volume holds 95 % of what chance gives: groups come at random, each with
        all its requests. The peak is the busiest hour of the day over the mean one, times the same
        of the days of the week; for it 240 requests are needed.
        """
        known = [
            (time, group) for time, group in zip(times, groups, strict=True) if time is not None
        ]
        moments = [time for time, _ in known]
        days = (max(moments) - min(moments)).total_seconds() / 86_400.0 if known else 0.0
        if days < _LEAST_DAYS:
            return cls(None, None, days)
        sizes = np.array(list(Counter(group for _, group in known).values()), dtype=np.float64)
        spread = 1.96 * float(np.sqrt(np.sum(sizes**2)))
        months = days * 24.0 / HOURS_A_MONTH
        n = len(known)
        volume = Volume(max(n - spread, 1.0) / months, (n + spread) / months)
        peak = _busiest([time.hour for time in moments], 24) * _busiest(
            [time.weekday() for time in moments], 7
        )
        return cls(volume, peak if n >= _LEAST_REQUESTS else None, days)


def parse_volume(text: str) -> Volume:
    """Return requests a month written as a number, ``50000``, or as a range, ``50000-200000``.

    Raises
    ------
    InvalidValueError
        If it is neither, or not above 0.
    """
    try:
        ends = [float(part.strip().replace(",", "").replace("_", "")) for part in text.split("-")]
    except ValueError:
        ends = []
    if (
        len(ends) not in (1, 2)
        or not all(0.0 < end < float("inf") for end in ends)
        or ends[0] > ends[-1]
    ):
        raise InvalidValueError(
            "requests per month", text, rule="be a number above 0 or a range like 50000-200000"
        )
    return Volume(ends[0], ends[-1])


def draw_volume(volume: Volume | None, *, n_draws: int, rng: np.random.Generator) -> FloatArray:
    """Return the middle of the range and draws that are spread evenly over it, shape (1 +
    n_draws,); NaN where it is not known.
    """
    if volume is None:
        return np.full(1 + n_draws, np.nan)
    return np.append(
        (volume.low + volume.high) / 2.0, rng.uniform(volume.low, volume.high, n_draws)
    )


def _busiest(values: Sequence[int], n: int) -> float:
    counts = np.bincount(values, minlength=n)
    return float(counts.max() / counts.mean())
