"""Whether anything should move at all: tests of calibrators and of the figures that a threshold was
chosen for, and signs that a map or another threshold cannot help, so that retraining is due.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from difficulty.evaluation.scored import ScoredTraffic
from difficulty.form import Record
from difficulty.metrics.arrays import FloatArray, effective_samples
from difficulty.metrics.bootstrap import group_codes
from difficulty.metrics.intervals import LEAST_EVENTS, special
from difficulty.metrics.recalibration import Recalibration, chance_of, recalibration
from difficulty.records import Estimate
from difficulty.text import quantity_text
from difficulty.upkeep.logit_map import FittedMap, LogitMap, fit_map

LEVEL = 0.05
"""Probability with which a family of tests moves what is right."""
LEAST_OUTCOMES = 50
"""Samples with a known outcome below which a calibrator is not tested."""
_NORMAL = 1.959963984540054
_UNFAMILIAR = 0.05
"""Familiarity is a percentile: of traffic like that of training this share is below this."""
_MOST_UNFAMILIAR = 0.10
_BLIND_SHARE = 0.02
_BINS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibratorTest(Record):
    """What new outcomes say of one output of the scorer."""

    output: str
    n: int
    """Samples with a known outcome."""
    effective: float
    """Equally weighted samples that they are worth."""
    groups: int
    p_value: float | None
    """Of "the probabilities are right"; ``None``: too few outcomes to test."""
    slope: Estimate
    """1 is right; below 1 the probabilities are too extreme."""
    intercept: Estimate
    """0 is right; above 0 they are too low on the whole."""
    map: LogitMap
    """What was fitted; no change where nothing is to move."""
    strength: float | None
    """Requests that spoke for no change; ``None``: infinitely many."""
    moves: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureTest(Record):
    """A figure as it was expected of a threshold, and as it was found."""

    figure: str
    expected: Estimate
    found: Estimate
    difference: Estimate
    """Found minus expected; its interval counts both."""
    p_value: float | None
    """``None``: one of both has no interval."""
    decides: bool
    """Whether the objective is about it."""
    moves: bool = False


def known_target(output: str, scored: ScoredTraffic, *, forms: bool = False) -> FloatArray:
    """Return what an output predicts of each request, in [0, 1]; NaN where unknown.

    A check of the form sees some failures alone: its verdicts count with ``forms``, where the
    probabilities are of such verdicts themselves.
    """
    outcomes = scored.outcomes
    if output == "p_frontier_fails":
        target = outcomes.frontier_failure
    elif output in ("p_cheap_fails", "p_answer_fails") or scored.target == "failure":
        target = outcomes.cheap_failure
    else:
        return (1.0 + outcomes.gain) / 2.0
    if forms:
        return target
    graded = outcomes.graded()
    known = graded.frontier_quality if output == "p_frontier_fails" else graded.cheap_quality
    return np.where(np.isnan(known), np.nan, target)


def check_calibrators(
    outputs: Mapping[str, FloatArray], scored: ScoredTraffic, *, forms: bool = False, seed: int = 0
) -> tuple[CalibratorTest, ...]:
    """Test each output, and fit a map where it fails the test.

    Parameters
    ----------
    outputs : mapping of str to ndarray of shape (n,)
        Probabilities that the scorer gives for the requests of ``scored``.
    scored : ScoredTraffic
    forms : bool
        As for :func:`known_target`.
    seed : int
        Of the folds.
    """
    # What was not scored is not tested.
    targets = {
        name: np.where(np.isnan(values), np.nan, known_target(name, scored, forms=forms))
        for name, values in outputs.items()
    }
    tested = {}
    for name, target in targets.items():
        if int((~np.isnan(target)).sum()) >= LEAST_OUTCOMES:
            tested[name] = target
    # Each test has its part of the level: one of several fails by chance more often.
    level = LEVEL / max(1, len(tested))
    return tuple(
        _check(name, values, targets[name], scored, level=level, seed=seed)
        if name in tested
        else _untested(name, targets[name])
        for name, values in outputs.items()
    )


def _untested(name: str, target: FloatArray) -> CalibratorTest:
    n, unknown = int((~np.isnan(target)).sum()), Estimate(value=None, note="too few outcomes")
    return CalibratorTest(
        output=name,
        n=n,
        effective=float(n),
        groups=0,
        p_value=None,
        slope=unknown,
        intercept=unknown,
        map=LogitMap(),
        strength=None,
        moves=False,
        reason=f"{quantity_text(n, 'outcome is', 'outcomes are')} known, and a test needs"
        f" {LEAST_OUTCOMES}: it stays",
    )


def _check(
    name: str,
    values: FloatArray,
    target: FloatArray,
    scored: ScoredTraffic,
    *,
    level: float,
    seed: int,
) -> CalibratorTest:
    known = ~np.isnan(target)
    probability, outcome = values[known].astype(np.float64), target[known]
    weight, codes = scored.outcomes.weight[known], group_codes(scored.groups[known])
    p_value = chance_of(probability, outcome, weight=weight, codes=codes)
    about = recalibration(probability, outcome, weight=weight, codes=codes)
    fitted = fit_map(probability, outcome, weight=weight, groups=codes, seed=seed)
    moves = p_value < level and not fitted.map.is_identity
    n = int(known.sum())
    return CalibratorTest(
        output=name,
        n=n,
        effective=round(effective_samples(weight), 1),
        groups=int(codes.max()) + 1,
        p_value=p_value,
        slope=_slope(about, "slope", n),
        intercept=_slope(about, "intercept", n),
        map=fitted.map if moves else LogitMap(),
        strength=None if math.isinf(fitted.strength) or not moves else fitted.strength,
        moves=moves,
        reason=_reason(p_value, level, fitted, moves=moves),
    )


def _slope(about: Recalibration | None, name: str, n: int) -> Estimate:
    if about is None:
        return Estimate(value=None, n=n, note="too few of one outcome")
    number = getattr(about, name)
    return Estimate(value=number.value, low=number.low, high=number.high, n=n)


def _reason(p_value: float, level: float, fitted: FittedMap, *, moves: bool) -> str:
    if p_value >= level:
        return (
            f"chance explains how far it is off (p = {p_value:.2g}, moved below {level:.2g}): it"
            " stays"
        )
    if not moves:
        return (
            f"it is off (p = {p_value:.2g}), but in cross-validation no slope and shift did better"
            " than none: it stays"
        )
    return (
        f"it is off (p = {p_value:.2g}); slope {fitted.map.slope:.3f} and shift"
        f" {fitted.map.shift:+.3f} of the logit, shrunk as by {fitted.strength:g} requests that"
        " speak for no change"
    )


def difference_of(expected: Estimate, found: Estimate) -> tuple[Estimate, float | None]:
    """Return found minus expected with an interval that counts both, and the p-value of no
    difference.
    """
    if expected.value is None or found.value is None:
        return Estimate(value=None, n=found.n, note="one of both is not known"), None
    value = found.value - expected.value
    spreads = [_half(each) for each in (expected, found)]
    if any(spread is None for spread in spreads):
        return Estimate(value=value, n=found.n, note="one of both has no interval"), None
    half = math.hypot(*(spread for spread in spreads if spread is not None))
    estimate = Estimate(value=value, low=value - half, high=value + half, n=found.n)
    if half <= 0.0:
        return estimate, 1.0 if abs(value) < 1e-12 else 0.0
    return estimate, float(2.0 * special().ndtr(-abs(value) * _NORMAL / half))


def _half(estimate: Estimate) -> float | None:
    """Return half of the width of an interval."""
    if estimate.low is None or estimate.high is None:
        return None
    return (estimate.high - estimate.low) / 2.0


def check_figures(
    expected: Mapping[str, Estimate], found: Mapping[str, Estimate], *, decisive: Sequence[str]
) -> tuple[FigureTest, ...]:
    """Compare figures as they were expected and as they were found; those of the objective decide,
    each with its part of the level.
    """
    tests = []
    for name, wanted in expected.items():
        if (seen := found.get(name)) is None:
            continue
        difference, p_value = difference_of(wanted, seen)
        tests.append(
            FigureTest(
                figure=name,
                expected=wanted,
                found=seen,
                difference=difference,
                p_value=p_value,
                decides=name in decisive,
            )
        )
    level = LEVEL / max(1, sum(each.decides and each.p_value is not None for each in tests))
    return tuple(
        replace(each, moves=each.decides and each.p_value is not None and each.p_value < level)
        for each in tests
    )


def ranking_lost(expected: Estimate, found: Estimate, *, name: str) -> str | None:
    """Return what is to be said where a score orders requests worse than it did, beyond chance."""
    difference, p_value = difference_of(expected, found)
    if p_value is None or difference.value is None or difference.value >= 0.0 or p_value >= LEVEL:
        return None
    return (
        f"the score orders requests worse than when the bundle was made: {name}"
        f" {found.value:.3f} [{found.low:.3f}, {found.high:.3f}], it was {expected.value:.3f}"
        f" [{expected.low:.3f}, {expected.high:.3f}]"
    )


def unfamiliar(familiarity: FloatArray, groups: ArrayLike) -> str | None:
    """Return what is to be said where much of the traffic is unlike that of training."""
    below = (familiarity < _UNFAMILIAR).astype(np.float64)
    codes = group_codes(groups)
    share, n_groups = float(below.mean()), int(codes.max()) + 1
    if below.sum() < LEAST_EVENTS or n_groups < 2:
        return None
    excess = np.bincount(codes, weights=below - share)
    spread = math.sqrt(float(excess @ excess) * n_groups / (n_groups - 1)) / len(below)
    if share - _NORMAL * spread <= _MOST_UNFAMILIAR:
        return None
    return (
        f"{share:.1%} of the requests are less familiar than {_UNFAMILIAR:.0%} of those of"
        " training were: the traffic has left what the scorer learned"
    )


def blind_part(score: FloatArray, target: FloatArray, weight: FloatArray) -> tuple[float, float]:
    """Return the share of the requests in bins of the score of which hardly any outcome is known,
    and the lowest score of such a bin; 0 and NaN where there is none.

    Parameters
    ----------
    score, target, weight : ndarray of shape (n,)
        Scores of all requests, what they predict (NaN where unknown), and weights.
    """
    order = np.argsort(score, kind="stable")
    share, lowest = 0.0, math.nan
    for rows in np.array_split(order, _BINS):
        if not len(rows):
            continue
        known = ~np.isnan(target[rows])
        if effective_samples(weight[rows][known]) < max(LEAST_EVENTS, _BLIND_SHARE * len(rows)):
            share += len(rows) / len(score)
            lowest = float(np.nanmin([lowest, score[rows].min()]))
    return share, lowest


def brier_change(
    before: FloatArray,
    after: FloatArray,
    target: FloatArray,
    *,
    weight: FloatArray,
    groups: ArrayLike,
) -> Estimate:
    """Return how a map changes the Brier score on samples that it was not fitted on; below 0 is
    better.

    Parameters
    ----------
    before, after, target, weight : ndarray of shape (n,)
        Probabilities, what they predict (NaN where unknown), and weights.
    groups : array-like of shape (n,)
    """
    known = ~np.isnan(target) & ~np.isnan(before)
    n, codes = int(known.sum()), np.zeros(0, dtype=np.intp)
    if n:
        codes = group_codes(np.asarray(groups)[known])
    if n < LEAST_EVENTS or codes.max() < 1:
        return Estimate(value=None, n=n, note="too few outcomes beside those it was fitted on")
    y, w = target[known], weight[known]
    each = (after[known] - y) ** 2 - (before[known] - y) ** 2
    value = float(np.average(each, weights=w))
    excess = np.bincount(codes, weights=w * (each - value))
    many = len(excess)
    half = _NORMAL * math.sqrt(float(excess @ excess) * many / (many - 1)) / float(w.sum())
    return Estimate(value=value, low=value - half, high=value + half, n=n)
