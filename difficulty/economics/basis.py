"""What the figures rest on: what is missing, and what was assumed in its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from difficulty.economics.prices import (
    HOURS_A_MONTH,
    SHAPES,
    Aggregator,
    Hosting,
    PriceList,
    Team,
    TrafficShape,
)
from difficulty.economics.usage import Arrivals, Volume, draw_volume
from difficulty.metrics.arrays import FloatArray
from difficulty.metrics.bootstrap import percentile_interval
from difficulty.metrics.intervals import no_spread
from difficulty.records import Estimate
from difficulty.traffic.table import Tokens

_NEVER = 1e200
"""Stands for infinity where quantiles are interpolated."""


def interval(drawn: FloatArray) -> tuple[float, float]:
    """Return the ends of the middle 95 % of the draws: NaN where they are undefined, infinite where
    the draws are.
    """
    # Between infinities quantiles would be NaN.
    low, high = percentile_interval(np.clip(drawn[1:], -_NEVER, _NEVER))
    return _unclipped(low), _unclipped(high)


def estimate(drawn: FloatArray, *, n: int, note: str = "") -> Estimate:
    """Return a value with its interval; an end that is not a finite number is ``None``."""
    value, (low, high) = float(drawn[0]), interval(drawn)
    if not np.isfinite(value):
        return Estimate(value=None, n=n, note=note)
    if n and no_spread(low, high, n):  # a few requests that are all alike; what was given has no n
        return Estimate(value=value, n=n, note=note)
    return Estimate(value=value, low=_finite(low), high=_finite(high), n=n, note=note)


def _unclipped(value: float) -> float:
    # Interpolating between a clipped end and a draw gives less than _NEVER, yet no real number.
    return float(np.copysign(np.inf, value)) if abs(value) > _NEVER / 1e6 else value


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


class Figure(NamedTuple):
    """A figure before it is told: its draws, and what it needs."""

    drawn: FloatArray
    n: int
    needs: tuple[str, ...] = ()
    """Names that may be missing or assumed."""
    never: str = ""
    """What an infinite value means."""


@dataclass(frozen=True, slots=True)
class Basis:
    """What is missing and what was assumed, each by a name and with a sentence."""

    assumed: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)

    def with_(
        self, *, assumed: Mapping[str, str] | None = None, missing: Mapping[str, str] | None = None
    ) -> Basis:
        """Return the basis with more of either."""
        return Basis({**self.assumed, **(assumed or {})}, {**self.missing, **(missing or {})})

    def estimate(self, figure: Figure) -> Estimate:
        """Return a figure as an estimate whose note says what was assumed for it or, where it is
        unknown, what is missing.
        """
        value = float(figure.drawn[0])
        if np.isnan(value):
            wanted = [name for name in figure.needs if name in self.missing]
            return Estimate(
                value=None,
                n=figure.n,
                note=f"unknown, as this is missing: {', '.join(wanted) or 'outcomes'}",
            )
        notes = [figure.never] if np.isinf(value) else []
        if not notes and np.isinf(interval(figure.drawn)[1]):
            notes.append(f"no upper end: in some draws {figure.never}")
        assumed = [name for name in figure.needs if name in self.assumed]
        notes += [f"assumed: {', '.join(assumed)}"] if assumed else []
        return estimate(figure.drawn, n=figure.n, note="; ".join(notes))

    def estimates(self, figures: Mapping[str, Figure]) -> dict[str, Estimate]:
        """Return all figures as estimates."""
        return {name: self.estimate(figure) for name, figure in figures.items()}


class Counted(NamedTuple):
    """Prompt tokens as somebody else counts them, for requests without a count of their own."""

    tokens: FloatArray
    how: str
    """Ends the sentence "... are counted"."""


def fill_tokens(tokens: Tokens, counted: Counted, listed: TrafficShape) -> tuple[Tokens, Basis]:
    """Return token counts with assumptions where there are none.

    Prompts without a count take ``counted``. Answers of a model that has none at all take the price
    list's number, else the other model's answers. Where some answers are counted, those stand for
    the others.
    """
    prompt, basis = _prompts(tokens.prompt, counted, listed)
    answers: dict[str, FloatArray] = {}
    for model, other in (("cheap", "frontier"), ("frontier", "cheap")):
        name, own, others = f"{model}_tokens", getattr(tokens, model), getattr(tokens, other)
        number = getattr(listed, name)
        answers[model] = own
        if _any(own):
            continue
        if number is not None:
            answers[model] = np.full(len(own), number)
            sentence = (
                f"an answer of the {model} model has {number:g} tokens, as the price list says"
            )
            basis = basis.with_(assumed={name: sentence})
        elif _any(others):
            answers[model] = others
            sentence = f"the {model} model's answers are as long as the {other} model's"
            basis = basis.with_(assumed={name: sentence})
        else:
            where = "in the traffic, or in [traffic] of the price list"
            basis = basis.with_(missing={name: f"answer tokens of the {model} model: {where}"})
    return Tokens(prompt, answers["cheap"], answers["frontier"], tokens.cached), basis


def _prompts(own: FloatArray, counted: Counted, listed: TrafficShape) -> tuple[FloatArray, Basis]:
    unknown = np.isnan(own)
    if not unknown.any():
        return own, Basis()
    if unknown.all() and listed.prompt_tokens is not None:
        sentence = f"a request has {listed.prompt_tokens:g} tokens, as the price list says"
        return np.full(len(own), listed.prompt_tokens), Basis({"prompt_tokens": sentence})
    sentence = f"tokens of {unknown.mean():.0%} of the requests are counted {counted.how}"
    return np.where(unknown, counted.tokens, own), Basis({"prompt_tokens": sentence})


def _any(counts: FloatArray) -> bool:
    return not bool(np.isnan(counts).all())


ASSUMED_PEAK = 3.0
"""Busiest hour over mean hour where nothing tells it: about that of office hours, 8 of 24."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Month:
    """Prices and the month."""

    prices: PriceList
    """With the aggregator that ``[cheap]`` stands for."""
    volume: FloatArray
    """Requests a month, shape (1 + n_draws,); NaN where unknown."""
    peak_to_mean: float
    """Traffic of the busiest hour over that of the mean hour."""
    active_hours: float
    """Hours in which requests come."""
    scorer_per_request: float
    """USD a request for scoring."""
    scorer_fixed: float
    """USD a month for scoring."""
    basis: Basis

    @property
    def team(self) -> Team | None:
        """What the team says of itself."""
        return self.prices.team

    @property
    def keep(self) -> float:
        """USD a month to keep routing; NaN where unknown."""
        return self.team.usd_per_month if self.team else float("nan")

    def constant(self, value: float) -> FloatArray:
        """Return a number that chance does not touch, in the shape of the draws."""
        return np.full_like(self.volume, value)


def month_of(
    prices: PriceList,
    arrivals: Arrivals,
    *,
    volume: Volume | None,
    basis: Basis,
    chance: FloatArray,
) -> Month:
    """Return what is known; ``volume`` is the user's answer and goes before the price list's,
    ``chance`` spreads the draws over its range.
    """
    if prices.frontier is None:
        why = "[frontier] of the price list: what the frontier model costs"
        basis = basis.with_(missing={"frontier_prices": why})
    basis = _cached(prices, basis)
    hosting, basis = _hosting(prices, basis)
    requests, basis = _volume(prices.traffic, volume, basis)
    peak, basis = _peak(prices.traffic, arrivals, basis)
    active, basis = _active_hours(prices.traffic, basis)
    per_request, fixed, basis = _scorer(prices, basis)
    if prices.team is None:
        why = "[team] of the price list: what it costs to keep routing"
        basis = basis.with_(missing={"team": why})
    return Month(
        prices=replace(prices, hosting=hosting),
        volume=draw_volume(requests, chance),
        peak_to_mean=peak,
        active_hours=active,
        scorer_per_request=per_request,
        scorer_fixed=fixed,
        basis=basis,
    )


def _hosting(prices: PriceList, basis: Basis) -> tuple[Hosting, Basis]:
    """Take the cheap model's price by the token for an aggregator's, where that has no section."""
    hosting, cheap = prices.hosting, prices.cheap
    if hosting.aggregator is None and cheap is not None:
        section = Aggregator(**cheap.as_dict(), usd_per_month=0.0, cold_start_seconds=0.0)
        hosting = replace(hosting, aggregator=section)
        terms = "the prices of [cheap] by the token, without a fixed fee and without cold starts"
        basis = basis.with_(assumed={"aggregator": terms})
    absent = [shape for shape in SHAPES if getattr(hosting, shape) is None]
    if absent:
        sections = f"[hosting.{'], [hosting.'.join(absent)}] of the price list"
        basis = basis.with_(missing={"hosting": f"{sections}: not compared"})
    return hosting, basis


def _cached(prices: PriceList, basis: Basis) -> Basis:
    """Say what is taken for granted of prompt tokens that providers read from their caches."""
    priced = {"[cheap]": prices.cheap, "[frontier]": prices.frontier}
    share = prices.traffic.cached_share
    if share is None:
        if not any(price and price.cached_input is not None for price in priced.values()):
            return basis
        sentence = (
            "no prompt token comes from a provider's cache; say how many do with cached_share in"
            " [traffic] of the price list"
        )
        return basis.with_(assumed={"cached_share": sentence})
    full = [name for name, price in priced.items() if price and price.cached_input is None]
    if not full or not share:
        return basis
    sentence = f"cached prompt tokens cost full input, as {' and '.join(full)} has no cached_input"
    return basis.with_(assumed={"cached_input": sentence})


def _volume(
    listed: TrafficShape, asked: Volume | None, basis: Basis
) -> tuple[Volume | None, Basis]:
    # Never what the file holds: a labelled sample is a small part of what comes.
    volume = asked or listed_volume(listed)
    if volume is not None:
        return volume, basis
    why = "--requests-per-month, or requests_per_month in [traffic] of the price list"
    return None, basis.with_(missing={"requests_per_month": why})


def listed_volume(listed: TrafficShape) -> Volume | None:
    """Return the requests a month of a price list."""
    ends = listed.requests_per_month
    if ends is None:
        return None
    return Volume(*ends) if isinstance(ends, tuple) else Volume(ends, ends)


def _peak(listed: TrafficShape, arrivals: Arrivals, basis: Basis) -> tuple[float, Basis]:
    if listed.peak_to_mean is not None:
        return listed.peak_to_mean, basis
    if arrivals.peak_to_mean is not None:
        sentence = f"{arrivals.peak_to_mean:.1f}, from the hours and weekdays of the timestamps"
        return arrivals.peak_to_mean, basis.with_(assumed={"peak_to_mean": sentence})
    return ASSUMED_PEAK, basis.with_(
        assumed={"peak_to_mean": f"{ASSUMED_PEAK:g}: the busiest hour over the mean hour"}
    )


def _active_hours(listed: TrafficShape, basis: Basis) -> tuple[float, Basis]:
    if listed.active_hours_per_month is not None:
        return listed.active_hours_per_month, basis
    return HOURS_A_MONTH, basis.with_(
        assumed={"active_hours": f"requests come in all {HOURS_A_MONTH:g} hours of the month"}
    )


def _scorer(prices: PriceList, basis: Basis) -> tuple[float, float, Basis]:
    scorer = prices.scorer
    if scorer is None:
        sentence = "scoring costs nothing, as [scorer] is not in the price list"
        return 0.0, 0.0, basis.with_(assumed={"scorer": sentence})
    # 3.6e6 milliseconds in an hour.
    per_request = scorer.milliseconds_per_request / 3.6e6 * scorer.usd_per_core_hour
    return per_request, scorer.cores * HOURS_A_MONTH * scorer.usd_per_core_hour, basis
