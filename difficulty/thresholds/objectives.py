"""Objectives that are a point on the curve: the share, cost or quality that a threshold reaches.

Each refuses a number that means nothing (``InvalidValueError``) and a curve of which its figure is
not known (``UndefinedMetricError``); where no threshold reaches what is asked for, the
``NotAttainableError`` names the nearest that one does.
"""

from __future__ import annotations

import math

import numpy as np

from difficulty.errors import InvalidValueError, NotAttainableError, UndefinedMetricError
from difficulty.metrics.arrays import FloatArray
from difficulty.thresholds.policy_curve import PolicyCurve


def threshold_for_share(curve: PolicyCurve, share: float) -> float:
    """Return the lowest threshold that sends at most ``share`` of the requests to the frontier
    model.

    Requests tied at the cut all stay cheap, so the share reached can be below ``share``.
    """
    if not 0.0 <= share <= 1.0:
        raise InvalidValueError(
            "share", share, rule="be in [0, 1]", hint="Shares are fractions, not percentages."
        )
    reached = curve.figure("frontier_share")
    # Sums of weights round: a share of exactly 0.3 must meet share=0.3.
    allowed = np.flatnonzero(reached <= share + 1e-12)
    if not len(allowed):
        least = np.ceil(1000.0 * reached[0]) / 1000.0  # rounded up, so that it can be reached
        raise NotAttainableError(
            f"a frontier share of at most {share:g} cannot be reached: what goes to the frontier"
            f" model whatever its score (hard tasks, unfamiliar requests) is {least:.3f} of the"
            f" requests. Nearest: share={least:.3f}. Ask for that, take tasks out of hard_tasks, or"
            " lower min_familiarity."
        )
    return float(curve.thresholds[allowed[-1]])


def threshold_for_cost(curve: PolicyCurve, most: float) -> float:
    """Return the lowest threshold whose routing costs at most ``most`` USD per 1,000 requests."""
    if not 0.0 <= most < math.inf:
        raise InvalidValueError("cost", most, rule="be 0 or more USD per 1,000 requests")
    cost = _known_cost(curve, "cost")
    # As for a share: a cost of exactly ``most`` must meet it, however its sum rounds.
    allowed = np.flatnonzero(cost <= most * (1.0 + 1e-12))
    if not len(allowed):
        least = _rounded_up(float(cost.min()))
        raise NotAttainableError(
            f"a cost of at most {most:g} USD per 1,000 requests cannot be reached: the least along"
            f" the curve is {cost.min():.4g}. Nearest: cost={least:g}."
        )
    return float(curve.thresholds[allowed[-1]])


def _known_cost(curve: PolicyCurve, objective: str) -> FloatArray:
    """Return the cost along a curve, or refuse one of which none is known."""
    cost = curve.figure("cost")
    if np.isnan(cost).any():
        raise UndefinedMetricError(
            f"objective {objective} needs prices, and samples with the token counts of both models:"
            " got none. Pass --prices, and traffic with prompt_tokens, cheap_tokens and"
            " frontier_tokens."
        )
    return cost


def _rounded_up(amount: float) -> float:
    """Return an amount with three digits that is not below it, so that it can be asked for."""
    # 0 has no logarithm.
    unit = 10.0 ** (math.floor(math.log10(amount)) - 2) if amount > 1e-9 else 1e-9
    return math.ceil(amount / unit) * unit


def threshold_for_mean_quality(curve: PolicyCurve, target: float) -> float:
    """Return the highest threshold whose routing has a mean quality of at least ``target``, in the
    label source's unit.
    """
    if not 0.0 <= target <= 1.0:
        raise InvalidValueError(
            "mean_quality",
            target,
            rule="be in [0, 1]",
            hint="It is the mean quality of all answers.",
        )
    quality = curve.figure("quality")
    if np.isnan(quality).any():
        raise UndefinedMetricError(
            "objective mean_quality needs samples with both qualities known: got none. Use the"
            " objective share, or add frontier_quality to the traffic."
        )
    # Rounding must not cost a step here either.
    enough = np.flatnonzero(quality >= target - 1e-12)
    if not len(enough):
        most = math.floor(1000.0 * quality.max()) / 1000.0  # so that it can be reached
        raise NotAttainableError(
            f"a mean quality of {target:g} cannot be reached: the most along the curve is"
            f" {quality.max():.4f}. Nearest: mean_quality={most:.3f}."
        )
    return float(curve.thresholds[enough[0]])


def threshold_for_quality(curve: PolicyCurve, target: float) -> float:
    """Return the highest threshold whose routing recovers at least ``target`` of the gap between
    cheap and frontier quality.
    """
    if not 0.0 < target <= 1.0:
        raise InvalidValueError(
            "quality",
            target,
            rule="be in (0, 1]",
            hint="It is the share of the quality gap to recover.",
        )
    recovered = curve.figure("gap_recovered")
    if np.isnan(recovered).any():
        raise UndefinedMetricError(
            "objective quality needs samples with both outcomes known and a frontier model that is"
            " better: got no such gap. Use the objective share, or add frontier_quality to the"
            " traffic."
        )
    enough = np.flatnonzero(recovered >= target - 1e-12)
    if not len(enough):
        most = math.floor(1000.0 * recovered.max()) / 1000.0  # so that it can be reached
        nearest = (
            f"Nearest: quality={most:.3f}. Ask for that, or take tasks out of easy_tasks."
            if most > 0
            else "Take tasks out of easy_tasks."
        )
        raise NotAttainableError(
            f"recovering {target:g} of the quality gap cannot be reached: the most is {most:.3f},"
            f" as tasks that always go to the cheap model lose the rest. {nearest}"
        )
    return float(curve.thresholds[enough[0]])


def threshold_for_utility(curve: PolicyCurve, value: float) -> float:
    """Return the threshold with the largest ``value * quality - cost`` of a request; of several,
    the highest.

    Parameters
    ----------
    curve : PolicyCurve
    value : float
        What an answer of quality 1 is worth above one of quality 0, in USD; 0 or more.
    """
    if not 0.0 <= value < math.inf:
        raise InvalidValueError(
            "utility",
            value,
            rule="be 0 or more USD",
            hint="It is what a right answer is worth above a wrong one.",
        )
    cost, quality = _known_cost(curve, "utility"), curve.figure("quality")
    if np.isnan(quality).any():
        raise UndefinedMetricError(
            "objective utility needs samples with both qualities known: got none. Add"
            " frontier_quality to the traffic."
        )
    utility = value * quality - cost / 1000.0
    # argmax gives the first that is true, and thresholds descend.
    return float(curve.thresholds[np.argmax(utility >= utility.max() - 1e-15)])
