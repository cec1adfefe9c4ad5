"""Early exit at shipping time: cut-offs chosen on calibration requests, and judged on requests that
chose nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from difficulty.bundle.policy import CutOffs, Early
from difficulty.errors import NotAttainableError
from difficulty.records import Estimate
from difficulty.runtime.rule import TaskRules
from difficulty.stages.scores import TrafficScores
from difficulty.stages.scoring import fixed_routes, rule_tokens
from difficulty.thresholds.early import choose_cut_offs, figures_of_exit
from difficulty.traffic.table import Traffic

CONFIDENCE = 0.95
FloatArray = NDArray[np.float64]
_KINDS = {"with_task": "with a known task", "without_task": "without a known task"}


class BothScores(NamedTuple):
    """Early score, score and group of n requests that need a score, arrays of shape (n,)."""

    early: FloatArray
    score: FloatArray
    groups: NDArray[np.str_]


def both_scores(scores: TrafficScores, traffic: Traffic, rules: TaskRules) -> dict[str, BothScores]:
    """Return early score and score of traffic, by kind of request.

    ``with_task`` holds the requests whose task the scorer knows; ``without_task`` holds all of
    them, as if nobody had told.
    """
    early, groups = scores.early, np.asarray(traffic.split_groups)
    assert early is not None
    fixed = fixed_routes(rules, traffic.tasks, rule_tokens(traffic, scores.totals))
    told = scores.outputs["difficulty_score"].astype(np.float64)
    untold = scores.untold["without_task"] if scores.untold else told
    kinds = {
        "with_task": (early.told, told, early.informed & np.isnan(fixed)),
        "without_task": (early.untold, untold, early.readable),
    }
    return {
        kind: BothScores(first[rows], second[rows], groups[rows])
        for kind, (first, second, rows) in kinds.items()
        if rows.any()
    }


def unfit(*, task_thresholds: Mapping[str, float], min_familiarity: float) -> str | None:
    """Return why a policy cannot have early exit; ``None`` where it can."""
    if task_thresholds:
        return "no early exit: its cut-offs belong to one threshold, and tasks have their own"
    if min_familiarity > 0:
        return (
            "no early exit: only the scorer says how familiar a request is, and min_familiarity"
            " asks for that"
        )
    return None


def choose_exits(
    scores: Mapping[str, BothScores], *, threshold: float, budget: float
) -> tuple[Early | None, tuple[str, ...]]:
    """Return the early exit that asks the scorer least within the budget, and what is to be said
    where there is none.
    """
    cuts: dict[str, CutOffs] = {}
    notes = []
    for kind, both in scores.items():
        try:
            low, high, figures = choose_cut_offs(
                both.early,
                both.score,
                threshold=threshold,
                groups=both.groups,
                budget=budget,
                confidence=CONFIDENCE,
            )
        except NotAttainableError as error:
            notes.append(f"no early exit for requests {_KINDS[kind]}: {error}")
            continue
        expected = {name: estimate.as_dict() for name, estimate in figures.items()}
        cuts[kind] = CutOffs(low=low, high=high, n=len(both.early), expected=expected)
    early = (
        Early(threshold=threshold, budget=budget, confidence=CONFIDENCE, **cuts) if cuts else None
    )
    return early, tuple(notes)


def judge_exits(early: Early, scores: Mapping[str, BothScores]) -> dict[str, dict[str, Estimate]]:
    """Return, by kind of request, the share that the scorer is asked about and the share of changed
    decisions.
    """
    found = {}
    for kind, both in scores.items():
        cut: CutOffs | None = getattr(early, kind)
        if cut:
            found[kind] = figures_of_exit(
                both.early, both.score, threshold=early.threshold, low=cut.low, high=cut.high
            )
    return found


def exit_sentences(figures: Mapping[str, Mapping[str, Estimate]], *, judged: str) -> list[str]:
    """Return a sentence for each kind of request."""
    return [
        f"of {part['asked'].n:,} {judged} requests {_KINDS[kind]} the scorer is asked about"
        f" {_percent(part['asked'])}, and early exit changes {_percent(part['changed'])} of the"
        " decisions"
        for kind, part in figures.items()
    ]


def _percent(share: Estimate) -> str:
    if share.value is None or share.low is None or share.high is None:
        return "an unknown share"
    return f"{share.value:.2%} ({share.low:.2%} to {share.high:.2%})"
