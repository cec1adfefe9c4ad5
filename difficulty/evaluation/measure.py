"""Judge a score: every figure with its interval, overall, by slice and beside the baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from difficulty.evaluation.baselines import Baseline, TaskMeans, baselines_of
from difficulty.evaluation.figures import (
    Draws,
    Part,
    Ratios,
    calibration,
    drawn,
    ranked_figures,
    routed_at,
    values_of,
)
from difficulty.evaluation.findings import Evidence, Provenance, findings_of
from difficulty.evaluation.result import Evaluation
from difficulty.evaluation.scored import Judged, Routed, routed_figures, why_undefined
from difficulty.evaluation.slices import slice_rows, too_small
from difficulty.evaluation.tradeoff import CurvePart
from difficulty.evaluation.views import baseline_curves, calibration_parts, score_histogram
from difficulty.metrics.arrays import FloatArray, IntArray, ratio
from difficulty.metrics.bootstrap import (
    GroupDraws,
    affordable_draws,
    debiased_interval,
    group_codes,
    percentile_interval,
)
from difficulty.records import Estimate

FIGURES = (
    "auroc", "apgr", "cpt_50", "cpt_80", "brier", "ece", "routing_precision", "routing_recall",
    "frontier_share", "quality", "cost",
    "gap_recovered", "risk", "cheap_route_precision", "brier_frontier", "ece_frontier",
    "cheap_route_recall", "fallback_share", "gap",
    "saving",
)  # fmt: skip
_RANKED = ("apgr", "cpt_50", "cpt_80")
_ROUTED = ("frontier_share", "gap_recovered", "quality", "cost")
_COMPARED = ("apgr", "quality")
_Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Set:
    """A set of requests, or a baseline, whose figures are wanted."""

    parts: Sequence[Part]
    names: Sequence[str]
    routed: bool
    note: str = ""


def evaluate(
    judged: Judged,
    *,
    n_draws: int = 1000,
    rng: np.random.Generator,
    task_means: TaskMeans | None = None,
    others: Mapping[str, FloatArray] | None = None,
    provenance: Provenance | None = None,
) -> Evaluation:
    """Return every figure of a score with its 95 % interval.

    Each figure uses the requests for which what it needs is known; its ``n`` says how many. A
    figure that is undefined has the value None and a note that says why. Intervals come from
    resampling whole groups; the score, the calibration and the threshold are held fixed, so they
    tell how sure the figures are on this traffic, not how they would change with another training
    run.

    Parameters
    ----------
    judged : Judged
        Scores and outcomes, of requests that neither training nor the choice of the threshold has
        seen.
    n_draws : int
        Bootstrap draws; lowered where the requests are so many that the work would grow out of hand
        (see :func:`difficulty.metrics.affordable_draws`).
    rng : numpy.random.Generator
        Source of chance for the draws.
    task_means : TaskMeans, optional
        Means learnt on the fit split, for the baseline ``task_mean``.
    others : mapping of str to ndarray of shape (n,), optional
        Further scores to stand among the baselines, for example the same model without the task.
    provenance : Provenance, optional
        Where the requests come from; checks that need it are left out without it.

    Returns
    -------
    Evaluation
    """
    n_draws = affordable_draws(len(judged), n_draws)
    slices = slice_rows(judged)
    baselines = baselines_of(judged, task_means=task_means, others=others)
    routed = routed_figures(judged)
    bins, curve = calibration_parts(judged), CurvePart.of(judged)
    sets: dict[_Key, _Set] = {("overall",): _judged_set(judged, routed, np.arange(len(judged)))}
    sets |= {
        ("slice", kind, name): _slice_set(judged, routed, rows)
        for kind, parts in slices.items()
        for name, rows in parts.items()
    }
    sets |= {
        ("baseline", name): _baseline_set(judged, routed, baseline)
        for name, baseline in baselines.items()
    }
    draws, weight = GroupDraws.of(judged.groups, n_draws=n_draws, rng=rng), judged.outcomes.weight
    with threadpool_limits(
        1, user_api="blas"
    ):  # the products are small: threads would wait for each other
        points, resampled = _resampled(judged, sets, draws)
        along = curve.curve(*drawn(curve, draws, weight))
    made = {key: _estimates(wanted, points[key], resampled[key]) for key, wanted in sets.items()}
    overall, counts = made["overall",], _counts(judged)
    evidence = Evidence(judged=judged, overall=overall, counts=counts, provenance=provenance)
    return Evaluation(
        target=judged.target,
        threshold=judged.threshold,
        overall=overall,
        slices={
            kind: {name: made["slice", kind, name] for name in parts}
            for kind, parts in slices.items()
        },
        baselines={name: made["baseline", name] for name in baselines},
        counts=counts,
        notes=_notes(judged, n_draws),
        n_draws=n_draws,
        curve=along if judged.threshold is None else along.through(judged.threshold, overall),
        baseline_curves=baseline_curves(judged, baselines),
        calibration={name: part.bins(*drawn(part, draws, weight)) for name, part in bins.items()},
        histogram=score_histogram(judged),
        findings=findings_of(evidence),
    )


def _judged_set(judged: Judged, routed: Mapping[str, Routed], rows: IntArray) -> _Set:
    """Return the figures of the score itself on some requests."""
    sent, gain = judged.sent, judged.outcomes.gain
    ratios = {"gap": ratio(gain[rows])} | ({} if sent is None else routed_at(routed, sent, rows))
    parts = [
        *ranked_figures(judged.difficulty_score, rows, gain=gain, label=judged.needed),
        *calibration(judged, rows),
        Ratios.of(rows, ratios),
    ]
    names = [
        name
        for name in FIGURES
        if judged.p_frontier_fails is not None or not name.endswith("_frontier")
    ]
    return _Set(parts, names, routed=sent is not None)


def _slice_set(judged: Judged, routed: Mapping[str, Routed], rows: IntArray) -> _Set:
    """Return the figures of a slice, marked where it is too small."""
    needed = judged.needed[rows]
    note = too_small(len(rows), int(np.nansum(needed)), int(np.nansum(1.0 - needed)))
    return replace(_judged_set(judged, routed, rows), note=note)


def _baseline_set(judged: Judged, routed: Mapping[str, Routed], baseline: Baseline) -> _Set:
    """Return the figures of a baseline."""
    rows = np.arange(len(judged))
    parts = (
        []
        if baseline.score is None
        else ranked_figures(baseline.score, rows, gain=judged.outcomes.gain)
    )
    if baseline.sent is not None:
        parts.append(
            Ratios.of(
                rows, routed_at({name: routed[name] for name in _ROUTED}, baseline.sent, rows)
            )
        )
    names = _ROUTED if baseline.score is None else _RANKED + _ROUTED
    return _Set(
        parts,
        [*names, *(f"{name}_difference" for name in _COMPARED if name in names)],
        routed=baseline.sent is not None,
    )


def _resampled(
    judged: Judged, sets: dict[_Key, _Set], draws: GroupDraws
) -> tuple[dict[_Key, Draws], dict[_Key, Draws]]:
    """Return all figures on the data itself and in each draw, baselines with the score's difference
    to them; all see the same draws.
    """
    made = {
        key: values_of(wanted.parts, draws, judged.outcomes.weight) for key, wanted in sets.items()
    }
    for key, theirs in made.items():
        if key[0] == "baseline":
            for ours, other in zip(made["overall",], theirs, strict=True):
                both = [name for name in _COMPARED if name in ours and name in other]
                other |= {f"{name}_difference": ours[name] - other[name] for name in both}
    return {key: points for key, (points, _) in made.items()}, {
        key: values for key, (_, values) in made.items()
    }


def _estimates(wanted: _Set, points: Draws, draws: Draws) -> dict[str, Estimate]:
    """Return the estimates of one set, one for every name that was wanted."""
    n = {name: count for part in wanted.parts for name, count in part.n.items()}
    n |= {f"{name}_difference": n[name] for name in _COMPARED if name in n}
    return {
        name: _estimate(
            name, points, draws, n=n.get(name, 0), note=wanted.note, routed=wanted.routed
        )
        for name in wanted.names
    }


def _estimate(
    name: str, points: Draws, draws: Draws, *, n: int, note: str, routed: bool
) -> Estimate:
    """Return one figure with its interval, or why there is none."""
    value = float(points[name][0]) if name in points else float("nan")
    if np.isnan(value):
        return Estimate(value=None, n=n, note=why_undefined(name, n=n, routed=routed))
    low, high = (
        debiased_interval(value, draws[name])
        if name.startswith("ece")
        else percentile_interval(draws[name])
    )
    if np.isnan(low):
        return Estimate(
            value=value,
            n=n,
            note=note or "no interval: undefined in more than 1 of 20 bootstrap draws",
        )
    return Estimate(value=value, low=low, high=high, n=n, note=note)


def _counts(judged: Judged) -> dict[str, int]:
    """Return how many requests were judged and what is known of them."""
    outcomes, gain = judged.outcomes, judged.outcomes.gain
    return {
        "requests": len(judged),
        "groups": int(group_codes(judged.groups).max()) + 1,
        "cheap_known": int((~np.isnan(outcomes.cheap_quality)).sum()),
        "frontier_known": int((~np.isnan(outcomes.frontier_quality)).sum()),
        "gain_known": int((~np.isnan(gain)).sum()),
        "frontier_better": int((gain > 0).sum()),
        "tied": int((gain == 0).sum()),
        "cheap_better": int((gain < 0).sum()),
        "needed_frontier": int(np.nansum(judged.needed)),
        "cost_known": int((~np.isnan(judged.cheap_cost + judged.frontier_cost)).sum()),
    }


def _notes(judged: Judged, n_draws: int) -> tuple[str, ...]:
    """Return what a reader has to know of all the figures."""
    notes = [f"Intervals hold 95 % of {n_draws:,} bootstrap draws of whole groups."]
    if judged.threshold is None:
        notes.append("No threshold was given: figures at a threshold are unknown.")
    if judged.catch_rate is not None:
        notes.append(
            f"Validation is taken to catch {judged.catch_rate:.0%} of the cheap model's failures:"
            " quality, gap recovered, cost and risk at the threshold count the fallback."
        )
    return tuple(notes)
