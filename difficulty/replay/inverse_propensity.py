"""Inverse propensity weighting: each outcome that was seen stands for the requests like it whose
outcome was not.

References
----------
Horvitz and Thompson (1952), "A generalization of sampling without replacement from a finite
universe"; Dudík, Langford and Li (2011), "Doubly robust policy evaluation and learning", section 2;
Swaminathan and Joachims (2015), "The self-normalized estimator for counterfactual learning".
"""

from __future__ import annotations

from difficulty.metrics.arrays import FloatArray, Ratio
from difficulty.replay.weighed import Weighed


def weigh_inversely(weighed: Weighed) -> Ratio:
    """Return the mean outcome under the other rule as ``sum(w * y) / sum(taken)``: without bias
    where every propensity is right, and wide.
    """
    return as_ratio(weighed.over_sides(weighed.weight * weighed.seen), weighed)


def self_normalise(weighed: Weighed) -> Ratio:
    """Return the mean as ``sum(w * y) / sum(w)``: its error no longer grows with the outcome's
    distance from 0; its bias is of the order of 1 / the number of outcomes.
    """
    weight = weighed.weight
    return Ratio(
        weighed.over_sides(weight * weighed.seen), weighed.over_sides(weight), weighed.n_known
    )


def as_ratio(numerator: FloatArray, weighed: Weighed) -> Ratio:
    """Return what n requests add up to, of shape (n,), over how often the sides are taken."""
    return Ratio(numerator, weighed.denominator, weighed.n_known)
