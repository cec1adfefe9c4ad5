"""The parts of which a set of figures is computed, for many weight vectors at once.

A figure comes from one of three parts: ratios (anything at a threshold, the gap), a ranking (APGR,
CPT, AUROC) and probabilities (Brier score and skill). A part names the requests that it wants, in
the order in which it wants them, and takes their weights, a row for each draw; one set of draws
serves the whole, every slice and every baseline. A part also says what stands behind each figure
(:class:`~difficulty.metrics.intervals.Support`), which draws alone do not tell.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np

from difficulty.evaluation.scored import ScoredTraffic
from difficulty.metrics.arrays import FloatArray, IntArray, Ratio, divide
from difficulty.metrics.bootstrap import GroupDraws, percentile_interval
from difficulty.metrics.intervals import (
    LEAST_EVENTS,
    Support,
    effective_groups,
    interval_of,
    no_spread,
    support_of,
)
from difficulty.metrics.probability import equal_mass_bins
from difficulty.metrics.ranking import Ranking, ranked_area, ranked_crossing
from difficulty.records import Estimate

Draws = dict[str, FloatArray]
Supports = dict[str, Support | None]
Terms = tuple[tuple[float, float, Support], ...]
N_BINS = 15
# Below 0 where the frontier model is worse, whether or not these requests show it.
_SIGNED = ("gap",)
# The levels of Ong et al. (2024), RouteLLM.
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

    def supports(self, weight: FloatArray, codes: IntArray | None) -> Supports:
        """Return what stands behind each figure, for the own weights and the groups of ``rows``,
        both of shape (n_rows,); ``codes`` None: each request is its own group.
        """


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

    def supports(self, weight: FloatArray, codes: IntArray | None) -> Supports:
        """Return what stands behind each ratio."""
        return {
            name: ratio_support(*pair, weight, codes, signed=name in _SIGNED)
            for name, pair in self.named().items()
        }

    def named(self) -> dict[str, tuple[FloatArray, FloatArray]]:
        """Return numerators and denominators by the figure's name."""
        above, below = np.split(self.columns.T, 2)
        return dict(zip(self.n, zip(above, below, strict=True), strict=True))


def ratio_support(
    above: FloatArray,
    below: FloatArray,
    weight: FloatArray,
    codes: IntArray | None,
    *,
    signed: bool = False,
) -> Support | None:
    """Return what stands behind sum(weight * above) / sum(weight * below); None where that is not
    known.

    It is a share where no request adds less than 0, or more than its denominator; where one adds
    more, as of costs, it has no largest value and is 0 or more all the same. With ``signed`` it
    could have been below 0, and none is taken for either.
    """
    total = float(weight @ below)
    if not total > 1e-12 * float(weight.sum()):
        return None
    value = float(weight @ above) / total
    support = support_of(weight * np.abs(below), weight * (above - value * below), codes)
    if support is None:
        return None
    kind = kind_of([(above, below)])
    if kind.signed or signed:
        scale = float(weight.sum()) / total
        # Over all requests, as the denominator may be a gain, which is no count of them.
        over = below if kind.signed or kind.unit is not None else np.ones(len(below))
        terms = _gains_and_losses(above, over, weight, codes)
        if over is below:
            return replace(support, terms=terms, bounds=(-1.0, 1.0))
        support = replace(
            support, terms=tuple((scale * factor, share, behind) for factor, share, behind in terms)
        )
    elif kind.unit is None and (above >= 0.0).all() and (below >= 0.0).all():
        # Draws of few requests are widened past it; what lies there no cost can be.
        support = replace(support, bounds=(0.0, np.inf))
    if (below < 0.0).any():
        support = support.resting_on(effective_groups(weight * (below > 0.0), codes))
    return replace(support, unit=kind.unit, whole=kind.whole)


def _gains_and_losses(
    above: FloatArray, below: FloatArray, weight: FloatArray, codes: IntArray | None
) -> Terms:
    """Return the two shares of which sum(weight * above) / sum(weight * below) is the difference;
    nothing where a request counts for more than its denominator.
    """
    if (np.abs(above) > below * (1.0 + 1e-9)).any():
        return ()
    return tuple(
        (factor, _value(np.maximum(factor * above, 0.0), below, weight), support)
        for factor in (1.0, -1.0)
        if (support := ratio_support(np.maximum(factor * above, 0.0), below, weight, codes))
    )


def _value(above: FloatArray, below: FloatArray, weight: FloatArray) -> float:
    return float(weight @ above) / float(weight @ below)


class Kind(NamedTuple):
    """What values a ratio can have."""

    unit: float | None = None
    """The largest, where it is a share."""
    whole: bool = False
    """Whether a share counts requests that are all or nothing."""
    signed: bool = False
    """Whether it is a difference of two shares."""


def kind_of(pairs: Iterable[tuple[FloatArray, FloatArray]]) -> Kind:
    """Return the kind of a ratio from the numerators and denominators that requests can have."""
    values = []
    for above, below in pairs:
        behind = below > 0.0
        if (below < 0.0).any() or above[~behind].any():
            return Kind()
        values.append(above[behind] / below[behind])
    part = np.concatenate(values)
    low, high = float(part.min(initial=0.0)), float(part.max(initial=0.0))
    # Sums of products of floats leave a share a little above 1.
    if high > 1.0 + 1e-9 or low < -1.0 - 1e-9:
        return Kind()
    if low < 0.0:
        return Kind(signed=True)
    # Where validation catches a part of the failures, no request can lose more than the rest.
    whole = bool(np.isin(part, (0.0, high)).all())
    return Kind(high if whole and high > 0.0 else 1.0, whole)


@dataclass(frozen=True, slots=True, eq=False)
class _Ranked:
    """APGR, CPT and AUROC of one ranking; sums are made only where scores are tied."""

    # The first request of each step of equal scores, highest first; then all others, by step.
    rows: IntArray
    n_steps: int
    # Where the others of a step begin behind the first ``n_steps`` rows, and which step that is.
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

    def supports(self, weight: FloatArray, codes: IntArray | None) -> Supports:
        """Return what stands behind the figures, requests of a group as alike as their gains or
        labels.
        """
        supports: Supports = {}
        for names, values in ((("apgr", *_CPT), self.gain), (("auroc",), self.label)):
            if values is not None:
                support = ratio_support(values, np.ones(len(values)), weight, codes)
                assert support is not None
                # However many requests there are, those that needed the frontier model decide.
                events = effective_groups(weight * (values > 0.0), codes)
                resting = support.plain().resting_on(events)
                supports |= dict.fromkeys(names, resting)
                # These two are as wide as they have to be with fewer.
                supports |= dict.fromkeys(
                    {"apgr", "auroc"} & {*names}, replace(resting, known=True)
                )
        for name in supports.keys() & {"auroc", *_CPT}:
            if (support := supports[name]) is not None:
                supports[name] = replace(support, bounds=(0.0, 1.0))
        return supports

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
        bins = equal_mass_bins(probability[rows], n_bins=N_BINS, weight=weight[rows])
        # np.add.reduceat sums runs, so the requests of a bin have to stand together.
        order = np.argsort(bins, kind="stable")
        starts = np.append(0, np.flatnonzero(np.diff(bins[order])) + 1)
        picked = rows[order]
        return cls(picked, starts, probability[picked], failure[picked])

    def sums(self, values: FloatArray) -> FloatArray:
        """Return the sum of each bin, over the last axis."""
        return np.asarray(np.add.reduceat(values, self.starts, axis=-1))


@dataclass(frozen=True, slots=True, eq=False)
class _Probable:
    """Brier score of one probability, and its skill against the base rate."""

    rows: IntArray
    gap: FloatArray
    failure: FloatArray
    suffix: str

    @property
    def n(self) -> dict[str, int]:
        names = (f"brier{self.suffix}", f"brier_skill{self.suffix}")
        return dict.fromkeys(names, len(self.rows))

    def values(self, weight: FloatArray) -> Draws:
        total = weight.sum(axis=-1)
        columns = np.stack([self.gap**2, self.failure, self.failure**2], axis=1)
        score, mean, square = (weight @ columns).T / np.where(total > 0.0, total, np.nan)
        base = square - mean**2
        # Below the rounding of the sums all outcomes are alike, and nothing is left to explain.
        skill = 1.0 - divide(score, base, total=np.maximum(square, 1e-300))
        return {f"brier{self.suffix}": score, f"brier_skill{self.suffix}": skill}

    def supports(self, weight: FloatArray, codes: IntArray | None) -> Supports:
        off, ones = self.gap**2, np.ones(len(self.rows))
        mean = float(np.average(self.failure, weights=weight))
        spread = (self.failure - mean) ** 2
        score, base = (float(np.average(values, weights=weight)) for values in (off, spread))
        # What is right on most requests and far off on a few is not told by the few that were seen.
        events = min(
            effective_groups(weight * part, codes) for part in (self.failure, 1.0 - self.failure)
        )
        skill = None
        if base > 0.0:
            pull = score / base * (spread - base) - (off - score)
            skill = support_of(weight, weight * pull, codes)
        supports = {"brier": ratio_support(off, ones, weight, codes), "brier_skill": skill}
        return {
            f"{name}{self.suffix}": None if support is None else support.resting_on(events)
            for name, support in supports.items()
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


def estimate(
    point: FloatArray,
    draws: FloatArray,
    *,
    n: int,
    unknown: str,
    support: Support | None = None,
    note: str = "",
) -> Estimate:
    """Return a figure with its interval, from what :func:`drawn` and :func:`supports_of` returned;
    without a value, and with the note ``unknown``, where it is undefined on the data itself.
    """
    value = float(point[0])
    if np.isnan(value):
        return Estimate(value=None, n=n, note=unknown)
    low, high = interval_of(value, draws, support)
    if np.isnan(low) or no_spread(low, high, n):
        rare = support is not None and not support.known
        alike = no_spread(*percentile_interval(draws), n if support is None else support.groups)
        why = RARE if rare else ALIKE if alike else UNDEFINED
        return Estimate(value=value, n=n, note=note or why)
    return Estimate(value=value, low=low, high=high, n=n, note=note)


RARE = f"no interval: it rests on fewer than {LEAST_EVENTS} requests that failed, or gained"
ALIKE = f"no interval: all requests say the same, and they or their groups are below {LEAST_EVENTS}"
UNDEFINED = "no interval: undefined in more than 1 of 20 bootstrap draws"


def supports_of(parts: Iterable[Part], draws: GroupDraws, weight: FloatArray) -> Supports:
    """Return what stands behind the figures of several parts."""
    supports: Supports = {}
    for part in parts:
        supports |= part.supports(weight[part.rows], codes_at(draws, part.rows))
    return supports


def difference_supports(
    ours: Iterable[Part], theirs: Iterable[Part], draws: GroupDraws, weight: FloatArray
) -> Supports:
    """Return what stands behind the difference of each figure that both have.

    Where both are ratios over the same requests with equal denominators, the difference is a ratio
    of its own, in which a request that both treat alike counts 0; elsewhere it is no surer than
    the less sure of the two. None where both do the same with every request.
    """
    ours, theirs = list(ours), list(theirs)
    own, other = (supports_of(parts, draws, weight) for parts in (ours, theirs))
    supports: Supports = {
        name: _less_sure(support, other[name]) for name, support in own.items() if name in other
    }
    for part, against in itertools.product(ours, theirs):
        if isinstance(part, Ratios) and isinstance(against, Ratios):
            supports |= _ratio_differences(part, against, draws, weight)
    return supports


def _ratio_differences(
    part: Ratios, against: Ratios, draws: GroupDraws, weight: FloatArray
) -> Supports:
    if not np.array_equal(part.rows, against.rows):
        return {}
    first, second = part.named(), against.named()
    both = [name for name in first if name in second]
    if all(np.array_equal(first[name], second[name]) for name in both):
        return dict.fromkeys(both)
    own, codes = weight[part.rows], codes_at(draws, part.rows)
    return {name: _ratio_difference(first[name], second[name], own, codes) for name in both}


def _ratio_difference(
    one: tuple[FloatArray, FloatArray],
    other: tuple[FloatArray, FloatArray],
    weight: FloatArray,
    codes: IntArray | None,
) -> Support | None:
    (above, below), (less, under) = one, other
    if np.array_equal(below, under):
        return ratio_support(above - less, below, weight, codes, signed=True)
    support = _less_sure(*(ratio_support(*pair, weight, codes) for pair in (one, other)))
    shared = (below > 0.0) & (under > 0.0)
    alike = np.allclose(above[shared] * under[shared], less[shared] * below[shared], atol=1e-12)
    if support is None or not alike or kind_of([one, other]).unit is None:
        return support
    # Where each request that is in both counts the same in both: those, the ones in the first alone
    # and the ones in the second alone have nothing to do with each other, and the difference is a
    # sum of three shares.
    total, before = float(weight @ below), float(weight @ under)
    terms: list[tuple[float, float, Support]] = []
    for top, mass, first, second in (
        (above, np.minimum(below, under), 1.0 / total, -1.0 / before),
        (above, np.where(under == 0.0, below, 0.0), 1.0 / total, 0.0),
        (less, np.where(below == 0.0, under, 0.0), 0.0, -1.0 / before),
    ):
        counted = np.where(mass > 0.0, top, 0.0)
        if (behind := ratio_support(counted, mass, weight, codes)) is not None:
            size = float(weight @ mass)
            terms.append((size * (first + second), float(weight @ counted) / size, behind))
    return replace(support, terms=tuple(terms))


def _less_sure(one: Support | None, other: Support | None) -> Support | None:
    if one is None or other is None:
        return None
    return replace(
        one.plain(), freedom=min(one.freedom, other.freedom), widen=max(one.widen, other.widen)
    )


def codes_at(draws: GroupDraws, rows: IntArray) -> IntArray | None:
    """Return the groups of some requests; None where each has one of its own."""
    codes = draws.codes[rows]
    alone = not len(codes) or int(np.bincount(codes).max()) == 1
    return None if alone else codes


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
        name: known_rows(rows, score, values)
        for name, values in wanted.items()
        if values is not None
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


def probabilities(scored: ScoredTraffic, rows: IntArray) -> list[Part]:
    """Return Brier score and skill of each probability that the scorer gives."""
    parts: list[Part] = []
    for name, (probability, failure) in scored.failures.items():
        picked = known_rows(rows, failure)
        if len(picked):
            gap = probability[picked] - failure[picked]
            parts.append(_Probable(picked, gap, failure[picked], suffix_of(name)))
    return parts


def suffix_of(probability: str) -> str:
    """Return what the names of a probability's figures end with."""
    return "_frontier" if "frontier" in probability else ""


def _auroc(area: FloatArray, hits: FloatArray, total: FloatArray) -> FloatArray:
    """Return AUROC from the area of hits along all; NaN where one label has no weight."""
    share = divide(hits, total, total=total)
    # Below the rounding of the weights a label counts as absent.
    area = np.where(share > 1e-12, area, np.nan)
    # Along all requests a hit meets the hits too, half of them before it: that part is taken off.
    return divide(area - 0.5 * share, 1.0 - share, total=np.ones(len(share)))


def known_rows(rows: IntArray, *columns: FloatArray) -> IntArray:
    """Return those of ``rows`` where no column is NaN."""
    complete = np.ones(len(rows), dtype=bool)
    for values in columns:
        complete &= ~np.isnan(values[rows])
    return rows[complete]
