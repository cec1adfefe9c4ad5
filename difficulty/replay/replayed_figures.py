"""Quality, cost, share and risk of another rule on the requests of a log, beside those of the rule
that made it, and the difference of the two.

Both rules are judged without their exploration, by the same estimator on the same outcomes: where
they agree nothing is added to the difference, which is why it is far surer than either figure. A
request goes into a figure with what was seen of it and with what the model expects; the frontier
share needs neither.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from difficulty.metrics.arrays import FloatArray, IntArray, Ratio
from difficulty.records import Estimate
from difficulty.replay.doubly_robust import correct_model, trust_model
from difficulty.replay.grouped_interval import Spread, spread_about, spread_of
from difficulty.replay.inverse_propensity import self_normalise, weigh_inversely
from difficulty.replay.logged_sides import (
    LoggedRequests,
    SeenOutcomes,
    costs,
    failures,
    fallbacks,
    qualities,
    routes,
)
from difficulty.replay.outcome_model import expect_amount, expect_quality
from difficulty.replay.switching import shrink_weights, switch_to_model
from difficulty.replay.weighed import Weighed
from difficulty.text import quantity_text

PER_REQUESTS = 1_000.0
"""Requests that a cost is given for."""
LEAST_OUTCOMES = 10.0
"""Outcomes that carry an estimate below which it is said to rest on few."""
FIGURES = ("quality", "risk", "cost", "fallback_share", "frontier_share")
ESTIMATORS: Mapping[str, Callable[[Weighed], Ratio]] = {
    "doubly_robust": correct_model,
    "inverse_propensity": lambda weighed: weigh_inversely(weighed.without_model()),
    "self_normalised": self_normalise,
    "switch": lambda weighed: switch_to_model(weighed)[0],
    "shrinkage": lambda weighed: shrink_weights(weighed)[0],
    "model_alone": trust_model,
}
"""Each estimator by its name; figures are the first one's."""
BY_ALL_ESTIMATORS = ("quality", "risk", "cost")


@dataclass(frozen=True, kw_only=True, eq=False)
class OtherRule:
    """Where a rule sends n requests.

    Attributes
    ----------
    sent : ndarray of shape (n,)
        1 where it names the frontier route, 0 where the cheap one, NaN where that is not known.
    answer_threshold : float or None
        Above which score of the cheap answer the frontier model is asked too; None: as logged.
    """

    sent: FloatArray
    answer_threshold: float | None = None


class ComparedFigure(NamedTuple):
    """One figure of both rules."""

    replayed: Estimate
    logged: Estimate
    difference: Estimate
    """Replayed minus logged."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Replayed:
    """What became of the log under another rule."""

    figures: Mapping[str, ComparedFigure]
    estimators: Mapping[str, Mapping[str, Estimate]]
    """Figure, then estimator."""
    naive: Mapping[str, Estimate]
    """Means of the requests whose route happened to be the rule's: what the propensities are there
    to put right.
    """
    unsupported: Mapping[str, FloatArray]
    """Figure to the probability that an outcome could not be seen, shape (n,); ``route``: that
    nothing could.
    """
    outcomes: Mapping[str, float]
    """Figure to the equally weighted outcomes that carry the difference."""
    weighed: Mapping[str, tuple[Weighed, Weighed]]
    """Figure to what its estimates are made from: under the rule, and under the logged one."""


class _Outcome(NamedTuple):
    """An outcome of both sides, and what is expected of it."""

    seen: SeenOutcomes
    model: FloatArray
    sides: int
    within: tuple[float, float]

    def under(self, sent: FloatArray) -> Weighed:
        """Return what estimators get where a rule sends requests so."""
        unknown = np.isnan(sent)
        taken = np.stack([1.0 - sent, sent], axis=1)
        taken = np.where(unknown[:, None], 0.5, taken)
        return Weighed(
            taken=taken[:, : self.sides],
            # Where the route is not known, neither is whose outcome to look at.
            chance=np.where(unknown[:, None], 0.0, self.seen.chance)[:, : self.sides],
            value=np.where(unknown[:, None], np.nan, self.seen.value)[:, : self.sides],
            model=self.model[:, : self.sides],
            within=self.within,
        )


def replay(
    log: LoggedRequests, rule: OtherRule, p_fails: tuple[FloatArray, FloatArray], folds: IntArray
) -> Replayed:
    """Return every figure of a rule, of the logged one, and the difference.

    Parameters
    ----------
    log : LoggedRequests
        n requests.
    rule : OtherRule
    p_fails : pair of ndarray of shape (n,)
        The bundle's probabilities that the cheap and the frontier model fail, NaN where it gives
        none.
    folds : ndarray of shape (n,)
        By group, for cross-fitting.
    """
    own = log.rule_sent.astype(np.float64)
    figures: dict[str, ComparedFigure] = {"frontier_share": _shares(rule.sent, own, log.groups)}
    estimators: dict[str, dict[str, Estimate]] = {}
    naive: dict[str, Estimate] = {}
    unsupported: dict[str, FloatArray] = {}
    carried: dict[str, float] = {}
    sides: dict[str, tuple[Weighed, Weighed]] = {}
    for name, expect in _OUTCOMES.items():
        same = rule.answer_threshold is None
        old = expect(log, None, p_fails, folds)
        new = old if same else expect(log, rule.answer_threshold, p_fails, folds)
        after, before = new.under(rule.sent), old.under(own)
        figures[name], spread = _figure(after, before, log.groups, same=same)
        unsupported[name], sides[name] = after.unsupported, (after, before)
        carried[name] = 0.0 if spread is None else spread.outcomes
        estimators[name] = {
            kind: _estimate(estimator, after, log.groups)
            for kind, estimator in ESTIMATORS.items()
            if name in BY_ALL_ESTIMATORS or estimator is correct_model
        }
        naive[name] = _naive(after, log)
    seen = routes(log, rule.answer_threshold)
    way = _Outcome(seen, np.zeros_like(seen.chance), 2, (0.0, 1.0)).under(rule.sent)
    unsupported["route"] = way.unsupported
    # Costs are counted for a thousand requests, as everywhere.
    figures["cost"] = ComparedFigure(*map(_per_thousand, figures["cost"]))
    estimators["cost"] = {kind: _per_thousand(each) for kind, each in estimators["cost"].items()}
    naive["cost"] = _per_thousand(naive["cost"])
    return Replayed(
        figures={name: figures[name] for name in FIGURES},
        estimators=estimators,
        naive=naive,
        unsupported=unsupported,
        outcomes=carried,
        weighed=sides,
    )


def _quality(
    log: LoggedRequests, cut: float | None, p_fails: tuple[FloatArray, FloatArray], folds: IntArray
) -> _Outcome:
    return _share_of(qualities(log, cut), p_fails, folds, sides=2)


def _risk(
    log: LoggedRequests, cut: float | None, p_fails: tuple[FloatArray, FloatArray], folds: IntArray
) -> _Outcome:
    # The chance to be right stands in for the chance to fail: turned, it is the same curve.
    p_right = 1.0 - p_fails[0]
    return _share_of(failures(log, cut), (p_right, p_right), folds, sides=1)


def _fallback(
    log: LoggedRequests, cut: float | None, p_fails: tuple[FloatArray, FloatArray], folds: IntArray
) -> _Outcome:
    # Answers that fail are those that are caught, at a rate that the curve learns.
    p_right = 1.0 - p_fails[0]
    outcome = _share_of(fallbacks(log, cut), (p_right, p_right), folds, sides=2)
    model = outcome.model.copy()
    model[:, 1] = 0.0
    return outcome._replace(model=model)


def _cost(
    log: LoggedRequests, cut: float | None, p_fails: tuple[FloatArray, FloatArray], folds: IntArray
) -> _Outcome:
    seen = costs(log, cut)
    return _Outcome(
        seen, _crossed(seen, expect_amount, (log.tokens, log.tokens), folds), 2, (0.0, np.inf)
    )


_OUTCOMES: Mapping[
    str, Callable[[LoggedRequests, float | None, tuple[FloatArray, FloatArray], IntArray], _Outcome]
] = {"quality": _quality, "risk": _risk, "cost": _cost, "fallback_share": _fallback}


def _share_of(
    seen: SeenOutcomes, p_fails: tuple[FloatArray, FloatArray], folds: IntArray, *, sides: int
) -> _Outcome:
    return _Outcome(seen, _crossed(seen, expect_quality, p_fails, folds), sides, (0.0, 1.0))


def _crossed(
    seen: SeenOutcomes,
    expect: Callable[[FloatArray, FloatArray, FloatArray, IntArray], FloatArray],
    told_by: tuple[FloatArray, FloatArray],
    folds: IntArray,
) -> FloatArray:
    """Return what is expected of both sides, shape (n, 2)."""
    weight = np.divide(1.0, seen.chance, out=np.ones_like(seen.chance), where=seen.chance > 0.0)
    columns = [
        expect(values, seen.value[:, side], weight[:, side], folds)
        for side, values in enumerate(told_by)
    ]
    return np.stack(columns, axis=1)


def _figure(
    after: Weighed, before: Weighed, codes: IntArray, *, same: bool
) -> tuple[ComparedFigure, Spread | None]:
    """Return a figure of both rules and, where it has a value, the spread of the difference."""
    replayed, logged = (_estimate(correct_model, weighed, codes) for weighed in (after, before))
    if replayed.value is None or logged.value is None:
        return ComparedFigure(
            replayed, logged, _worst_difference(after, before, codes, same=same)
        ), None
    spread = _difference(after, before, codes, same=same)
    wide = 1.0 if np.isfinite(after.within[1]) else np.inf
    low, high = spread.interval((-wide, wide))
    note = ""
    if spread.outcomes < LEAST_OUTCOMES:
        note = f"rests on about {spread.outcomes:.0f} outcomes of large weight"
    difference = Estimate(
        value=spread.value, low=_end(low), high=_end(high), n=replayed.n, note=note
    )
    return ComparedFigure(replayed, logged, difference), spread


def _estimate(estimator: Callable[[Weighed], Ratio], weighed: Weighed, codes: IntArray) -> Estimate:
    """Return a figure with its interval: bounds alone where support is missing."""
    if not weighed.taken.any():
        return Estimate(value=None, note="the rule takes no request there")
    if not weighed.known.any():
        return Estimate(value=None, note="no outcome is known")
    missing = weighed.unsupported
    if missing.any():
        low, high = (_bound(weighed, codes, end) for end in (0, 1))
        note = _unsupported(missing)
        return Estimate(value=None, low=low, high=high, n=weighed.n_known, note=note)
    estimate = estimator(weighed)
    if not estimate.denominator.sum() > 0.0:
        return Estimate(value=None, note="no outcome is known where the rule goes")
    spread = spread_of(estimate, weighed, codes)
    low, high = spread.interval(weighed.within)
    # Weighted sums may leave the values that the figure can have; differences are not cut.
    value = float(np.clip(spread.value, *weighed.within))
    return Estimate(value=value, low=_end(low), high=_end(high), n=estimate.n)


def _bound(weighed: Weighed, codes: IntArray, end: int) -> float | None:
    """Return the end of the interval where all that could not be seen is at its worst."""
    if not np.isfinite(weighed.within[end]):
        return None
    at_worst = weighed.at_worst(end)
    return _end(spread_of(correct_model(at_worst), at_worst, codes).interval(weighed.within)[end])


def _unsupported(missing: FloatArray) -> str:
    return (
        f"bounds alone: on {int((missing > 0.0).sum()):,} of"
        f" {quantity_text(len(missing), 'request')} the outcome"
        " of the route could not be seen"
    )


def _difference(after: Weighed, before: Weighed, codes: IntArray, *, same: bool) -> Spread:
    """Return the spread of replayed minus logged.

    Parameters
    ----------
    same : bool
        Whether both look at the same outcomes: where they take the same side, nothing is left.
    """
    parts = [(weighed, correct_model(weighed)) for weighed in (after, before)]
    totals = [float(ratio.denominator.sum()) for _, ratio in parts]
    values = [
        float(ratio.numerator.sum()) / total
        for (_, ratio), total in zip(parts, totals, strict=True)
    ]
    excess = [
        (ratio.numerator - value * ratio.denominator) / total
        for (_, ratio), value, total in zip(parts, values, totals, strict=True)
    ]
    reach = [weighed.ratio / total for (weighed, _), total in zip(parts, totals, strict=True)]
    whole = after if same else _beside(after, before)
    far = reach[0] - reach[1] if same else np.concatenate([reach[0], -reach[1]], axis=1)
    return spread_about(values[0] - values[1], excess[0] - excess[1], far, whole, codes)


def _beside(after: Weighed, before: Weighed) -> Weighed:
    """Return the sides of both as columns of one."""
    taken, chance, value, model = (
        np.concatenate([getattr(after, name), getattr(before, name)], axis=1)
        for name in ("taken", "chance", "value", "model")
    )
    return replace(after, taken=taken, chance=chance, value=value, model=model)


def _worst_difference(after: Weighed, before: Weighed, codes: IntArray, *, same: bool) -> Estimate:
    """Return bounds of the difference where the outcome of some routes could not be seen.

    Where both rules take the same side of a request, it is the same whatever it is.
    """
    if not (after.known.any() and before.known.any()):
        return Estimate(value=None, note="no outcome is known")
    if not (after.taken.any() and before.taken.any()):
        return Estimate(value=None, note="a rule takes no request there")
    if not np.isfinite(after.within[1]):
        return Estimate(value=None, note="an outcome that could not be seen has no upper bound")
    ends: list[float] = []
    for end in (0, 1):
        # On requests of which both take the unseen side, one and the same value counts.
        new, old = after.at_worst(end), before.at_worst(1 - end)
        if same:
            agree = (after.chance <= 0.0) & (before.chance <= 0.0)
            old = replace(old, model=np.where(agree, new.model, old.model))
        ends.append(_difference(new, old, codes, same=same).interval((-1.0, 1.0))[end])
    missing = after.unsupported + before.unsupported
    return Estimate(
        value=None, low=ends[0], high=ends[1], n=after.n_known, note=_unsupported(missing)
    )


def _shares(sent: FloatArray, own: FloatArray, codes: IntArray) -> ComparedFigure:
    """Return the frontier shares: of the rule, of the logged one, and the difference."""
    known = ~np.isnan(sent)
    if not known.all():
        low, high = (float(np.where(known, sent, end).mean()) for end in (0.0, 1.0))
        note = (
            f"bounds alone: the route of {quantity_text(int((~known).sum()), 'request')} is"
            " not known"
        )
        replayed = Estimate(value=None, low=low, high=high, n=int(known.sum()), note=note)
        less = Estimate(
            value=None, low=low - own.mean(), high=high - own.mean(), n=replayed.n, note=note
        )
        return ComparedFigure(replayed, _mean(own, codes, (0.0, 1.0)), less)
    return ComparedFigure(
        _mean(sent, codes, (0.0, 1.0)),
        _mean(own, codes, (0.0, 1.0)),
        _mean(sent - own, codes, (-1.0, 1.0)),
    )


def _mean(values: FloatArray, codes: IntArray, bounds: tuple[float, float]) -> Estimate:
    """Return a mean of what is known of every request."""
    value, nothing = float(values.mean()), np.zeros((len(values), 1))
    certain = Weighed(taken=nothing, chance=nothing + 1.0, value=nothing, model=nothing)
    spread = spread_about(value, (values - value) / len(values), nothing, certain, codes)
    low, high = spread.interval(bounds)
    return Estimate(value=value, low=_end(low), high=_end(high), n=len(values))


def _naive(after: Weighed, log: LoggedRequests) -> Estimate:
    """Return the mean of the outcomes of requests that happened to go where the rule sends
    them.
    """
    side = np.stack([~log.sent, log.sent], axis=1)[:, : after.taken.shape[1]]
    rows = side & (after.taken == 1.0) & after.known
    if not rows.any():
        return Estimate(value=None, note="no request went there")
    picked = np.where(rows, after.value, 0.0).sum(axis=1)
    counted = rows.any(axis=1).astype(np.float64)
    value = float(picked.sum() / counted.sum())
    certain = replace(after, taken=np.zeros_like(after.taken))
    excess = (picked - value * counted) / counted.sum()
    spread = spread_about(value, excess, np.zeros_like(after.taken), certain, log.groups)
    low, high = spread.interval(after.within)
    return Estimate(value=value, low=_end(low), high=_end(high), n=int(counted.sum()))


def _per_thousand(estimate: Estimate) -> Estimate:
    return replace(
        estimate,
        **{
            name: end * PER_REQUESTS
            for name in ("value", "low", "high")
            if (end := getattr(estimate, name)) is not None
        },
    )


def _end(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
