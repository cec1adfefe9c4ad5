"""What the cheap model costs under each way to host it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch
from typing import NamedTuple

from difficulty.economics.saving import StepCost
from difficulty.economics.sections import (
    HOURS_A_MONTH,
    Aggregator,
    CloudGpu,
    Dedicated,
    Machine,
    OwnGpu,
)
from difficulty.metrics.arrays import FloatArray

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
