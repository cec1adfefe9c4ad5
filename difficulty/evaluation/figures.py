"""The figures of one set of requests, computed for many weight vectors at once.

A figure comes from one of four parts: ratios (anything at a threshold, Brier, the gap), the gap curve (APGR, CPT), a ranked label (AUROC)
and bins (ECE). A part takes weights of shape (n_draws, n_all) for all judged requests and looks at its own rows only, so that one draw
serves the whole, every slice and every baseline. Bins are those of the data itself; they stay as they are in every draw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from difficulty.evaluation.judged import Judged
from difficulty.evaluation.routed import Routed
from difficulty.metrics.arrays import FloatArray, IntArray
from difficulty.metrics.probability import bin_gaps, brier_ratio, equal_mass_bins
from difficulty.metrics.ratios import Ratio, divide, ratio
from difficulty.metrics.steps import Ranking, area, auroc_of, first_crossing, gap_curve

__all__ = ["Drawn", "Draws", "Part", "Ratios", "calibration", "gap_figures", "gap_part", "label_figures", "ratios_at", "values_of"]

Draws = dict[str, FloatArray]
_N_BINS = 15
_CHUNK = 1 << 15


class Drawn(Protocol):
    """Something that is computed for many weight vectors at once."""

    def values(self, weight: FloatArray) -> Draws:
        """Return arrays with one row a draw for weights of shape (n_draws, n_all); NaN where undefined."""


class Part(Drawn, Protocol):
    """Some figures of one set of requests; their values have the shape (n_draws,)."""

    @property
    def n(self) -> Mapping[str, int]:
        """Number of requests behind each figure, by its name."""


@dataclass(frozen=True, slots=True, eq=False)
class Ratios:
    """Ratios over ``rows``, all recomputed by two matrix products."""

    rows: IntArray
    numerators: FloatArray
    denominators: FloatArray
    n: Mapping[str, int]

    @classmethod
    def of(cls, rows: IntArray, ratios: Mapping[str, Ratio]) -> Ratios:
        """Stack ratios whose columns belong to ``rows``."""
        numerators, denominators = (np.stack(parts, axis=1) for parts in zip(*_columns(ratios.values()), strict=True))
        return cls(rows, numerators, denominators, {name: part.n for name, part in ratios.items()})

    def values(self, weight: FloatArray) -> Draws:
        """Return each ratio in each draw."""
        weight = _taken(weight, self.rows)
        total = weight.sum(axis=-1, keepdims=True)
        columns = divide(weight @ self.numerators, weight @ self.denominators, total=total).T
        return dict(zip(self.n, columns, strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class _Curve:
    """APGR and CPT of one ranking."""

    ranking: Ranking
    ranked_gain: FloatArray
    n: Mapping[str, int]

    def values(self, weight: FloatArray) -> Draws:
        return _in_chunks(self._values, weight, width=len(self.ranking.order))

    def _values(self, weight: FloatArray) -> Draws:
        share, recovered = gap_curve(self.ranking, self.ranked_gain, weight)
        calls = {f"cpt_{percent}": first_crossing(share, recovered, percent / 100) for percent in (50, 80)}
        return {"apgr": area(share, recovered), **calls}


@dataclass(frozen=True, slots=True, eq=False)
class _Label:
    """AUROC of one ranking."""

    ranking: Ranking
    ranked_label: FloatArray
    n: Mapping[str, int]

    def values(self, weight: FloatArray) -> Draws:
        return _in_chunks(self._values, weight, width=len(self.ranking.order))

    def _values(self, weight: FloatArray) -> Draws:
        return {"auroc": auroc_of(self.ranking, self.ranked_label, weight)}


@dataclass(frozen=True, slots=True, eq=False)
class _Bins:
    """ECE over fixed bins."""

    rows: IntArray
    bins: IntArray
    gap: FloatArray
    n: Mapping[str, int]

    def values(self, weight: FloatArray) -> Draws:
        weight = _taken(weight, self.rows)
        weighty = weight.sum(axis=-1) > 0.0
        values = np.full(len(weight), np.nan)
        values[weighty] = np.abs(bin_gaps(self.bins, self.gap, weight[weighty], n_bins=_N_BINS)).sum(axis=-1)
        return {name: values for name in self.n}


def values_of(parts: Iterable[Part], weight: FloatArray) -> Draws:
    """Return the figures of several parts."""
    return {name: values for part in parts for name, values in part.values(weight).items()}


def gap_figures(score: FloatArray, gain: FloatArray, rows: IntArray) -> list[Part]:
    """Return APGR, CPT(50 %) and CPT(80 %) of a score over the ``rows`` where score and gain are known; nothing when there are none."""
    rows = _known(rows, score, gain)
    if len(rows) == 0:
        return []
    ranking = Ranking.of(score[rows]).at(rows)
    return [_Curve(ranking, gain[ranking.order], dict.fromkeys(("apgr", "cpt_50", "cpt_80"), len(rows)))]


def label_figures(score: FloatArray, label: FloatArray, rows: IntArray) -> list[Part]:
    """Return the AUROC of a score over the ``rows`` where the label is known; nothing when there are none."""
    rows = _known(rows, score, label)
    if len(rows) == 0:
        return []
    ranking = Ranking.of(score[rows]).at(rows)
    return [_Label(ranking, label[ranking.order], {"auroc": len(rows)})]


def calibration(judged: Judged, rows: IntArray) -> list[Part]:
    """Return Brier score and ECE of ``p_cheap_fails`` and, where there is one, of ``p_frontier_fails``."""
    failures = [("", judged.p_cheap_fails, judged.outcomes.cheap_failure)]
    if judged.p_frontier_fails is not None:
        failures.append(("_frontier", judged.p_frontier_fails, judged.outcomes.frontier_failure))
    parts: list[Part] = []
    for suffix, probability, failure in failures:
        known = _known(rows, failure)
        if len(known):
            probability, gap = probability[known], probability[known] - failure[known]
            bins = equal_mass_bins(probability, n_bins=_N_BINS, weight=judged.outcomes.weight[known])
            parts.append(Ratios.of(known, {f"brier{suffix}": brier_ratio(probability, failure[known])}))
            parts.append(_Bins(known, bins, gap, {f"ece{suffix}": len(known)}))
    return parts


def gap_part(judged: Judged, rows: IntArray) -> list[Part]:
    """Return the mean gain of the frontier model: what there is to recover."""
    return [Ratios.of(rows, {"gap": ratio(judged.outcomes.gain[rows])})]


def ratios_at(routed: Mapping[str, Routed], sent: FloatArray, rows: IntArray) -> list[Part]:
    """Return the figures of a routing over ``rows``.

    Parameters
    ----------
    routed : mapping of str to Routed
        Columns of each figure.
    sent : ndarray of shape (n,)
        Probability in [0, 1] that each request goes to the frontier model; NaN leaves the request out.
    rows : ndarray of int
        The requests to look at.
    """
    return [Ratios.of(rows, {name: figure.at(sent[rows], rows) for name, figure in routed.items()})]


def _known(rows: IntArray, *columns: FloatArray) -> IntArray:
    """Return those of ``rows`` where no column is NaN."""
    known = np.ones(len(rows), dtype=bool)
    for values in columns:
        known &= ~np.isnan(values[rows])
    return rows[known]


def _columns(ratios: Iterable[Ratio]) -> list[tuple[FloatArray, FloatArray]]:
    return [(part.numerator, part.denominator) for part in ratios]


def _taken(weight: FloatArray, rows: IntArray) -> FloatArray:
    """Return the columns ``rows`` of the weights, uncopied when they are all."""
    return weight if len(rows) == weight.shape[-1] else np.take(weight, rows, axis=-1)


def _in_chunks(values: Callable[[FloatArray], Draws], weight: FloatArray, *, width: int) -> Draws:
    """Compute a few draws at a time: what is summed should stay in the processor's cache."""
    size = max(1, _CHUNK // width)
    chunks = [values(weight[start : start + size]) for start in range(0, len(weight), size)]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
