"""Early exit at shipping time: cut-offs chosen on calibration requests, and judged on requests that
chose nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from difficulty.bundle.policy import CutOffs, Early
from difficulty.early_exit.cut_offs import (
    CONFIDENCE,
    KINDS,
    BothScores,
    choose_cut_offs,
    figures_of_exit,
)
from difficulty.errors import NotAttainableError
from difficulty.records import Estimate
from difficulty.runtime.rule import TaskRules
from difficulty.stages.scores import TrafficScores
from difficulty.stages.scoring import fixed_routes, rule_tokens
from difficulty.traffic.table import Traffic


def both_scores(scores: TrafficScores, traffic: Traffic, rules: TaskRules) -> dict[str, BothScores]:
    """Return early score and score of traffic, by kind of request.

    ``with_task`` holds the requests whose task the scorer knows; ``without_task`` holds all of
    them, as if no task were known.
    """
    early, groups = scores.early, np.asarray(traffic.split_groups)
    assert early is not None
    fixed = fixed_routes(rules, traffic.tasks, rule_tokens(traffic, scores.totals))
    with_task = scores.outputs["difficulty_score"].astype(np.float64)
    without_task = scores.untold["without_task"] if scores.untold else with_task
    kinds = {
        "with_task": (early.told, with_task, early.informed & np.isnan(fixed)),
        "without_task": (early.untold, without_task, early.readable),
    }
    return {
        kind: BothScores(first[rows], second[rows], groups[rows])
        for kind, (first, second, rows) in kinds.items()
        if rows.any()
    }


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
            notes.append(f"no early exit for requests {KINDS[kind]}: {error}")
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
    figures = {}
    for kind, both in scores.items():
        cut: CutOffs | None = getattr(early, kind)
        if cut:
            figures[kind] = figures_of_exit(
                both.early, both.score, threshold=early.threshold, low=cut.low, high=cut.high
            )
    return figures
