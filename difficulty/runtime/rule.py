"""The router's rule, as a pure function of the policy and what is known of a request.

    if one of the models cannot take the request:              the other  ineligible
    elif tokens < max_cheap_tokens and task in easy_tasks:     cheap      easy_task
    elif task in hard_tasks:                                   frontier   hard_task
    elif the ask lies in media with hardly any text beside:    frontier   unfamiliar
    elif familiarity < min_familiarity:                        frontier   unfamiliar
    elif difficulty_score > threshold:                         frontier   above_threshold
    else:                                                      cheap      within_threshold

In a session the last two lines may keep the model of the step before, reason ``stick``; see
:mod:`difficulty.runtime.sticking`. A request that cannot be scored takes the route of ``on_error``
with reason ``scorer_error``. The first four lines need no score; the first one stands in
:mod:`difficulty.needs.takers`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Literal, NamedTuple, Protocol

from difficulty.bundle.policy import Policy
from difficulty.needs import NOTHING, Needs
from difficulty.routes import Route


class TaskRules(Protocol):
    """The part of a policy that is not learned; a recipe's policy section has it too."""

    @property
    def max_cheap_tokens(self) -> int:
        """Easy tasks shorter than this go to the cheap model."""

    @property
    def easy_tasks(self) -> Collection[str]:
        """Tasks that the cheap model does well when they are short."""

    @property
    def hard_tasks(self) -> Collection[str]:
        """Tasks that always go to the frontier model."""

    @property
    def min_familiarity(self) -> float | None:
        """Requests less familiar than this go to the frontier model; None, as 0: none do."""


Reason = Literal[
    "ineligible",
    "easy_task",
    "hard_task",
    "unfamiliar",
    "above_threshold",
    "within_threshold",
    "stick",
    "scorer_error",
]


class Ruling(NamedTuple):
    """A route and why."""

    route: Route
    reason: Reason


EASY = Ruling("cheap", "easy_task")
HARD = Ruling("frontier", "hard_task")
UNFAMILIAR = Ruling("frontier", "unfamiliar")
ABOVE = Ruling("frontier", "above_threshold")
WITHIN = Ruling("cheap", "within_threshold")


def before_scoring(
    policy: TaskRules, *, task: str | None, tokens: int, needs: Needs = NOTHING
) -> Ruling | None:
    """Return the verdict of the rules that need no score, or ``None`` when a score is needed."""
    if task is not None:
        if tokens < policy.max_cheap_tokens and task in policy.easy_tasks:
            return EASY
        if task in policy.hard_tasks:
            return HARD
    return UNFAMILIAR if needs.ask_in_media else None


def after_scoring(
    policy: Policy, *, task: str | None, score: float, familiarity: float | None
) -> Ruling:
    """Return the verdict of the rules that need the score."""
    if familiarity is not None and familiarity < policy.min_familiarity:
        return UNFAMILIAR
    return ABOVE if score > threshold_of(policy, task) else WITHIN


def threshold_of(policy: Policy, task: str | None) -> float:
    """Return the threshold that applies to a task."""
    if task is None:
        return policy.threshold
    return policy.task_thresholds.get(task, policy.threshold)


def without_check(policy: Policy) -> Policy:
    """Return the policy that counts where no check can: itself, where that needs no other one."""
    rule = policy.answer
    if rule is None or rule.request_threshold is None:
        return policy
    return replace(policy, threshold=rule.request_threshold, task_thresholds={}, answer=None)
