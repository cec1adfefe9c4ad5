"""What a plan, which requests to keep on the cheap model, means for each request: tokens, quality,
failures that are caught.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

import numpy as np

from difficulty.economics.prices import HOURS_A_MONTH, TokenPrice
from difficulty.errors import InvalidValueError
from difficulty.evaluation.figures import Columns
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.metrics.arrays import FloatArray, Ratio, ratio
from difficulty.traffic.table import Tokens


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Requests:
    """The requests that everything is worked out on.

    Attributes
    ----------
    scored : ScoredTraffic
        What both models did on n requests, and whose answers the policy's check sends on; its costs
        and catch rate are not read.
    tokens : Tokens
        Counts, NaN where unknown.
    plans : mapping of str to ndarray of shape (n,)
        Plan, and the probability in [0, 1] that it sends each request to the frontier model.
    frontier_bill : ndarray of shape (n,), optional
        USD billed for the frontier model's answers, NaN where unknown; ``None``: no request says.
    """

    scored: ScoredTraffic
    tokens: Tokens
    plans: Mapping[str, FloatArray]
    frontier_bill: FloatArray | None = None

    def __post_init__(self) -> None:
        n = len(self.scored)
        for name, sent in self.plans.items():
            if sent.shape != (n,) or not ((sent >= 0.0) & (sent <= 1.0)).all():
                raise InvalidValueError(
                    f"plan {name!r}",
                    sent.shape,
                    rule=f"be a probability for each of the {n:,} requests",
                )

    @property
    def checked(self) -> bool:
        """Whether the policy checks the cheap model's answers."""
        return self.scored.escalated is not None


def frontier_spend(requests: Requests, frontier: TokenPrice | None) -> FloatArray:
    """Return USD of each request on the frontier model, shape (n,): as billed, else by tokens; NaN
    where neither is known.
    """
    tokens = requests.tokens
    priced = (
        np.full(len(requests.scored), np.nan)
        if frontier is None
        else (tokens.prompt * frontier.input + tokens.frontier * frontier.output) / 1e6
    )
    bill = requests.frontier_bill
    return priced if bill is None else np.where(np.isnan(bill), priced, bill)


def request_ratios(requests: Requests, frontier: TokenPrice | None) -> dict[str, Ratio]:
    """Return means over all requests, whatever the plan; ``frontier_cost`` only where bills say
    it.
    """
    tokens, outcomes = requests.tokens, requests.scored.outcomes
    gain, cheap = outcomes.gain, outcomes.cheap_quality
    billed = (
        {}
        if requests.frontier_bill is None
        else {"frontier_cost": ratio(frontier_spend(requests, frontier))}
    )
    return billed | {
        "prompt_tokens": ratio(tokens.prompt),
        "cheap_tokens": ratio(tokens.cheap),
        "frontier_tokens": ratio(tokens.frontier),
        "gain_free_share": ratio(np.where(np.isnan(gain), np.nan, gain <= 0.0)),
        # 1/2 and more passes, as in ``ScoredTraffic.needed``.
        "cheap_passing_share": ratio(np.where(np.isnan(cheap), np.nan, cheap >= 0.5)),
    }


def plan_columns(
    requests: Requests, *, catch_rate: float, frontier: TokenPrice | None, checked: bool
) -> dict[str, Columns]:
    """Return the figures of plans; ``checked`` are those in which the policy's check of the cheap
    answers has a part.

    Token counts are per request of the whole traffic. Qualities are of kept requests;
    ``caught_spend_share`` is the part of what they cost on the frontier model that is paid after
    all, as their cheap answers were caught, or sent on by the check. It is a ratio of its own, so
    that requests with unknown outcomes take no part in it, rather than count as good.
    """
    tokens, outcomes = requests.tokens, requests.scored.outcomes
    best, each = outcomes.frontier_quality, outcomes.per_request
    spend = frontier_spend(requests, frontier)
    # What validation catches is the team's answer here, whatever the policy says.
    scored = requests.scored if checked else requests.scored.unchecked
    after = replace(scored, catch_rate=catch_rate).kept
    caught = np.where(after.escalated > 0.0, 1.0, after.caught)
    if checked and requests.checked and catch_rate == 0.0:
        # Validation catches nothing then, also of requests with unknown outcomes.
        caught = np.where(np.isnan(caught), 0.0, caught)

    def over_all(values: FloatArray) -> Columns:
        return Columns.of(known=values, kept=(values, 1.0), sent=(0.0, 1.0))

    def over_kept(values: FloatArray, of: FloatArray | float = 1.0) -> Columns:
        return Columns.of(known=values, kept=(values, of), sent=(0.0, 0.0))

    billed = {} if requests.frontier_bill is None else {"kept_frontier_cost": over_all(spend)}
    return billed | {
        "kept_share": Columns.of(known=each, kept=(each, each), sent=(0.0, each)),
        "kept_prompt_tokens": over_all(tokens.prompt),
        "kept_cheap_tokens": over_all(tokens.cheap),
        "kept_frontier_tokens": over_all(tokens.frontier),
        "cheap_quality": over_kept(outcomes.cheap_quality),
        "frontier_quality": over_kept(best),
        "quality_after": over_kept(after.quality),
        "quality_lost": over_kept(best - after.quality),
        "caught_share": over_kept(caught),
        "caught_spend_share": over_kept(caught * spend, spend),
    }


# Volume and peak need every day of the week once.
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
        timed = [
            (time, group) for time, group in zip(times, groups, strict=True) if time is not None
        ]
        moments = [time for time, _ in timed]
        days = (max(moments) - min(moments)).total_seconds() / 86_400.0 if timed else 0.0
        if days < _LEAST_DAYS:
            return cls(None, None, days)
        sizes = np.array(list(Counter(group for _, group in timed).values()), dtype=np.float64)
        # Groups as a Poisson process: the variance of their total is the sum of squared sizes.
        # 1.96 standard deviations to either side hold 95 % of a normal distribution.
        spread = 1.96 * float(np.sqrt(np.sum(sizes**2)))
        months = days * 24.0 / HOURS_A_MONTH
        n = len(timed)
        volume = Volume(max(n - spread, 1.0) / months, (n + spread) / months)
        # Hour of the day times day of the week: single hours have too few requests to tell.
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


def draw_volume(volume: Volume | None, chance: FloatArray) -> FloatArray:
    """Return the middle of the range and draws that are spread evenly over it, shape (1 +
    n_draws,); NaN where it is not known. ``chance`` holds even draws from [0, 1).
    """
    if volume is None:
        return np.full(1 + len(chance), np.nan)
    low, high = volume
    # Evenly, as a range says no more than its ends (docs/economics.md).
    return np.append((low + high) / 2.0, low + (high - low) * chance)


def _busiest(values: Sequence[int], n: int) -> float:
    counts = np.bincount(values, minlength=n)
    return float(counts.max() / counts.mean())
