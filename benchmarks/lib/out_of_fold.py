"""Out-of-fold scores with both calibrated probabilities, kept on disk, for programs that simulate
logs on public outcomes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.lib.protocol import BenchmarkSet, FloatArray, read_traffic
from benchmarks.lib.recipes import Trainer, digest_of_recipe
from benchmarks.lib.stored import digest_of, stored
from difficulty.training.shipped import find_recipe


@dataclass(frozen=True, eq=False)
class ScoredSet:
    """A public set with what a recipe's models say of requests that they did not learn from."""

    name: str
    cheap: FloatArray
    """Quality, shape (n,)."""
    frontier: FloatArray
    score: FloatArray
    p_cheap_fails: FloatArray
    p_frontier_fails: FloatArray
    tasks: NDArray[np.str_]
    groups: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.score)


def score_set(source: Path, cache: Path, *, recipe: str = "fast") -> ScoredSet:
    """Return a set with its scores, told the task; they are computed once for a recipe's code."""
    traffic = read_traffic(source)
    data, trainer = BenchmarkSet.of(traffic), Trainer.of(find_recipe(recipe))
    name = source.name.partition(".")[0]

    def make(path: Path) -> None:
        tokens = trainer.tokenize(traffic)
        columns = {
            column: np.full(len(data), np.nan)
            for column in ("difficulty_score", "p_cheap_fails", "p_frontier_fails")
        }
        for number in np.unique(data.fold):
            rows = np.flatnonzero(data.fold == number)
            picked = tokens.at(rows)
            scores = trainer.fit(traffic, tokens, data.fold != number).predict(
                picked.ids, picked.tasks
            )
            for column, values in columns.items():
                values[rows] = getattr(scores, column)
        np.savez_compressed(path, **columns)

    key = digest_of(data.ids, digest_of_recipe(trainer.recipe).encode())
    arrays = stored(cache / f"{name}-{recipe}.npz", key, make)
    return ScoredSet(
        name=name,
        cheap=data.cheap,
        frontier=data.frontier,
        score=arrays["difficulty_score"],
        p_cheap_fails=arrays["p_cheap_fails"],
        p_frontier_fails=arrays["p_frontier_fails"],
        tasks=data.tasks,
        groups=data.groups,
    )
