"""What ordering requests by a score gives: the curve of quality gained as requests move to the
frontier model one by one, highest score first, and how well the order tells labels apart.

The curve is not monotone: where the frontier model answers worse than the cheap one, moving a
request lowers quality. PGR is the share of the quality gap recovered at a point of it, APGR the
area under PGR, CPT the first share at which PGR reaches a level.

References
----------
Ong et al. (2024), "RouteLLM: Learning to Route LLMs with Preference Data" (PGR, APGR, CPT).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from difficulty.errors import InvalidValueError, UndefinedMetricError
from difficulty.metrics.arrays import FloatArray, IntArray, column, weights

T = TypeVar("T", bound=np.generic)
# Of the sum of the weights: what is not above it is 0 that rounding moved.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Requests in descending order of score, and where each group of tied scores ends.

    Attributes
    ----------
    order : ndarray of shape (n,)
        Index of the request at each place.
    ends : ndarray of shape (n_steps,)
        Place of the last request of each step, ascending.
    """

    order: IntArray
    ends: IntArray

    @classmethod
    def of(cls, score: FloatArray) -> Ranking:
        """Rank the requests of a finite score of shape (n,)."""
        # Stable, so that equal scores keep the order of the requests on every machine.
        order = np.argsort(-score, kind="stable")
        ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
        return cls(order, ends)

    def at(self, rows: IntArray) -> Ranking:
        """Return the same ranking, with places that point into the larger array from which ``rows``
        were taken.
        """
        return Ranking(rows[self.order], self.ends)

    def spread(self, values: NDArray[T]) -> NDArray[T]:
        """Return the value of its step for each request, in the order of the score; shape (n,)."""
        per_request = np.empty(len(self.order), dtype=values.dtype)
        per_request[self.order] = np.repeat(values, np.diff(self.ends, prepend=-1))
        return per_request

    def sums(self, ranked: FloatArray) -> FloatArray:
        """Return the sums up to each step: values of shape (..., n) in ranked order to shape (...,
        n_steps + 1), first 0.
        """
        n, n_steps = ranked.shape[-1], len(self.ends)
        total = np.zeros((*ranked.shape[:-1], n_steps + 1))
        # Three ways to the same sums, the quickest for no ties, for few and for many.
        if n_steps == n:
            np.cumsum(ranked, axis=-1, out=total[..., 1:])
        elif 2 * n_steps > n:
            total[..., 1:] = np.take(np.cumsum(ranked, axis=-1), self.ends, axis=-1)
        else:
            starts = np.append(0, self.ends[:-1] + 1)
            np.cumsum(np.add.reduceat(ranked, starts, axis=-1), axis=-1, out=total[..., 1:])
        return total


def gap_curve(
    ranking: Ranking, ranked_gain: FloatArray, weight: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return frontier share and recovered share of the quality gap at each step.

    Parameters
    ----------
    ranking : Ranking
        Which request is sent to the frontier model first.
    ranked_gain : ndarray of shape (n,)
        Frontier minus cheap quality, in ranked order.
    weight : ndarray of shape (..., n_all)
        Weights of all requests, in the order into which ``ranking.order`` points.

    Returns
    -------
    share, recovered : ndarray of shape (..., n_steps + 1)
        Both from 0 to 1; ``recovered`` is NaN where the frontier model is not better than the cheap
        one.
    """
    ranked_weight = np.take(weight, ranking.order, axis=-1)
    sent, gained = ranking.sums(ranked_weight), ranking.sums(ranked_weight * ranked_gain)
    least = _ROUNDING * sent[..., -1]
    return _from_0_to_1(sent, above=least), _from_0_to_1(gained, above=least)


def area(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return the area under ``y`` along ``x`` by trapezoids, over the last axis."""
    # np.trapezoid holds one more array of the size of y, which at a thousand draws is gigabytes.
    width = x[..., 1:] - x[..., :-1]
    height = y[..., 1:] + y[..., :-1]
    return np.asarray(0.5 * np.einsum("...i,...i->...", width, height))


def first_crossing(x: FloatArray, y: FloatArray, level: float) -> FloatArray:
    """Return the smallest ``x`` at which the broken line ``y`` reaches ``level``, over the last
    axis; NaN where it never does.

    The line may go down again after it: only the first segment that reaches the level is
    interpolated.
    """
    # The curve may touch the level by rounding alone.
    reached = y >= level - _ROUNDING
    after = reached.argmax(axis=-1)[..., None]
    # At the first point there is no segment: both ends are that point.
    before = np.maximum(after - 1, 0)
    x_0, x_1 = (np.take_along_axis(x, place, axis=-1)[..., 0] for place in (before, after))
    y_0, y_1 = (np.take_along_axis(y, place, axis=-1)[..., 0] for place in (before, after))
    rise = y_1 - y_0
    part = np.divide(level - y_0, rise, out=np.ones_like(rise), where=rise > 0)
    crossing = x_0 + np.clip(part, 0.0, 1.0) * (x_1 - x_0)
    return np.where(reached.any(axis=-1), crossing, np.nan)


def ranked_area(step: FloatArray, part: FloatArray, upto: FloatArray) -> FloatArray:
    """Return the area under the share of ``part`` along the share of ``step``: what :func:`area`
    gives of both from 0 to 1, in fewer passes.

    Parameters
    ----------
    step, part : ndarray of shape (n_draws, n_steps)
        What each step adds to the two sums: weight, and weight times gain.
    upto : ndarray of shape (n_draws, n_steps)
        ``part`` cumulated.

    Returns
    -------
    ndarray of shape (n_draws,)
        NaN where the sum of ``part`` is not above the rounding of the weights.
    """
    # Each step is a rectangle below its end, less the triangle above the line to it.
    height = np.einsum("...i,...i->...", step, upto) - 0.5 * np.einsum("...i,...i->...", step, part)
    total, last = step.sum(axis=-1), upto[..., -1]
    return np.asarray(
        np.divide(
            height, total * last, out=np.full(total.shape, np.nan), where=last > _ROUNDING * total
        )
    )


def ranked_crossing(sent: FloatArray, upto: FloatArray, level: float) -> FloatArray:
    """Return the smallest share of ``sent`` at which the share of ``upto`` reaches ``level``: what
    :func:`first_crossing` gives of both from 0 to 1.

    Parameters
    ----------
    sent, upto : ndarray of shape (n_draws, n_steps)
        Sums up to each step, of the weights and of what they are worth.
    level : float
        In (0, 1].

    Returns
    -------
    ndarray of shape (n_draws,)
        NaN where the level is never reached, or the last of ``upto`` is not above the rounding of
        the weights.
    """
    total, last = sent[..., -1], upto[..., -1]
    target = level * last  # instead of dividing every step, as first_crossing needs it
    reached = upto >= (target - _ROUNDING * np.abs(last))[:, None]
    place = reached.argmax(axis=-1)
    rows = np.arange(len(sent))
    defined = reached[rows, place] & (last > _ROUNDING * total)
    x_0, y_0 = (np.where(place > 0, sums[rows, place - 1], 0.0) for sums in (sent, upto))
    x_1, y_1 = sent[rows, place], upto[rows, place]
    rise = y_1 - y_0
    part = np.divide(target - y_0, rise, out=np.ones_like(rise), where=rise > 0.0)
    crossing = x_0 + np.clip(part, 0.0, 1.0) * (x_1 - x_0)
    return np.asarray(np.divide(crossing, total, out=np.full(len(sent), np.nan), where=defined))


def auroc_of(ranking: Ranking, ranked_label: FloatArray, weight: FloatArray) -> FloatArray:
    """Return the AUROC for weights of shape (..., n_all), ties counting half; NaN where one of the
    labels 0 and 1 has no weight.
    """
    ranked_weight = np.take(weight, ranking.order, axis=-1)
    sums, hits = ranking.sums(ranked_weight), ranking.sums(ranked_weight * ranked_label)
    least = _ROUNDING * sums[..., -1]
    # In place: at many draws these arrays are the memory that is needed.
    false_alarms = np.subtract(sums, hits, out=sums)
    return area(_from_0_to_1(false_alarms, above=least), _from_0_to_1(hits, above=least))


def _from_0_to_1(sums: FloatArray, *, above: FloatArray) -> FloatArray:
    """Divide by the last sum, in place; NaN where that is not ``above`` the rounding of the
    weights.
    """
    last = sums[..., -1].copy()  # it is divided too
    sums /= np.where(last > above, last, np.nan)[..., None]
    return sums


def auroc(score: ArrayLike, label: ArrayLike, *, weight: ArrayLike | None = None) -> float:
    """Return the probability that a request labelled 1 scores above one labelled 0, ties counting
    half: 0.5 for a score without signal. Exact: no binning.

    Parameters
    ----------
    score : array-like of shape (n,)
        Any finite numbers, higher = more like label 1.
    label : array-like of shape (n,)
        0 or 1 (or booleans), for example whether the request needed the frontier model.
    weight : array-like of shape (n,), optional
        Sample weights, 0 or more.

    Raises
    ------
    UndefinedMetricError
        If only one of the labels occurs.

    References
    ----------
    Hanley and McNeil (1982), "The meaning and use of the area under a receiver operating
    characteristic (ROC) curve".
    """
    score = column("score", score)
    label = column("label", label, n=len(score))
    if not np.isin(label, (0.0, 1.0)).all():
        raise InvalidValueError(
            "label", float(label[~np.isin(label, (0.0, 1.0))][0]), rule="be 0 or 1"
        )
    ranking = Ranking.of(score)
    value = float(auroc_of(ranking, label[ranking.order], weights(weight, n=len(score))))
    if np.isnan(value):
        raise UndefinedMetricError(
            f"AUROC needs requests of both labels: got {int(label.sum()):,} of {len(label):,}"
            " labelled 1."
        )
    return value


def rank_within(score: ArrayLike, fold: ArrayLike) -> FloatArray:
    """Return each request's rank inside its fold, in [0, 1].

    The models of two folds differ by an offset that says nothing about the requests and blurs their
    pooled ranking. Ranks inside the folds can be pooled.

    Parameters
    ----------
    score : array-like of shape (n,)
        Out-of-fold scores.
    fold : array-like of shape (n,)
        Fold of each request, of any type that sorts.

    Returns
    -------
    ndarray of shape (n,)
        (rank - 1/2) / size of the fold, ties sharing their mean rank; a fold of equal scores gets
        0.5 throughout.
    """
    score = column("score", score)
    _, fold_of = np.unique(np.asarray(fold), return_inverse=True)
    if fold_of.shape != score.shape:
        raise InvalidValueError("fold", fold_of.shape, rule=f"have the shape {score.shape}")
    ranks = np.empty(len(score))
    for number in range(fold_of.max() + 1):
        rows = np.flatnonzero(fold_of == number)
        _, step, size = np.unique(score[rows], return_inverse=True, return_counts=True)
        # The middle of each step of equal scores.
        ranks[rows] = (np.cumsum(size) - 0.5 * size)[step] / len(rows)
    return ranks
