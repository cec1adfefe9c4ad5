"""What a plan, which requests to keep on the cheap model, means for each request: tokens, quality,
failures that are caught.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from difficulty.economics.sections import TokenPrice
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
