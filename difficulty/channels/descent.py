"""How heads are fitted: limited-memory BFGS for penalised losses that are smooth and convex,
conjugate gradients for squared ones.

A step is taken once it lowers the loss enough, and the full step nearly always does: a pass over
the rows is what a step costs. SciPy's, which allows for bounds, takes as many passes and spends as
long again between them.

References
----------
Nocedal and Wright (2006), "Numerical Optimization", algorithms 7.4 and 3.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, cg

from difficulty.channels.ngram_products import held
from difficulty.channels.shards import Design, is_many, pulled_of, pulled_squares_of

FloatArray = NDArray[np.float64]
_GRADIENT, _GRADIENT_OF_FEW = 1e-3, 1e-4
"""Where fits of heads end: the largest entry of the gradient, on the scale of the penalty. A score
is within 1e-4 of that of the optimum then (docs/scale.md).
"""
_NO_WEIGHT = 1e-300
_ROWS = 65_536
_ROUNDING = 1e-8
"""What of a loss of many rows, whose products are of 32 bits, cannot be told from rounding."""
_RESIDUAL, _RESIDUAL_OF_FEW = 1e-4, 1e-5
"""Where ridge regressions end, of the residual's length at 0."""
_MEMORY = 10
_ENOUGH = 1e-4
"""Share of the decrease promised by the slope that a step has to bring."""
_SMALLEST_STEP = 1e-10
_FLAT = 1e-12
"""Curvature along a step, of the squared change of the gradient, below which it says nothing."""


def minimise(
    loss: Callable[[FloatArray], tuple[float, FloatArray]],
    start: FloatArray,
    *,
    gradient: float,
    rounding: float = 0.0,
    most: int = 2_000,
) -> FloatArray:
    """Return where a loss is least.

    Parameters
    ----------
    loss : callable
        From a place, of shape (dim,), to the loss and its gradient.
    start : ndarray of shape (dim,)
        Scaled so that curvatures are near 1.
    gradient : float
        It ends where no entry of the gradient is larger.
    rounding : float, default 0
        It ends as well where a step changes the loss by less than this share of it, and not for
        the better.
    most : int, default 2000
        Steps.
    """
    place = start
    value, slope = loss(place)
    moves: list[FloatArray] = []
    turns: list[FloatArray] = []
    for _ in range(most):
        if np.abs(slope).max(initial=0.0) <= gradient:
            break
        direction = _direction(slope, moves, turns)
        along = float(slope @ direction)
        if not along < 0.0:  # nothing leads down, or nothing is a number any more
            break
        # Nothing is known of the curvature before the first step.
        step = 1.0 if moves else min(1.0, 1.0 / float(np.sqrt(-along)))
        while True:
            there = place + step * direction
            new_value, new_slope = loss(there)
            if new_value <= value + _ENOUGH * step * along:
                break
            if abs(new_value - value) <= rounding * abs(value):
                return place  # neither is lower
            if np.isfinite(new_value):
                # The least of the parabola through what is known.
                least = -0.5 * along * step**2 / (new_value - value - along * step)
                step = min(max(least, 0.1 * step), 0.5 * step)
            else:
                step *= 0.1
            if step < _SMALLEST_STEP:  # no lower place can be told from rounding
                return place
        move, turn = there - place, new_slope - slope
        if float(move @ turn) > _FLAT * float(turn @ turn):
            moves, turns = [*moves, move][-_MEMORY:], [*turns, turn][-_MEMORY:]
        place, value, slope = there, new_value, new_slope
    return place


def _direction(
    slope: FloatArray, moves: Sequence[FloatArray], turns: Sequence[FloatArray]
) -> FloatArray:
    """Return minus the slope, times what the last steps say of the inverse of the curvature."""
    direction, shares = -slope, list[tuple[float, float]]()
    for move, turn in zip(reversed(moves), reversed(turns), strict=True):
        inverse = 1.0 / float(move @ turn)
        share = inverse * float(move @ direction)
        direction -= share * turn
        shares.append((inverse, share))
    if moves:
        direction *= float(moves[-1] @ turns[-1]) / float(turns[-1] @ turns[-1])
    for move, turn, (inverse, share) in zip(moves, turns, reversed(shares), strict=True):
        direction += (share - inverse * float(turn @ direction)) * move
    return direction


def fit_logistic(
    design: Design,
    outcome: FloatArray,
    weight: FloatArray,
    *,
    strength: float,
    offset: FloatArray | None = None,
    begin: FloatArray | None = None,
) -> FloatArray:
    """Return coefficients and, last, the intercept of a penalised logistic regression.

    The loss is that of scikit-learn's. Columns are scaled by the root of their curvature, so that
    rare n-grams, which the penalty rules, and common ones converge alike, and so that the end of
    the search means the same however many rows there are. Columns that are 0 in all rows with an
    outcome have no part in it, and a coefficient of 0.

    Parameters
    ----------
    design : Design
        n rows.
    outcome, weight : ndarray of shape (n,)
        In [0, 1]; NaN where unknown, which counts for nothing.
    strength : float
        Inverse regularisation, scikit-learn's ``C``; the intercept is not penalised.
    offset : ndarray of shape (n,), optional
        Logits that are there already.
    begin : ndarray of shape (dim + 1,), optional
        Where to begin, at the optimum of the same rows with fewer columns; default: 0. Begun at the
        optimum of all rows, a fold's heads would keep something of the outcomes that they are not
        to see.
    """
    known = ~np.isnan(outcome)
    w, y = np.where(known, weight, 0.0), np.where(known, outcome, 0.0)
    w *= strength
    before = 0.0 if offset is None else offset
    rate = np.dot(w, y) / w.sum()
    bend = w * rate * (1.0 - rate)
    curvature = pulled_squares_of(design, bend)
    used = np.flatnonzero(curvature > 0.0)
    # The level is searched for at the mean of the columns: at 0 it moves with every common one.
    mean = pulled_of(design, bend)[used] / max(bend.sum(), _NO_WEIGHT)
    spread = np.maximum(curvature[used] - mean**2 * bend.sum(), 0.0)
    scale = np.sqrt(np.append(1.0 + spread, bend.sum()))
    del bend, known
    parameters = np.zeros(design.shape[1] + 1)

    def place(scaled: FloatArray) -> FloatArray:
        own = scaled / scale
        parameters[used], parameters[-1] = own[:-1], own[-1] - mean @ own[:-1]
        return np.asarray(own[:-1])

    def loss(scaled: FloatArray) -> tuple[float, FloatArray]:
        coefficients = place(scaled)
        residual = design @ parameters[:-1]
        residual += parameters[-1]
        residual += before
        misfit = 0.0
        for start in range(
            0, len(residual), _ROWS
        ):  # what is made of many at once is many times as much
            rows = slice(start, start + _ROWS)
            z = residual[rows]
            # e to minus |z| overflows nowhere
            small = np.exp(-np.abs(z))
            p = np.where(z >= 0.0, 1.0, small) / (1.0 + small)
            misfit += np.dot(w[rows], np.maximum(z, 0.0) + np.log1p(small) - y[rows] * z)
            residual[rows] = w[rows] * (p - y[rows])
        total = residual.sum()
        pulled = pulled_of(design, residual)[used] - mean * total
        gradient = np.append(pulled + coefficients, total)
        return float(misfit + 0.5 * np.dot(coefficients, coefficients)), gradient / scale

    start = np.zeros(len(scale))
    if begin is not None:
        start = np.append(begin[used], begin[-1] + mean @ begin[used]) * scale
    elif offset is None:
        start[-1] = np.log(rate / (1.0 - rate)) * scale[-1]
    many = is_many(design.shape[0])
    end, rounding = (_GRADIENT, _ROUNDING) if many else (_GRADIENT_OF_FEW, 0.0)
    with held(design) as design:
        place(minimise(loss, start, gradient=end, rounding=rounding))
    return parameters


def fit_least_squares(
    design: Design, target: FloatArray, weight: FloatArray, *, penalty: float
) -> FloatArray:
    """Return coefficients and, last, the intercept of a ridge regression, by conjugate gradients.

    Parameters are those of :func:`fit_logistic`; ``penalty`` is scikit-learn's ``alpha``.
    """
    known = ~np.isnan(target)
    w, y = np.where(known, weight, 0.0), np.where(known, target, 0.0)
    total, dim = w.sum(), design.shape[1]
    mean = np.dot(w, y) / total

    def centred(z: FloatArray) -> FloatArray:
        return np.asarray(w * (z - np.dot(w, z) / total))

    def product(vector: FloatArray) -> FloatArray:
        return pulled_of(design, centred(design @ vector)) + penalty * vector

    operator = LinearOperator((dim, dim), matvec=product, dtype=np.float64)
    wanted = pulled_of(design, w * (y - mean) * known)
    # Scaled as heads are, by the diagonal.
    spread = pulled_squares_of(design, w) - pulled_of(design, w) ** 2 / total
    bend = 1.0 / (penalty + np.maximum(spread, 0.0))
    scaled = LinearOperator((dim, dim), matvec=lambda vector: bend * vector, dtype=np.float64)
    end = _RESIDUAL if is_many(design.shape[0]) else _RESIDUAL_OF_FEW
    coefficients, _ = cg(operator, wanted, M=scaled, rtol=end, maxiter=1_000)
    return np.append(coefficients, mean - np.dot(w, design @ coefficients) / total)
