"""What training needs of traffic, checked before anything is fitted."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import TooFewSamplesError, TrafficError
from difficulty.metrics.arrays import effective_samples
from difficulty.model.combination import Target
from difficulty.traffic.outcomes import Outcomes

NEEDED = {"fit": 60, "calibration": 20}
"""Samples with a known outcome that each split needs."""
LEAST_OF_EACH = 5


def target_of(
    wanted: Literal["auto", "benefit", "failure"], outcomes: Outcomes, splits: NDArray[np.str_]
) -> Target:
    """Return the target: benefit where both outcomes are known of enough samples to learn from."""
    if wanted != "auto":
        return wanted
    known = ~np.isnan(outcomes.gain)
    enough = all(int(known[splits == split].sum()) >= least for split, least in NEEDED.items())
    return "benefit" if enough else "failure"


def check_outcomes(outcomes: Outcomes, splits: NDArray[np.str_], target: Target) -> None:
    """Refuse traffic that nothing can be learned from."""
    known = outcomes.gain if target == "benefit" else outcomes.cheap_failure
    needed = "both outcomes" if target == "benefit" else "the cheap model's outcome"
    for split, least in NEEDED.items():
        n = int((~np.isnan(known[splits == split])).sum())
        if n < least:
            raise TooFewSamplesError(
                f"training needs at least {least} {split} samples with {needed} known, about 200 in"
                f" all: got {n} of {len(known):,}. Add labels."
            )
        worth = effective_samples(outcomes.weight[(splits == split) & ~np.isnan(known)])
        if worth < least:
            raise TooFewSamplesError(
                f"training needs {split} samples worth at least {least} equally weighted ones: got"
                f" {n:,} worth {worth:.0f}, so uneven are their weights. Lower"
                " labels.largest_weight, check the column weight, or log more traffic."
            )
    failure = outcomes.cheap_failure[splits == "fit"]
    failed, fine = int((failure > 0).sum()), int((failure < 1).sum())
    if len(np.unique(known[(splits == "fit") & ~np.isnan(known)])) < 2:
        what = "gain of the frontier model" if target == "benefit" else "outcome of the cheap model"
        raise TooFewSamplesError(
            f"training needs samples that differ: every known {what} is equal. Check the outcome"
            " columns."
        )
    if min(failed, fine) < LEAST_OF_EACH:
        what = "failures" if failed < fine else "good answers"
        raise TooFewSamplesError(
            f"training needs at least {LEAST_OF_EACH} failures and {LEAST_OF_EACH} good answers of"
            f" the cheap model among the fit samples: got {min(failed, fine)} {what}. Add labels,"
            " or check the column cheap_quality."
        )
    if target == "benefit":
        _check_gap(outcomes)


def _check_gap(outcomes: Outcomes) -> None:
    known = ~np.isnan(outcomes.gain)
    gap = float(np.average(outcomes.gain[known], weights=outcomes.weight[known]))
    if gap <= 0:
        raise TrafficError(
            "the frontier model must be better than the cheap one for routing to pay: its mean"
            f" quality is {-gap:.3f} lower. Check that the two quality columns are not swapped; if"
            " they are right, send everything to the cheap model."
        )
