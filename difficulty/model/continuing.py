"""Models that go on from a fitted one, of another model pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from difficulty.channels import Channel, task_channels_of
from difficulty.model.combination import Calibration, Target
from difficulty.model.difficulty import DifficultyModel
from difficulty.model.fitted_channel import widened

AnyChannel = TypeVar("AnyChannel", bound=Channel)


def speaking_of(channels: Sequence[AnyChannel], target: Target) -> list[AnyChannel]:
    """Return the channels that say something of the target: those of the gain alone say nothing of
    a failure.
    """
    return [channel for channel in channels if target == "benefit" or channel.knows_failures]


def continued(
    start: DifficultyModel,
    *,
    target: Target,
    tasks: Sequence[str] = (),
    folds: int = 5,
    rng: np.random.Generator | None = None,
    calibration: Calibration = "split",
) -> DifficultyModel:
    """Return an unfitted model with the channels of a fitted one, which fits from there.

    What the channels learned of the texts (document frequencies, the guess of the task) is kept as
    it is, so the exported graph has the same structure. Every head is fitted to the new outcomes,
    but its coefficients shrink towards a multiple of the old head's instead of towards 0
    (:func:`~difficulty.channels.heads.fit_head`): which requests are hard for one pair says
    something of another. The multiple is learned too, and shrinks towards 1. The weights that
    combine the channels shrink towards the old ones. Calibration is learned anew.

    Parameters
    ----------
    start : DifficultyModel
        Fitted; it is not changed.
    target : {"benefit", "failure"}
        Of the new model.
    tasks : sequence of str, optional
        Tasks of the new traffic; those that ``start`` does not know get columns after its own.
    folds, rng, calibration
        As in :class:`DifficultyModel`.
    """
    old_tasks = start.tasks.tasks if start.tasks else ()
    added = [task for task in tasks if task not in set(old_tasks)]
    channels = speaking_of(start.channels, target)
    task_channels = speaking_of(task_channels_of(channels, [*old_tasks, *added]), target)
    earlier = DifficultyModel(channels, task_channels=task_channels, target=start.target)
    earlier.fitted_ = dict(start.fitted_)
    for channel in start.task_channels:
        earlier.fitted_[channel.name] = widened(start.fitted_[channel.name], len(added))
    earlier.without_task_, earlier.beside_task_ = start.without_task_, start.beside_task_
    return DifficultyModel(
        channels,
        task_channels=task_channels,
        target=target,
        folds=folds,
        rng=rng,
        start=earlier,
        calibration=calibration,
    )
