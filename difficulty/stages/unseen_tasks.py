"""How a score fares on tasks that it never saw, and which ``min_familiarity`` follows: tasks are
left out of training in turn.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from difficulty.diagnostics.unfamiliar import (
    FamiliarityAdvice,
    UnseenTasks,
    advise,
    lift_of,
    no_advice,
)
from difficulty.metrics.arrays import FloatArray
from difficulty.model.difficulty import DifficultyModel
from difficulty.model.labelled import LabelledTokens

LEAST_TASKS = 8
"""Tasks with ``LEAST_SAMPLES`` fit samples or more that are needed: fewer say little of tasks in
general.
"""
LEAST_SAMPLES = 20
_FOLDS = 4
_MOST_SAMPLES = 20_000


def familiarity_advice(
    model: DifficultyModel, fit: LabelledTokens, calibration: LabelledTokens, *, seed: int
) -> FamiliarityAdvice:
    """Leave every task out once, four groups of tasks in turn, and recommend a ``min_familiarity``.

    Heads and familiarity are fitted again for each group (see
    :meth:`DifficultyModel.scores_of_unseen`), on at most 20,000 samples; this takes about a quarter
    as long as training did. Nothing but fit and calibration samples is used.

    Parameters
    ----------
    model : DifficultyModel
        Fitted on ``fit`` and calibrated on ``calibration``, just now: its out-of-fold scores say
        what the score carries on known tasks.
    fit, calibration : LabelledTokens
    seed : int
        Of the groups of tasks, the draws and the samples.
    """
    if model.familiarity_ is None:
        return no_advice("the model has no familiarity")
    if any(channel.knows_outcomes for channel in model.channels):
        return no_advice(
            "a fine-tuned encoder saw all tasks, so none can be left out without tuning it again"
        )
    tasks = np.array([task or "" for task in fit.tasks or [None] * len(fit)])
    names, sizes = np.unique(tasks[tasks != ""], return_counts=True)
    if (enough := int((sizes >= LEAST_SAMPLES).sum())) < LEAST_TASKS:
        return no_advice(
            f"the traffic names {enough} tasks with {LEAST_SAMPLES} fit samples or more, and"
            f" {LEAST_TASKS} are needed to leave some out"
        )
    rng = np.random.default_rng(seed)
    of_folds = model.out_of_fold_
    known = lift_of(
        of_folds.scores.difficulty_score, _outcome(model, fit), fit.outcomes.weight, of_folds.fold
    )
    some = np.sort(rng.permutation(len(fit))[:_MOST_SAMPLES])
    fold_of = dict(zip(names, rng.permutation(len(names)) % _FOLDS, strict=True))
    unseen = _unseen_tasks(model, fit[some], calibration, fold_of)
    familiarity = model.predict(calibration.ids).familiarity
    assert familiarity is not None
    return advise(unseen, known_lift=known, known_familiarity=familiarity, rng=rng)


def advice_of_student() -> FamiliarityAdvice:
    """Return the advice for a model that learned from a teacher: none, as the teacher saw every
    task.
    """
    return no_advice(
        "what the model learned from its teacher holds something of every task; the teacher's own"
        " run has the advice"
    )


def _unseen_tasks(
    model: DifficultyModel,
    fit: LabelledTokens,
    calibration: LabelledTokens,
    fold_of: dict[str, int],
) -> UnseenTasks:
    """Return scores and familiarity of the fit samples whose task is known, each by a model that
    knows no sample of the task.
    """
    fold, held = (
        np.array([fold_of.get(task or "", -1) for task in data.tasks or []])
        for data in (fit, calibration)
    )
    numbers = np.unique(fold[fold >= 0])
    rows = [np.flatnonzero(fold == number) for number in numbers]
    parts = [
        (left_out, np.flatnonzero(held != number))
        for left_out, number in zip(rows, numbers, strict=True)
    ]
    scores, familiarity = np.zeros(len(fit)), np.zeros(len(fit))
    for left_out, found in zip(rows, model.scores_of_unseen(parts, fit, calibration), strict=True):
        scores[left_out], familiarity[left_out] = found.difficulty_score, found.familiarity
    named: NDArray[np.intp] = np.flatnonzero(fold >= 0)
    return UnseenTasks(
        score=scores[named],
        familiarity=familiarity[named],
        outcome=_outcome(model, fit)[named],
        weight=fit.outcomes.weight[named],
        tasks=np.array([task or "" for task in fit.tasks or []])[named],
        fold=fold[named],
    )


def _outcome(model: DifficultyModel, data: LabelledTokens) -> FloatArray:
    return data.outcomes.gain if model.target == "benefit" else data.outcomes.cheap_failure
