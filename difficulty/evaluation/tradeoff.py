"""The operating points along the threshold: every routing figure with its interval, the whole rule
applied.

The requests are sorted once by the threshold that first sends them. A draw is then summed bin by
bin, where a bin is what one step of the threshold adds, and the sums are cumulated: a thousand
draws at 151 thresholds cost about as much as at one.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from difficulty.evaluation.figures import Columns, columns_of
from difficulty.evaluation.parts import ratio_support
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.form import Record
from difficulty.metrics.arrays import FloatArray, IntArray, divide
from difficulty.metrics.intervals import Support, intervals_of
from difficulty.records import Estimate


@dataclass(frozen=True, slots=True)
class Band(Record):
    """Estimates at m places; ``None`` where a value or its interval is unknown.

    Attributes
    ----------
    value, low, high : tuple of m float or None
        The figure and the ends of its 95 % interval.
    n : tuple of m int
        Number of requests behind it.
    """

    value: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    n: tuple[int, ...]

    @classmethod
    def of(
        cls, value: FloatArray, draws: FloatArray, n: IntArray, supports: Sequence[Support | None]
    ) -> Band:
        """Build from values of shape (m,), draws of shape (n_draws, m) and what stands behind each
        value; NaN: undefined.
        """
        low, high = np.where(np.isnan(value), np.nan, intervals_of(value, draws, supports))
        return cls(known_or_none(value), known_or_none(low), known_or_none(high), tuple(n.tolist()))

    @classmethod
    def from_dict(cls, columns: Mapping[str, Sequence[Any]]) -> Band:
        """Return the band that :meth:`as_dict` wrote."""
        return cls(*(tuple(columns[field.name]) for field in fields(cls)))

    def at(self, place: int) -> Estimate:
        """Return the estimate at one place."""
        return Estimate(
            value=self.value[place], low=self.low[place], high=self.high[place], n=self.n[place]
        )

    def with_estimate(self, place: int, estimate: Estimate) -> Band:
        """Return the same band with another estimate at one place."""
        columns = {field.name: list(getattr(self, field.name)) for field in fields(self)}
        for name, column in columns.items():
            column[place] = getattr(estimate, name)
        return replace(self, **{name: tuple(column) for name, column in columns.items()})


def known_or_none(values: Sequence[float] | FloatArray) -> tuple[float | None, ...]:
    """Return floats with ``None`` for NaN, as JSON needs them."""
    return tuple(None if np.isnan(value) else float(value) for value in values)


CURVE_FIGURES = (
    "frontier_share", "quality", "gap_recovered", "cost", "saving", "fallback_share", "risk",
    "routing_precision", "routing_recall",
    "cheap_route_precision", "cheap_route_recall", "saved_cost", "answers_worse",
    "calls_avoided",
)  # fmt: skip
N_POINTS = 151


@dataclass(frozen=True, slots=True)
class Curve(Record):
    """What each threshold does.

    Attributes
    ----------
    threshold : tuple of m float
        Descending, so that the frontier share ascends. Each lies between two scores, except the
        operating threshold itself.
    figures : mapping of str to Band
        The figures of ``CURVE_FIGURES`` at each threshold.
    """

    threshold: tuple[float, ...]
    figures: Mapping[str, Band]

    def through(self, threshold: float, estimates: Mapping[str, Estimate]) -> Curve:
        """Return the curve with the operating point's own estimates, to the last digit."""
        # curve_thresholds has put it there as it is, so equality finds it.
        place = self.threshold.index(threshold)
        return replace(
            self,
            figures={
                name: band.with_estimate(place, estimates[name])
                for name, band in self.figures.items()
            },
        )

    def as_dict(self, *, without: Container[str] = ()) -> dict[str, Any]:
        """Return the JSON form: the thresholds, then each figure as columns."""
        return {
            "threshold": list(self.threshold),
            **{name: band.as_dict() for name, band in self.figures.items()},
        }

    @classmethod
    def from_dict(cls, columns: Mapping[str, Any]) -> Curve:
        """Return the curve that :meth:`as_dict` wrote."""
        figures = {
            name: Band.from_dict(band) for name, band in columns.items() if name != "threshold"
        }
        return cls(tuple(columns["threshold"]), figures)


def curve_thresholds(scored: ScoredTraffic, *, n_points: int = N_POINTS) -> FloatArray:
    """Return the thresholds of the curve, descending: from none of the scored requests sent to all
    that a threshold can send.

    They are spaced evenly in the share of requests and lie midway between neighbouring scores, so
    that rounding in another runtime moves no request; equal scores have no threshold between them.
    The operating threshold stands in place of its neighbour that does the same.

    Parameters
    ----------
    scored : ScoredTraffic
        Scores, and the rules that some requests follow whatever the threshold.
    n_points : int
        Most thresholds, where there are that many different scores.
    """
    free = np.flatnonzero(np.isnan(scored.settled))
    # Negated: np.unique ascends, and the curve descends from the highest score.
    scores, step = np.unique(-scored.difficulty_score[free], return_inverse=True)
    scores = -scores
    share = np.cumsum(
        np.bincount(
            step,
            weights=(scored.outcomes.weight * scored.outcomes.per_request)[free],
            minlength=len(scores),
        )
    )
    thresholds = thresholds_between(scores)
    places = _spread(np.append(0.0, share), n_points)
    # It must be a point of the curve itself, so that both tell the same numbers.
    if scored.threshold is not None:
        place = int((scores > scored.threshold).sum())
        thresholds[place] = scored.threshold
        places = np.union1d(places, [place])
    reachable = (
        places < len(scores) if len(scores) and scores[-1] <= 0.0 else places >= 0
    )  # no threshold sends a score of 0
    return thresholds[places[reachable]]


@dataclass(frozen=True, slots=True, eq=False)
class CurvePart:
    """The figures of the curve for many weight vectors at once; a part as
    :mod:`difficulty.evaluation.figures` has them.

    Attributes
    ----------
    thresholds : ndarray of shape (m,)
        Descending.
    rows : ndarray of shape (n,)
        Requests by the first threshold that sends them; those that none sends come last.
    ends : ndarray of shape (m,)
        How many requests each threshold sends.
    kept, moved : ndarray of shape (n, 2 * n_figures)
        In that order: what a request adds to each figure's numerator, then denominator, when kept,
        and what changes when it is sent.
    n : mapping of str to ndarray of shape (m,)
        Number of requests behind each figure at each threshold.
    """

    thresholds: FloatArray
    rows: IntArray
    ends: IntArray
    kept: FloatArray
    moved: FloatArray
    n: Mapping[str, IntArray]

    @classmethod
    def of(cls, scored: ScoredTraffic, columns: Mapping[str, Columns]) -> CurvePart:
        """Lay out the columns of figures."""
        thresholds, settled = curve_thresholds(scored), scored.settled
        names = [*CURVE_FIGURES, *(name for name in columns if name not in CURVE_FIGURES)]
        figures = [columns[name] for name in names]
        by_score = np.searchsorted(
            -thresholds, -scored.difficulty_score, side="right"
        )  # the first threshold below the score
        # What is settled moves with no threshold: sent by the first one already, or by none.
        entry = np.where(np.isnan(settled), by_score, np.where(settled == 1.0, 0, len(thresholds)))
        order = np.argsort(entry, kind="stable")
        ends = np.searchsorted(entry[order], np.arange(len(thresholds)), side="right")
        kept, sent = (
            np.stack([pair[part] for part in (0, 1) for pair in pairs], axis=1)[order]
            for pairs in ([figure.kept for figure in figures], [figure.sent for figure in figures])
        )
        n = {
            name: _counts(figure, order, ends) for name, figure in zip(names, figures, strict=True)
        }
        return cls(thresholds, order, ends, kept, sent - kept, n)

    def values(self, weight: FloatArray) -> dict[str, FloatArray]:
        """Return each figure for weights of shape (n_draws, n), as arrays of shape (n_draws, m);
        NaN where undefined.
        """
        total = weight.sum(axis=-1)[:, None]
        # A product for what each step of the threshold adds; cumulated, they are every threshold.
        sums = np.empty((len(self.ends), len(weight), self.moved.shape[1]))
        start = 0
        for place, end in enumerate(self.ends):
            np.matmul(weight[:, start:end], self.moved[start:end], out=sums[place])
            start = end
        np.cumsum(sums, axis=0, out=sums)
        sums += weight @ self.kept
        numerators, denominators = np.split(sums.transpose(2, 1, 0), 2)
        return {
            name: divide(above, below, total=total)
            for name, above, below in zip(self.n, numerators, denominators, strict=True)
        }

    def supports(
        self, weight: FloatArray, codes: IntArray | None
    ) -> dict[str, list[Support | None]]:
        """Return what stands behind each figure at each threshold, for weights and groups of
        ``rows``.
        """
        # A column a row of this array, so that a figure's requests lie side by side.
        now = np.ascontiguousarray(self.kept.T)
        supports: dict[str, list[Support | None]] = {name: [] for name in self.n}
        start = 0
        for end in self.ends.tolist():
            now[:, start:end] += self.moved[start:end].T
            start = end
            for name, above, below in zip(self.n, *np.split(now, 2), strict=True):
                supports[name].append(ratio_support(above, below, weight, codes))
        return supports

    def curve(
        self,
        points: Mapping[str, FloatArray],
        draws: Mapping[str, FloatArray],
        supports: Mapping[str, Sequence[Support | None]],
    ) -> Curve:
        """Return the curve from what :meth:`values` gave for the data and for the draws, and from
        what stands behind it.
        """
        bands = {
            name: Band.of(points[name][0], draws[name], n, supports[name])
            for name, n in self.n.items()
        }
        return Curve(tuple(self.thresholds.tolist()), bands)


def over_answers(scored: ScoredTraffic) -> tuple[ScoredTraffic, dict[str, Columns]] | None:
    """Return traffic and figures for the curve along the threshold of the answer check: what the
    request's score sends at once stays, and a lower threshold sends more answers on, each of which
    has been paid for. ``None`` where answers are not checked.
    """
    sent, score = scored.sent, scored.answer_score
    if sent is None or score is None or scored.escalated is None:
        return None
    at_once = sent == 1.0
    # An answer that was not checked stays where the policy leaves it.
    unknown = np.where(np.isnan(score), 1.0 if scored.on_unknown == "escalate" else 0.0, np.nan)
    moving = replace(
        scored.unchecked,
        difficulty_score=np.nan_to_num(score),
        fixed=np.where(at_once, 1.0, unknown),
        threshold=scored.answer_threshold,
        task_thresholds={},
    )
    plain, all_on = columns_of(scored.unchecked), columns_of(scored.all_escalated)
    columns = {}
    for name, on in all_on.items():
        # Of a policy without a check nothing says what is sent on: 0 of what is kept.
        kept = plain[name].kept if name in plain else (0.0 * on.kept[0], on.kept[1])
        above, below = (
            np.where(at_once, own, escalated)
            for own, escalated in zip(on.sent, on.kept, strict=True)
        )
        columns[name] = Columns(kept, (above, below), on.counted)
    return moving, columns


def _counts(figure: Columns, order: IntArray, ends: IntArray) -> IntArray:
    """Return how many requests stand behind a figure at each threshold."""
    if figure.counted is not None:
        return np.full(len(ends), int(figure.counted.sum()))
    kept, sent = (
        np.append(0, np.cumsum((pair[1] != 0.0)[order])) for pair in (figure.kept, figure.sent)
    )
    return np.asarray(sent[ends] + kept[-1] - kept[ends])


def _spread(share: FloatArray, n_points: int) -> IntArray:
    """Return places about evenly spaced in an ascending share, both ends among them."""
    if len(share) <= n_points:
        return np.arange(len(share))
    # Evenly in share, not in score: scores crowd together.
    wanted = np.linspace(0.0, share[-1], n_points)
    after = np.clip(np.searchsorted(share, wanted), 1, len(share) - 1)
    nearer = after - (wanted - share[after - 1] < share[after] - wanted)
    return np.unique(np.concatenate([[0], nearer, [len(share) - 1]]))


def thresholds_between(scores: FloatArray) -> FloatArray:
    """Return thresholds above, between and below descending different scores in [0, 1]."""
    edges = np.concatenate([[1.0], scores, [0.0]])
    upper, lower = edges[:-1], edges[1:]
    middle = (upper + lower) / 2.0
    # Of neighbouring floats the middle is one of them.
    return np.clip(np.where(middle < upper, middle, lower), 0.0, 1.0)
