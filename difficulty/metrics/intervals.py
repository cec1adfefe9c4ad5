"""95 % intervals that hold where events are rare, groups are few or one group has much of the
weight.

A bootstrap sees none of that: where no failure was drawn, every draw has none; where one group of
45 has a third of the requests, its own luck is taken for the spread of all. So each figure comes
with its :class:`Support`, reckoned from what its requests and groups weigh. A share has an exact
interval with as many requests as its groups are worth; any other figure keeps the shape of its
bootstrap draws, widened as a t distribution of few degrees of freedom is wider than a normal one.

References
----------
Efron (1987), "Better bootstrap confidence intervals" (BCa); Clopper and Pearson (1934), "The use of
confidence or fiducial limits"; Korn and Graubard (1998), "Confidence intervals for proportions with
small expected number of positive counts estimated from survey data" (the same with an effective
size); Bell and McCaffrey (2002), "Bias reduction in standard errors for linear regression with
multi-stage samples", and Imbens and Kolesár (2016), "Robust standard errors in small samples"
(degrees of freedom of grouped data); Zou and Donner (2008), "Construction of confidence limits
about effect measures" (MOVER, for sums of shares).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from difficulty.errors import InvalidValueError
from difficulty.metrics.arrays import FloatArray, IntArray, effective_samples
from difficulty.metrics.bootstrap import percentile_interval

_NORMAL = 1.959963984540054
_TAIL = 0.025
_LEAST_FREEDOM = 1.0
LEAST_EVENTS = 10
"""Requests (or groups) that decide a figure below which it has no interval; a share always has."""
_MOST_BIAS = 0.5


def special() -> Any:
    """Return scipy's special functions, imported late: routers import this room without scipy."""
    from scipy import special as functions

    return functions


@dataclass(frozen=True, slots=True)
class Support:
    """What stands behind a figure.

    Attributes
    ----------
    rows : float
        Equally weighted requests that would weigh as these do.
    groups : float
        The same of groups, each taken as one request.
    freedom : float
        Degrees of freedom of the estimated spread, 1 or more.
    widen : float
        How much too narrow the spread between the groups is taken, because the figure itself was
        estimated from them; 1 or more.
    variance : float
        Of the figure, from the sums of the groups; NaN where it is not a ratio.
    unit : float or None
        The largest value that a share can have; None: the figure is no share.
    whole : bool
        Whether each request is all or nothing.
    terms : tuple of (float, float, Support)
        For a sum of shares, each times a factor: factor, share and what stands behind it.
    bounds : pair of float or None
        Values beyond which the figure cannot lie.
    known : bool
        False where too little was seen for an interval.
    skew : float
        Acceleration of a ratio: a sixth of the skewness of what the groups add to it.
    """

    rows: float
    groups: float
    freedom: float
    widen: float
    variance: float = float("nan")
    unit: float | None = None
    whole: bool = False
    terms: tuple[tuple[float, float, Support], ...] = ()
    bounds: tuple[float, float] | None = None
    known: bool = True
    skew: float = 0.0

    @property
    def stretch(self) -> float:
        """What a normal interval's half width is multiplied by."""
        return self.widen * float(special().stdtrit(self.freedom, 1.0 - _TAIL)) / _NORMAL

    def resting_on(self, events: float) -> Support:
        """Return the support of a figure that so many equally weighted groups decide, however many
        there are in all.
        """
        freedom = max(_LEAST_FREEDOM, min(self.freedom, events - 1.0))
        return replace(self, freedom=freedom, known=self.known and events >= LEAST_EVENTS)

    def plain(self) -> Support:
        """Return the support of a figure that is no share and no sum of shares."""
        return replace(self, unit=None, whole=False, terms=(), bounds=None, skew=0.0)


def support_of(mass: FloatArray, excess: FloatArray, codes: IntArray | None) -> Support | None:
    """Return the support of sum(value) / sum(mass).

    Parameters
    ----------
    mass : ndarray of shape (n,)
        What each request weighs in the denominator, 0 or more.
    excess : ndarray of shape (n,)
        What it adds to the numerator beyond the figure times its mass; they sum to 0.
    codes : ndarray of shape (n,) or None
        Group of each request, from 0; None: each is its own.

    Returns
    -------
    Support or None
        None where no request has a mass.

    Notes
    -----
    How alike the requests of a group are is estimated, each group counting about as much as it has
    requests; where all are the same (no event), groups are taken to be wholly alike.
    """
    total = float(mass.sum())
    if not total > 0.0:
        return None
    mass, excess = mass / total, excess / total
    own, error = mass**2, excess**2
    if codes is None:
        share, between, within, squares, alike = mass, excess, error, own, 0.0
    else:
        share, between, within, squares, size = (
            np.bincount(codes, weights=values).astype(np.float64)
            for values in (mass, excess, error, own, (mass > 0.0).astype(np.float64))
        )
        alike = _alikeness(share, between, within, squares, np.maximum(size, 1.0))
    spread = (1.0 - alike) * squares + alike * share**2
    m_2 = float(share @ share)
    q_0, q_1, q_2 = (float(share**power @ spread) for power in range(3))
    p_0, p_1 = float(spread @ spread), float(share @ spread**2)
    # Moments of the quadratic form sum((e_g - share_g * sum(e))^2), e_g of variance spread_g.
    trace = q_0 * (1.0 + m_2) - 2.0 * q_1
    squared = (
        p_0 * (1.0 + 2.0 * m_2)
        - 4.0 * p_1
        + m_2**2 * q_0**2
        + 2.0 * q_2 * q_0
        - 4.0 * m_2 * q_1 * q_0
        + 2.0 * q_1**2
    )
    # A single group says nothing of the spread between groups.
    single = trace <= 1e-12 * q_0 or squared <= 0.0
    widen = 1.0 if single else max(1.0, q_0 / trace)
    return Support(
        rows=1.0 / float(own.sum()),
        groups=1.0 / m_2,
        freedom=_LEAST_FREEDOM if single else max(_LEAST_FREEDOM, trace**2 / squared),
        widen=float(np.sqrt(widen)),
        variance=float(between @ between) * widen,
        skew=_acceleration(between),
    )


def _acceleration(between: FloatArray) -> float:
    """Return the acceleration of the sum of independent numbers."""
    size = float(between @ between)
    return float(np.sum(between * between * between)) / (6.0 * size**1.5) if size > 0.0 else 0.0


def effective_groups(mass: FloatArray, codes: IntArray | None) -> float:
    """Return how many equally heavy groups would weigh as those of ``mass`` do."""
    return effective_samples(mass if codes is None else np.bincount(codes, weights=mass))


def _alikeness(
    share: FloatArray,
    between: FloatArray,
    within: FloatArray,
    squares: FloatArray,
    size: FloatArray,
) -> float:
    """Return the correlation of two requests of one group, in [0, 1]; 1 where nothing varies."""
    variance = float(within.sum() / squares.sum())
    pairs = float(((share**2 - squares) / size).sum())
    if pairs <= 1e-12 * float(squares.sum()):
        return 0.0
    if variance <= 0.0:
        return 1.0
    alike = float(((between**2 - within) / size).sum()) / (variance * pairs)
    return float(np.clip(alike, 0.0, 1.0))


def interval_of(value: float, draws: FloatArray, support: Support | None) -> tuple[float, float]:
    """Return the 95 % interval of a figure; both ends NaN where it is not known.

    Parameters
    ----------
    value : float
        The figure on the data itself.
    draws : ndarray of shape (n_draws,)
        Its value in each bootstrap draw; NaN where undefined.
    support : Support or None
        None: the plain percentile interval.
    """
    if support is not None and not support.known:
        return float("nan"), float("nan")
    if support is not None and support.unit is not None:
        return share_interval(value, support)
    if support is not None and support.groups <= 1.0 + 1e-9:
        return float("nan"), float("nan")  # all draws of one group are the same
    ends = percentile_interval(draws)
    if support is not None and no_spread(*ends, support.groups):
        return float("nan"), float("nan")
    if support is not None and support.skew and not np.isnan(ends[0]):
        ends = _accelerated(value, draws[~np.isnan(draws)], support.skew)
    return _widened(value, *ends, support)


def no_spread(low: float, high: float, n: float) -> bool:
    """Return whether draws are all alike of so few requests (or groups) that this says nothing of
    others: their interval has no width, and is none.
    """
    return n < LEAST_EVENTS and high - low <= 1e-12 * max(1.0, abs(low))


def intervals_of(
    value: FloatArray, draws: FloatArray, supports: Sequence[Support | None]
) -> tuple[FloatArray, FloatArray]:
    """Return :func:`interval_of` for m figures at once: values of shape (m,), draws of shape
    (n_draws, m); ends of shape (m,), NaN where a value is.
    """
    ends = np.full((len(value), 2), np.nan)
    for place in np.flatnonzero(~np.isnan(value)).tolist():
        ends[place] = interval_of(float(value[place]), draws[:, place], supports[place])
    return ends[:, 0], ends[:, 1]


def _accelerated(value: float, draws: FloatArray, skew: float) -> tuple[float, float]:
    """Return the ends of BCa: where few requests add much, the sample has too few of them more
    often than too many.
    """
    below = np.mean(draws < value) + 0.5 * np.mean(draws == value)
    # All draws on one side would put both ends there.
    bias = float(np.clip(special().ndtri(below), -_MOST_BIAS, _MOST_BIAS))
    places = np.array([bias - _NORMAL, bias + _NORMAL])
    levels = special().ndtr(bias + places / np.maximum(1.0 - skew * places, 0.5))
    low, high = np.quantile(draws, levels, method="weibull")
    return float(low), float(high)


def _widened(value: float, low: float, high: float, support: Support | None) -> tuple[float, float]:
    """Return the ends of the draws, further from the value by what the draws do not see."""
    if support is None or np.isnan(low):
        return low, high
    # A draw that jumps may leave the value outside of its own draws.
    low = min(value, value - support.stretch * (value - low))
    high = max(value, value + support.stretch * (high - value))
    if support.terms:
        least, most = sum_interval(support.terms)
        low, high = min(low, least), max(high, most)
    if support.bounds is not None:
        low, high = max(low, support.bounds[0]), min(high, support.bounds[1])
    return low, high


def share_interval(value: float, support: Support) -> tuple[float, float]:
    """Return the exact interval of a share between 0 and ``support.unit``, with as many requests as
    its variance between groups is worth.
    """
    unit = support.unit or 1.0
    share = float(np.clip(value / unit, 0.0, 1.0))
    # What rounding leaves of a variance says nothing, where all is the same.
    settled = min(share, 1.0 - share) <= 1e-9
    share = float(round(share)) if settled else share
    variance = 0.0 if settled else support.variance / unit**2
    size = share * (1.0 - share) / variance if variance > 0.0 else support.groups
    # What is all or nothing cannot be surer than a coin; fewer draws of it look so by luck.
    size = min(size, support.rows) if support.whole or variance <= 0.0 else size
    # One row a group has the degrees of freedom that the exact interval is made for.
    most = max(support.rows - 1.0, _LEAST_FREEDOM)
    freedom = min(support.freedom, most)
    size *= (
        float(special().stdtrit(most, 1.0 - _TAIL) / special().stdtrit(freedom, 1.0 - _TAIL)) ** 2
    )
    low, high = _beta_ends(share * size, size)
    return unit * low, unit * high


def sum_interval(terms: Iterable[tuple[float, float, Support]]) -> tuple[float, float]:
    """Return an interval of a sum of shares, each times a factor, from those of each (MOVER)."""
    value, below, above = 0.0, 0.0, 0.0
    for factor, share, support in terms:
        low, high = share_interval(share, support)
        down, up = (factor * (share - low), factor * (high - share))
        # Of what is taken off, the upper end lowers the sum.
        down, up = (down, up) if factor >= 0.0 else (-up, -down)
        value += factor * share
        below, above = below + down**2, above + up**2
    return value - float(np.sqrt(below)), value + float(np.sqrt(above))


def exact_interval(count: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Clopper-Pearson interval of a share of which ``count`` of ``n`` requests were
    seen.

    It covers the true share at least as often as ``confidence`` says, also where ``count`` is 0 and
    a bootstrap sees nothing.

    Raises
    ------
    InvalidValueError
        If ``n`` is 0 or less, or ``count`` is not in 0 to ``n``.
    """
    if n < 1:
        raise InvalidValueError("n", n, rule="be 1 or more")
    if not 0 <= count <= n:
        raise InvalidValueError("count", count, rule=f"be in 0 to {n}")
    return _beta_ends(count, n, tail=0.5 * (1.0 - confidence))


def _beta_ends(count: float, size: float, *, tail: float = _TAIL) -> tuple[float, float]:
    """Return the ends for a count that need not be whole."""
    misses = size - count
    low = float(special().betaincinv(count, misses + 1.0, tail)) if count > 1e-9 * size else 0.0
    high = (
        float(special().betaincinv(count + 1.0, misses, 1.0 - tail))
        if misses > 1e-9 * size
        else 1.0
    )
    return low, high
