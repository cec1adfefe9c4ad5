"""Traffic of which a part was chosen for labelling, weighted so that it stands for all of it.

A row that was chosen with probability ``inclusion`` stands for 1 / inclusion rows; one with an
outcome and no inclusion was labelled whatever was chosen, and stands for itself. Weights are scaled
to a mean of 1 over the rows with an outcome (Hajek's estimator: a sum of weights in the
denominator), so that regularisation means what it meant.

Where rows are there that were not chosen, the file holds all requests: figures that need no
outcome, such as the frontier share, count each of them once. In a file of nothing but labelled
rows each stands for 1 / inclusion requests there too.

References
----------
Hajek (1971), comment on "An essay on the logical foundations of survey sampling"; Sarndal, Swensson
and Wretman (1992), "Model Assisted Survey Sampling", section 5.7.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from difficulty.metrics.arrays import effective_samples
from difficulty.traffic.table import Traffic


class ChosenPart(NamedTuple):
    """What the weights by inclusion rest on."""

    rows: int
    """Rows with an outcome that were chosen with a known probability."""
    worth: float
    """The number of equally weighted rows that all rows with an outcome are worth."""

    def by_name(self) -> dict[str, Any]:
        """Return both by the names that a report of weights uses."""
        return {"chosen": self.rows, "chosen_worth": self.worth}


def weigh_chosen(traffic: Traffic) -> tuple[Traffic, ChosenPart]:
    """Return traffic whose outcomes are weighted by 1 / inclusion, and what that rests on; the
    traffic itself where no row with an outcome has an inclusion.
    """
    outcomes = traffic.outcomes
    inclusion = traffic.floats("inclusion")
    known = outcomes.known
    chosen = known & ~np.isnan(inclusion)
    if not chosen.any():
        return traffic, ChosenPart(0, 0.0)
    inverse = np.where(np.isnan(inclusion), 1.0, 1.0 / inclusion)
    inverse /= np.average(inverse[known], weights=outcomes.weight[known])
    # Such as the requests that nobody chose: with them the file is the whole traffic.
    is_whole = bool((np.isnan(inclusion) & ~known).any())
    factor = np.where(known, inverse, 1.0)
    weighed = traffic.weighed(factor, requests=None if is_whole else inverse)
    worth = effective_samples(weighed.outcomes.weight[known])
    return weighed, ChosenPart(int(chosen.sum()), round(worth, 1))
