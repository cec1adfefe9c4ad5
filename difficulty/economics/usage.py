"""What a plan, which requests to keep on the cheap model, means for each request: tokens, quality,
failures that are caught.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.economics.prices import HOURS_A_MONTH, TokenPrice
from difficulty.errors import InvalidValueError, TooFewSamplesError
from difficulty.metrics.arrays import FloatArray, Ratio, ratio
from difficulty.metrics.routing import kept_with_fallback
from difficulty.traffic.outcomes import Outcomes
from difficulty.traffic.table import Tokens


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Requests:
    """The requests that everything is worked out on.

    Attributes
    ----------
    tokens : Tokens
        Counts, NaN where unknown.
    outcomes : Outcomes
        What both models did, NaN where unknown.
    groups : ndarray of shape (n,)
        Requests of one group are resampled together.
    plans : mapping of str to ndarray of shape (n,)
        Plan, and the probability in [0, 1] that it keeps each request on the cheap model.
    """

    tokens: Tokens
    outcomes: Outcomes
    groups: NDArray[np.str_]
    plans: Mapping[str, FloatArray]

    def __post_init__(self) -> None:
        n = len(self.outcomes)
        if not n:
            raise TooFewSamplesError("economics needs requests: got none. Pass other traffic.")
        for name, kept in self.plans.items():
            if kept.shape != (n,) or not ((kept >= 0.0) & (kept <= 1.0)).all():
                raise InvalidValueError(
                    f"plan {name!r}",
                    kept.shape,
                    rule=f"be a probability for each of the {n:,} requests",
                )


def request_ratios(requests: Requests) -> dict[str, Ratio]:
    """Return means over all requests, whatever the plan."""
    outcomes = requests.outcomes
    better = np.where(np.isnan(outcomes.gain), np.nan, outcomes.gain <= 0.0)
    return {
        "prompt_tokens": ratio(requests.tokens.prompt),
        "cheap_tokens": ratio(requests.tokens.cheap),
        "frontier_tokens": ratio(requests.tokens.frontier),
        "gain_free_share": ratio(better),
        "cheap_passing_share": ratio(
            np.where(np.isnan(outcomes.cheap_quality), np.nan, outcomes.cheap_quality >= 0.5)
        ),
    }


def plan_ratios(
    requests: Requests, kept: FloatArray, *, catch_rate: float, frontier: TokenPrice | None
) -> dict[str, Ratio]:
    """Return what a plan does.

    Token counts are per request of the whole traffic. Qualities are of kept requests;
    ``caught_spend_share`` is the part of what they cost on the frontier model that is paid after
    all, as their cheap answers were caught. It is a ratio of its own, so that requests with unknown
    outcomes take no part in it, rather than count as good.
    """
    tokens, outcomes = requests.tokens, requests.outcomes
    cheap, best = outcomes.cheap_quality, outcomes.frontier_quality
    cost = (
        np.full(len(kept), np.nan)
        if frontier is None
        else tokens.prompt * frontier.input + tokens.frontier * frontier.output
    )
    after = kept_with_fallback(cheap, best, np.zeros(len(kept)), cost, catch_rate=catch_rate)
    return {
        "kept_share": ratio(kept * outcomes.per_request, outcomes.per_request),
        "kept_prompt_tokens": ratio(kept * tokens.prompt),
        "kept_cheap_tokens": ratio(kept * tokens.cheap),
        "kept_frontier_tokens": ratio(kept * tokens.frontier),
        "cheap_quality": ratio(kept * cheap, kept),
        "frontier_quality": ratio(kept * best, kept),
        "quality_after": ratio(kept * after.quality, kept),
        "quality_lost": ratio(kept * (best - after.quality), kept),
        "caught_share": ratio(kept * after.caught, kept),
        "caught_spend_share": ratio(kept * after.caught * cost, kept * cost),
    }


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
