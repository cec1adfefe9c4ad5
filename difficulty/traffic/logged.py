"""Logged traffic: outcomes seen only for the model that was called, weighted so that they stand for
all requests.

Every row carries the route that was taken and the probability with which the policy took it
(``propensity``). What is known of a row is the cheap outcome, the frontier outcome or both; how
often that is so on either route is counted. With p the probability of the cheap route, a row comes
to be known in this way with probability ``p * (rate on the cheap route) + (1 - p) * (rate on the
frontier route)``, and stands for 1 / that many requests like it. So without shadow calls a row
weighs 1 / propensity; rows on which both models were looked at whatever the route was weigh the
same; and one weight a row is right for either model and for the difference.

- A frontier outcome beside a cheap one on the cheap route is a fallback's where no row of the
  frontier route has both: it was seen because the cheap answer had failed. It is dropped, and so is
  the gain; the cheap outcome stays. So are those of rows that say a fallback answered them
  (``answered_by``), where they are seen more often than on other rows of the cheap route: labels
  that were bought for rows drawn by chance stay.
- Where the policy had no choice on some rows, the called model's outcomes cannot stand for the
  others; where both were looked at on 200 rows or more (``_LEAST_COMPLETE``), only those count.
- The weight is cut at ``largest_weight``, which bounds what one row can say at the price of some
  bias, and scaled to a mean of 1 over the rows that carry one outcome: each route for itself, or
  all rows where some know both.
- How often a model fails where it was called and where it was looked at beside the other must agree
  once both are weighted: otherwise the propensities are not those of the policy, or shadow calls
  were not drawn by chance. That is refused unless the caller accepts it.
- Without a propensity the policy is unknown: no weight can undo its choice. Outcomes that are seen
  less often on the other route are refused unless the caller accepts it.

References
----------
Horvitz and Thompson (1952), "A generalization of sampling without replacement from a finite
universe"; Swaminathan and Joachims (2015), "The self-normalized estimator for counterfactual
learning"; Ionides (2008), "Truncated importance sampling".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import TrafficError
from difficulty.form import SavedForm
from difficulty.metrics.arrays import FloatArray, IntArray, effective_samples
from difficulty.metrics.coded_names import codes_of, look_up
from difficulty.recipe import LabelSettings
from difficulty.text import quantity_text
from difficulty.traffic.chosen import ChosenPart, weigh_chosen
from difficulty.traffic.outcomes import Outcomes
from difficulty.traffic.table import Traffic

BoolArray = NDArray[np.bool_]
# Rates of being seen that differ by less bias a mean by under 0.05 times the routes' difference.
_AGREEING = 0.95
_LEAST_COMPLETE = 200
# Standard errors: a fair log is refused once in 10,000 times.
_DISAGREEING = 4.0
_LEAST_COMPARED = 50  # effective outcomes on either side
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
    audited: int = 0
    """Rows with both outcomes that alone count, because some routes were certain; 0 where all do.
    """
    disagreeing: tuple[str, ...] = ()
    """Models that fail more or less often where they were called, after weighting."""
    fallbacks: int = 0
    """Frontier outcomes dropped because they were seen only after the cheap answer had failed."""
    unknown_policy: int = 0
    """Rows whose outcome was seen only where an unknown policy chose to look."""
    known: dict[str, int] = field(default_factory=dict)
    """Model (cheap, frontier) to rows of which its outcome is known."""
    effective: dict[str, float] = field(default_factory=dict)
    """Model to the number of equally weighted rows that its outcomes are worth."""
    chosen: int = 0
    """Rows with an outcome that were chosen for labelling with a known probability."""
    chosen_worth: float = 0.0
    """The number of equally weighted rows that all rows with an outcome are worth, by those
    probabilities alone.
    """

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of any figure has to know, one sentence each."""
        return tuple(self._sentences())

    def _sentences(self) -> Iterator[str]:
        if self.chosen:
            yield (
                f"{quantity_text(self.chosen, 'request was', 'requests were')} chosen for"
                f" labelling and {'is' if self.chosen == 1 else 'are'} weighted by 1 /"
                " inclusion, so that figures hold for all requests; the labelled ones are worth"
                f" {self.chosen_worth:,.0f} equally weighted ones."
            )
        if self.weighted:
            worth = ", ".join(
                f"{name} {self.known[name]:,} worth {value:,.0f}"
                for name, value in self.effective.items()
            )
            yield (
                "Outcomes were seen for the model that was called and are weighted by inverse"
                f" propensity ({quantity_text(self.weighted, 'row')}, {self.clipped:,} of them"
                " clipped; outcomes:"
                f" {worth} equally weighted ones)."
            )
        if self.audited:
            yield (
                f"On {quantity_text(self.certain, 'row')} the route was certain. Only the"
                f" {self.audited:,} rows"
                " count on which both models were looked at."
            )
        elif self.certain:
            yield (
                f"On {quantity_text(self.certain, 'row')} the route was certain: what the other"
                " model does on such"
                " requests was never seen, and scores there are extrapolated."
            )
        if self.fallbacks:
            yield (
                f"{quantity_text(self.fallbacks, 'frontier outcome is', 'frontier outcomes are')}"
                " left out, seen only because the cheap answer had failed."
            )
        if self.disagreeing:
            yield (
                f"SELECTION BIAS ACCEPTED: outcomes of the {' and the '.join(self.disagreeing)}"
                " model differ between requests that it was called on and shadow calls, after"
                " weighting."
            )
        if self.unknown_policy:
            yield (
                "SELECTION BIAS ACCEPTED:"
                f" {quantity_text(self.unknown_policy, 'outcome was', 'outcomes were')} seen"
                " only where an"
                " unknown policy chose to look. Figures hold for what it let through, not for all"
                " requests."
            )


def weigh_logged(traffic: Traffic, settings: LabelSettings) -> tuple[Traffic, LoggedReport | None]:
    """Return traffic with weights that undo the choice of what was labelled
    (:mod:`difficulty.traffic.chosen`) and of the policy: one times the other.

    Parameters
    ----------
    traffic : Traffic
        Rows without a route or an inclusion keep their weights.
    settings : LabelSettings
        ``largest_weight``, where 1 / propensity is cut; ``accept_selection_bias``, to use outcomes
        that an unknown policy selected as they are.

    Returns
    -------
    Traffic, LoggedReport or None
        The same rows, and what was done; the traffic itself and ``None`` where no outcome was
        selected by a route or chosen for labelling.

    Raises
    ------
    TrafficError
        If outcomes were selected by a policy whose probabilities are not known, or are not those
        of the log.
    """
    traffic, chosen = weigh_chosen(traffic)
    log = _Log.of(traffic)
    has_propensity = ~np.isnan(log.propensity)
    known_policy, unknown_policy = log.routed & has_propensity, log.routed & ~has_propensity
    weighted = known_policy & bool((log.any_known & ~log.complete)[known_policy].any())
    unknown = log.called_known & unknown_policy & log.selected(unknown_policy)
    if unknown.any() and not settings.accept_selection_bias:
        raise TrafficError(_refusal(int(unknown.sum())))
    if not (weighted.any() or unknown.any()):
        return traffic, _only_chosen(chosen, traffic)
    fallbacks = log.fallbacks(weighted | unknown)
    if fallbacks.any():
        traffic = traffic.without_outcomes(fallbacks, ("frontier_quality",))
        log = _Log.of(traffic)
    certain = weighted & (log.propensity >= _CERTAIN)
    disagreeing = _disagreeing(log, weighted & ~certain, traffic)
    if disagreeing and not settings.accept_selection_bias:
        raise TrafficError(_disagreement(disagreeing))
    audited = weighted & log.complete
    only_audited = bool(certain.any()) and _is_audit(audited, log)
    if only_audited:
        traffic = traffic.without_outcomes(weighted & ~audited)
        log = _Log.of(traffic)
    inverse, share = log.inverse(weighted)
    # Cut before scaling: the mean of 1 is that of the weights that are used.
    cut = share * np.minimum(inverse, settings.largest_weight)
    traffic = traffic.weighed(_scaled(cut, weighted, traffic, log))
    return traffic, LoggedReport(
        weighted=int(weighted.sum()),
        clipped=int((inverse > settings.largest_weight).sum()),
        certain=int(certain.sum()),
        audited=int(audited.sum()) if only_audited else 0,
        disagreeing=tuple(disagreeing),
        fallbacks=int(fallbacks.sum()),
        unknown_policy=int(unknown.sum()),
        **_worth(traffic),
        **chosen.by_name(),
    )


def _only_chosen(chosen: ChosenPart, traffic: Traffic) -> LoggedReport | None:
    """Return the report of traffic that no policy selected."""
    if not chosen.rows:
        return None
    return LoggedReport(weighted=0, **_worth(traffic), **chosen.by_name())


def _worth(traffic: Traffic) -> dict[str, Any]:
    """Return how many outcomes are known, and what they are worth."""
    rows_of, weight = _seen(traffic.outcomes), traffic.outcomes.weight
    return {
        "known": {name: int(rows.sum()) for name, rows in rows_of.items()},
        "effective": {
            name: round(effective_samples(weight[rows]), 1) for name, rows in rows_of.items()
        },
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Log:
    """Routes, propensities and what is known of n rows."""

    cheap: BoolArray
    frontier: BoolArray
    propensity: FloatArray
    cheap_known: BoolArray
    frontier_known: BoolArray
    voted: BoolArray
    fell_back: BoolArray

    @classmethod
    def of(cls, traffic: Traffic) -> _Log:
        route, seen = traffic.names("route"), _seen(traffic.outcomes)
        fell_back = (_fell_back(extra) for extra in traffic.each("extra"))
        return cls(
            look_up(route, lambda name: name == "cheap", np.bool_),
            look_up(route, lambda name: name == "frontier", np.bool_),
            traffic.floats("propensity"),
            seen["cheap"],
            seen["frontier"],
            ~np.isnan(traffic.outcomes.preferred_gain),
            np.fromiter(fell_back, np.bool_, len(traffic)),
        )

    @property
    def routed(self) -> BoolArray:
        return self.cheap | self.frontier

    @property
    def complete(self) -> BoolArray:
        """Rows on which both models were looked at."""
        return (self.cheap_known & self.frontier_known) | self.voted

    @property
    def any_known(self) -> BoolArray:
        """Rows of which anything is known."""
        return self.cheap_known | self.frontier_known | self.voted

    @property
    def called_known(self) -> BoolArray:
        """Rows of which the outcome of the model that was called is known, and the other is not."""
        called = (self.cheap & self.cheap_known) | (self.frontier & self.frontier_known)
        return called & ~self.complete

    def selected(self, rows: BoolArray) -> bool:
        """Return whether, on these rows, either model's outcome is seen more often where it was
        called, beyond noise.
        """
        sides = ((self.cheap, self.cheap_known), (self.frontier, self.frontier_known))
        for called, seen in sides:
            if _seen_more(seen, rows & called, rows & ~called):
                return True
        return False

    def inverse(self, rows: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Return 1 / the probability that a row comes to be known as it is, where its route is the
        one on which that is most frequent 1 / propensity, and a factor that is the same for all
        rows known in one way.

        Other rows have 1 and 1.
        """
        p_cheap = np.where(self.cheap, self.propensity, 1.0 - self.propensity)
        inverse, share = np.ones(len(p_cheap)), np.ones(len(p_cheap))
        only = self.any_known & ~self.complete
        for known in (self.complete, only & self.cheap_known, only & self.frontier_known):
            by_route = [_share(known, rows & route) for route in (self.cheap, self.frontier)]
            highest = max(by_route)
            picked = rows & known
            chance = p_cheap * by_route[0] + (1.0 - p_cheap) * by_route[1]
            inverse[picked] = highest / chance[picked]
            # The rarer a way of being known, the less it says of the mean.
            share[picked] = _share(known, rows) / highest if picked.any() else 1.0
        return inverse, share

    def fallbacks(self, rows: BoolArray) -> BoolArray:
        """Return the rows of the cheap route whose frontier outcome was seen because the cheap one
        had failed.
        """
        # A row of the frontier route with both outcomes shows that both models were looked at for
        # another reason than a failed answer.
        both = self.cheap_known & self.frontier_known & rows
        if not (both & self.frontier).any():
            return both & self.cheap
        after_failure = rows & self.cheap & self.fell_back
        others = rows & self.cheap & ~self.fell_back
        if _seen_more(self.frontier_known, after_failure, others):
            return after_failure & self.frontier_known
        return np.zeros_like(both)


def _fell_back(extra: str | None) -> bool:
    """Return whether the column ``extra`` of a row says that the frontier model answered."""
    return bool(extra) and json.loads(str(extra)).get("answered_by") == "frontier"


def _is_audit(audited: BoolArray, log: _Log) -> bool:
    """Return whether enough rows, of either route, know both outcomes."""
    by_route = [(audited & route).any() for route in (log.cheap, log.frontier)]
    return all(by_route) and int(audited.sum()) >= _LEAST_COMPLETE


def _disagreeing(log: _Log, rows: BoolArray, traffic: Traffic) -> list[str]:
    """Return the models whose weighted failure rate is another where they were called than where
    they were looked at beside the other.
    """
    outcomes = traffic.outcomes
    groups = codes_of(traffic.split_groups)
    sides = {
        "cheap": (log.cheap, outcomes.cheap_quality),
        "frontier": (log.frontier, outcomes.frontier_quality),
    }
    names = []
    for name, (called, quality) in sides.items():
        seen = rows & ~np.isnan(quality)
        parts = [
            _mean_by_group(
                quality[part], outcomes.weight[part] / log.propensity[part], groups[part]
            )
            for part in (seen & called, seen & ~called)
        ]
        (mean, variance, worth), (other, other_variance, other_worth) = parts
        if min(worth, other_worth) < _LEAST_COMPARED:
            continue
        # At least as much as independent rows of the common mean would scatter: a small part may
        # hold no heavy row that failed, and know nothing of it.
        pooled = np.average([mean, other], weights=[worth, other_worth])
        least = pooled * (1.0 - pooled) * (1.0 / worth + 1.0 / other_worth)
        if abs(mean - other) > _DISAGREEING * np.sqrt(max(variance + other_variance, least)):
            names.append(name)
    return names


def _mean_by_group(
    values: FloatArray, weight: FloatArray, groups: IntArray
) -> tuple[float, float, float]:
    """Return a weighted mean, its variance with rows of one group dependent, and what it is worth
    in equally weighted rows.
    """
    if not len(values):
        return np.nan, np.nan, 0.0
    mean = float(np.average(values, weights=weight))
    sums = np.bincount(groups, weights=weight * (values - mean))
    return mean, float(np.sum(sums**2) / weight.sum() ** 2), effective_samples(weight)


def _share(seen: BoolArray, rows: BoolArray) -> float:
    return float(seen[rows].mean()) if rows.any() else 0.0


def _seen_more(seen: BoolArray, rows: BoolArray, others: BoolArray) -> bool:
    """Return whether something is seen more often on some rows than on others, beyond noise."""
    rate, beside = _share(seen, rows), _share(seen, others)
    noise = 2.0 * np.sqrt(beside * (1.0 - beside) / max(int(others.sum()), 1))
    return bool(beside + noise < _AGREEING * rate)


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
        f" route: got {quantity_text(n, 'row')} with a route, no propensity, and the outcome of"
        " the called model"
        " alone. They tell how requests do that an unknown policy chose to send there. Add"
        " propensity (1 where no other route was possible), add outcomes of both models, or accept"
        " it: --accept-selection-bias, or labels.accept_selection_bias in the recipe."
    )


def _disagreement(names: list[str]) -> str:
    return (
        f"outcomes of the {' and of the '.join(names)} model must agree, once weighted, between"
        " requests that it was called on and those where it was only looked at: they differ by more"
        f" than {_DISAGREEING:g} standard errors. Either the propensities are not those of the"
        " policy, or shadow calls were not drawn by chance. Check both, or accept it:"
        " --accept-selection-bias, or labels.accept_selection_bias in the recipe."
    )
