"""Evidence that a daily mean has left a range, valid at every look.

A player starts with 1 and bets, every day, that the mean is outside the range. While it is inside,
no way of betting makes the wealth grow on average, so the chance that it ever reaches ``w`` is at
most ``1 / w``, however often one looks (Ville's inequality). The wealth is therefore evidence: an
e-process.

**One day.** Requests of one group (a conversation, a user) stand or fall together, so a group
counts once a day, with the mean of its requests. Let ``x`` in [0, 1] be a group's mean, ``a`` the
upper end of the range, ``y = x - a``. Then for a bet ``0 <= l < 1``

    exp(l y - psi(l) y^2) <= 1 + l y,    psi(l) = -log(1 - l) - l

(Fan, Grama and Liu 2015), which has a mean of at most 1 inside the range. A product over groups
needs only the day's number of groups and the sums of ``x`` and ``x^2``: so that is all that is kept
of a day. That a whole day swings, by more than its groups do, with a deviation of ``s``, costs
``exp(-(l n s)^2 / 2)``, as if the swing were normal. For the lower end ``y = a - x``.

**Many days.** A change may begin on any day, and be small or large, up or down, in any of several
columns. Two kinds of bets share the wealth, which is added up at each look; a mean of e-processes
is one. *Followers* bet on what the last 1, 4 or 14 days were like, and on nothing while these were
quiet: they lose little while they wait, and miss the first day. *Starters* bet on a change of a
given size from a given day on: they see a large change on its first day, and pay for having been
spread over all days and sizes.

References
----------
Fan, Grama and Liu (2015), "Exponential inequalities for martingales with applications"; Howard,
Ramdas, McAuliffe and Sekhon (2021), "Time-uniform, nonparametric, nonasymptotic confidence
sequences"; Waudby-Smith and Ramdas (2024), "Estimating means of bounded random variables by
betting"; Shin, Ramdas and Rinaldo (2023), "E-detectors"; Ramdas, Grünwald, Vovk and Shafer (2023),
"Game-theoretic statistics and safe anytime-valid inference".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from difficulty.alarms.day_sums import DaySums
from difficulty.metrics.arrays import FloatArray, IntArray

BETS = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Sizes of changes that are bet on, beyond the range, in standard deviations of a group's mean."""
WINDOWS = (1, 4, 14)
"""Days that followers look back."""
PRIOR_GROUPS = 20
"""Groups that what was known before counts for, when followers look at how groups vary."""
FOLLOWING = 0.75
"""Part of the wealth that follows."""
LARGEST_BET = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """What the means of K columns are on quiet days: the range that is bet against.

    Attributes
    ----------
    mean : ndarray of shape (days, K)
        Of groups, on each day; weekdays may differ.
    bound : ndarray of shape (K,)
        How far from it counts as quiet.
    variance : ndarray of shape (K,)
        Of a group's mean, above 0: chooses how much is bet, and nothing else.
    swing : ndarray of shape (days, K)
        Variance of a whole day around ``mean``.
    rises_only : bool
        Whether a fall is good news, as of a risk, and not bet on.
    """

    mean: FloatArray
    bound: FloatArray
    variance: FloatArray
    swing: FloatArray
    rises_only: bool = False

    @property
    def directions(self) -> tuple[float, ...]:
        """Return 1 for a rise, and -1 for a fall where one counts."""
        return (1.0,) if self.rises_only else (1.0, -1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wealth:
    """What a player has at the end of each day.

    Attributes
    ----------
    log : ndarray of shape (days,)
        Natural logarithm.
    best : ndarray of shape (days,)
        Column of the bet that has most.
    """

    log: FloatArray
    best: IntArray


def play(
    sums: DaySums,
    quiet: Quiet,
    days: slice,
    *,
    length: int,
    most: float | None = None,
    jointly: FloatArray | None = None,
) -> Wealth:
    """Return the wealth of all bets on some columns.

    Parameters
    ----------
    sums, quiet : DaySums, Quiet
        Of all days; followers may look back on those before ``days``.
    days : slice
        The days that are bet on.
    length : int
        How many they will have been in the end.
    most : float, optional
        The most that the logarithm of a bet may gain on one day; what is above is left on the
        table.
    jointly : ndarray of shape (all days, bets), optional
        Gains of followers that bet on all columns at once; they have half of the followers' wealth.
    """
    at_first = np.eye(1, length)[0]
    following = FOLLOWING if jointly is None else FOLLOWING / 2.0
    bets = [
        (follow(sums, quiet), at_first, following),
        (start(sums, quiet), start_shares(length), 1.0 - FOLLOWING),
    ]
    if jointly is not None:
        bets.append((jointly, at_first, following))
    parts = []
    for gains, starts, portion in bets:
        limited = gains[days] if most is None else np.minimum(gains[days], most)
        whole, each = _wealth(limited, starts)
        parts.append((whole + np.log(portion), each + np.log(portion)))
    # Which column moved is told by the bets on one of them.
    held = np.concatenate([each for _, each in parts[:2]], axis=1)
    return Wealth(
        log=np.logaddexp.reduce([whole for whole, _ in parts]),
        best=np.argmax(held, axis=1) % len(sums.columns),
    )


def start(sums: DaySums, quiet: Quiet) -> FloatArray:
    """Return what the logarithm of each bet of a given size grows by on each day.

    Returns
    -------
    ndarray of shape (days, directions * len(BETS) * K)
        Directions are 2, or 1 where only rises are bet on; the column is the last to vary.
    """
    sizes = np.array(BETS)[:, None] * np.sqrt(quiet.variance)
    room = (sums.groups[:, None] * quiet.swing + quiet.variance)[:, None, :]
    bets = sizes / (room + sizes)
    return np.concatenate(
        [
            gains_of(sums, quiet, bets, sign).reshape(len(sums.groups), -1)
            for sign in quiet.directions
        ],
        axis=1,
    )


def follow(sums: DaySums, quiet: Quiet) -> FloatArray:
    """Return the same of bets on what was seen: of shape (days, len(WINDOWS) * K)."""
    groups = sums.groups[:, None]
    room = (groups * quiet.swing)[:, None, :]
    gains: FloatArray = np.zeros((len(groups), len(WINDOWS), len(sums.columns)))
    for sign in quiet.directions:
        (mean, n), (square, _) = (
            look_back(values, sums.groups) for values in _beyond(sums, quiet, sign)
        )
        # Inside the range there is no reason to bet.
        mean = np.maximum(mean, 1e-9)
        square = (n * square + PRIOR_GROUPS * quiet.variance) / (n + PRIOR_GROUPS)
        # What the mean of so few groups shows by chance alone is taken off.
        chance = square / n + quiet.swing[:, None, :]
        bets = mean * np.maximum(0.0, 1.0 - chance / mean**2) / (square + room + mean)
        # Of a rise and a fall at most one is beyond the range, so a bet is never on both.
        gains += gains_of(sums, quiet, bets, sign)
    return gains.reshape(len(groups), -1)


def look_back(values: FloatArray, groups: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return means of daily sums of shape (days, K) over each window before each day, of shape
    (days, len(WINDOWS), K), and of how many groups they are, at least 1, of shape (..., 1).
    """
    ends = np.arange(len(groups))
    seen = []
    for column in (values, groups[:, None]):
        sums = np.vstack([np.zeros((1, column.shape[1])), np.cumsum(column, axis=0)])
        seen.append(
            np.stack([sums[ends] - sums[np.maximum(ends - days, 0)] for days in WINDOWS], axis=1)
        )
    n = np.maximum(seen[1], 1.0)
    return seen[0] / n, n


def _beyond(sums: DaySums, quiet: Quiet, sign: float) -> tuple[FloatArray, FloatArray]:
    """Return the sums over groups of y and of its square, on each day."""
    groups = sums.groups[:, None]
    # Beyond 0 and 1 no mean is, so the range ends there too and ``y`` is never below -1.
    end = np.clip(quiet.mean + sign * quiet.bound, 0.0, 1.0)
    first = sign * (sums.total - groups * end)
    return first, sums.squares - 2.0 * end * sums.total + groups * end**2


def gains_of(sums: DaySums, quiet: Quiet, bets: FloatArray, sign: float) -> FloatArray:
    """Return what bets of shape (days, several, K) on one direction gain on each day.

    A bet is a number of 0 or more; what is above ``LARGEST_BET`` is not bet.
    """
    first, second = _beyond(sums, quiet, sign)
    swing = (sums.groups[:, None] ** 2 * quiet.swing)[:, None, :]
    bets = np.minimum(bets, LARGEST_BET)
    return np.asarray(
        bets * first[:, None, :]
        - (-np.log1p(-bets) - bets) * second[:, None, :]
        - bets**2 * swing / 2.0
    )


def _wealth(gains: FloatArray, starts: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the logarithm of the wealth, whole and of each bet, at the end of each day.

    Parameters
    ----------
    gains : ndarray of shape (days, bets)
    starts : ndarray
        Part of the wealth that begins to bet on each day, at most 1 together. What has not begun,
        or never does, is kept.
    """
    days, n_bets = gains.shape
    course = np.cumsum(gains, axis=0)
    before = course - gains
    with np.errstate(divide="ignore"):
        # What began on day s has grown by course[t] - before[s] since.
        begun = np.logaddexp.accumulate(np.log(starts[:days, None] / n_bets) - before, axis=0)
        waiting = np.log(np.maximum(1.0 - np.cumsum(starts[:days]), 0.0))
    each = begun + course
    return np.logaddexp(np.logaddexp.reduce(each, axis=1), waiting), each


def began(sums: DaySums, quiet: Quiet, column: int, days: slice) -> int:
    """Return on which of some days a change of a column began that is there on the last of them:
    after the last low of the bet of a given size that pays most.
    """
    courses = np.cumsum(start(sums, quiet)[days, column :: len(sums.columns)], axis=0)
    before = np.vstack([np.zeros(courses.shape[1]), courses[:-1]])
    best = int(np.argmax(courses[-1] - before.min(axis=0)))
    # The last of equal lows: days that paid nothing are before the change.
    backwards = before[::-1, best]
    return int(days.stop) - 1 - int(np.argmin(backwards))


def start_shares(days: int) -> FloatArray:
    """Return how the starters' wealth is split over the ``days`` days of a quarter: half over all
    days, a quarter over the first days of its weeks, a quarter on its first.
    """
    shares = np.full(days, 0.5 / days)
    weeks = np.arange(0, days, 7)
    shares[weeks] += 0.25 / len(weeks)
    shares[0] += 0.25
    return shares
