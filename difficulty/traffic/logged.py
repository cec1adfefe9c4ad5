"""Logged traffic: outcomes seen only for the model that was called, weighted so that they stand for
all requests.

Every row carries the route that was taken and the probability with which the policy took it
(``propensity``). Where the outcome of a model is known on route r, and r was taken with probability
p, the row stands for 1 / p requests like it; so the weight of a row belongs to what is known on the
route that was taken. Weights are applied only where they are needed:

- An outcome is *selected* when it is seen less than half as often (``_SELECTED``) on rows of the
  other route. Where neither model's is, both were looked at whatever the route was, and every
  weight stays as it was.
- A frontier outcome beside a cheap one on the cheap route is a fallback's where no row of the
  frontier route has both: it was seen because the cheap answer had failed. It is dropped, and so is
  the gain; the cheap outcome stays.
- 1 / p is cut at ``largest_weight``, which bounds what one row can say at the price of some bias,
  and scaled to a mean of 1 over the rows that carry one outcome: each route for itself, or all rows
  where some know both.
- Without a propensity the policy is unknown: no weight can undo its choice. That is refused unless
  the caller accepts it.

References
----------
Horvitz and Thompson (1952), "A generalization of sampling without replacement from a finite
universe"; Swaminathan and Joachims (2015), "The self-normalized estimator for counterfactual
learning"; Ionides (2008), "Truncated importance sampling".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import TrafficError
from difficulty.form import SavedForm
from difficulty.metrics.arrays import FloatArray, effective_samples
from difficulty.recipe import LabelSettings
from difficulty.traffic.outcomes import Outcomes
from difficulty.traffic.table import Traffic

BoolArray = NDArray[np.bool_]
_SELECTED = 0.5
_CERTAIN = 1.0 - 1e-9  # a propensity of 1 that was computed as a product


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedReport(SavedForm):
    """What the weights of logged traffic rest on; counts are rows."""

    _also = ("notes",)

    weighted: int
    """Rows with a propensity whose outcomes were selected by the policy."""
    clipped: int = 0
    """Of those, rows whose 1 / propensity was cut."""
    certain: int = 0
    """Of those, rows whose route was certain: what the other model does on such requests cannot be
    known.
    """
    fallbacks: int = 0
    """Frontier outcomes dropped because they were seen only after the cheap answer had failed."""
    unknown_policy: int = 0
    """Rows whose outcome was seen only where an unknown policy chose to look."""
    known: dict[str, int] = field(default_factory=dict)
    """Model (cheap, frontier) to rows of which its outcome is known."""
    effective: dict[str, float] = field(default_factory=dict)
    """Model to the number of equally weighted rows that its outcomes are worth."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of any figure has to know, one sentence each."""
        return tuple(self._sentences())

    def _sentences(self) -> Iterator[str]:
        if self.weighted:
            worth = ", ".join(
                f"{name} {self.known[name]:,} worth {value:,.0f}"
                for name, value in self.effective.items()
            )
            yield (
                "Outcomes were seen for the model that was called and are weighted by inverse"
                f" propensity ({self.weighted:,} rows, {self.clipped:,} of them clipped; outcomes:"
                f" {worth} equally weighted ones)."
            )
        if self.certain:
            yield (
                f"On {self.certain:,} rows the route was certain: what the other model does on such"
                " requests was never seen, and scores there are extrapolated."
            )
        if self.fallbacks:
            yield (
                f"{self.fallbacks:,} frontier outcomes are left out: they were seen only because"
                " the cheap answer had failed."
            )
        if self.unknown_policy:
            yield (
                f"SELECTION BIAS ACCEPTED: {self.unknown_policy:,} outcomes were seen only where an"
                " unknown policy chose to look. Figures hold for what it let through, not for all"
                " requests."
            )


def weigh_logged(traffic: Traffic, settings: LabelSettings) -> tuple[Traffic, LoggedReport | None]:
    """Return logged traffic with weights that undo the policy's choice.

    Parameters
    ----------
    traffic : Traffic
        Rows without a route keep their weights.
    settings : LabelSettings
        ``largest_weight``, where 1 / propensity is cut; ``accept_selection_bias``, to use outcomes
        that an unknown policy selected as they are.

    Returns
    -------
    Traffic, LoggedReport or None
        The same rows, and what was done; the traffic itself and ``None`` where no outcome was
        selected by a route.

    Raises
    ------
    TrafficError
        If outcomes were selected by a policy whose probabilities are not known.
    """
    log = _Log.of(traffic)
    has_propensity = ~np.isnan(log.propensity)
    known_policy, unknown_policy = log.routed & has_propensity, log.routed & ~has_propensity
    weighted = known_policy & log.selected(known_policy)
    unknown = log.called_known & unknown_policy & log.selected(unknown_policy)
    if unknown.any() and not settings.accept_selection_bias:
        raise TrafficError(_refusal(int(unknown.sum())))
    if not (weighted.any() or unknown.any()):
        return traffic, None
    fallbacks = log.fallbacks(weighted | unknown)
    if fallbacks.any():
        traffic = traffic.without_frontier_outcome(fallbacks)
    # 1 for rows that no policy selected, so that their weights stay.
    inverse = np.divide(1.0, log.propensity, out=np.ones(len(traffic)), where=weighted)
    # Cut before scaling: the mean of 1 is that of the weights that are used.
    factor = _scaled(np.minimum(inverse, settings.largest_weight), weighted, traffic, log)
    traffic = traffic.weighed(factor)
    rows_of, weight = _seen(traffic.outcomes), traffic.outcomes.weight
    return traffic, LoggedReport(
        weighted=int(weighted.sum()),
        clipped=int((inverse > settings.largest_weight).sum()),
        certain=int((weighted & (log.propensity >= _CERTAIN)).sum()),
        fallbacks=int(fallbacks.sum()),
        unknown_policy=int(unknown.sum()),
        known={name: int(rows.sum()) for name, rows in rows_of.items()},
        effective={
            name: round(effective_samples(weight[rows]), 1) for name, rows in rows_of.items()
        },
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Log:
    """Routes, propensities and what is known of n rows."""

    cheap: BoolArray
    frontier: BoolArray
    propensity: FloatArray
    cheap_known: BoolArray
    frontier_known: BoolArray
    voted: BoolArray

    @classmethod
    def of(cls, traffic: Traffic) -> _Log:
        route = np.array([name or "" for name in traffic.column("route")])
        seen = _seen(traffic.outcomes)
        return cls(
            route == "cheap",
            route == "frontier",
            np.array(traffic.column("propensity"), dtype=np.float64),
            seen["cheap"],
            seen["frontier"],
            ~np.isnan(traffic.outcomes.preferred_gain),
        )

    @property
    def routed(self) -> BoolArray:
        return self.cheap | self.frontier

    @property
    def complete(self) -> BoolArray:
        """Rows on which both models were looked at."""
        return (self.cheap_known & self.frontier_known) | self.voted

    @property
    def called_known(self) -> BoolArray:
        """Rows of which the outcome of the model that was called is known, and the other is not."""
        called = (self.cheap & self.cheap_known) | (self.frontier & self.frontier_known)
        return called & ~self.complete

    def selected(self, rows: BoolArray) -> bool:
        """Return whether, on these rows, either model's outcome is seen mainly where it was
        called.
        """
        sides = ((self.cheap, self.cheap_known), (self.frontier, self.frontier_known))
        return any(
            _share(seen, rows & ~called) < _SELECTED * _share(seen, rows & called)
            for called, seen in sides
        )

    def fallbacks(self, rows: BoolArray) -> BoolArray:
        """Return the rows of the cheap route whose frontier outcome was seen because the cheap one
        had failed.
        """
        # A row of the frontier route with both outcomes shows that both models were looked at for
        # another reason than a failed answer.
        both = self.cheap_known & self.frontier_known & rows
        return both & self.cheap if not (both & self.frontier).any() else np.zeros_like(both)


def _share(seen: BoolArray, rows: BoolArray) -> float:
    return float(seen[rows].mean()) if rows.any() else 0.0


def _scaled(inverse: FloatArray, weighted: BoolArray, traffic: Traffic, log: _Log) -> FloatArray:
    """Return the weights with a mean of 1 over the rows of each route, or over all where some know
    both outcomes.
    """
    # Where no row knows both outcomes, cheap and frontier figures come from different rows: each
    # has a mean weight of its own.
    apart = bool(np.isnan(traffic.outcomes.gain[weighted]).all())
    factor = np.ones(len(inverse))
    for rows in (log.cheap & weighted, log.frontier & weighted) if apart else (weighted,):
        if rows.any():
            factor[rows] = inverse[rows] / np.average(
                inverse[rows], weights=traffic.outcomes.weight[rows]
            )
    return factor


def _seen(outcomes: Outcomes) -> dict[str, BoolArray]:
    """Return where the outcome of each model is known."""
    return {
        "cheap": ~np.isnan(outcomes.cheap_quality),
        "frontier": ~np.isnan(outcomes.frontier_quality),
    }


def _refusal(n: int) -> str:
    return (
        "outcomes must be seen independently of the route, or come with the propensity of the"
        f" route: got {n:,} rows with a route, no propensity, and the outcome of the called model"
        " alone. They tell how requests do that an unknown policy chose to send there. Add"
        " propensity (1 where no other route was possible), add outcomes of both models, or accept"
        " it: --accept-selection-bias, or labels.accept_selection_bias in the recipe."
    )
