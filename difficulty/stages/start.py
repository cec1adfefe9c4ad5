"""Warm start: training for a new model pair from a finished run, so that few labels go further.

The run lends what its channels learned of the texts, and its heads; see
``difficulty.model.difficulty``. Both sides read the same vectors, so encoder, features and text
settings must be the run's. Requests that the run saw are set aside: its heads know them by heart,
and figures measured on them would flatter.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from difficulty.encoders.base import Encoder
from difficulty.errors import RunError
from difficulty.recipe import Recipe
from difficulty.stages.run import Run
from difficulty.traffic.split import ASIDE
from difficulty.traffic.table import Traffic


def check_start(start: Run, recipe: Recipe, encoder: Encoder) -> None:
    """Refuse a run whose vectors are not those of the recipe.

    Raises
    ------
    RunError
        If the encoder (and with it the vocabulary), the features or the text settings differ, or
        the recipe searches for features.
    """
    if recipe.search:
        raise RunError(
            "a warm start keeps the features of the run: got a recipe that searches for features."
            " Leave the recipe out."
        )
    if start.encoder.digest != encoder.digest:
        raise RunError(
            f"a warm start needs the encoder of the run, {start.encoder.digest[:12]}: got"
            f" {encoder.digest[:12]}. Name the run's encoder folder in the recipe, or train without"
            " --start-from."
        )
    for section in ("features", "text"):
        ours, theirs = (getattr(one, section).as_dict() for one in (recipe, start.recipe))
        differing = sorted(
            key
            for key in ours.keys() | theirs.keys()
            if ours.get(key) != theirs.get(key) and (section, key) != ("features", "encoder")
        )
        if differing:
            key = differing[0]
            raise RunError(
                f"a warm start needs {section}.{key} as in the run, {theirs.get(key)!r}: got"
                f" {ours.get(key)!r}. Use the run's recipe, or train without --start-from."
            )


def without_seen(splits: NDArray[np.str_], traffic: Traffic, start: Run) -> NDArray[np.str_]:
    """Return the splits with every request set aside that the run was fitted or calibrated on.

    Raises
    ------
    RunError
        If it saw them all.
    """
    seen = start.seen.holds(traffic)
    if seen.all():
        raise RunError(
            f"a warm start needs requests that the run did not see: it saw all {len(traffic):,}."
            " Label others for the new pair, for example those of"
            f" {str(start.folder / 'test.parquet')!r}."
        )
    return np.where(seen, ASIDE, splits)


def start_lineage(start: Run, traffic: Traffic) -> dict[str, Any]:
    """Return what the new run remembers of the one it started from."""
    kept = {
        name: start.lineage[name]
        for name in ("created", "cheap_model", "frontier_model", "training_data", "samples")
    }
    return kept | {"run": str(start.folder), "seen": int(start.seen.holds(traffic).sum())}
