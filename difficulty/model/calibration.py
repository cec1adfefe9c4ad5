"""Calibration on held-out data: probabilities that match frequencies.

Two steps, both strictly increasing, so calibration never changes the order of requests and never
makes ties.

1. ``sigmoid(slope * logit + intercept)``, pulled towards slope 1 as strongly as a few samples
   would, so that a small calibration set cannot turn noise into confidence.
2. With ``PIECEWISE_SAMPLES`` or more calibration samples, a piecewise-linear map of the result:
   bins of equal size, their mean outcome pulled towards their mean probability as by ``_BIN_PRIOR``
   samples, made monotone by isotonic regression.

References
----------
Platt (1999), "Probabilistic outputs for support vector machines"; Zadrozny and Elkan (2002),
"Transforming classifier scores into accurate multiclass probability estimates".
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.isotonic import isotonic_regression

FloatArray = NDArray[np.float64]

PIECEWISE_SAMPLES = 1_000
_BIN_SIZE = 150
_MOST_BINS = 15
_BIN_PRIOR = 20.0
_LEAST_SLOPE = 0.05
_SLOPE_PRIOR = 5.0
_SPREAD_SLOPE_PRIOR = 1.0
_INTERCEPT_PRIOR = 0.05
_LOG_SLOPE_BOUNDS = (np.log(1e-3), np.log(1e3))


@dataclass(frozen=True, slots=True)
class Calibrator:
    """A fitted calibrator; the default is the plain sigmoid.

    Attributes
    ----------
    slope, intercept : float
        Of the sigmoid step.
    knots, values : ndarray of shape (n_knots,)
        Of the piecewise-linear step, from (0, 0) to (1, 1), both increasing; (0, 1) alone is no
        change.
    """

    slope: float = 1.0
    intercept: float = 0.0
    knots: FloatArray = field(default_factory=lambda: np.array([0.0, 1.0]))
    values: FloatArray = field(default_factory=lambda: np.array([0.0, 1.0]))

    def __call__(self, logits: FloatArray) -> FloatArray:
        """Return probabilities, of the shape of ``logits``."""
        return np.asarray(
            np.interp(expit(self.slope * logits + self.intercept), self.knots, self.values),
            dtype=np.float64,
        )


def fit_calibrator(
    logits: FloatArray,
    outcome: FloatArray,
    weight: FloatArray,
    *,
    pieces: bool = True,
    spread: bool = False,
) -> Calibrator:
    """Fit on the samples whose outcome is known.

    Parameters
    ----------
    logits, outcome, weight : ndarray of shape (n_samples,)
        Uncalibrated logits; outcomes in [0, 1], NaN where unknown; sample weights.
    pieces : bool, default True
        Whether step 2 is allowed; without it the probabilities are as smooth as the logits.
    spread : bool, default False
        Whether the slope may be far from 1. Heads of few labels are shrunk so much that the slope
        they need is 2 to 5; only where the samples are most of the labels can they say so.

    Returns
    -------
    Calibrator
        The plain sigmoid when no outcome is known.
    """
    with_outcome = ~np.isnan(outcome)
    x, y, w = logits[with_outcome], outcome[with_outcome], weight[with_outcome]
    if not len(x):
        return Calibrator()
    prior = _SPREAD_SLOPE_PRIOR if spread else _SLOPE_PRIOR
    slope, intercept = _fit_sigmoid(x, y, w, slope_prior=prior)
    if not pieces or len(x) < PIECEWISE_SAMPLES:
        return Calibrator(slope, intercept)
    return Calibrator(slope, intercept, *_fit_pieces(expit(slope * x + intercept), y, w))


def _fit_sigmoid(
    x: FloatArray, y: FloatArray, w: FloatArray, *, slope_prior: float
) -> tuple[float, float]:
    def loss(parameters: FloatArray) -> tuple[float, FloatArray]:
        log_slope, intercept = parameters
        slope = np.exp(log_slope)
        z = slope * x + intercept
        penalty = slope_prior * log_slope**2 + _INTERCEPT_PRIOR * intercept**2
        residual = w * (expit(z) - y)
        slope_gradient = slope * np.dot(residual, x) + 2 * slope_prior * log_slope
        intercept_gradient = residual.sum() + 2 * _INTERCEPT_PRIOR * intercept
        misfit = np.dot(w, np.logaddexp(0.0, z) - y * z)
        return float(misfit + penalty), np.array([slope_gradient, intercept_gradient])

    # the logarithm of the slope is fitted: a slope of 0 or less would change the order of requests
    bounds = [_LOG_SLOPE_BOUNDS, (None, None)]
    log_slope, intercept = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=bounds).x
    return float(np.exp(log_slope)), float(intercept)


def _fit_pieces(p: FloatArray, y: FloatArray, w: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return knots and values; a bin's mean probability is its knot."""
    bins = _bins(p, min(_MOST_BINS, len(p) // _BIN_SIZE))
    size = np.bincount(bins, weights=w)
    middle = np.bincount(bins, weights=p * w) / size
    pulled = (np.bincount(bins, weights=y * w) + _BIN_PRIOR * middle) / (size + _BIN_PRIOR)
    # bins whose middles meet, or lie on an end, would make a step without width
    keep = np.r_[True, np.diff(middle) > 1e-6] & (middle > 1e-6) & (middle < 1 - 1e-6)
    if not keep.any():
        return np.array([0.0, 1.0]), np.array([0.0, 1.0])
    knots = np.r_[0.0, middle[keep], 1.0]
    monotone = np.r_[
        0.0, isotonic_regression(pulled[keep], sample_weight=size[keep], y_min=0.0, y_max=1.0), 1.0
    ]
    return knots, (1.0 - _LEAST_SLOPE) * monotone + _LEAST_SLOPE * knots


def _bins(p: FloatArray, n_bins: int) -> NDArray[np.intp]:
    """Return the bin of each probability, in ascending order; bins hold as many samples each, but
    equal probabilities share one.
    """
    first = [rows[0] for rows in np.array_split(np.argsort(p, kind="stable"), n_bins)[1:]]
    return np.unique(np.searchsorted(np.unique(p[first]), p, side="right"), return_inverse=True)[1]
