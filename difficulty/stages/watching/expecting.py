"""What to expect of requests whose outcomes nobody knows: risk, quality and gap from calibrated
probabilities, or that it cannot be told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np

from difficulty.bundle import Bundle
from difficulty.bundle.store import REFERENCE
from difficulty.bundle.traffic_reference import MOST_POINTS, Agreement, TrafficReference
from difficulty.decisions import ORDER, DecisionTable
from difficulty.errors import TooFewSamplesError
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.evaluation.words import as_percent
from difficulty.form import Record
from difficulty.metrics.arrays import FloatArray
from difficulty.metrics.traffic_shift import (
    UNKNOWN_FAILURE,
    UNKNOWN_GAP,
    Parts,
    RequestPoints,
    ShiftDistance,
    clustered_variance,
    effective_size,
    shift_distance,
    unlabelled_parts,
)
from difficulty.records import Estimate
from difficulty.report.blocks import Paragraph, Row, Section, Table
from difficulty.stages.judging import Served
from difficulty.text import quantity_text

WIDEST = 0.1
"""An interval that goes further than this to either side says too little to act on."""
_MOST_REQUESTS = 20_000
"""Of a log, drawn at random: more would make nothing surer, since most of what is not known is not
chance.
"""
_DAYS = 28
"""What counts as the traffic of now; whole weeks, as weekends are others."""
_COLUMNS = (
    "route",
    "fallback",
    "difficulty_score",
    "tokens",
    "familiarity",
    "p_cheap_fails",
    "p_frontier_fails",
    "p_answer_fails",
    "cheap_passed",
    "group",
)
_BINS = {"scores": 16, "tokens": 8, "familiarity": 6}
"""At most, by quantiles: 768 points at the most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected(Record):
    """What calibrated probabilities say of requests without outcomes.

    A figure without a value cannot be told, and its note says why.
    """

    requests: int
    new_share: Estimate
    """Share of the requests that is unlike those on which the probabilities were checked; at least
    that much, and what is reckoned with is its upper end.
    """
    risk: Estimate
    """Of the requests that stay cheap, how many the cheap model fails."""
    quality: Estimate
    """Mean quality of what users get."""
    gap: Estimate
    """Quality of the frontier model minus that of the cheap one, over all requests."""
    frontier_share: Estimate

    @property
    def sentence(self) -> str:
        """The result in one sentence, for people."""
        told = [
            f"{name} {each.value:.1%} ({each.low:.1%} to {each.high:.1%})"
            for name, each in (("risk", self.risk), ("quality", self.quality))
            if each.value is not None and each.low is not None and each.high is not None
        ]
        if told:
            return f"Without labels, by the bundle's own probabilities: {', '.join(told)}."
        return f"Without labels: {self.risk.note or self.quality.note}"

    def without(self, why: str) -> Expected:
        """Return the same with nothing told, for a reason that the requests do not show."""
        return replace(
            self,
            risk=_untold(why, n=self.risk.n),
            quality=_untold(why, n=self.quality.n),
            gap=_untold(why, n=self.gap.n),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedRequests:
    """n requests, where each went, and what the scorer said; all arrays have the shape (n,).

    Attributes
    ----------
    points : RequestPoints
    p_cheap_fails : ndarray
        That the answer that was kept fails: after what validation told of it, where it told.
    p_frontier_fails : ndarray or None
    kept : ndarray
        Probability that the user gets the cheap model's answer.
    """

    points: RequestPoints
    p_cheap_fails: FloatArray
    p_frontier_fails: FloatArray | None
    kept: FloatArray

    def __len__(self) -> int:
        return len(self.points)


def reference_of(served: Served) -> TrafficReference:
    """Return what is to be kept of requests on which nothing was fitted or chosen.

    Parameters
    ----------
    served : Served
        The requests with their outcomes, those that are known; at least one.
    """
    outputs, table = served.scores.outputs, served.scored
    values = {
        "scores": outputs["difficulty_score"].astype(np.float64),
        "tokens": served.rule_tokens(),
    }
    if "familiarity" in outputs:
        values["familiarity"] = outputs["familiarity"].astype(np.float64)
    known = np.all(np.isfinite(np.column_stack(list(values.values()))), axis=1)
    if not known.any():
        raise TooFewSamplesError("a reference needs scored requests: got none.")
    values = {name: each[known] for name, each in values.items()}
    points = RequestPoints(
        difficulty_score=values["scores"],
        tokens=values["tokens"],
        groups=np.asarray(table.groups)[known],
    )
    return TrafficReference(
        format=1,
        n=int(known.sum()),
        effective=round(max(effective_size(points), 1.0), 3),
        **_counted(values),
        **_agreements(table),
    )


def reference_bytes(reference: TrafficReference) -> bytes:
    """Return the content of ``reference.json``."""
    return (json.dumps(reference.as_dict(), separators=(",", ":")) + "\n").encode("ascii")


def expected_section(expected: Expected) -> Section:
    """Return the part of a page that says what is expected."""
    named = {
        "risk: kept requests that the cheap model fails": expected.risk,
        "quality of what users get": expected.quality,
        "gap: frontier model minus cheap model": expected.gap,
        "requests unlike those the bundle was judged by, at least": expected.new_share,
    }
    rows = [
        Row(name, (as_percent(each), f"{each.n:,}", each.note.removesuffix(".")))
        for name, each in named.items()
    ]
    return Section.of(
        "unlabelled",
        "Without labels",
        Paragraph(
            "What the bundle's own probabilities say of the last four weeks, if the models are"
            " still those that it was trained on."
        ),
        Table.of("", ("figure", "expected", "requests", "why not"), rows),
    )


def expect_of(served: Served, bundle: Bundle) -> Expected:
    """Return what to expect of scored traffic under the bundle's policy, outcomes left aside."""
    reference, why = _reference(bundle)
    table = served.under_policy(bundle.policy)
    sent = table.ends_frontier
    assert sent is not None
    routed = _routed_table(table, served, sent)
    return _expect(routed, reference, why)


def expect_of_latest(
    table: DecisionTable, bundle: Bundle, *, until: datetime | None = None
) -> Expected:
    """Return what to expect of the last four weeks of a log, as far as this bundle decided.

    Parameters
    ----------
    table : DecisionTable
    bundle : Bundle
    until : datetime, optional
        First moment that no more counts.
    """
    label = bundle.label.replace("'", "''")
    where = f"bundle_version = '{label}' AND difficulty_score IS NOT NULL"
    where += f" AND day < DATE '{until.date()}'" if until else ""
    names = ", ".join(f'"{name}"' for name in _COLUMNS if name in table.columns)
    table.gather("ends", f"SELECT max(day) AS day FROM decisions WHERE {where}")
    latest = table.connection.execute("SELECT max(day) FROM ends").fetchone()[0]
    recent = f"day > DATE '{latest}' - INTERVAL {_DAYS} DAY" if latest else "FALSE"
    # By the hash of a request, which is as good as chance and draws the same however rows lie.
    drawn = f"ORDER BY hash(id, time, writer, seq), id LIMIT {_MOST_REQUESTS}"
    table.gather(
        "latest",
        f"SELECT {names}, {', '.join(ORDER)} FROM decisions WHERE {where} AND {recent} {drawn}",
    )
    return expect_of_log(
        bundle,
        table.query(f"SELECT {names} FROM (FROM latest {drawn}) ORDER BY {', '.join(ORDER)}"),
    )


def expect_of_log(bundle: Bundle, arrays: Mapping[str, np.ndarray], *, seed: int = 0) -> Expected:
    """Return what to expect of logged requests, of those that were scored by this bundle.

    Parameters
    ----------
    bundle : Bundle
    arrays : mapping of str to ndarray of shape (n,)
        Columns of the decision table; of ``route``, ``fallback``, ``difficulty_score``, ``tokens``,
        ``familiarity``, ``p_cheap_fails``, ``p_frontier_fails``, ``p_answer_fails``,
        ``cheap_passed`` and ``group`` those that are there.
    seed : int
        Of the rows that are drawn, where there are more than 20,000.
    """
    reference, why = _reference(bundle)
    scored = np.isfinite(arrays["difficulty_score"]) & np.isfinite(arrays["p_cheap_fails"])
    scored &= np.isfinite(arrays["tokens"])
    rows = np.flatnonzero(scored)
    if not len(rows):
        nothing = Estimate(value=None, note="no request of the log was scored.")
        return Expected(
            requests=0,
            new_share=nothing,
            risk=nothing,
            quality=nothing,
            gap=nothing,
            frontier_share=nothing,
        )
    if len(rows) > _MOST_REQUESTS:
        drawn = np.random.default_rng(seed).choice(len(rows), _MOST_REQUESTS, replace=False)
        rows = rows[np.sort(drawn)]
    return _expect(_routed_log(bundle, arrays, rows), reference, why)


def _routed_log(
    bundle: Bundle, arrays: Mapping[str, np.ndarray], rows: np.ndarray
) -> RoutedRequests:
    def numbers(name: str) -> FloatArray | None:
        return np.asarray(arrays[name][rows], dtype=np.float64) if name in arrays else None

    def texts(name: str) -> np.ndarray | None:
        return np.asarray(arrays[name][rows], dtype=object) if name in arrays else None

    route, fallback = texts("route"), texts("fallback")
    assert route is not None
    kept = (route == "cheap").astype(np.float64)
    if fallback is not None:
        kept[np.array([each is not None for each in fallback], dtype=bool)] = 0.0
    p_cheap, p_frontier = numbers("p_cheap_fails"), numbers("p_frontier_fails")
    assert p_cheap is not None
    passed, catch = numbers("cheap_passed"), bundle.policy.fallback.catch_rate
    if passed is not None and catch:
        # Bayes: of answers that passed, those that fail are rarer by what validation catches.
        after = p_cheap * (1.0 - catch) / np.maximum(1.0 - p_cheap * catch, 1e-9)
        p_cheap = np.where(passed == 1.0, after, p_cheap)
    if (judged := numbers("p_answer_fails")) is not None:
        # Who has read the answer knows more than who has read the question.
        p_cheap = np.where(np.isfinite(judged), judged, p_cheap)
    score, tokens, familiarity = (
        numbers(name) for name in ("difficulty_score", "tokens", "familiarity")
    )
    assert score is not None
    assert tokens is not None
    return RoutedRequests(
        points=RequestPoints(
            difficulty_score=score,
            tokens=tokens,
            familiarity=_all_known(familiarity),
            groups=_whole_groups(texts("group")),
        ),
        p_cheap_fails=p_cheap,
        p_frontier_fails=_all_known(p_frontier),
        kept=kept,
    )


def _routed_table(table: ScoredTraffic, served: Served, sent: FloatArray) -> RoutedRequests:
    outputs, catch = served.scores.outputs, table.catch_rate or 0.0
    assert table.p_cheap_fails is not None
    familiarity = outputs.get("familiarity")
    p_cheap = table.p_cheap_fails
    if table.p_answer_fails is not None:
        judged = table.p_answer_fails
        p_cheap = np.where(np.isfinite(judged), judged, p_cheap)
    # What validation catches is answered by the frontier model in the end.
    kept = (1.0 - sent) * (1.0 - p_cheap * catch)
    p_kept = p_cheap * (1.0 - catch) / np.maximum(1.0 - p_cheap * catch, 1e-9)
    return RoutedRequests(
        points=RequestPoints(
            difficulty_score=table.difficulty_score,
            tokens=served.rule_tokens(),
            familiarity=None if familiarity is None else familiarity.astype(np.float64),
            groups=np.asarray(table.groups),
        ),
        p_cheap_fails=p_kept,
        p_frontier_fails=table.p_frontier_fails,
        kept=kept,
    )


def _expect(
    routed: RoutedRequests, reference: TrafficReference | None, why: str | None
) -> Expected:
    kept, n = routed.kept, len(routed)
    share = Estimate(value=float(1.0 - kept.mean()), n=n)
    distance: ShiftDistance | None = None
    if reference is not None:
        try:
            distance = shift_distance(_as_points(reference), routed.points, seed=0)
        except TooFewSamplesError as error:
            why = str(error)
    if reference is None or distance is None:
        nothing = Estimate(value=None, n=n, note=why or "")
        return Expected(
            requests=n,
            new_share=nothing,
            risk=nothing,
            quality=nothing,
            gap=nothing,
            frontier_share=share,
        )
    new = Estimate(
        value=distance.value,
        low=max(distance.value - 1.96 * distance.error, 0.0),
        high=min(distance.value + 1.96 * distance.error, 1.0),
        n=n,
    )
    return Expected(
        requests=n,
        new_share=new,
        risk=_risk(routed, reference, distance),
        quality=_quality(routed, reference, distance),
        gap=_gap(routed, reference, distance),
        frontier_share=share,
    )


def _risk(routed: RoutedRequests, reference: TrafficReference, distance: ShiftDistance) -> Estimate:
    share = float(routed.kept.mean())
    if share <= 0.0:
        return Estimate(value=None, n=0, note="no request stays cheap.")
    if reference.p_cheap_fails is None:
        return _untold("what the cheap model fails was not known when the bundle was made", n=0)
    p, weight = routed.p_cheap_fails, routed.kept / share
    # All that is new may be among what is kept.
    of_kept = _of_part(distance, share)
    value, parts = unlabelled_parts(
        p * weight,
        noise=p * (1.0 - p) * weight**2,
        groups=routed.points.groups,
        distance=of_kept,
        unknown=UNKNOWN_FAILURE,
        calibration_error=reference.p_cheap_fails.off,
    )
    return _told(value, parts, of_kept, n=round(float(routed.kept.sum())))


def _quality(
    routed: RoutedRequests, reference: TrafficReference, distance: ShiftDistance
) -> Estimate:
    p_cheap, p_frontier, kept = routed.p_cheap_fails, routed.p_frontier_fails, routed.kept
    if p_frontier is None or reference.p_frontier_fails is None:
        return _untold("the scorer knows nothing of the frontier model's failures", n=len(routed))
    if reference.p_cheap_fails is None:
        return _untold(
            "what the cheap model fails was not known when the bundle was made", n=len(routed)
        )
    errors = (reference.p_cheap_fails.off, reference.p_frontier_fails.off)
    value, parts = unlabelled_parts(
        1.0 - kept * p_cheap - (1.0 - kept) * p_frontier,
        noise=kept * p_cheap * (1.0 - p_cheap) + (1.0 - kept) * p_frontier * (1.0 - p_frontier),
        groups=routed.points.groups,
        distance=distance,
        unknown=UNKNOWN_FAILURE,
        calibration_error=max(errors),
    )
    return _told(value, parts, distance, n=len(routed))


def _gap(routed: RoutedRequests, reference: TrafficReference, distance: ShiftDistance) -> Estimate:
    p_cheap, p_frontier = routed.p_cheap_fails, routed.p_frontier_fails
    if p_frontier is None or reference.gap is None:
        return _untold("the scorer knows nothing of the frontier model's failures", n=len(routed))
    value, parts = unlabelled_parts(
        p_cheap - p_frontier,
        noise=p_cheap * (1.0 - p_cheap) + p_frontier * (1.0 - p_frontier),
        groups=routed.points.groups,
        distance=distance,
        unknown=UNKNOWN_GAP,
        calibration_error=reference.gap.off,
    )
    return _told(value, parts, distance, n=len(routed))


def _of_part(distance: ShiftDistance, share: float) -> ShiftDistance:
    """Return the distance of a part of the requests, a share of them, in the worst case."""
    return ShiftDistance(
        value=min(distance.value / share, 1.0),
        error=min(distance.error / share, 1.0),
        p_value=distance.p_value,
    )


def _told(value: float, parts: Parts, distance: ShiftDistance, *, n: int) -> Estimate:
    """Return the estimate, or what makes it too unsure."""
    if parts.half <= WIDEST:
        return Estimate(value=value, low=value - parts.half, high=value + parts.half, n=n)
    reasons = {
        "shift": f"up to {distance.upper:.1%} of these requests are unlike those that the bundle"
        " was judged by. Label some of them",
        "calibration": f"the probabilities were off by {np.sqrt(parts.calibration):.1%} on the"
        " test samples. Run: difficulty recalibrate",
        "chance": f"{quantity_text(n, 'request is', 'requests are')} few. Wait for more",
    }
    if not distance.is_shown:  # chance alone tells as many apart, of so few
        del reasons["shift"]
    main = max(reasons, key=lambda name: float(getattr(parts, name)))
    return _untold(
        f"the interval would reach {parts.half:.1%} to either side: {reasons[main]}", n=n
    )


def _untold(why: str, *, n: int) -> Estimate:
    return Estimate(value=None, n=n, note=f"cannot tell: {why}.")


def _reference(bundle: Bundle) -> tuple[TrafficReference | None, str | None]:
    reference = bundle.reference
    if reference is None:
        return None, (
            f"cannot tell: the bundle has no {REFERENCE}, so nothing says what it was judged on."
            " Ship it again."
        )
    return reference, None


def _as_points(reference: TrafficReference) -> RequestPoints:
    familiarity = reference.familiarity
    return RequestPoints(
        difficulty_score=np.array(reference.scores),
        tokens=np.array(reference.tokens),
        familiarity=None if familiarity is None else np.array(familiarity),
        count=np.array(reference.counts, dtype=np.float64),
        effective=reference.effective,
    )


def _counted(values: Mapping[str, FloatArray]) -> dict[str, Any]:
    """Return the middles of bins of equal mass that hold requests, with how many."""
    columns = []
    for name, each in values.items():
        n_bins = _BINS[name]
        edges = np.unique(np.quantile(each, np.arange(1, n_bins) / n_bins))
        _, place = np.unique(np.searchsorted(edges, each, side="right"), return_inverse=True)
        middles = [np.median(each[place == bin_]) for bin_ in range(int(place.max()) + 1)]
        columns.append(np.array(middles)[place])
    cells, counts = np.unique(np.round(np.column_stack(columns), 6), axis=0, return_counts=True)
    assert len(cells) <= MOST_POINTS
    named = {name: tuple(cells[:, place].tolist()) for place, name in enumerate(values)}
    return {**named, "counts": tuple(counts.tolist())}


def _agreements(table: ScoredTraffic) -> dict[str, Any]:
    """Return how far each probability was off, where outcomes are known."""
    off = {name: probability - outcome for name, (probability, outcome) in table.failures.items()}
    if len(off) == 2:
        off["gap"] = off["p_cheap_fails"] - off["p_frontier_fails"]
    agreements: dict[str, Any] = {}
    groups = np.asarray(table.groups)
    for name, values in off.items():
        known = np.isfinite(values)
        if known.sum() >= 2:
            agreements[name] = Agreement(
                n=int(known.sum()),
                mean=round(float(values[known].mean()), 6),
                error=round(float(np.sqrt(clustered_variance(values[known], groups[known]))), 6),
            )
    return agreements


def _all_known(values: FloatArray | None) -> FloatArray | None:
    """Return values that are all known, None otherwise."""
    return values if values is not None and np.isfinite(values).all() else None


def _whole_groups(groups: np.ndarray | None) -> np.ndarray | None:
    """Return the group of each request, those without one each in its own."""
    if groups is None or all(each is None for each in groups):
        return None
    return np.array(
        [f"={place}" if each is None else str(each) for place, each in enumerate(groups)]
    )
