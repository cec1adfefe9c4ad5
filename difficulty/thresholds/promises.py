"""Objectives ``risk`` and ``missed``: keep as much as a promise allows.

``risk`` bounds the share of kept requests that the cheap model fails, ``missed`` the share of kept
requests that needed the frontier model, because that does better. A score of the target ``failure``
orders requests by risk, so much can be kept at a bounded risk. A score of the target ``benefit``
orders them by what the frontier model adds: requests that both models fail have low scores, so
``missed`` is what it bounds well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import InvalidValueError, NotAttainableError, UndefinedMetricError
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.metrics.arrays import FloatArray
from difficulty.text import quantity_text
from difficulty.thresholds.certify import KeptLosses, rejected, samples_to_certify
from difficulty.thresholds.policy_curve import Choice, Objective, PolicyCurve, Tested
from difficulty.traffic.outcomes import Outcomes

_WORDS = {None: "an unnamed measure", "exact": "exact match"}
"""Measures as sentences name them, where their own name does not do."""


def threshold_for_risk(curve: PolicyCurve, alpha: float, *, delta: float = 0.1) -> Choice:
    """Return the lowest frontier share at which the cheap model fails at most ``alpha`` of the kept
    requests, with confidence 1 - delta.

    With a known catch rate, failures that validation catches are not counted: the frontier model
    answers those.

    Raises
    ------
    InvalidValueError
        If ``alpha`` or ``delta`` is not in (0, 1).
    UndefinedMetricError
        If no outcome of the cheap model is known.
    NotAttainableError
        If no threshold can be shown to do so.
    """
    words = (
        "the cheap model fails at most {alpha:g} of the kept requests"
        + (" unnoticed" if curve.traffic.catch_rate else "")
        + _after_check(curve)
    )
    return _certified(
        curve,
        curve.traffic.kept.failure,
        "risk",
        alpha,
        delta,
        words=words,
        needs="an outcome of the cheap model",
    )


def threshold_for_missed(curve: PolicyCurve, alpha: float, *, delta: float = 0.1) -> Choice:
    """Return the lowest frontier share at which at most ``alpha`` of the kept requests needed the
    frontier, with confidence 1 - delta.

    A request needed the frontier model when that has the higher quality; errors are those of
    :func:`threshold_for_risk`.
    """
    words = (
        "at most {alpha:g} of the kept requests would have had a better answer from the frontier"
        " model"
    ) + _after_check(curve)
    return _certified(
        curve,
        _missed(curve.traffic),
        "missed",
        alpha,
        delta,
        words=words,
        needs="the outcomes of both models",
    )


def _after_check(curve: PolicyCurve) -> str:
    """Return what "kept" means where answers are checked, for a sentence."""
    return ", those that the check of the answer sends on left out" if curve.of_answers else ""


def _missed(traffic: ScoredTraffic) -> FloatArray:
    """Return P(a kept request needed the frontier model and does not get it); NaN unknown."""
    gain = traffic.outcomes.gain
    reached = 1.0 - traffic.kept.caught if traffic.catch_rate else 1.0
    return np.where(np.isnan(gain), np.nan, (gain > 0) * reached)


def _certified(
    curve: PolicyCurve,
    loss: FloatArray,
    name: str,
    alpha: float,
    delta: float,
    *,
    words: str,
    needs: str,
) -> Choice:
    for what, value in ((name, alpha), (f"delta of {name}", delta)):
        if not 0.0 < value < 1.0:
            raise InvalidValueError(
                what, value, rule="be in (0, 1)", hint="Shares are fractions, not percentages."
            )
    traffic, confidence = curve.traffic, round(1.0 - delta * curve.beside, 12)
    loss = np.where(traffic.outcomes.only_checked, np.nan, loss)
    # That no group of a kind is seen by chance ``delta`` takes so many more of them.
    unseen = math.log(delta) / math.log(delta * curve.beside)
    losses, kept = _losses(curve, loss, unit=_largest_loss(traffic, name), unseen=unseen)
    if not len(losses):
        raise UndefinedMetricError(
            f"objective {name} needs samples with {needs} that a threshold can keep: got none."
        )
    # Early exit may break its budget with the other half.
    spent = delta / 2.0 if traffic.early_budget else delta
    shown = rejected(losses, np.unique(kept), alpha=alpha, delta=spent)
    if not len(shown):
        asked = f"{name} of at most {alpha:g} with confidence {confidence:g}"
        known = int((~np.isnan(loss)).sum())
        raise _not_attainable(
            losses,
            kept,
            name,
            alpha,
            spent,
            said=f"{asked} cannot be shown for any threshold on {quantity_text(known, 'sample')}",
        )
    # Of thresholds that keep the same known requests, the most cautious.
    most = int(np.flatnonzero(kept == shown.max())[-1])
    # What a rule sends takes no part in the test.
    explored = traffic.exchanged if traffic.exchanged is not None else np.zeros(len(loss))
    keepable = np.flatnonzero(~np.isnan(loss) & ((traffic.by_rule != 1.0) | (explored > 0.0)))
    tested = Tested(
        f"with confidence {confidence:g}, {words.format(alpha=alpha)}{_included(traffic)}",
        _named(traffic.outcomes[keepable].measures),
        len(keepable),
    )
    threshold, assumed = float(curve.thresholds[most]), _assumed(losses, loss, curve.beside)
    return Choice(threshold, tested.sentence, assumed, tested)


def refuse_blind(outcomes: Outcomes, objective: Objective) -> None:
    """Refuse a promise on outcomes that cannot show a failure.

    Raises
    ------
    UndefinedMetricError
        If checks of the form are all that is known of answers.
    NotAttainableError
        If no answer of the cheap model failed.
    """
    known = ~np.isnan(outcomes.cheap_quality)
    seen = known & ~outcomes.only_checked
    if known.any() and not seen.any():
        raise UndefinedMetricError(
            f"objective {objective} needs outcomes that tell right answers from wrong ones: all"
            f" {int(known.sum()):,} were measured by {' and '.join(_named(outcomes.measures))},"
            " which see the form of an answer alone. Label a part of the samples (docs/labels.md),"
            ' or write measured_by = "tests" where these checks do tell.'
        )
    if seen.any() and not (outcomes.cheap_quality[seen] < 1.0).any():
        by = " and ".join(_named(outcomes[seen].measures))
        raise NotAttainableError(
            f"objective {objective} needs samples that the cheap model failed: none of"
            f" {int(seen.sum()):,} is, as measured by {by}. Whether failures are seen at all cannot"
            " be told: check how outcomes are measured, or choose another objective."
        )


def _named(measures: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(_WORDS.get(name, str(name)) for name in measures)


def _included(traffic: ScoredTraffic) -> str:
    """Return what else than the threshold is inside a promise, for a sentence."""
    parts = [
        "exploration" if traffic.exchanged is not None and traffic.exchanged.any() else "",
        "early exit" if traffic.early_budget else "",
    ]
    said = " and ".join(filter(None, parts))
    return f" ({said} included)" if said else ""


def _largest_loss(traffic: ScoredTraffic, name: str) -> float:
    """Return what keeping one request can lose at most, by ``risk`` or ``missed``."""
    catch_rate = traffic.catch_rate or 0.0
    failure = 1.0 - traffic.outcomes.cheap_quality
    if not ((failure > 0.0) & (failure < 1.0)).any():
        return 1.0 - catch_rate
    if name == "missed":
        return 1.0  # an answer a little worse than the frontier's is hardly ever caught
    # A failure f is caught with probability v f and loses (1 - v f) f: the most at f = 1 / (2 v).
    return 0.25 / catch_rate if catch_rate > 0.5 else 1.0 - catch_rate


def _losses(
    curve: PolicyCurve, loss: FloatArray, *, unit: float, unseen: float
) -> tuple[KeptLosses, NDArray[np.intp]]:
    """Return known losses in the order of keeping, and how many each threshold keeps."""
    traffic, known = curve.traffic, ~np.isnan(loss)
    exchanged = np.zeros(len(loss)) if traffic.exchanged is None else traffic.exchanged
    order = curve.order[::-1]
    always = np.flatnonzero(curve.kept_always & known)
    # Exploration keeps a part of what is sent, and sends as much of what is kept.
    explored = np.flatnonzero(~curve.kept_always & known & (exchanged > 0.0))
    moving = known[order] & (exchanged[order] < 0.5)
    rows = np.concatenate([always, explored, order[moving]])
    parts = np.concatenate(
        [np.ones(len(always)), exchanged[explored], 1.0 - 2.0 * exchanged[order[moving]]]
    )
    if curve.of_answers:
        # The route is exchanged first, and what the check says afterwards by a chance of its own.
        parts *= 1.0 - exchanged[rows]
    counted = np.append(0, np.cumsum(moving))
    kept = len(always) + len(explored) + counted[len(order) - curve.ends]
    weight = traffic.outcomes.weight
    losses = KeptLosses(
        loss=loss[rows],
        weight=weight[rows] * parts,
        groups=traffic.groups[rows],
        unit=unit,
        logged=traffic.outcomes.request_weight is not None,
        unseen=unseen,
        leeway=traffic.early_budget * float(weight[order[known[order]]].sum()),
    )
    return losses, kept.astype(np.intp)


def _assumed(losses: KeptLosses, loss: FloatArray, beside: int) -> tuple[str, ...]:
    unknown = int(np.isnan(loss).sum())
    test = {
        "binomial": (
            "tested by the exact binomial test, as each sample stands alone and weighs the same;"
            " so do the requests of the traffic"
        ),
        "betting": (
            "tested by betting, as losses are graded; the requests of the traffic stand alone and"
            " weigh the same, as the samples do"
        ),
        "gamma": (
            f"tested on the sums of {quantity_text(len(np.unique(losses.groups)), 'group')}, as"
            " samples have"
            " groups or weights, with one more group that loses all; no group much larger than"
            " those seen fails as a whole"
        ),
    }[losses.test]
    return (
        (
            "the samples are a random draw of the traffic that is routed, and their order by score"
            " was not learned from them"
        ),
        test,
        *(
            [
                f"tested for {beside} ways at once, each with its part of the confidence, so that"
                " the way may be chosen on the same samples"
            ]
            if beside > 1
            else []
        ),
        *(
            [
                f"{quantity_text(unknown, 'sample')} without a known outcome would have done as"
                " the others"
            ]
            if unknown
            else []
        ),
    )


def _not_attainable(
    losses: KeptLosses, kept: NDArray[np.intp], name: str, alpha: float, delta: float, *, said: str
) -> NotAttainableError:
    """Return the refusal: what is ``said``, the nearest level that is shown, and how many samples
    would do.
    """
    means = losses.means(kept[kept > 0])
    shares = kept[kept > 0] / len(losses)
    likely = np.flatnonzero(means < alpha)
    needs = [
        # ``delta / 2``: each of the two STARTS has half of it.
        (samples_to_certify(float(means[i]), alpha=alpha, delta=delta / 2) or 0)
        * losses.requests_a_group
        / shares[i]
        for i in likely
    ]
    least = float(means.min(initial=1.0))
    if not needs:
        advice = f"No number of samples would: the lowest {name} along the curve is {least:.3f}."
    elif min(needs) > len(losses):
        advice = (
            f"About {_two_digits(min(needs)):,} samples with known outcomes would show it, if the"
            " mean there is what it seems."
        )
    else:
        advice = "More samples would, if the mean there is what it seems" + (
            "." if losses.test == "binomial" else "; grouped and weighted ones show less."
        )
    nearest = _nearest(losses, kept, alpha, delta)
    near = (
        f" Nearest: {name}={nearest:.3f}, a level chosen after the fact: confirm it on other"
        " traffic."
        if nearest
        else ""
    )
    return NotAttainableError(f"{said}. {advice}{near}")


def _nearest(
    losses: KeptLosses, kept: NDArray[np.intp], alpha: float, delta: float
) -> float | None:
    """Return the lowest level above ``alpha`` that bisection can show, with three digits."""
    numbers, low, high = np.unique(kept), alpha, 1.0
    # Ten halvings end within 0.001, the three digits that are told.
    for _ in range(10):
        middle = (low + high) / 2.0
        low, high = (
            (low, middle)
            if len(rejected(losses, numbers, alpha=middle, delta=delta))
            else (middle, high)
        )
    level = math.ceil(high * 1000.0) / 1000.0
    return (
        level if level < 1.0 and len(rejected(losses, numbers, alpha=level, delta=delta)) else None
    )


def _two_digits(number: float) -> int:
    """Return a number of samples rounded up to two digits."""
    unit = int(10 ** max(0, math.floor(math.log10(max(number, 1.0))) - 1))
    return math.ceil(number / unit) * unit
