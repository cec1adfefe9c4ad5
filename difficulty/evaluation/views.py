"""What the pictures of a report are drawn from, beside the curve: reliability bins, the histogram
of scores, the baselines' curves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from difficulty.evaluation.baselines import Baseline
from difficulty.evaluation.figures import Columns
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.evaluation.tradeoff import Band
from difficulty.metrics.arrays import FloatArray, IntArray
from difficulty.metrics.probability import equal_mass_bins
from difficulty.metrics.ranking import Ranking

_N_BINS = 15
_HISTOGRAM_BINS = 40
_SHARES = np.linspace(0.0, 1.0, 101)

AlongShare = Mapping[str, tuple[float, ...]]
"""``frontier_share`` and figures along it."""


@dataclass(frozen=True, slots=True)
class CalibrationBins:
    """A reliability plot of one probability, over the bins of its ECE; empty bins are left out.

    Attributes
    ----------
    edges : tuple of m + 1 float
        Ends of the bins, ascending.
    predicted : tuple of m float
        Mean predicted probability.
    observed : Band
        Share that failed, with its interval.
    """

    edges: tuple[float, ...]
    predicted: tuple[float, ...]
    observed: Band

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form: columns."""
        columns = self.observed.as_dict()
        observed = {
            "observed": columns["value"],
            "low": columns["low"],
            "high": columns["high"],
            "n": columns["n"],
        }
        return {"edges": list(self.edges), "predicted": list(self.predicted), **observed}

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> CalibrationBins:
        """Return the bins that :meth:`as_dict` wrote."""
        observed = Band.from_dict(
            {"value": form["observed"], **{name: form[name] for name in ("low", "high", "n")}}
        )
        return cls(tuple(form["edges"]), tuple(form["predicted"]), observed)


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationPart:
    """The observed frequency in each bin for many weight vectors at once.

    Attributes
    ----------
    rows : ndarray of shape (n_known,)
        Requests with a known outcome, by bin.
    starts : ndarray of shape (m,)
        Where each bin starts in that order.
    probability, failure : ndarray of shape (n_known,)
        In that order.
    """

    rows: IntArray
    starts: IntArray
    probability: FloatArray
    failure: FloatArray

    @classmethod
    def of(
        cls, probability: FloatArray, failure: FloatArray, weight: FloatArray
    ) -> CalibrationPart | None:
        """Lay out the bins; None where no outcome is known."""
        known = np.flatnonzero(~np.isnan(failure))
        if not len(known):
            return None
        bins = equal_mass_bins(probability[known], n_bins=_N_BINS, weight=weight[known])
        rows = np.argsort(bins, kind="stable")
        starts = np.append(0, np.flatnonzero(np.diff(bins[rows])) + 1)
        order = known[rows]
        return cls(order, starts, probability[order], failure[order])

    @property
    def n(self) -> dict[str, int]:
        """Number of requests with a known outcome."""
        return {"observed": len(self.rows)}

    def values(self, weight: FloatArray) -> dict[str, FloatArray]:
        """Return the frequencies, and the mean probabilities, for weights of shape (n_draws, n), as
        arrays of shape (n_draws, m).
        """
        mass, observed, predicted = (
            np.add.reduceat(values, self.starts, axis=-1)
            for values in (weight, weight * self.failure, weight * self.probability)
        )
        mass = np.where(mass > 0.0, mass, np.nan)
        return {"observed": observed / mass, "predicted": predicted / mass}

    def bins(
        self, points: Mapping[str, FloatArray], draws: Mapping[str, FloatArray]
    ) -> CalibrationBins:
        """Return the bins, given what :meth:`values` returned for the data itself and for the
        draws.
        """
        first, last = (
            reduce.reduceat(self.probability, self.starts) for reduce in (np.minimum, np.maximum)
        )
        edges = [float(first[0]), *(0.5 * (last[:-1] + first[1:])).tolist(), float(last[-1])]
        n = np.diff(np.append(self.starts, len(self.rows)))
        band = Band.of(points["observed"][0], draws["observed"], n)
        return CalibrationBins(tuple(edges), tuple(points["predicted"][0].tolist()), band)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Number of requests in bins of ``difficulty_score``, by what is known of them.

    Attributes
    ----------
    edges : tuple of m + 1 float
        Ends of the bins, ascending; the last bin holds its upper end.
    needed, not_needed, unknown : tuple of m int
        Requests that needed the frontier model, that did not, and of which that is not known.
    """

    edges: tuple[float, ...]
    needed: tuple[int, ...]
    not_needed: tuple[int, ...]
    unknown: tuple[int, ...]

    def as_dict(self) -> dict[str, list[Any]]:
        """Return the JSON form: columns."""
        return {
            name: list(getattr(self, name)) for name in ("edges", "needed", "not_needed", "unknown")
        }

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> Histogram:
        """Return the histogram that :meth:`as_dict` wrote."""
        return cls(**{name: tuple(column) for name, column in form.items()})


def calibration_parts(scored: ScoredTraffic) -> dict[str, CalibrationPart]:
    """Return the bins of each probability of which an outcome is known, by its name."""
    weight = scored.outcomes.weight
    parts = {name: CalibrationPart.of(*pair, weight) for name, pair in scored.failures.items()}
    return {name: part for name, part in parts.items() if part}


def score_histogram(scored: ScoredTraffic) -> Histogram:
    """Return the histogram of the score by outcome: 40 bins of equal width from the lowest to the
    highest score.
    """
    score, needed = scored.difficulty_score, scored.needed
    low, high = float(score.min()), float(score.max())
    edges = np.linspace(low, high, _HISTOGRAM_BINS + 1) if high > low else np.array([low, high])
    masks = (needed == 1.0, needed == 0.0, np.isnan(needed))
    if high > low:
        counts = [tuple(np.histogram(score[mask], edges)[0].tolist()) for mask in masks]
    else:
        counts = [(int(mask.sum()),) for mask in masks]
    return Histogram(tuple(edges.tolist()), *counts)


def baseline_curves(
    scored: ScoredTraffic, baselines: Mapping[str, Baseline], columns: Mapping[str, Columns]
) -> dict[str, AlongShare]:
    """Return quality and cost along the frontier share for the score alone and for each baseline
    with a ranking.

    Requests are sent in the order of the ranking, no other rule applied; requests of equal rank are
    sent together, along a straight line. A figure of which nothing is known is left out.
    """
    scores = {"score": scored.difficulty_score} | {
        name: baseline.score for name, baseline in baselines.items() if baseline.score is not None
    }
    rankings = {
        name: Ranking.of(_last_where_unknown(score))
        for name, score in scores.items()
        if not np.isnan(score).all()
    }
    figures = {name: columns[name] for name in ("quality", "cost")}
    figures = {name: figure for name, figure in figures.items() if figure.kept[1].any()}
    weight, shares = scored.outcomes.weight, tuple(_SHARES.tolist())
    requests = weight * scored.outcomes.per_request
    curves: dict[str, AlongShare] = {}
    for name, ranking in rankings.items():
        sent = ranking.sums(requests[ranking.order])
        along_share = {"frontier_share": shares}
        for key, figure in figures.items():
            gained = ranking.sums((weight * (figure.sent[0] - figure.kept[0]))[ranking.order])
            along = (
                float(weight @ figure.kept[0]) + np.interp(_SHARES, sent / sent[-1], gained)
            ) / float(weight @ figure.kept[1])
            along_share[key] = tuple(along.tolist())
        curves[name] = along_share
    return curves


def _last_where_unknown(score: FloatArray) -> FloatArray:
    """Return the score with a value below all others where it is not known."""
    return np.where(np.isnan(score), np.nanmin(score) - 1.0, score)
