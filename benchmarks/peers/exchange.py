"""What a peer is given and what it gives back, as files, so that it can run in an environment of
its own. Needs numpy alone.

A problem is a folder with ``texts.json`` (n texts) and ``arrays.npz``: ``embeddings`` (n, 384),
``cheap`` and ``frontier`` quality (n,) and ``fold`` (n,). The requests of fold k are scored by a
model trained on all requests of other folds; those of fold -1 are trained on and never scored. A
peer writes ``score__<method>`` (n,), higher = more worth the frontier model, NaN in fold -1, and
``train_s__<method>`` and ``score_s__<method>``, the seconds of processor time of each fold.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Rows = np.ndarray
"""Places of requests, int."""
Scorer = Callable[[Rows], np.ndarray]
Fit = Callable[["Problem", Rows], Scorer]
"""Train on some requests; return what scores others."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Requests with the outcomes of both models, and who may learn from whom."""

    texts: list[str]
    embeddings: np.ndarray
    """Shape (n, dim), each of length 1."""
    cheap: np.ndarray
    frontier: np.ndarray
    fold: np.ndarray
    tasks: list[str]
    """Empty where not known; told to no peer, only to the reference that is the task's mean
    gain.
    """

    @property
    def gain(self) -> np.ndarray:
        """Frontier minus cheap quality, shape (n,)."""
        return self.frontier - self.cheap

    @classmethod
    def read(cls, folder: Path) -> Problem:
        """Read a problem folder."""
        texts = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
        with np.load(folder / "arrays.npz", allow_pickle=False) as arrays:
            fields = {name: arrays[name] for name in ("embeddings", "cheap", "frontier", "fold")}
            return cls(texts=texts, tasks=arrays["tasks"].tolist(), **fields)

    def write(self, folder: Path) -> None:
        """Write a problem folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "texts.json").write_text(json.dumps(self.texts), encoding="utf-8")
        fields = {name: getattr(self, name) for name in ("embeddings", "cheap", "frontier", "fold")}
        np.savez(folder / "arrays.npz", tasks=np.array(self.tasks), **fields)


def out_of_fold(problem: Problem, fit: Fit) -> tuple[np.ndarray, list[float], list[float]]:
    """Return the out-of-fold scores of a method, and its processor seconds of training and of
    scoring for each fold.
    """
    score = np.full(len(problem.texts), np.nan)
    train_s, score_s = [], []
    for number in np.unique(problem.fold[problem.fold >= 0]):
        rows = np.flatnonzero(problem.fold == number)
        start = time.process_time()
        scorer = fit(problem, np.flatnonzero(problem.fold != number))
        trained = time.process_time()
        score[rows] = scorer(rows)
        train_s.append(trained - start)
        score_s.append(time.process_time() - trained)
    return score, train_s, score_s


def score_methods(problem: Problem, methods: Mapping[str, Fit]) -> dict[str, np.ndarray]:
    """Return the arrays that a peer writes."""
    arrays: dict[str, np.ndarray] = {}
    for name, fit in methods.items():
        score, train_s, score_s = out_of_fold(problem, fit)
        arrays |= {
            f"score__{name}": score,
            f"train_s__{name}": np.array(train_s),
            f"score_s__{name}": np.array(score_s),
        }
        print(f"{name}: {sum(train_s):.0f} s of training", file=sys.stderr, flush=True)
    return arrays


def main(methods: Mapping[str, Fit]) -> None:
    """Score the problem folder of the first argument; write the scores to the path of the
    second.
    """
    problem, out = Problem.read(Path(sys.argv[1])), Path(sys.argv[2])
    np.savez(out, **score_methods(problem, methods))
