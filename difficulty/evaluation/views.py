"""What the pictures of a report are drawn from, beside the curve: reliability bins, the histogram
of scores, the baselines' curves; and how far each probability is off.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from difficulty.evaluation.baselines import Baseline
from difficulty.evaluation.figures import Columns
from difficulty.evaluation.parts import (
    N_BINS,
    Binned,
    codes_at,
    known_rows,
    ratio_support,
    suffix_of,
)
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.evaluation.tradeoff import Band
from difficulty.form import Record
from difficulty.metrics.arrays import FloatArray, IntArray
from difficulty.metrics.bootstrap import GroupDraws
from difficulty.metrics.intervals import LEAST_EVENTS, Support
from difficulty.metrics.probability import expected_calibration_error
from difficulty.metrics.ranking import Ranking
from difficulty.metrics.recalibration import chance_of, debiased_error, recalibration
from difficulty.records import Estimate

_HISTOGRAM_BINS = 40
_SHARES = np.linspace(0.0, 1.0, 101)

AlongShare = Mapping[str, tuple[float, ...]]
"""``frontier_share`` and figures along it."""


@dataclass(frozen=True, slots=True)
class CalibrationBins(Record):
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

    def as_dict(self, *, without: Container[str] = ()) -> dict[str, Any]:
        """Return the JSON form: columns."""
        observed = self.observed.as_dict()
        value = {"observed": observed.pop("value")}
        return {"edges": list(self.edges), "predicted": list(self.predicted), **value, **observed}

    @classmethod
    def from_dict(cls, columns: Mapping[str, Any]) -> CalibrationBins:
        """Return the bins that :meth:`as_dict` wrote."""
        observed = Band.from_dict({"value": columns["observed"], **columns})
        return cls(tuple(columns["edges"]), tuple(columns["predicted"]), observed)


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationPart:
    """The observed frequency in each bin for many weight vectors at once."""

    binned: Binned

    @property
    def rows(self) -> IntArray:
        """Requests with a known outcome, by bin."""
        return self.binned.rows

    def values(self, weight: FloatArray) -> dict[str, FloatArray]:
        """Return the frequencies, and the mean probabilities, for weights of shape (n_draws, n), as
        arrays of shape (n_draws, m).
        """
        mass, observed, predicted = (
            self.binned.sums(values)
            for values in (weight, weight * self.binned.failure, weight * self.binned.probability)
        )
        # A draw may leave a bin without requests: there the frequency is unknown, not 0.
        mass = np.where(mass > 0.0, mass, np.nan)
        return {"observed": observed / mass, "predicted": predicted / mass}

    def supports(self, weight: FloatArray, codes: IntArray | None) -> list[Support | None]:
        """Return what stands behind the frequency of each bin, for weights and groups of
        ``rows``.
        """
        places = np.split(np.arange(len(self.rows)), self.binned.starts[1:])
        return [
            ratio_support(
                self.binned.failure[place],
                np.ones(len(place)),
                weight[place],
                None if codes is None else codes[place],
            )
            for place in places
        ]

    def bins(
        self,
        points: Mapping[str, FloatArray],
        draws: Mapping[str, FloatArray],
        supports: Sequence[Support | None],
    ) -> CalibrationBins:
        """Return the bins from what :meth:`values` gave for the data and for the draws, and from
        what stands behind each.
        """
        starts, probability = self.binned.starts, self.binned.probability
        first, last = (reduce.reduceat(probability, starts) for reduce in (np.minimum, np.maximum))
        # Bins hold equal weight, so an edge is known only to lie between two neighbours.
        edges = [float(first[0]), *(0.5 * (last[:-1] + first[1:])).tolist(), float(last[-1])]
        n = np.diff(np.append(starts, len(self.rows)))
        band = Band.of(points["observed"][0], draws["observed"], n, supports)
        return CalibrationBins(tuple(edges), tuple(points["predicted"][0].tolist()), band)


@dataclass(frozen=True, slots=True)
class Histogram(Record):
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

    @classmethod
    def from_dict(cls, columns: Mapping[str, Any]) -> Histogram:
        """Return the histogram that :meth:`as_dict` wrote."""
        return cls(**{name: tuple(column) for name, column in columns.items()})


def calibration_parts(scored: ScoredTraffic) -> dict[str, CalibrationPart]:
    """Return the bins of each probability of which an outcome is known, by its name."""
    rows = {
        name: np.flatnonzero(~np.isnan(failure)) for name, (_, failure) in scored.failures.items()
    }
    return {
        name: CalibrationPart(Binned.of(*pair, rows[name], scored.outcomes.weight))
        for name, pair in scored.failures.items()
        if len(rows[name])
    }


def score_histogram(scored: ScoredTraffic) -> Histogram:
    """Return the histogram by outcome: 40 bins of equal width over the scores' range."""
    score, needed = scored.difficulty_score, scored.needed
    low, high = float(score.min()), float(score.max())
    # Equal scores have one bin without a width; linspace would give 41 equal edges.
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
    # ``kept[1]`` is the denominator: 0 throughout where nothing is known.
    figures = {name: figure for name, figure in figures.items() if figure.kept[1].any()}
    weight, shares = scored.outcomes.weight, tuple(_SHARES.tolist())
    # Outcomes of a log are weighted, requests are not: see figures.frontier_share.
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


_NO_SLOPE = (
    f"fewer than {LEAST_EVENTS} requests failed, or did not, or the probabilities hardly differ"
)


def reliability(scored: ScoredTraffic, rows: np.ndarray, draws: GroupDraws) -> dict[str, Estimate]:
    """Return how far each probability of which an outcome is known is off, with what says whether
    chance explains it: not made by drawing groups, because a draw adds chance of its own.

    ``ece`` and ``calibration_error`` have no interval: near 0 none would hold the truth.
    """
    figures: dict[str, Estimate] = {}
    for name, (_, failure) in scored.failures.items():
        picked = known_rows(rows, failure)
        if len(picked):
            figures |= _reliability_of(scored, name, picked, codes_at(draws, picked))
    return figures


def _reliability_of(
    scored: ScoredTraffic, name: str, rows: np.ndarray, codes: np.ndarray | None
) -> dict[str, Estimate]:
    probability, failure = (column[rows] for column in scored.failures[name])
    weight, n, suffix = scored.outcomes.weight[rows], len(rows), suffix_of(name)
    if codes is not None:
        codes = np.unique(codes, return_inverse=True)[1]
    grouped = {"weight": weight, "codes": codes}
    found = recalibration(probability, failure, **grouped)
    plain = {
        "ece": expected_calibration_error(probability, failure, n_bins=N_BINS, weight=weight),
        "calibration_error": debiased_error(probability, failure, n_bins=N_BINS, **grouped),
        "calibration_p": chance_of(probability, failure, **grouped),
    }
    figures = {f"{key}{suffix}": Estimate(value=value, n=n) for key, value in plain.items()}
    for key in ("slope", "intercept"):
        end = None if found is None else getattr(found, key)
        figures[f"calibration_{key}{suffix}"] = (
            Estimate(value=None, n=n, note=_NO_SLOPE)
            if end is None
            else Estimate(value=end.value, low=end.low, high=end.high, n=n)
        )
    return figures
