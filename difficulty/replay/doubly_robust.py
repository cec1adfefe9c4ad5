"""Doubly robust: what a model expects of every request, corrected by how far it was off where the
outcome was seen.

Right where the propensities are right, whatever the model says; the better the model, the narrower.

References
----------
Robins, Rotnitzky and Zhao (1994), "Estimation of regression coefficients when some regressors are
not always observed"; Dudík, Langford and Li (2011), "Doubly robust policy evaluation and learning";
Chernozhukov et al. (2018), "Double/debiased machine learning" (cross-fitting).
"""

from __future__ import annotations

from difficulty.metrics.arrays import FloatArray, Ratio
from difficulty.replay.inverse_propensity import as_ratio
from difficulty.replay.weighed import Weighed


def correct_model(weighed: Weighed, weight: FloatArray | None = None) -> Ratio:
    """Return the mean as ``sum(taken * m + w * (y - m)) / sum(taken)``.

    Parameters
    ----------
    weighed : Weighed
    weight : ndarray of shape (n, k), optional
        In place of the inverse weights, for estimators that shorten those.
    """
    weight = weighed.weight if weight is None else weight
    return as_ratio(
        weighed.over_sides(weighed.taken * weighed.model + weight * weighed.residual), weighed
    )


def trust_model(weighed: Weighed) -> Ratio:
    """Return what the model alone expects, ``sum(taken * m) / sum(taken)``: as wrong as the
    model.
    """
    return as_ratio(weighed.over_sides(weighed.taken * weighed.model), weighed)
