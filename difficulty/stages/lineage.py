"""What a run remembers of where it came from."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from difficulty import __version__
from difficulty.evaluation import TaskMeans
from difficulty.model.combination import Target
from difficulty.recipe import Recipe
from difficulty.stages.run import RUN_FORMAT
from difficulty.traffic.table import Traffic

LIBRARIES = ("numpy", "scipy", "scikit-learn", "tokenizers", "onnx", "onnxruntime")


def lineage_of(
    traffic: Traffic, splits: NDArray[np.str_], *, recipe: Recipe, target: Target
) -> dict[str, Any]:
    """Return what ``run.json`` says of every run: the pair, the samples, the mean gain of each
    task, the recipe and the libraries.
    """
    pair = traffic.model_pair or (None, None)
    fitted = np.flatnonzero(splits == "fit")
    outcomes = traffic.outcomes[fitted]
    gains = (
        asdict(
            TaskMeans.fit(
                [traffic.tasks[row] for row in fitted], outcomes.gain, weight=outcomes.weight
            )
        )
        if target == "benefit"
        else None
    )
    return {
        "format": RUN_FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "target": target,
        "cheap_model": pair[0],
        "frontier_model": pair[1],
        "training_data": traffic.data_hash,
        "samples": {
            name: int((splits == name).sum()) for name in ("fit", "calibration", "test", "aside")
        },
        "task_gains": gains,
        "recipe": recipe.as_dict(),
        "libraries": library_versions(),
    }


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that shaped a run."""
    found = {"difficulty": __version__}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
