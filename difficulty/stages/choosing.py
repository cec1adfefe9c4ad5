"""Choosing what a policy holds, on labelled traffic: the operating point, and the cut-offs of early
exit; and the files that say so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np

from difficulty.bundle import AnswerRule, Chosen, Policy
from difficulty.bundle.policy import CutOffs, Early
from difficulty.early_exit import (
    CONFIDENCE,
    KINDS,
    BothScores,
    choose_cut_offs,
    figures_of_exit,
    unfit,
)
from difficulty.errors import NotAttainableError
from difficulty.evaluation.scored import ScoredTraffic
from difficulty.export.parity import golden_requests
from difficulty.metrics import Resampling
from difficulty.records import Estimate, OperatingPoint
from difficulty.routes import Stick
from difficulty.runtime.golden import golden_rows
from difficulty.runtime.router import Router
from difficulty.runtime.rule import TaskRules
from difficulty.runtime.scorer import EarlyScorer, Scorer
from difficulty.stages.judging import Served
from difficulty.stages.overlap import joined_hash
from difficulty.thresholds.point import choose, choose_per_task, names_at
from difficulty.thresholds.policy_curve import parse_objective
from difficulty.thresholds.ways import BY_COST, TAKEN, WayWanted

DECIDED_ALONE = (
    "figures are of requests that are decided alone: that sessions keep their model ('stick') is"
    " not in them"
)


def chosen_point(
    data: ScoredTraffic,
    objective: str,
    resampling: Resampling,
    *,
    per_task: bool,
    answer: WayWanted = BY_COST,
) -> OperatingPoint:
    """Return the operating point that meets an objective, over all requests or in each task;
    whether answers are checked is chosen by cost, or by ``answer``.

    Raises
    ------
    NotAttainableError
        If no threshold meets it.
    """
    choose_point = choose_per_task if per_task else choose
    return choose_point(data, parse_objective(objective), resampling, answer=answer)


def beside_early_exit(answer: WayWanted, *, leaves: bool) -> WayWanted:
    """Return what is wanted of the check where early exit may leave: it was asked for by name, so
    that no check takes its place unasked.
    """
    return answer._replace(way="off") if leaves and answer.way == "auto" else answer


def answer_rule(point: OperatingPoint, *, stale_shift: float | None = None) -> AnswerRule | None:
    """Return what a policy says of the check of answers; ``None`` where there is none."""
    if point.answer is None:
        return None
    return AnswerRule(
        threshold=point.answer.threshold,
        kind=point.answer.kind,
        on_unknown=point.answer.on_unknown,
        request_threshold=point.answer.request_threshold,
        stale_shift=stale_shift,
    )


def exit_confidence(objective: str) -> float:
    """Return how sure the budget of early exit has to be beside an objective: a promise spends half
    of its ``delta`` on it, a part for each kind of requests.
    """
    delta = parse_objective(objective).delta
    return CONFIDENCE if delta is None else max(CONFIDENCE, 1.0 - delta / (2.0 * len(KINDS)))


def chosen_by(
    point: OperatingPoint, text_hashes: Sequence[str], *, stick: Stick | None = None
) -> Chosen:
    """Return how a threshold was chosen on requests with these hashes of their texts; only one hash
    of them is kept. Where sessions keep their model nothing is promised, as it was tested on
    requests that are decided alone.
    """
    expected = point.as_dict()
    alone = () if stick is None else (DECIDED_ALONE,)
    return Chosen(
        objective=point.objective,
        calibration_data=joined_hash(text_hashes),
        n=len(text_hashes),
        expected={name: expected[name] for name in names_at(point)},
        assumed=(*point.assumed, *alone),
        guarantee=None if stick else point.guarantee,
    )


def expected_of(policy: Policy) -> dict[str, Estimate]:
    """Return the figures of the requests that a policy's threshold was chosen on."""
    return {name: Estimate(**figure) for name, figure in policy.chosen.expected.items()}


def way_of(policy: Policy) -> str:
    """Return whether answers are checked, and why; nothing where the question did not arise."""
    first = policy.chosen.assumed[:1]
    return "".join(text for text in first if text.startswith(tuple(TAKEN.values())))


def policy_files(
    scorer: Scorer, policy: Policy, *, version: str, early: EarlyScorer | None = None
) -> dict[str, bytes]:
    """Return ``policy.json`` and the golden vectors that a router with this policy gives."""
    requests = golden_requests(numbers=scorer.reads_numbers, sessions=policy.stick is not None)
    rows = golden_rows(Router(scorer, policy, version=version, early=early), requests)
    content = policy.as_dict(
        without=() if policy.early else ("early",)
    )  # readers from before it know no such field
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    # ASCII: one vector holds a lone surrogate, which UTF-8 refuses.
    return {
        "policy.json": text.encode(),
        "golden.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode("ascii"),
    }


def both_scores(served: Served, rules: TaskRules) -> dict[str, BothScores]:
    """Return early score and score of traffic, by kind of request.

    ``with_task`` holds the requests whose task the scorer knows; ``without_task`` holds all of
    them, as if no task were known.
    """
    scores, groups = served.scores, served.scored.groups
    outcomes = served.scored.outcomes
    weight = outcomes.weight * outcomes.per_request
    assert scores.early is not None
    with_task = served.scored.difficulty_score
    without_task = with_task if scores.without_task is None else scores.without_task
    # A rule's route needs no score, so early exit has no part in it.
    open_ = scores.knows_task & np.isnan(served.fixed(rules))
    kinds = {
        "with_task": (scores.early.with_task, with_task, open_),
        "without_task": (scores.early.without_task, without_task, scores.readable),
    }
    return {
        kind: BothScores(first[rows], second[rows], groups[rows], weight[rows])
        for kind, (first, second, rows) in kinds.items()
        if rows.any()
    }


def choose_exits(
    policy: Policy,
    scores: Mapping[str, BothScores],
    *,
    budget: float,
    confidence: float = CONFIDENCE,
) -> tuple[Early | None, tuple[str, ...]]:
    """Return the early exit that asks the scorer least within the budget, and what is to be said
    where there is none.
    """
    if problem := unfit(
        # By the objective too: what was promised of each task knows nothing of early exit.
        per_task=bool(policy.task_thresholds) or policy.chosen.objective.endswith(" per task"),
        min_familiarity=policy.min_familiarity,
        checked=policy.answer is not None,
    ):
        return None, (problem,)
    threshold = policy.threshold
    cuts: dict[str, CutOffs] = {}
    notes = []
    for kind, both in scores.items():
        try:
            low, high, figures = choose_cut_offs(
                both.early,
                both.score,
                threshold=threshold,
                groups=both.groups,
                weight=both.weight,
                budget=budget,
                confidence=confidence,
            )
        except NotAttainableError as error:
            # The other kind may have cut-offs all the same.
            notes.append(f"no early exit for requests {KINDS[kind]}: {error}")
            continue
        expected = {name: estimate.as_dict() for name, estimate in figures.items()}
        cuts[kind] = CutOffs(low=low, high=high, n=len(both.early), expected=expected)
    early = (
        Early(threshold=threshold, budget=budget, confidence=confidence, **cuts) if cuts else None
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
