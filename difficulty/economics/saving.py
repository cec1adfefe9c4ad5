"""What a month costs and saves as the number of requests grows: lines with steps, one for each
replica that is added.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
