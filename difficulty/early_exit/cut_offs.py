"""Cut-offs of early exit: between them the scorer is asked, outside them a cheap early score
decides.

A decision *changes* where the early score decides otherwise than the scorer would. Both cut-offs
are equally far from the threshold in logits, so one number is chosen; a side of its own each
brought nothing on RouteLLM MMLU. Moving it outwards changes fewer decisions, whatever the traffic:
so the exact binomial test of one width after the other, from the widest inwards until the first
that fails, needs no correction for having tested many. Nothing of the outcomes is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import binom

from difficulty.errors import InvalidValueError, NotAttainableError
from difficulty.metrics.bootstrap import group_codes
from difficulty.records import Estimate
from difficulty.thresholds.promises import binomial_p_value, exact_interval

FloatArray = NDArray[np.float64]
CONFIDENCE = 0.95
KINDS = {"with_task": "with a known task", "without_task": "without a known task"}
"""Kinds of requests, which have cut-offs of their own, and what sentences call them."""
_EDGE = 1e-6
# a request as far off as the cut-off itself has to stay inside, whatever rounding does
_ROUNDING = 1.0 + 1e-9


class BothScores(NamedTuple):
    """Early score, score and group of n requests that need a score, arrays of shape (n,)."""

    early: FloatArray
    score: FloatArray
    groups: NDArray[np.str_]


class Width(NamedTuple):
    """Cut-offs, and what they do to the requests that they were chosen on."""

    low: float
    high: float
    figures: dict[str, Estimate]
    """See :func:`figures_of_exit`."""


def unfit(*, task_thresholds: Mapping[str, float], min_familiarity: float) -> str | None:
    """Return why a policy cannot have early exit; ``None`` where it can."""
    if task_thresholds:
        return "no early exit: its cut-offs belong to one threshold, and tasks have their own"
    if min_familiarity > 0:
        return (
            "no early exit: only the scorer says how familiar a request is, and min_familiarity"
            " asks for that"
        )
    return None


def choose_cut_offs(
    early: FloatArray,
    score: FloatArray,
    *,
    threshold: float,
    groups: NDArray[np.str_],
    budget: float,
    confidence: float = 0.95,
) -> Width:
    """Return the cut-offs that ask the scorer least and change no more decisions than ``budget``.

    Parameters
    ----------
    early, score : ndarray of shape (n,)
        Early score and score, in [0, 1], of the requests that need one.
    threshold : float
        What the score is compared with.
    groups : ndarray of shape (n,)
        Requests of one group are not independent: one of each is tested.
    budget, confidence : float
        Most decisions that may change, as a share, and how sure that has to be; both in (0, 1).

    Raises
    ------
    NotAttainableError
        If no cut-offs can be shown to keep the budget, or those that can let no request leave
        early.
    """
    for name, value in (("budget", budget), ("confidence", confidence)):
        if not 0.0 < value < 1.0:
            raise InvalidValueError(
                name, value, rule="be in (0, 1)", hint="Shares are fractions, not percentages."
            )
    middle = float(logit(np.clip(threshold, _EDGE, 1.0 - _EDGE)))
    distance = np.abs(logit(early.astype(np.float64)) - middle)
    changes = (early > threshold) != (score > threshold)
    tested = _one_of_each(groups)
    allowed = _most_changes(len(tested), budget, 1.0 - confidence)
    if allowed < 0:
        # n requests without a change happen with probability (1 - budget)^n at the budget
        least = int(np.ceil(np.log(1.0 - confidence) / np.log(1.0 - budget)))
        raise NotAttainableError(
            f"early exit that changes at most {budget:g} of the decisions with confidence"
            f" {confidence:g} needs at least {least:,} requests of different groups to choose on:"
            f" got {len(tested):,}. Add traffic, or allow more with export.early_budget."
        )
    wrong = np.sort(distance[tested][changes[tested]])[::-1]
    width = float(wrong[allowed]) * _ROUNDING if len(wrong) > allowed else 0.0
    low, high = (float(expit(middle + side * width)) for side in (-1, 1))
    # a threshold on the edge was moved for its logit, and must not end up outside
    low, high = min(low, threshold), max(high, threshold)
    figures = figures_of_exit(early, score, threshold=threshold, low=low, high=high)
    if figures["asked"].value == 1.0:
        raise NotAttainableError(
            f"early exit that changes at most {budget:g} of the decisions would let none of"
            f" {len(early):,} requests leave early: the early score says too little of the score."
            " Ship without it, or allow more with export.early_budget."
        )
    return Width(low, high, figures)


def figures_of_exit(
    early: FloatArray, score: FloatArray, *, threshold: float, low: float, high: float
) -> dict[str, Estimate]:
    """Return the share ``asked`` of requests that the scorer is asked about and the share
    ``changed`` of decisions, exact intervals.
    """
    n = len(early)
    leaves = (early < low) | (early > high)
    changed = leaves & ((early > threshold) != (score > threshold))
    if not n:
        return {
            name: Estimate(value=None, n=0, note="no request needs a score")
            for name in ("asked", "changed")
        }
    return {
        name: _share(int(count), n)
        for name, count in (("asked", n - leaves.sum()), ("changed", changed.sum()))
    }


def exit_sentences(figures: Mapping[str, Mapping[str, Estimate]], *, judged: str) -> list[str]:
    """Return a sentence for each kind of request."""
    return [
        f"of {part['asked'].n:,} {judged} requests {KINDS[kind]} the scorer is asked about"
        f" {_percent(part['asked'])}, and early exit changes {_percent(part['changed'])} of the"
        " decisions"
        for kind, part in figures.items()
    ]


def _percent(share: Estimate) -> str:
    if share.value is None or share.low is None or share.high is None:
        return "an unknown share"
    return f"{share.value:.2%} ({share.low:.2%} to {share.high:.2%})"


def _share(count: int, n: int) -> Estimate:
    low, high = exact_interval(count, n)
    return Estimate(value=count / n, low=low, high=high, n=n)


def _one_of_each(groups: NDArray[np.str_]) -> NDArray[np.intp]:
    """Return the first row of each group."""
    return np.sort(np.unique(group_codes(groups), return_index=True)[1])


def _most_changes(n: int, budget: float, delta: float) -> int:
    """Return the most changes among n that show a share below the budget; -1 where not even none
    does.
    """
    if n == 0:
        return -1
    likely = int(binom.ppf(delta, n, budget))
    counts = np.arange(-1, likely + 2)
    shown = binomial_p_value(counts, np.full(len(counts), n), budget) <= delta
    return int(counts[shown].max())
