"""What is known of prices and of the month, with assumptions where the price list is silent."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from difficulty.economics.basis import Basis
from difficulty.economics.prices import PriceList
from difficulty.economics.sections import (
    HOURS_A_MONTH,
    SHAPES,
    Aggregator,
    Hosting,
    Team,
    TrafficShape,
)
from difficulty.economics.volume import Arrivals, Volume, draw_volume
from difficulty.metrics.arrays import FloatArray

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
    n_draws: int,
    rng: np.random.Generator,
) -> Known:
    """Return what is known; ``volume`` is the user's answer and goes before the price list's and
    the traffic's.
    """
    if prices.frontier is None:
        basis = basis.with_(
            missing={
                "frontier_prices": "[frontier] of the price list: what the frontier model costs"
            }
        )
    hosting, basis = _hosting(prices, basis)
    found, basis = _volume(prices.traffic, arrivals, volume, basis)
    peak, basis = _peak(prices.traffic, arrivals, basis)
    active, basis = _active_hours(prices.traffic, basis)
    per_request, fixed, basis = _scorer(prices, basis)
    if prices.team is None:
        basis = basis.with_(
            missing={"team": "[team] of the price list: what it costs to keep routing"}
        )
    return Known(
        prices=replace(prices, hosting=hosting),
        volume=draw_volume(found, n_draws=n_draws, rng=rng),
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
