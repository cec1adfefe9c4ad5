"""The parts of which a set of figures is computed, for many weight vectors at once.

A figure comes from one of three parts: ratios (anything at a threshold, the gap), a ranking (APGR,
CPT, AUROC) and bins (Brier, ECE). A part names the requests that it wants, in the order in which it
wants them, and takes their weights, a row for each draw; one set of draws serves the whole, every
slice and every baseline. Bins are those of the data itself; they stay as they are in every draw.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from difficulty.evaluation.scored import ScoredTraffic
from difficulty.metrics.arrays import FloatArray, IntArray, Ratio, divide
from difficulty.metrics.bootstrap import GroupDraws, percentile_interval
from difficulty.metrics.probability import equal_mass_bins
from difficulty.metrics.ranking import Ranking, ranked_area, ranked_crossing
from difficulty.records import Estimate

Draws = dict[str, FloatArray]
_N_BINS = 15
_CPT = {"cpt_50": 0.5, "cpt_80": 0.8}
_BLOCK = 1 << 16
"""Weights computed at a time: what is summed should stay in the processor's cache."""


class Drawn(Protocol):
    """Something that is computed for many weight vectors at once."""

    @property
    def rows(self) -> IntArray:
        """The requests whose weights are wanted, in the order wanted."""

    def values(self, weight: FloatArray) -> Draws:
        """Return arrays with one row a draw for weights of shape (n_draws, n_rows); NaN where
        undefined.
        """


class Part(Drawn, Protocol):
    """Some figures of one set of requests; their values have the shape (n_draws,)."""

    @property
    def n(self) -> Mapping[str, int]:
        """Number of requests behind each figure, by its name."""


@dataclass(frozen=True, slots=True, eq=False)
class Ratios:
    """Ratios over ``rows``, all recomputed by one matrix product; ``columns`` holds the numerators,
    then the denominators.
    """

    rows: IntArray
    columns: FloatArray
    n: Mapping[str, int]

    @classmethod
    def of(cls, rows: IntArray, ratios: Mapping[str, Ratio]) -> Ratios:
        """Stack ratios whose columns belong to ``rows``."""
        parts = ratios.values()
        columns = [*(part.numerator for part in parts), *(part.denominator for part in parts)]
        return cls(rows, np.stack(columns, axis=1), {name: part.n for name, part in ratios.items()})

    def values(self, weight: FloatArray) -> Draws:
        """Return each ratio in each draw."""
        above, below = np.split((weight @ self.columns).T, 2)
        return dict(zip(self.n, divide(above, below, total=weight.sum(axis=-1)), strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class _Ranked:
    """APGR, CPT and AUROC of one ranking.

    ``rows`` holds the first request of each step of equal scores, in descending order of score,
    then all others by step: so nothing has to be summed where scores are not tied. ``others`` says
    where those of each step begin, ``steps`` which step that is.
    """

    rows: IntArray
    n_steps: int
    others: IntArray
    steps: IntArray
    gain: FloatArray | None
    label: FloatArray | None

    @classmethod
    def of(
        cls,
        score: FloatArray,
        rows: IntArray,
        *,
        gain: FloatArray | None = None,
        label: FloatArray | None = None,
    ) -> _Ranked:
        ranking = Ranking.of(score[rows]).at(rows)
        first = np.zeros(len(rows), dtype=bool)
        first[np.append(0, ranking.ends[:-1] + 1)] = True
        # Most scores differ, so most steps have one request and need no sum in any draw.
        step = (np.cumsum(first) - 1)[~first]
        steps, others = np.unique(step, return_index=True)
        order = np.concatenate([ranking.order[first], ranking.order[~first]])
        columns = (None if values is None else values[order] for values in (gain, label))
        return cls(order, len(ranking.ends), others, steps, *columns)

    @property
    def n(self) -> dict[str, int]:
        names = [
            *(["apgr", *_CPT] if self.gain is not None else []),
            *(["auroc"] if self.label is not None else []),
        ]
        return dict.fromkeys(names, len(self.rows))

    def values(self, weight: FloatArray) -> Draws:
        step = self._steps(weight)
        figures: Draws = {}
        if self.gain is not None:
            gained = self._steps(weight * self.gain)
            upto, sent = np.cumsum(gained, axis=-1), np.cumsum(step, axis=-1)
            figures["apgr"] = ranked_area(step, gained, upto)
            figures |= {name: ranked_crossing(sent, upto, level) for name, level in _CPT.items()}
        if self.label is not None:
            hits = self._steps(weight * self.label)
            area = ranked_area(step, hits, np.cumsum(hits, axis=-1))
            figures["auroc"] = _auroc(area, hits.sum(axis=-1), step.sum(axis=-1))
        return figures

    def _steps(self, values: FloatArray) -> FloatArray:
        """Return the sum of each step, of shape (n_draws, n_steps)."""
        first = values[:, : self.n_steps]
        if not len(self.steps):
            return first
        summed = first.copy()
        summed[:, self.steps] += np.add.reduceat(values[:, self.n_steps :], self.others, axis=-1)
        return summed


@dataclass(frozen=True, slots=True, eq=False)
class Binned:
    """Requests with a known outcome by equally heavy bins of a probability.

    Attributes
    ----------
    rows : ndarray of shape (n_known,)
        Sorted by bin.
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
        cls, probability: FloatArray, failure: FloatArray, rows: IntArray, weight: FloatArray
    ) -> Binned:
        """Lay out the bins of ``rows``, of which the outcome must be known."""
        bins = equal_mass_bins(probability[rows], n_bins=_N_BINS, weight=weight[rows])
        order = np.argsort(bins, kind="stable")
        starts = np.append(0, np.flatnonzero(np.diff(bins[order])) + 1)
        picked = rows[order]
        return cls(picked, starts, probability[picked], failure[picked])

    def sums(self, values: FloatArray) -> FloatArray:
        """Return the sum of each bin, over the last axis."""
        return np.asarray(np.add.reduceat(values, self.starts, axis=-1))


@dataclass(frozen=True, slots=True, eq=False)
class _Calibrated:
    """Brier score and ECE of one probability."""

    bins: Binned
    suffix: str

    @property
    def rows(self) -> IntArray:
        return self.bins.rows

    @property
    def n(self) -> dict[str, int]:
        return dict.fromkeys((f"brier{self.suffix}", f"ece{self.suffix}"), len(self.rows))

    def values(self, weight: FloatArray) -> Draws:
        total, gap = weight.sum(axis=-1), self.bins.probability - self.bins.failure
        off = np.abs(self.bins.sums(weight * gap)).sum(axis=-1)
        return {
            f"brier{self.suffix}": divide(weight @ gap**2, total, total=total),
            f"ece{self.suffix}": divide(off, total, total=total),
        }


def drawn(part: Drawn, draws: GroupDraws, weight: FloatArray) -> tuple[Draws, Draws]:
    """Return what a part computes on the data itself and in each draw, given the requests' own
    weights of shape (n,).
    """
    # Weights exist for a block of draws at a time: all at once would not fit into memory.
    own = weight[part.rows]
    blocks = [part.values(block * own) for block in draws.blocks(part.rows, size=_BLOCK)]
    return part.values(own[None, :]), {
        name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]
    }


def estimate(point: FloatArray, draws: FloatArray, *, n: int, unknown: str) -> Estimate:
    """Return a figure with its interval, from what :func:`drawn` returned; without a value, and
    with the note ``unknown``, where it is undefined on the data itself.
    """
    value = float(point[0])
    if np.isnan(value):
        return Estimate(value=None, n=n, note=unknown)
    low, high = percentile_interval(draws)
    if np.isnan(low):
        return Estimate(value=value, n=n)
    return Estimate(value=value, low=low, high=high, n=n)


def values_of(parts: Iterable[Part], draws: GroupDraws, weight: FloatArray) -> tuple[Draws, Draws]:
    """Return the figures of several parts on the data itself and in each draw."""
    points: Draws = {}
    resampled: Draws = {}
    for part in parts:
        point, values = drawn(part, draws, weight)
        points |= point
        resampled |= values
    return points, resampled


def ranked_figures(
    score: FloatArray,
    rows: IntArray,
    *,
    gain: FloatArray | None = None,
    label: FloatArray | None = None,
) -> list[Part]:
    """Return APGR and CPT by a gain, and AUROC by a label, over the ``rows`` where these are known;
    nothing where there are none.
    """
    wanted = {"gain": gain, "label": label}
    usable = {
        name: _known(rows, score, values) for name, values in wanted.items() if values is not None
    }
    # One ranking serves both where the same requests are known: sorting and summing dominate.
    if len(usable) == 2 and np.array_equal(usable["gain"], usable["label"]):
        return (
            [_Ranked.of(score, usable["gain"], gain=gain, label=label)]
            if len(usable["gain"])
            else []
        )
    return [
        _Ranked.of(score, picked, **{name: wanted[name]})
        for name, picked in usable.items()
        if len(picked)
    ]


def calibration(scored: ScoredTraffic, rows: IntArray) -> list[Part]:
    """Return Brier score and ECE of ``p_cheap_fails`` and, where there is one, of
    ``p_frontier_fails``.
    """
    parts: list[Part] = []
    for name, (probability, failure) in scored.failures.items():
        picked, suffix = _known(rows, failure), "_frontier" if "frontier" in name else ""
        if len(picked):
            bins = Binned.of(probability, failure, picked, scored.outcomes.weight)
            parts.append(_Calibrated(bins, suffix))
    return parts


def _auroc(area: FloatArray, hits: FloatArray, total: FloatArray) -> FloatArray:
    """Return AUROC from the area under the share of hits along the share of all; NaN where one
    label has no weight.
    """
    share = divide(hits, total, total=total)
    # Below the rounding of the weights a label counts as absent.
    area = np.where(share > 1e-12, area, np.nan)
    return divide(area - 0.5 * share, 1.0 - share, total=np.ones(len(share)))


def _known(rows: IntArray, *columns: FloatArray) -> IntArray:
    """Return those of ``rows`` where no column is NaN."""
    complete = np.ones(len(rows), dtype=bool)
    for values in columns:
        complete &= ~np.isnan(values[rows])
    return rows[complete]
