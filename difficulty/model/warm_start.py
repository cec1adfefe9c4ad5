"""Warm start: a model for a new pair of models that begins where a fitted one ended.

What the channels learned of the texts (document frequencies, the guess of the task) is kept as it
is, so the exported graph has the same structure. Every head is fitted to the new outcomes, but its
coefficients shrink towards a multiple of the old head's instead of towards 0
(:func:`~difficulty.model.heads.fit_head`): which requests are hard for one pair says something of
another. The multiple is learned too, and shrinks towards 1. The weights that combine the channels
shrink towards the old ones. Calibration is learned anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from difficulty.model.channels import task_channels_of
from difficulty.model.combination import Target
from difficulty.model.difficulty import DifficultyModel, FittedChannel
from difficulty.model.heads import LinearHead


def continued(
    start: DifficultyModel,
    *,
    target: Target,
    tasks: Sequence[str] = (),
    folds: int = 5,
    rng: np.random.Generator | None = None,
) -> DifficultyModel:
    """Return an unfitted model with the channels of a fitted one, which fits from there.

    Parameters
    ----------
    start : DifficultyModel
        Fitted; it is not changed.
    target : {"benefit", "failure"}
        Of the new model.
    tasks : sequence of str, optional
        Tasks of the new traffic; those that ``start`` does not know get columns after its own.
    folds, rng
        As in :class:`DifficultyModel`.
    """
    old_tasks = start.tasks.tasks if start.tasks else ()
    added = [task for task in tasks if task not in set(old_tasks)]
    task_channels = task_channels_of(start.channels, [*old_tasks, *added])
    widened = DifficultyModel(start.channels, task_channels=task_channels, target=start.target)
    widened.fitted_ = dict(start.fitted_)
    for channel in start.task_channels:
        widened.fitted_[channel.name] = _widened(start.fitted_[channel.name], len(added))
    widened.blind_, widened.told_, widened.familiarity_ = (
        start.blind_,
        start.told_,
        start.familiarity_,
    )
    return DifficultyModel(
        start.channels,
        task_channels=task_channels,
        target=target,
        folds=folds,
        rng=rng,
        start=widened,
    )


def _widened(fitted: FittedChannel, n: int) -> FittedChannel:
    """Return the heads with ``n`` more columns, of which they know nothing."""

    def wider(head: LinearHead) -> LinearHead:
        return replace(head, coefficients=np.r_[head.coefficients, np.zeros(n)])

    return FittedChannel(
        fitted.state, wider(fitted.cheap), wider(fitted.frontier) if fitted.frontier else None
    )
