"""From a recipe to the model that is to be fitted, and from traffic to what it is fitted on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from difficulty.channels import Channel, channels_of, task_channels_of
from difficulty.encoders.base import Encoder
from difficulty.model.combination import Target
from difficulty.model.difficulty import DifficultyModel
from difficulty.model.labelled import LabelledTokens
from difficulty.recipe import Recipe
from difficulty.stages.scoring import Tokenized
from difficulty.traffic.table import Traffic


def build_model(
    recipe: Recipe,
    encoder: Encoder,
    target: Target,
    *,
    tasks: Sequence[str] = (),
    tuned: Channel | None = None,
) -> DifficultyModel:
    """Return the unfitted model of a recipe; ``tasks`` are those it is to know, ``tuned`` its
    fine-tuned encoder where it has one.
    """
    channels = channels_of(recipe.features, encoder, tasks, ready=[tuned] if tuned else [])
    return DifficultyModel(
        channels,
        task_channels=task_channels_of(channels, tasks),
        target=target,
        folds=recipe.folds,
        rng=np.random.default_rng(recipe.seed),
    )


def known_tasks(recipe: Recipe, data: LabelledTokens) -> list[str]:
    """Return the tasks with enough samples to learn from, by name; none where there is only one or
    the recipe wants none.
    """
    settings = recipe.features.tasks
    if not settings or data.tasks is None:
        return []
    counts = Counter(task for task in data.tasks if task is not None)
    frequent = sorted(task for task, n in counts.items() if n >= settings.least_samples)
    return frequent if len(frequent) > 1 else []


def labelled(traffic: Traffic, tokens: Tokenized, chosen: NDArray[np.bool_]) -> LabelledTokens:
    """Return some requests as models are fitted on them."""
    rows = np.flatnonzero(chosen)
    groups = traffic.split_groups
    picked = tokens.at(rows)
    return LabelledTokens(
        ids=picked.ids,
        outcomes=traffic.outcomes[rows],
        groups=[groups[row] for row in rows],
        tasks=picked.tasks,
    )
