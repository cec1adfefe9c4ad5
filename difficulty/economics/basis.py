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
from difficulty.records import Estimate
from difficulty.traffic.table import Tokens

_NEVER = 1e200
"""Stands for infinity where quantiles are interpolated."""


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


def fill_tokens(tokens: Tokens, counted: Counted, given: TrafficShape) -> tuple[Tokens, Basis]:
    """Return token counts with assumptions where there are none.

    Prompts without a count take ``counted``. Answers of a model that has none at all take the price
    list's number, else the other model's answers. Where some answers are counted, those stand for
    the others.
    """
    prompt, basis = _prompts(tokens.prompt, counted, given)
    answers: dict[str, FloatArray] = {}
    for model, other in (("cheap", "frontier"), ("frontier", "cheap")):
        name, own, others = f"{model}_tokens", getattr(tokens, model), getattr(tokens, other)
        listed = getattr(given, name)
        answers[model] = own
        if _any(own):
            continue
        if listed is not None:
            answers[model] = np.full(len(own), listed)
            basis = basis.with_(
                assumed={
                    name: (
                        f"an answer of the {model} model has {listed:g} tokens, as the price list"
                        " says"
                    )
                }
            )
        elif _any(others):
            answers[model] = others
            basis = basis.with_(
                assumed={name: f"the {model} model's answers are as long as the {other} model's"}
            )
        else:
            basis = basis.with_(
                missing={
                    name: (
                        f"answer tokens of the {model} model: in the traffic, or in [traffic] of"
                        " the price list"
                    )
                }
            )
    return Tokens(prompt, answers["cheap"], answers["frontier"]), basis


def _prompts(own: FloatArray, counted: Counted, given: TrafficShape) -> tuple[FloatArray, Basis]:
    unknown = np.isnan(own)
    if not unknown.any():
        return own, Basis()
    if unknown.all() and given.prompt_tokens is not None:
        sentence = f"a request has {given.prompt_tokens:g} tokens, as the price list says"
        return np.full(len(own), given.prompt_tokens), Basis({"prompt_tokens": sentence})
    sentence = f"tokens of {unknown.mean():.0%} of the requests are counted {counted.how}"
    return np.where(unknown, counted.tokens, own), Basis({"prompt_tokens": sentence})


def _any(counts: FloatArray) -> bool:
    return not bool(np.isnan(counts).all())


ASSUMED_PEAK = 3.0
"""Busiest hour over mean hour where nothing tells it: about that of office hours, 8 of 24."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Known:
    """Prices and the month.

    Attributes
    ----------
    prices : PriceList
        With the aggregator that ``[cheap]`` stands for.
    volume : ndarray of shape (1 + n_draws,)
        Requests a month; NaN where unknown.
    peak_to_mean, active_hours : float
        Traffic of the busiest hour over that of the mean hour; hours in which requests come.
    scorer_per_request, scorer_fixed : float
        USD a request, and USD a month, for scoring.
    basis : Basis
    """

    prices: PriceList
    volume: FloatArray
    peak_to_mean: float
    active_hours: float
    scorer_per_request: float
    scorer_fixed: float
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


def known_month(
    prices: PriceList,
    arrivals: Arrivals,
    *,
    volume: Volume | None,
    basis: Basis,
    chance: FloatArray,
) -> Known:
    """Return what is known; ``volume`` is the user's answer and goes before the price list's and
    the traffic's, ``chance`` spreads the draws over its range.
    """
    if prices.frontier is None:
        basis = basis.with_(
            missing={
                "frontier_prices": "[frontier] of the price list: what the frontier model costs"
            }
        )
    hosting, basis = _hosting(prices, basis)
    requests, basis = _volume(prices.traffic, arrivals, volume, basis)
    peak, basis = _peak(prices.traffic, arrivals, basis)
    active, basis = _active_hours(prices.traffic, basis)
    per_request, fixed, basis = _scorer(prices, basis)
    if prices.team is None:
        basis = basis.with_(
            missing={"team": "[team] of the price list: what it costs to keep routing"}
        )
    return Known(
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
        basis = basis.with_(
            assumed={
                "aggregator": (
                    "the prices of [cheap] by the token, without a fixed fee and without cold"
                    " starts"
                )
            }
        )
    absent = [shape for shape in SHAPES if getattr(hosting, shape) is None]
    if absent:
        basis = basis.with_(
            missing={
                "hosting": (
                    f"[hosting.{'], [hosting.'.join(absent)}] of the price list: not compared"
                )
            }
        )
    return hosting, basis


def _volume(
    listed: TrafficShape, arrivals: Arrivals, asked: Volume | None, basis: Basis
) -> tuple[Volume | None, Basis]:
    given = listed.requests_per_month
    if asked is None and given is not None:
        asked = Volume(*given) if isinstance(given, tuple) else Volume(given, given)
    if asked is not None:
        return asked, basis
    if arrivals.volume is not None:
        sentence = (
            f"the traffic file holds every request of its {arrivals.days:,.0f} days; a sample of"
            " the traffic has fewer"
        )
        return arrivals.volume, basis.with_(assumed={"requests_per_month": sentence})
    why = (
        "timestamps that span a week, --requests-per-month, or requests_per_month in [traffic] of"
        " the price list"
    )
    return None, basis.with_(missing={"requests_per_month": why})


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
        return (
            0.0,
            0.0,
            basis.with_(
                assumed={"scorer": "scoring costs nothing, as [scorer] is not in the price list"}
            ),
        )
    per_request = scorer.milliseconds_per_request / 3.6e6 * scorer.usd_per_core_hour
    return per_request, scorer.cores * HOURS_A_MONTH * scorer.usd_per_core_hour, basis
