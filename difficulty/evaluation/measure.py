"""Judge a score: every figure with its interval, overall, by slice and beside the baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from difficulty.engine.threads import in_threads, one_core_each
from difficulty.evaluation.baselines import Baseline, TaskMeans, baselines_of
from difficulty.evaluation.figures import (
    CALIBRATION_FIGURES,
    Columns,
    columns_of,
    ratios_at,
    why_undefined,
)
from difficulty.evaluation.findings import Evidence, Provenance, findings_of
from difficulty.evaluation.frontiers import CheckFigures
from difficulty.evaluation.parts import (
    Draws,
    Part,
    Ratios,
    Supports,
    codes_at,
    difference_supports,
    drawn,
    estimate,
    probabilities,
    ranked_figures,
    supports_of,
    values_of,
)
from difficulty.evaluation.result import Evaluation
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.evaluation.slices import slice_rows, too_small
from difficulty.evaluation.tradeoff import Curve, CurvePart, over_answers
from difficulty.evaluation.views import (
    baseline_curves,
    calibration_parts,
    reliability,
    score_histogram,
)
from difficulty.metrics.arrays import FloatArray, IntArray, ratio, spread_rows
from difficulty.metrics.bootstrap import GroupDraws, Resampling, group_codes
from difficulty.records import Estimate

REPORTED = (
    "auroc", "apgr", "cpt_50", "cpt_80", "brier", "ece", "routing_precision", "routing_recall",
    "frontier_share", "quality", "cost",
    "gap_recovered", "risk", "cheap_route_precision", "brier_frontier", "ece_frontier",
    "cheap_route_recall", "fallback_share", "gap",
    "saving", "saved_cost", "answers_worse", "calls_avoided",
    *(
        f"{name}{suffix}"
        for suffix in ("", "_frontier")
        for name in CALIBRATION_FIGURES
    ),
)  # fmt: skip
MOST_JUDGED = 1 << 19
"""Requests that figures are worked out on, one of every so many of more: what so many leave open is
far less than a threshold is chosen to, and each takes some kilobytes meanwhile.
"""
_RANKED = ("apgr", "cpt_50", "cpt_80")
_ROUTED = ("frontier_share", "gap_recovered", "quality", "cost")
_COMPARED = ("apgr", "quality")
_Key = tuple[str, ...]
VOTES_ALONE = (
    "No outcome here says whether an answer fails, only which of two is better: p_cheap_fails is"
    " the chance that the cheap answer loses, a tie counting half, and risk, quality and Brier"
    " score are unknown. To know them have answers graded, as by label --judge exact or a function."
)
"""Where all that is known are votes."""


@dataclass(frozen=True, slots=True)
class _Set:
    """A set of requests, or a baseline, whose figures are wanted."""

    parts: Sequence[Part]
    names: Sequence[str]
    routed: bool
    direct: Mapping[str, Estimate] = field(default_factory=dict)
    """Figures that are not made by drawing groups."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class _SetFigures:
    """What is known of a set, without its requests."""

    wanted: _Set
    """Without its parts."""
    n: Mapping[str, int]
    """Requests behind each figure."""
    points: Draws
    draws: Draws
    supports: Supports


def evaluate(
    scored: ScoredTraffic,
    resampling: Resampling,
    *,
    task_means: TaskMeans | None = None,
    others: Mapping[str, FloatArray] | None = None,
    provenance: Provenance | None = None,
) -> Evaluation:
    """Return every figure of a score with its 95 % interval.

    Each figure uses the requests for which what it needs is known; its ``n`` says how many. A
    figure that is undefined has the value None and a note that says why. Of more than 524,288
    requests one of every so many is looked at, and a note says it. Intervals come from
    resampling whole groups; the score, the calibration and the threshold are held fixed, so they
    tell how sure the figures are on this traffic, not how they would change with another training
    run.

    Parameters
    ----------
    scored : ScoredTraffic
        Scores and outcomes, of requests that neither training nor the choice of the threshold has
        seen.
    resampling : Resampling
        Draws are lowered where the requests are so many that the work would grow out of hand.
    task_means : TaskMeans, optional
        Means learnt on the fit split, for the baseline ``task_mean``.
    others : mapping of str to ndarray of shape (n,), optional
        Further scores to stand among the baselines, for example the same model without the task.
    provenance : Provenance, optional
        Where the requests come from; checks that need it are left out without it.
    """
    n_all = len(scored)
    if n_all > MOST_JUDGED:
        chosen = spread_rows(n_all, MOST_JUDGED)
        scored = scored.at(chosen)
        others = {name: values[chosen] for name, values in (others or {}).items()}
    # Fewer draws above 50,000 requests, never below 200: see REQUEST_DRAWS.
    resampling = resampling.affordable(len(scored))
    slices = slice_rows(scored)
    baselines = baselines_of(scored, task_means=task_means, others=others)
    columns = columns_of(scored)
    # Nothing checks the answers of a baseline.
    plain = columns if scored.escalated is None else columns_of(scored.unchecked)
    # The same draws for the whole, every slice and every baseline, so that differences are paired.
    draws, weight = resampling.of(scored.groups), scored.outcomes.weight
    bins, curve = calibration_parts(scored), CurvePart.of(scored, columns)
    answers = over_answers(scored)
    answer_curve = CurvePart.of(*answers) if answers else None
    whole = _score_set(scored, columns, np.arange(len(scored)), draws)
    # Made where they are judged, and gone afterwards: each holds columns of its own.
    sets: dict[_Key, Callable[[], _Set]] = {("overall",): lambda: whole}
    sets |= {
        ("slice", kind, name): partial(_slice_set, scored, columns, rows, draws)
        for kind, parts in slices.items()
        for name, rows in parts.items()
    }
    sets |= {
        ("baseline", name): partial(_baseline_set, scored, plain, baseline)
        for name, baseline in baselines.items()
    }
    # The products are small: threads would wait for each other.
    with one_core_each():
        each = in_threads(
            lambda key: _judged(
                sets[key](), draws, weight, beside=whole if key[0] == "baseline" else None
            ),
            sets,
        )
        judged = dict(zip(sets, each, strict=True))
        curves = in_threads(
            lambda part: _drawn_curve(part, draws, weight),
            [curve] if answer_curve is None else [curve, answer_curve],
        )
        along, along_answers = [*curves, None][:2]
    figures = {key: _estimates(_beside(one, key, judged)) for key, one in judged.items()}
    overall, counts = figures["overall",], _counts(scored)
    recovered = overall["gap_recovered"].value if "gap_recovered" in overall else None
    answer = CheckFigures.of(scored, resampling, level=recovered)
    evidence = Evidence(
        scored=scored, overall=overall, counts=counts, provenance=provenance, answer=answer
    )
    return Evaluation(
        target=scored.target,
        threshold=scored.threshold,
        overall=overall,
        slices={
            kind: {name: figures["slice", kind, name] for name in parts}
            for kind, parts in slices.items()
        },
        baselines={name: figures["baseline", name] for name in baselines},
        counts=counts,
        notes=_notes(scored, len(draws), n_all=n_all),
        n_draws=len(draws),
        curve=_through(along, scored.threshold, overall),
        answer_curve=_through(along_answers, scored.answer_threshold, overall),
        baseline_curves=baseline_curves(scored, baselines, plain),
        calibration={
            name: part.bins(
                *drawn(part, draws, weight),
                part.supports(weight[part.rows], codes_at(draws, part.rows)),
            )
            for name, part in bins.items()
        },
        histogram=score_histogram(scored),
        findings=findings_of(evidence),
        measured_by=_measures(scored),
        answer=answer,
    )


def _drawn_curve(part: CurvePart, draws: GroupDraws, weight: FloatArray) -> Curve:
    supports = part.supports(weight[part.rows], codes_at(draws, part.rows))
    return part.curve(*drawn(part, draws, weight), supports)


def _through(
    curve: Curve | None, threshold: float | None, overall: Mapping[str, Estimate]
) -> Curve | None:
    """Return a curve with the operating point's own estimates."""
    return curve if curve is None or threshold is None else curve.through(threshold, overall)


def _measures(scored: ScoredTraffic) -> dict[str, int]:
    """Return what outcomes were measured by; nothing where nobody said it of any."""
    measures = {name or "": n for name, n in scored.outcomes.measures.items()}
    return measures if any(measures) else {}


def figures_of(scored: ScoredTraffic, draws: GroupDraws) -> dict[str, Estimate]:
    """Return the figures of a score on all its requests, without slices, baselines and curves."""
    rows, weight = np.arange(len(scored)), scored.outcomes.weight
    wanted = _score_set(scored, columns_of(scored), rows, draws)
    return _estimates(_judged(wanted, draws, weight))


def _score_set(
    scored: ScoredTraffic, columns: Mapping[str, Columns], rows: IntArray, draws: GroupDraws
) -> _Set:
    """Return the figures of the score itself on some requests."""
    sent, gain = scored.sent, scored.outcomes.gain
    ratios = {"gap": ratio(gain[rows])} | ({} if sent is None else ratios_at(columns, sent, rows))
    parts = [
        *ranked_figures(scored.difficulty_score, rows, gain=gain, label=scored.needed),
        *probabilities(scored, rows),
        Ratios.of(rows, ratios),
    ]
    names = [
        name
        for name in (*REPORTED, *(name for name in columns if name not in REPORTED))
        if scored.p_frontier_fails is not None or not name.endswith("_frontier")
    ]
    return _Set(parts, names, routed=sent is not None, direct=reliability(scored, rows, draws))


def _slice_set(
    scored: ScoredTraffic, columns: Mapping[str, Columns], rows: IntArray, draws: GroupDraws
) -> _Set:
    """Return the figures of a slice, marked where it is too small."""
    needed = scored.needed[rows]
    note = too_small(len(rows), int(np.nansum(needed)), int(np.nansum(1.0 - needed)))
    return replace(_score_set(scored, columns, rows, draws), note=note)


def _baseline_set(
    scored: ScoredTraffic, columns: Mapping[str, Columns], baseline: Baseline
) -> _Set:
    """Return the figures of a baseline."""
    rows = np.arange(len(scored))
    parts = (
        []
        if baseline.score is None
        else ranked_figures(baseline.score, rows, gain=scored.outcomes.gain)
    )
    if baseline.sent is not None:
        routed = {name: columns[name] for name in _ROUTED}
        parts.append(Ratios.of(rows, ratios_at(routed, baseline.sent, rows)))
    names = _ROUTED if baseline.score is None else _RANKED + _ROUTED
    return _Set(
        parts,
        [*names, *(f"{name}_difference" for name in _COMPARED if name in names)],
        routed=baseline.sent is not None,
    )


def _judged(
    wanted: _Set, draws: GroupDraws, weight: FloatArray, *, beside: _Set | None = None
) -> _SetFigures:
    """Return the figures of a set on the data and in each draw, and what stands behind them; of a
    baseline also what stands behind the lead of the score ``beside`` it.
    """
    supports = supports_of(wanted.parts, draws, weight)
    if beside is not None:
        lead = difference_supports(beside.parts, wanted.parts, draws, weight)
        supports |= {f"{name}_difference": lead[name] for name in _COMPARED if name in lead}
    n = {name: count for part in wanted.parts for name, count in part.n.items()}
    n |= {f"{name}_difference": n[name] for name in _COMPARED if name in n}
    points, resampled = values_of(wanted.parts, draws, weight)
    return _SetFigures(replace(wanted, parts=()), n, points, resampled, supports)


def _beside(one: _SetFigures, key: _Key, judged: Mapping[_Key, _SetFigures]) -> _SetFigures:
    """Return what was judged, of a baseline with the score's lead on it."""
    if key[0] != "baseline":
        return one
    ours, with_lead = judged["overall",], []
    for mine, theirs in ((ours.points, one.points), (ours.draws, one.draws)):
        # On the same draws: what is luck for one is mostly luck for the other.
        both = [name for name in _COMPARED if name in mine and name in theirs]
        with_lead.append(
            theirs | {f"{name}_difference": mine[name] - theirs[name] for name in both}
        )
    return replace(one, points=with_lead[0], draws=with_lead[1])


def _estimates(judged: _SetFigures) -> dict[str, Estimate]:
    """Return the estimates of one set, one for every name that was wanted."""
    wanted, n = judged.wanted, judged.n
    drawn_figures = {
        name: estimate(
            judged.points[name],
            judged.draws[name],
            n=n[name],
            unknown=why_undefined(name, n=n[name], routed=wanted.routed),
            support=judged.supports.get(name),
        )
        for name in judged.points
    }
    return {
        name: _marked(
            drawn_figures.get(name)
            or wanted.direct.get(name)
            or Estimate(
                value=None,
                n=n.get(name, 0),
                note=why_undefined(name, n=n.get(name, 0), routed=wanted.routed),
            ),
            wanted.note,
        )
        for name in wanted.names
    }


def _marked(figure: Estimate, note: str) -> Estimate:
    """Return a figure of a slice that is too small with a note instead of an interval."""
    if not note or figure.value is None:
        return figure
    return Estimate(value=figure.value, n=figure.n, note=note)


def _counts(scored: ScoredTraffic) -> dict[str, int]:
    """Return how many requests were judged and what is known of them."""
    outcomes, gain = scored.outcomes, scored.outcomes.gain
    return {
        "requests": len(scored),
        "groups": int(group_codes(scored.groups).max()) + 1,
        "cheap_known": int((~np.isnan(outcomes.cheap_quality)).sum()),
        "frontier_known": int((~np.isnan(outcomes.frontier_quality)).sum()),
        "gain_known": int((~np.isnan(gain)).sum()),
        "frontier_better": int((gain > 0).sum()),
        "tied": int((gain == 0).sum()),
        "cheap_better": int((gain < 0).sum()),
        "needed_frontier": int(np.nansum(scored.needed)),
        "cost_known": int((~np.isnan(scored.cheap_cost + scored.frontier_cost)).sum()),
    }


def _notes(scored: ScoredTraffic, n_draws: int, *, n_all: int) -> tuple[str, ...]:
    """Return what a reader has to know of all the figures."""
    notes = [
        f"Intervals are of 95 %, from {n_draws:,} bootstrap draws of whole groups, wider where"
        " groups are few or uneven; those of shares are exact for as many requests as the groups"
        " are worth."
    ]
    if n_all > len(scored):
        notes.append(
            f"Figures are of {len(scored):,} of the {n_all:,} requests, which stand evenly among"
            " them."
        )
    outcomes = scored.outcomes
    if outcomes.known.any() and np.isnan([outcomes.cheap_quality, outcomes.frontier_quality]).all():
        notes.append(VOTES_ALONE)
    if scored.threshold is None:
        notes.append("No threshold was given: figures at a threshold are unknown.")
    if scored.catch_rate is not None:
        notes.append(
            f"Validation is taken to catch {scored.catch_rate:.0%} of the cheap model's failures:"
            " quality, gap recovered, cost and risk at the threshold count the fallback."
        )
    return tuple(notes)
