"""Drawing requests with known probabilities, and what those are over several rounds.

A *unit* is a request with its copies. Every unit has a *size*, and is drawn with a probability
proportional to it, cut where that is more than the largest that is allowed. The draw is systematic:
units lie one behind the other on a line, each as long as its probability, and one random start
picks every place a whole step further. So each unit is drawn with its probability to the letter,
the number drawn is fixed, and neighbours on the line are hardly ever drawn together: what is alike
is laid side by side.

**Rounds.** What a round draws may depend on everything that earlier rounds have seen, so there is
no one probability of having been drawn in any. But each round by itself gives an unbiased total:
what was drawn before counts as it is, and what is drawn now by 1 / its probability. Totals of the
rounds are averaged, and a unit's weight is what the average gives it. With r for the share that the
new round has in it, drawn of N units, n drawn before and m now,

    weight of a unit drawn before   (1 - r) * weight + r
    weight of a unit drawn now      r / probability,        r = m N / ((n + m) (N - n))

r is the share that makes all weights N / (n + m) where all probabilities are equal. Any share that
does not look at the outcomes of the new round leaves the average unbiased.

References
----------
Madow (1949), "On the theory of systematic sampling, II"; Horvitz and Thompson (1952), "A
generalization of sampling without replacement from a finite universe"; Farquhar, Gal and Rainforth
(2021), "On Statistical Bias In Active Learning: How and When To Fix It".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import InvalidValueError
from difficulty.metrics.arrays import FloatArray, IntArray

_ROUNDING = 1e-12


def proportional(sizes: FloatArray, n: int, *, largest: float = 1.0) -> FloatArray:
    """Return the probability of each unit to be one of ``n``, proportional to its size up to the
    largest probability there may be.

    Parameters
    ----------
    sizes : ndarray of shape (n_units,)
        Above 0.
    n : int
        How many are drawn; all where there are no more.
    largest : float
        In (0, 1]; raised to what ``n`` of these units need.

    Returns
    -------
    ndarray of shape (n_units,)
        In (0, 1], with the sum ``min(n, n_units)``.

    Raises
    ------
    InvalidValueError
        If a size is not above 0.
    """
    if len(sizes) and not (np.isfinite(sizes) & (sizes > 0.0)).all():
        raise InvalidValueError("sizes", "others", rule="be finite numbers above 0")
    if n >= len(sizes):
        return np.ones(len(sizes))
    largest = min(1.0, max(largest, n / len(sizes)))
    # The largest ones first: once one is under the bound, so are all that follow.
    order = np.argsort(-sizes, kind="stable")
    rest = np.cumsum(sizes[order][::-1])[::-1]
    left = n - largest * np.arange(len(sizes))
    over = left * sizes[order] / rest > largest * (1.0 + _ROUNDING)
    n_cut = int(np.argmin(over)) if not over.all() else len(sizes)
    probability = np.full(len(sizes), largest)
    open_ = order[n_cut:]
    if len(open_):
        probability[open_] = (n - largest * n_cut) * sizes[open_] / rest[n_cut]
    return np.asarray(np.minimum(probability, largest))


def mixed_sizes(counts: FloatArray, telling: FloatArray, *, random_share: float) -> FloatArray:
    """Return sizes of which one part counts requests and the rest goes by what they may teach.

    Parameters
    ----------
    counts : ndarray of shape (n_units,)
        Requests of each unit: by them alone every request is as probable as any other.
    telling : ndarray of shape (n_units,)
        What each unit may teach, 0 or more, in any unit.
    random_share : float
        In (0, 1]: the expected part of the units that is drawn for the count's sake. No request is
        drawn with less than this share of the probability that it has in a plain random draw.
    """
    if not 0.0 < random_share <= 1.0:
        raise InvalidValueError(
            "random_share",
            random_share,
            rule="be above 0 and at most 1",
            hint="Without a random part figures hold for no traffic.",
        )
    total = telling.sum()
    part = telling / total if total > 0.0 else counts / counts.sum()
    return np.asarray(random_share * counts / counts.sum() + (1.0 - random_share) * part)


def draw(
    probability: FloatArray, *, order: NDArray[np.intp], rng: np.random.Generator
) -> NDArray[np.intp]:
    """Return the units drawn, in ascending order: systematically along ``order``.

    Parameters
    ----------
    probability : ndarray of shape (n_units,)
        In [0, 1], with a whole sum.
    order : ndarray of shape (n_units,)
        The units as they lie on the line; what is alike side by side.
    rng : numpy.random.Generator
        Gives the start.
    """
    ends = np.cumsum(probability[order])
    n = round(float(ends[-1])) if len(ends) else 0
    if not n:
        return np.zeros(0, dtype=np.intp)
    # To the whole number that it is: rounding must not push the last place off the line.
    ends *= n / ends[-1]
    places = rng.random() + np.arange(n)
    drawn = np.minimum(np.searchsorted(ends, places, side="right"), len(ends) - 1)
    return np.sort(order[np.unique(drawn)])


def share_of_round(n_units: int, before: int, now: int) -> float:
    """Return the share that a round has in the average of the rounds.

    Parameters
    ----------
    n_units : int
        N of the module's description.
    before, now : int
        Units drawn in earlier rounds and in this one.
    """
    if not now:
        return 0.0
    return min(1.0, now * n_units / ((before + now) * (n_units - before)))


def weights_over_rounds(
    earlier: FloatArray, probability: FloatArray, *, share: float
) -> tuple[FloatArray, FloatArray]:
    """Return the weights of the units that earlier rounds drew and of those that this one did.

    Parameters
    ----------
    earlier : ndarray of shape (n_before,)
        Weights after the earlier rounds, 1 or more.
    probability : ndarray of shape (n_now,)
        With which the units of this round were drawn.
    share : float
        As :func:`share_of_round` gives it.
    """
    return (1.0 - share) * earlier + share, share / probability


def units_of(keys: list[str]) -> tuple[IntArray, IntArray]:
    """Return the unit of each request, numbered as they come, and how many requests each has."""
    number: dict[str, int] = {}
    units = np.array([number.setdefault(key, len(number)) for key in keys], dtype=np.intp)
    return units, np.bincount(units, minlength=len(number)).astype(np.intp)
