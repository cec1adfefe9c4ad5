"""Choosing thresholds by an objective, over all requests or in each task, and saying what to expect
of them.

Rare tasks borrow strength. For an objective that is a point on the curve, each task's curve is that
of its own samples with all other samples beside them, which together weigh as much as ``PRIOR`` of
its own: a task of 1,000 samples decides by itself, one of 20 hardly differs from the whole. An
objective that promises something cannot borrow: tasks with fewer than ``LEAST_TESTED`` samples are
tested together as one and share a threshold; where a task of its own cannot keep the promise, all
of it goes to the frontier model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from difficulty.errors import InvalidValueError, NotAttainableError, UndefinedMetricError
from difficulty.evaluation.figures import columns_of, ratios_at
from difficulty.evaluation.parts import (
    Draws,
    Ratios,
    Supports,
    difference_supports,
    drawn,
    estimate,
    supports_of,
)
from difficulty.evaluation.scored import ScoredTraffic, Thresholded, Thresholds
from difficulty.metrics.bootstrap import Resampling
from difficulty.records import AnswerPoint, Estimate, OperatingPoint
from difficulty.text import quantity_text
from difficulty.thresholds.policy_curve import Choice, Objective, PolicyCurve, Tested
from difficulty.thresholds.promises import refuse_blind
from difficulty.thresholds.ways import BY_COST, WayWanted, choose_way

EXPECTED = ("frontier_share", "quality", "gap_recovered", "cost", "risk", "fallback_share")
"""Figures of an operating point."""


def choose(
    traffic: ScoredTraffic,
    objective: Objective,
    resampling: Resampling,
    *,
    answer: WayWanted = BY_COST,
) -> OperatingPoint:
    """Return the operating point that meets an objective on this traffic; where answers have
    scores, of the way that costs least, or that ``answer`` names.

    Raises
    ------
    InvalidValueError
        If a check of answers is asked for, and too few were checked.
    NotAttainableError
        If no threshold meets it; the message names the nearest point.
    """
    if objective.promises:
        refuse_blind(traffic.outcomes, objective)
    way = choose_way(traffic, objective, answer)
    point = operating_point(
        traffic, Thresholds(way.threshold, answer=way.answer), resampling, objective=str(objective)
    )
    point = promised(point, way.choice)
    said = (way.said,) if way.said else ()
    return replace(point, assumed=(*said, *point.assumed))


def promised(point: OperatingPoint, choice: Choice) -> OperatingPoint:
    """Return a point with the promise of the choice that led to it."""
    return replace(point, guarantee=choice.guarantee, assumed=(*point.assumed, *choice.assumed))


def operating_point(
    traffic: ScoredTraffic, thresholds: Thresholded, resampling: Resampling, *, objective: str
) -> OperatingPoint:
    """Return what to expect of thresholds, each figure with its 95 % interval; whole groups are
    drawn.
    """
    draws, weight = resampling.affordable(len(traffic)).of(traffic.groups), traffic.outcomes.weight
    part = _figures(traffic, thresholds, names_at(thresholds))
    supports = supports_of([part], draws, weight)
    figures: dict[str, Any] = _estimates(*drawn(part, draws, weight), supports, part.n)
    return OperatingPoint(
        threshold=thresholds.threshold,
        objective=objective,
        **figures,
        task_thresholds=dict(thresholds.task_thresholds),
        answer=_answer_point(thresholds),
        assumed=_assumed(traffic),
        # An interval's width goes with one over the root of the samples.
        n_to_halve=4 * len(traffic),
    )


def changes(
    traffic: ScoredTraffic, old: OperatingPoint, new: OperatingPoint, resampling: Resampling
) -> dict[str, Estimate]:
    """Return how each figure changes between two points, judged on the same draws."""
    draws, weight = resampling.affordable(len(traffic)).of(traffic.groups), traffic.outcomes.weight
    before, after = (_figures(traffic, point, EXPECTED) for point in (old, new))
    sides = zip(drawn(after, draws, weight), drawn(before, draws, weight), strict=True)
    moved, resampled = (
        {name: values[name] - others[name] for name in EXPECTED} for values, others in sides
    )
    supports = difference_supports([after], [before], draws, weight)
    return _estimates(moved, resampled, supports, after.n)


def _estimates(
    points: Draws, draws: Draws, supports: Supports, counts: Mapping[str, int]
) -> dict[str, Estimate]:
    return {
        name: estimate(
            points[name],
            draws[name],
            n=counts[name],
            unknown=_WHY_UNKNOWN[name],
            support=supports.get(name),
        )
        for name in points
    }


def _answer_point(thresholds: Thresholded) -> AnswerPoint | None:
    """Return what is sent on after an answer, as points have it."""
    rule = thresholds.answer
    if rule is None:
        return None
    return AnswerPoint(
        threshold=rule.threshold,
        kind=rule.kind,
        request_threshold=rule.request_threshold,
        on_unknown=rule.on_unknown,
    )


def names_at(thresholds: Thresholded) -> tuple[str, ...]:
    """Return the figures of an operating point: those of ``EXPECTED``, and one more where answers
    are checked.
    """
    return EXPECTED if thresholds.answer is None else (*EXPECTED, "escalated_share")


def _figures(traffic: ScoredTraffic, thresholds: Thresholded, names: Iterable[str]) -> Ratios:
    """Return what the figures of a point are computed from."""
    rows, checked = np.arange(len(traffic)), traffic.under(thresholds)
    return Ratios.of(rows, ratios_at(columns_of(checked, names), checked.routes(thresholds), rows))


def _assumed(traffic: ScoredTraffic) -> tuple[str, ...]:
    """Return what the figures of every point rest on."""
    outcomes = traffic.outcomes
    known = ~np.isnan(outcomes.cheap_quality)
    checked = int((known & outcomes.only_checked).sum())
    form = (
        f"{checked:,} of {quantity_text(int(known.sum()), 'answer')} of the cheap model"
        f" {'was' if checked == 1 else 'were'} measured by checks of"
        " their form alone; what has it counts as right"
    )
    fallback = (
        "fallback calls are not included: the catch rate is not known, state it by --catch-rate"
        if traffic.catch_rate is None
        else (
            f"validation catches {traffic.catch_rate:g} of the cheap model's failures and no good"
            " answer; a caught request pays both calls"
        )
    )
    return ("traffic stays like the samples", fallback, *([form] if checked else []))


_WHY_UNKNOWN = {
    "frontier_share": "no requests",
    "quality": "no request has both outcomes known",
    "gap_recovered": "no request has both outcomes known, or the frontier model is not better",
    "cost": "no prices were given, or no token counts are known",
    "risk": "no request whose outcome is known is kept on the cheap model",
    "fallback_share": "the catch rate of validation is not known",
    "escalated_share": "no answer was checked",
}
"""Written into policies, where they have to stay as they are."""


LEAST_OWN = 10
"""Samples that the score decides below which a task has no threshold of its own."""
LEAST_TESTED = 100
PRIOR = 100.0
"""What all other samples weigh beside those of a task, in samples of the task."""


class _Chosen(NamedTuple):
    """The thresholds, and what is to be said of them."""

    choice: Choice
    tasks: dict[str, float]


def choose_per_task(
    traffic: ScoredTraffic,
    objective: Objective,
    resampling: Resampling,
    *,
    answer: WayWanted = BY_COST,
) -> OperatingPoint:
    """Return the operating point at which an objective is met in each task, no answer checked.

    Requests of no task, or of one without a threshold of its own, have that of the whole, or of all
    rare tasks together.

    Raises
    ------
    InvalidValueError
        If no sample has a task, or a check of answers is asked for.
    NotAttainableError
        If the objective cannot be met on the whole, or, where it promises something, in no task.
    """
    if answer.way in ("check", "both"):
        raise InvalidValueError(
            "answer",
            answer.way,
            rule="be 'off' where thresholds are chosen per task",
            hint="A check has one threshold for all: leave out --per-task, or --answer.",
        )
    traffic, tasks = traffic.unchecked, np.array([task or "" for task in traffic.tasks])
    if not tasks.any():
        raise InvalidValueError(
            "task",
            None,
            rule="be known of some samples to choose thresholds per task",
            hint="Add the column task.",
        )
    if objective.promises:
        refuse_blind(traffic.outcomes, objective)
    choice, own = (_promised if objective.promises else _pooled)(traffic, tasks, objective)
    thresholds = Thresholds(choice.threshold, own)
    point = operating_point(traffic, thresholds, resampling, objective=f"{objective} per task")
    if traffic.answer_score is not None and answer.way == "auto":
        said = "answers are not checked, as thresholds are chosen per task"
        point = replace(point, assumed=(said, *point.assumed))
    return promised(point, choice)


def _pooled(traffic: ScoredTraffic, tasks: np.ndarray, objective: Objective) -> _Chosen:
    """Choose on each task's own samples, shrunk towards the whole."""
    whole, own, left = objective.find(PolicyCurve.of(traffic)), {}, []
    weight = traffic.outcomes.weight
    for task in _tasks_with(LEAST_OWN, tasks[np.isnan(traffic.by_rule)]):
        inside = tasks == task
        others = weight[~inside].sum()
        # All others together weigh as much as PRIOR samples of this task, however many they are.
        factor = np.where(
            inside, 1.0, PRIOR * weight[inside].mean() / others if others > 0 else 1.0
        )
        try:
            own[task] = objective.find(PolicyCurve.of(traffic.weighted(factor))).threshold
        except (NotAttainableError, UndefinedMetricError):
            left.append(task)
    said = [
        f"tasks with few samples are pulled towards the whole, which weighs as much as {PRIOR:g}"
        " samples of a task"
    ]
    if left:
        said.append(
            f"in {_listed(left)} the objective cannot be met or judged: the threshold of the whole"
            " stands there"
        )
    return _Chosen(whole._replace(assumed=(*whole.assumed, *said)), own)


def _promised(traffic: ScoredTraffic, tasks: np.ndarray, objective: Objective) -> _Chosen:
    """Choose on each task's own samples; what cannot be shown goes to the frontier model."""
    # Requests that the rule keeps on the cheap model are in what is promised, like any other kept.
    common = _tasks_with(LEAST_TESTED, tasks[traffic.by_rule != 1.0])
    shown, lost = {}, []
    for task in common:
        try:
            shown[task] = objective.find(PolicyCurve.of(traffic.at(tasks == task)))
        except (NotAttainableError, UndefinedMetricError):
            lost.append(task)
    # A promise cannot borrow strength, so rare tasks are tested as one, on their own samples.
    rare = ~np.isin(tasks, common)
    try:
        rest = objective.find(PolicyCurve.of(traffic.at(rare))) if rare.any() else Choice(0.0)
    except (NotAttainableError, UndefinedMetricError):
        # Threshold 0: whatever has a score above 0 goes to the frontier model.
        rest = Choice(0.0)
    unshown = np.isin(tasks, lost) | (rare if rest.guarantee is None else False)
    if kept_unshown := sorted({*tasks[unshown & (traffic.by_rule == 0.0)].tolist()}):
        # No threshold sends these, so the promise would be broken where nobody looks.
        raise NotAttainableError(
            f"{objective} per task cannot be shown in {_listed(kept_unshown)}, and the rule keeps"
            " short requests there on the cheap model. Take it out of easy_tasks, or ask for the"
            " objective over all tasks."
        )
    choices = {**shown, **({} if rest.guarantee is None else {_REST: rest})}
    if not choices:
        raise NotAttainableError(
            f"{objective} cannot be shown in any task on"
            f" {quantity_text(len(traffic), 'sample')}. Add samples, ask"
            " for it over all tasks, or for less."
        )
    said = [
        (
            ""
            if rest.guarantee is None
            else (
                f"tasks with fewer than {LEAST_TESTED} samples, and requests without one, were"
                " tested together"
            )
        ),
        (
            f"in {_listed(lost)} it cannot be shown: those requests go to the frontier model"
            if lost
            else ""
        ),
        (
            "other tasks, and requests without one, go to the frontier model"
            if rest.guarantee is None
            else ""
        ),
    ]
    own = {task: choice.threshold for task, choice in shown.items()} | dict.fromkeys(lost, 0.0)
    assumed = dict.fromkeys(text for choice in choices.values() for text in choice.assumed)
    promise = _promise_of_each(choices)
    return _Chosen(Choice(rest.threshold, promise, (*assumed, *filter(None, said))), own)


_REST = "all other requests together"


def _promise_of_each(choices: Mapping[str, Choice]) -> str | None:
    """Return the promise that holds in each task by itself."""
    first = next(iter(choices.values()))
    parts = [choice.tested for choice in choices.values() if choice.tested]
    names = [*(repr(name) for name in choices if name != _REST)]
    names += [_REST] if _REST in choices else []
    within = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    if len(parts) < len(choices):
        return f"{first.guarantee}; of each by itself, not of all at once, in {within}"
    measures = dict.fromkeys(name for part in parts for name in part.measures)
    claim = f"{parts[0].claim} in each of {within} by itself, not of all at once"
    return Tested(claim, tuple(measures), sum(part.n for part in parts)).sentence


def _tasks_with(least: int, tasks: np.ndarray) -> list[str]:
    """Return the tasks of at least so many samples."""
    names, counts = np.unique(tasks, return_counts=True)
    return [str(name) for name, count in zip(names, counts, strict=True) if name and count >= least]


def _listed(names: list[str]) -> str:
    """Return the first few names for a sentence."""
    shown = ", ".join(repr(name) for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more tasks"
