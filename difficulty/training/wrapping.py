"""Fit samples in other clothes, where a recipe has a section ``augment``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from difficulty.errors import RecipeError
from difficulty.perturb import PERTURBATIONS, perturb
from difficulty.recipe import AugmentSettings
from difficulty.traffic.table import Traffic


def wrap_some(
    traffic: Traffic, rows: NDArray[np.intp], settings: AugmentSettings, *, seed: int
) -> Traffic:
    """Return the traffic with a share of some samples perturbed, each in one of the ways that the
    settings name, drawn by chance.

    Samples are changed, not added: their number, weights and outcomes stay.

    Raises
    ------
    RecipeError
        If a perturbation is not known.
    """
    unknown = sorted({*settings.perturbations} - {*PERTURBATIONS})
    if unknown:
        raise RecipeError(
            f"augment.perturbations must hold names of perturbations: got {unknown[0]!r}. Known:"
            f" {', '.join(PERTURBATIONS)}."
        )
    names = settings.perturbations or tuple(PERTURBATIONS)
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(rows)[: round(settings.share * len(rows))]
    ways = rng.integers(len(names), size=len(chosen))
    messages, ids = traffic.messages(), traffic.ids
    for place, name in enumerate(names):
        mine = chosen[ways == place].tolist()
        changed = perturb(
            name, [messages[row] for row in mine], ids=[ids[row] for row in mine], seed=seed
        )
        for row, new in zip(mine, changed, strict=True):
            messages[row] = new
    return traffic.with_columns({"messages": messages})
