"""What the cheap model costs under each way to host it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch
from typing import NamedTuple

import numpy as np

from difficulty.economics.prices import (
    HOURS_A_MONTH,
    Aggregator,
    CloudGpu,
    Dedicated,
    Machine,
    OwnGpu,
)
from difficulty.metrics.arrays import FloatArray

Number = FloatArray | float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepCost:
    """USD a month for V requests: ``fixed + per_request * V + per_replica * max(least,
    ceil(replicas_per_request * V))``.

    Attributes
    ----------
    fixed : float or ndarray
        USD a month whatever the traffic.
    per_request : float or ndarray
        USD a request of the whole traffic.
    per_replica : float
        USD a month for each replica.
    replicas_per_request : float or ndarray
        Replicas needed at the busiest time, per request a month.
    least : int
        Replicas that run in any case; 0 where there are none at all.
    """

    fixed: Number = 0.0
    per_request: Number = 0.0
    per_replica: float = 0.0
    replicas_per_request: Number = 0.0
    least: int = 0

    def replicas(self, volume: Number) -> FloatArray:
        """Return how many replicas run for a number of requests a month."""
        needed = np.ceil(
            np.round(np.asarray(self.replicas_per_request) * volume, 9)
        )  # rounding is no reason for another replica
        return np.maximum(self.least, needed)

    def at(self, volume: Number) -> FloatArray:
        """Return USD a month for a number of requests a month."""
        machines = self.per_replica * self.replicas(volume) if self.per_replica else 0.0
        return np.asarray(self.fixed + self.per_request * np.asarray(volume) + machines)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Saving:
    """What each request saves on the frontier model, against what a month costs.

    Attributes
    ----------
    per_request : float or ndarray
        USD saved on the frontier model, averaged over all requests.
    cost : StepCost
        What is paid for it.
    """

    per_request: Number
    cost: StepCost

    def at(self, volume: Number) -> FloatArray:
        """Return USD saved a month, after all costs, for a number of requests a month."""
        return np.asarray(np.asarray(self.per_request) * volume - self.cost.at(volume))

    def break_even(self) -> FloatArray:
        """Return the number of requests a month from which on the saving is never below 0.

        The saving there is exactly 0. It may touch 0 earlier too, and fall below it again when a
        replica is added.

        Returns
        -------
        ndarray
            Infinite where no volume will do, NaN where a part is unknown.

        Notes
        -----
        With a gain of g a request after costs by request, fixed costs F, r for a replica and b
        replicas a request, the saving just after the step to R replicas is ``g (R - 1) / b - F - r
        R``. It is below 0 for all ``R < 1 + (F + r) / d``, where ``d = g / b - r`` is what a full
        replica earns. The largest such R is ``ceil((F + r) / d)``, and within its step the saving
        reaches 0 at ``(F + r R) / g``. With fewer than the least replicas there is no step.
        """
        gain = np.asarray(np.asarray(self.per_request) - self.cost.per_request, dtype=np.float64)
        fixed, step = np.asarray(self.cost.fixed, dtype=np.float64), self.cost.per_replica
        needed = np.asarray(self.cost.replicas_per_request, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            earned = np.where(needed > 0, gain / needed, np.inf) - step
            last = (
                np.where(np.isinf(earned), 0.0, np.ceil((fixed + step) / earned))
                if step
                else np.zeros(np.shape(gain))
            )
            volume = (fixed + step * np.maximum(self.cost.least, last)) / gain
        unknown = np.isnan(gain) | np.isnan(fixed) | np.isnan(needed)
        never = (gain <= 0) | ((earned <= 1e-9 * step) if step else False)  # rounding is no gap
        return np.asarray(np.where(unknown, np.nan, np.where(never, np.inf, volume)))


_MILLION = 1e6
_SECONDS_A_MONTH = 3600.0 * HOURS_A_MONTH


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Load:
    """What the cheap model has to do.

    Attributes
    ----------
    prompt_tokens, cheap_tokens : ndarray of shape (1 + n_draws,)
        Tokens read and written on kept requests, per request of the whole traffic.
    peak_to_mean : float
        Traffic of the busiest hour over that of the mean hour of the month.
    active_hours : float
        Hours a month in which requests come at all.
    """

    prompt_tokens: FloatArray
    cheap_tokens: FloatArray
    peak_to_mean: float
    active_hours: float

    @property
    def peak(self) -> float:
        """The peak to the mean, which is no less than what the hours without traffic leave to the
        others.
        """
        return max(self.peak_to_mean, HOURS_A_MONTH / self.active_hours)


class Hosted(NamedTuple):
    """What a way to host costs, and how it answers after a pause."""

    cost: StepCost
    busy: FloatArray | None
    """Replicas kept busy on average, per request a month; ``None`` where there are no replicas."""
    warm_cost: float
    """USD a month for replicas that are kept running in hours without traffic; part of ``cost``."""
    cold_start_seconds: float
    """How long the first request after a pause waits; 0 where a replica is always running."""


@singledispatch
def hosted(section: object, load: Load, *, keep_warm: bool) -> Hosted:
    """Return what a way to host costs for a load.

    Parameters
    ----------
    section : OwnGpu, CloudGpu, Aggregator or Dedicated
        The section of the price list.
    load : Load
        What is to be served.
    keep_warm : bool
        Whether at least one replica stays running in hours without traffic, so that nobody waits
        for a cold start. An aggregator decides that itself.
    """
    raise TypeError(f"no way to host: {section!r}")


@hosted.register
def _own(section: OwnGpu, load: Load, *, keep_warm: bool) -> Hosted:
    # Bought machines cost the same idle or busy: nothing to keep warm, and nobody waits.
    kilowatts = section.watts_per_gpu / 1000.0 * section.power_overhead
    per_gpu = section.usd_per_gpu / section.months + kilowatts * HOURS_A_MONTH * section.usd_per_kwh
    return _replicas(
        section, load, per_replica=section.gpus_per_replica * per_gpu, warm_cost=0.0, cold_start=0.0
    )


@hosted.register
def _cloud(section: CloudGpu, load: Load, *, keep_warm: bool) -> Hosted:
    return _by_the_hour(
        section, load, section.gpus_per_replica * section.usd_per_gpu_hour, keep_warm=keep_warm
    )


@hosted.register
def _dedicated(section: Dedicated, load: Load, *, keep_warm: bool) -> Hosted:
    return _by_the_hour(section, load, section.usd_per_endpoint_hour, keep_warm=keep_warm)


@hosted.register
def _aggregator(section: Aggregator, load: Load, *, keep_warm: bool) -> Hosted:
    # The aggregator decides what stays warm, so ``keep_warm`` changes nothing.
    by_token = (load.prompt_tokens * section.input + load.cheap_tokens * section.output) / _MILLION
    return Hosted(
        StepCost(fixed=section.usd_per_month, per_request=by_token),
        None,
        0.0,
        section.cold_start_seconds,
    )


def _by_the_hour(
    section: CloudGpu | Dedicated, load: Load, usd_per_hour: float, *, keep_warm: bool
) -> Hosted:
    """Return machines that run in active hours as traffic asks, and else as many as are kept
    warm.
    """
    # Machines by the hour are let go when no requests come, but for those that stay warm.
    warm = max(section.min_replicas, int(keep_warm))
    idle_hours = HOURS_A_MONTH - load.active_hours
    waits = warm == 0 and idle_hours > 0
    return _replicas(
        section,
        load,
        per_replica=usd_per_hour * load.active_hours,
        warm_cost=warm * usd_per_hour * idle_hours,
        cold_start=section.cold_start_seconds if waits else 0.0,
    )


def _replicas(
    section: Machine, load: Load, *, per_replica: float, warm_cost: float, cold_start: float
) -> Hosted:
    seconds = (
        load.prompt_tokens / section.input_tokens_per_second
        + load.cheap_tokens / section.output_tokens_per_second
    )
    busy = seconds / _SECONDS_A_MONTH
    cost = StepCost(
        fixed=section.usd_per_month + warm_cost,
        per_replica=per_replica,
        replicas_per_request=busy * load.peak / section.max_utilisation,
        least=max(1, section.min_replicas),
    )
    return Hosted(cost, busy, warm_cost, cold_start)
