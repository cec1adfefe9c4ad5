"""The figures of one set of requests, computed for many weight vectors at once.

A figure comes from one of three parts: ratios (anything at a threshold, the gap), a ranking (APGR,
CPT, AUROC) and bins (Brier, ECE). A part names the requests that it wants, in the order in which it
wants them, and takes their weights, a row for each draw; one set of draws serves the whole, every
slice and every baseline. Bins are those of the data itself; they stay as they are in every draw.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from difficulty.errors import InvalidValueError
from difficulty.evaluation.scored import Judged, Routed, routed_figures
from difficulty.metrics.arrays import FloatArray, IntArray, Ratio, divide
from difficulty.metrics.bootstrap import GroupDraws, affordable_draws, percentile_interval
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
        made: Draws = {}
        if self.gain is not None:
            gained = self._steps(weight * self.gain)
            upto, sent = np.cumsum(gained, axis=-1), np.cumsum(step, axis=-1)
            made["apgr"] = ranked_area(step, gained, upto)
            made |= {name: ranked_crossing(sent, upto, level) for name, level in _CPT.items()}
        if self.label is not None:
            hits = self._steps(weight * self.label)
            area = ranked_area(step, hits, np.cumsum(hits, axis=-1))
            made["auroc"] = _auroc(area, hits.sum(axis=-1), step.sum(axis=-1))
        return made

    def _steps(self, values: FloatArray) -> FloatArray:
        """Return the sum of each step, of shape (n_draws, n_steps)."""
        first = values[:, : self.n_steps]
        if not len(self.steps):
            return first
        summed = first.copy()
        summed[:, self.steps] += np.add.reduceat(values[:, self.n_steps :], self.others, axis=-1)
        return summed


@dataclass(frozen=True, slots=True, eq=False)
class _Calibrated:
    """Brier score and ECE of one probability; ``rows`` are sorted by bin, and ``starts`` says where
    each bin starts.
    """

    rows: IntArray
    starts: IntArray
    gap: FloatArray
    suffix: str

    @classmethod
    def of(
        cls,
        probability: FloatArray,
        failure: FloatArray,
        rows: IntArray,
        weight: FloatArray,
        *,
        suffix: str,
    ) -> _Calibrated:
        bins = equal_mass_bins(probability[rows], n_bins=_N_BINS, weight=weight[rows])
        order = np.argsort(bins, kind="stable")
        starts = np.append(0, np.flatnonzero(np.diff(bins[order])) + 1)
        picked = rows[order]
        return cls(picked, starts, probability[picked] - failure[picked], suffix)

    @property
    def n(self) -> dict[str, int]:
        return {f"brier{self.suffix}": len(self.rows), f"ece{self.suffix}": len(self.rows)}

    def values(self, weight: FloatArray) -> Draws:
        total = weight.sum(axis=-1)
        off = np.abs(np.add.reduceat(weight * self.gap, self.starts, axis=-1)).sum(axis=-1)
        squared = weight @ self.gap**2
        return {
            f"brier{self.suffix}": divide(squared, total, total=total),
            f"ece{self.suffix}": divide(off, total, total=total),
        }


def drawn(part: Drawn, draws: GroupDraws, weight: FloatArray) -> tuple[Draws, Draws]:
    """Return what a part computes on the data itself and in each draw, given the requests' own
    weights of shape (n,).
    """
    own = weight[part.rows]
    blocks = [part.values(block * own) for block in draws.blocks(part.rows, size=_BLOCK)]
    return part.values(own[None, :]), {
        name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]
    }


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
    known = {
        name: _known(rows, score, values) for name, values in wanted.items() if values is not None
    }
    if len(known) == 2 and np.array_equal(known["gain"], known["label"]):
        return (
            [_Ranked.of(score, known["gain"], gain=gain, label=label)] if len(known["gain"]) else []
        )
    return [
        _Ranked.of(score, picked, **{name: wanted[name]})
        for name, picked in known.items()
        if len(picked)
    ]


def calibration(judged: Judged, rows: IntArray) -> list[Part]:
    """Return Brier score and ECE of ``p_cheap_fails`` and, where there is one, of
    ``p_frontier_fails``.
    """
    failures = [("", judged.p_cheap_fails, judged.outcomes.cheap_failure)]
    if judged.p_frontier_fails is not None:
        failures.append(("_frontier", judged.p_frontier_fails, judged.outcomes.frontier_failure))
    known = [
        (suffix, probability, failure, _known(rows, failure))
        for suffix, probability, failure in failures
    ]
    weight = judged.outcomes.weight
    return [
        _Calibrated.of(p, failure, picked, weight, suffix=suffix)
        for suffix, p, failure, picked in known
        if len(picked)
    ]


def routed_at(routed: Mapping[str, Routed], sent: FloatArray, rows: IntArray) -> dict[str, Ratio]:
    """Return the figures of a routing over ``rows``.

    Parameters
    ----------
    routed : mapping of str to Routed
        Columns of each figure.
    sent : ndarray of shape (n,)
        Probability in [0, 1] that each request goes to the frontier model; NaN leaves the request
        out.
    rows : ndarray of int
        The requests to look at.
    """
    return {name: figure.at(sent[rows], rows) for name, figure in routed.items()}


def _auroc(area: FloatArray, hits: FloatArray, total: FloatArray) -> FloatArray:
    """Return AUROC from the area under the share of hits along the share of all; NaN where one
    label has no weight.
    """
    share = divide(hits, total, total=total)
    area = np.where(share > 1e-12, area, np.nan)
    return divide(area - 0.5 * share, 1.0 - share, total=np.ones(len(share)))


def _known(rows: IntArray, *columns: FloatArray) -> IntArray:
    """Return those of ``rows`` where no column is NaN."""
    known = np.ones(len(rows), dtype=bool)
    for values in columns:
        known &= ~np.isnan(values[rows])
    return rows[known]


PAIRED = ("quality", "frontier_share", "cost", "risk", "gap_recovered", "apgr")
_AT_THRESHOLD = ("quality", "frontier_share", "cost", "risk", "gap_recovered")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contender:
    """What a router did with n requests.

    Attributes
    ----------
    judged : Judged
        Its scores, beside the outcomes and costs.
    sent : ndarray of shape (n,)
        1 where it chose the frontier model, else 0.
    """

    judged: Judged
    sent: FloatArray

    def parts(self) -> list[Part]:
        """Return what its figures are computed from."""
        rows = np.arange(len(self.judged))
        at_threshold = Ratios.of(
            rows, routed_at(routed_figures(self.judged, _AT_THRESHOLD), self.sent, rows)
        )
        return [
            at_threshold,
            *ranked_figures(self.judged.difficulty_score, rows, gain=self.judged.outcomes.gain),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """One figure of both routers."""

    challenger: Estimate
    champion: Estimate
    difference: Estimate
    """Challenger minus champion; its interval is that of the difference, not the difference of
    intervals.
    """

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            name: getattr(self, name).as_dict() for name in ("challenger", "champion", "difference")
        }


def compare_pair(
    challenger: Contender, champion: Contender, *, n_draws: int = 1000, rng: np.random.Generator
) -> dict[str, Paired]:
    """Return every figure of ``PAIRED`` for two routers and their difference, with 95 % intervals.

    Parameters
    ----------
    challenger, champion : Contender
        On the same requests, in the same order, with the same outcomes.
    n_draws : int, default 1000
        Bootstrap draws of whole groups; lowered for very many requests.
    rng : numpy.random.Generator
        Source of chance.

    Returns
    -------
    dict of str to Paired
        A figure that is unknown on this traffic has estimates without a value.

    References
    ----------
    Efron and Tibshirani (1993), "An Introduction to the Bootstrap", chapter 8 (paired data).
    """
    n = len(challenger.judged)
    if len(champion.judged) != n:
        raise InvalidValueError(
            "champion",
            f"{len(champion.judged):,} requests",
            rule=f"be judged on the challenger's {n:,} requests",
        )
    draws = GroupDraws.of(challenger.judged.groups, n_draws=affordable_draws(n, n_draws), rng=rng)
    weight, parts = challenger.judged.outcomes.weight, challenger.parts()
    counts = {name: count for part in parts for name, count in part.n.items()}
    ours, theirs = values_of(parts, draws, weight), values_of(champion.parts(), draws, weight)
    return {name: _paired(name, ours, theirs, counts.get(name, 0)) for name in PAIRED}


def _paired(name: str, ours: tuple[Draws, Draws], theirs: tuple[Draws, Draws], n: int) -> Paired:
    """Return the estimates of one figure from its points and draws of both."""
    if any(name not in values for values in (*ours, *theirs)):
        unknown = Estimate(value=None, n=0, note="not known of this traffic")
        return Paired(challenger=unknown, champion=unknown, difference=unknown)
    (point, drawn), (other_point, other_drawn) = (
        [values[name] for values in pair] for pair in (ours, theirs)
    )
    return Paired(
        challenger=_estimate(point, drawn, n),
        champion=_estimate(other_point, other_drawn, n),
        difference=_estimate(point - other_point, drawn - other_drawn, n),
    )


def _estimate(point: FloatArray, draws: FloatArray, n: int) -> Estimate:
    value = float(point[0])
    if np.isnan(value):
        return Estimate(value=None, n=n, note="not known of this traffic")
    low, high = percentile_interval(draws)
    return (
        Estimate(value=value) if np.isnan(low) else Estimate(value=value, low=low, high=high, n=n)
    )
