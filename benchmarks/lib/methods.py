"""Every method of the benchmark by name: who it is, and how its scores come about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.lib.experiments import Experiment
from benchmarks.lib.peer_environments import PEERS, Peer, PeerError
from benchmarks.lib.protocol import BenchmarkSet
from benchmarks.lib.recipes import Trainer, digest_of_recipe, joined, score_fold
from benchmarks.lib.references import REFERENCES
from benchmarks.lib.stored import Arrays, digest_of, digest_of_problem, stored
from benchmarks.peers.exchange import Problem, score_methods
from difficulty.recipe import Recipe

TITLES = {
    "llmrouter_knn": "LLMRouter 0.4.0, kNN (k = 5)",
    "llmrouter_knn100": "LLMRouter 0.4.0, kNN (k = 100)",
    "llmrouter_svm": "LLMRouter 0.4.0, SVM",
    "llmrouter_mlp": "LLMRouter 0.4.0, MLP",
    "llmrouter_mf": "LLMRouter 0.4.0, matrix factorisation",
    "routellm_mf": "RouteLLM 0.2.0, matrix factorisation",
    "model2vec": "model2vec 0.10.0, classifier",
    "semantic_router": "semantic-router 1.1.1 (k = 5)",
    "semantic_router_k100": "semantic-router 1.1.1 (k = 100)",
    "oracle": "oracle: knows the outcomes",
    "blend": "TF-IDF, MiniLM and kNN-100, mean of standard scores",
    "tfidf": "TF-IDF, difference of two logistic models",
    "task_mean": "mean gain of the task (told the task)",
    "knn100": "kNN-100 on MiniLM embeddings, mean gain",
    "minilm_lr": "MiniLM embeddings, difference of two logistic models",
    "length": "length of the request",
    "random": "random order",
}
GIVEN = {
    "llmrouter_hybrid": "LLMRouter 0.4.0, hybrid",
    "routellm_sw": "RouteLLM 0.2.0, similarity-weighted Elo",
    "litellm_v1": "LiteLLM 1.106.2, heuristic v1",
    "litellm_v2": "LiteLLM 1.106.2, heuristic v2",
    "cascadeflow": "cascadeflow 1.2.0, complexity",
}
"""Routers that are not run here; their out-of-fold scores may be given."""
_GIVEN_NAMES = {"minilm_lr": "lr_minilm"}
"""Where a file of given scores calls a method otherwise."""
_ALL = (*TITLES, *GIVEN)
Kind = Literal["ours", "peer", "reference"]


def _kind(name: str) -> Kind:
    return "reference" if name in REFERENCES else "peer"


@dataclass(frozen=True, eq=False)
class Scored:
    """What one method says of the requests of an experiment."""

    name: str
    kind: Kind
    score: np.ndarray | None
    """Shape (n,); ``None`` where the method could not be run."""
    reason: str = ""
    """Why it could not."""
    p_cheap_fails: np.ndarray | None = None
    familiarity: np.ndarray | None = None
    train_s: float | None = None
    """Mean over folds."""
    score_ms: float | None = None
    """A request."""
    parity: np.ndarray | None = None
    given: bool = False
    """Whether the scores were made elsewhere."""

    @property
    def title(self) -> str:
        """The method as a reader knows it."""
        if self.kind == "ours":
            return (
                f"`{self.name.removesuffix('_task')}`,"
                f" {'task told' if self.name.endswith('_task') else 'text only'}"
            )
        given = " (scores given)" if self.given or self.name in GIVEN else ""
        return (TITLES.get(self.name) or GIVEN[self.name]) + given


class Bench:
    """Runs methods on one experiment, and keeps their scores below ``work``."""

    def __init__(self, experiment: Experiment, work: Path) -> None:
        self.experiment = experiment
        self.folder = work / "scores" / experiment.name
        self.work = work

    @cached_property
    def problem(self) -> Problem:
        """What peers and references are given; making it embeds the texts."""
        return self.experiment.problem(self.work / "embeddings")

    @cached_property
    def key(self) -> str:
        """A hash of what peers and references are given."""
        return digest_of_problem(self.problem)

    @cached_property
    def key_of_outcomes(self) -> str:
        """A hash of the requests and outcomes, which is all that a recipe is given."""
        parts = [self.experiment.judged, self.experiment.trained_on]
        texts = [part.data_hash for part in parts if part]
        return digest_of(texts, self.experiment.outcomes.fold.tobytes())

    def recipe(self, recipe: Recipe) -> list[Scored]:
        """Score one of ours, each fold kept by itself; again when the recipe or the code that
        decides its scores changes.
        """
        key = digest_of([self.key_of_outcomes, digest_of_recipe(recipe)])
        fold = self.experiment.outcomes.fold
        trainer = Trainer.of(recipe)

        def score(number: int) -> Arrays:
            return self._stored(
                f"{recipe.name}-{number}", key, lambda: score_fold(self.experiment, trainer, number)
            )

        arrays = joined(recipe.name, fold, [score(int(number)) for number in np.unique(fold)])
        tasks = len(np.unique(self.experiment.outcomes.tasks))
        names = (
            (recipe.name, f"{recipe.name}_task") if tasks > 1 else (recipe.name,)
        )  # one task tells nothing
        return [self._scored(name, "ours", arrays) for name in names]

    def references(self) -> list[Scored]:
        """Score the reference methods."""
        source = (Path(__file__).parent / "references.py").read_bytes()
        arrays = self._stored(
            "references",
            digest_of([self.key], source),
            lambda: score_methods(self.problem, REFERENCES),
        )
        return [self._scored(name, "reference", arrays) for name in REFERENCES]

    def peer(self, name: str) -> list[Scored]:
        """Score a peer's methods in its own environment; without scores, with the reason, where it
        does not run.
        """
        peer = Peer(name, self.work / "environments")
        problem = self.work / "problems" / self.experiment.name
        self.problem.write(problem)
        try:
            arrays = stored(
                self.folder / f"{name}.npz",
                digest_of([self.key, peer.digest]),
                lambda path: peer.run(problem, path),
            )
        except PeerError as error:
            return [Scored(method, "peer", None, reason=str(error)) for method in PEERS[name]]
        return [self._scored(method, "peer", arrays) for method in peer.methods]

    def given(self, folder: Path) -> list[Scored]:
        """Return the methods whose scores on the same requests and folds a file of ``folder``
        holds, whatever its name.

        Files are ``.npz`` with ``id``, ``cheap``, ``frontier``, ``fold`` and ``score__<name>``;
        names that are neither in ``TITLES`` nor in ``GIVEN`` are left out.
        """
        for path in sorted(folder.glob("*.npz")):
            with np.load(path, allow_pickle=False) as arrays:
                if _same_requests(arrays, self.experiment.outcomes):
                    keys = {name: f"score__{_GIVEN_NAMES.get(name, name)}" for name in _ALL}
                    return [
                        Scored(name, _kind(name), arrays[key], given=True)
                        for name, key in keys.items()
                        if key in arrays
                    ]
        return []

    def _stored(self, name: str, key: str, make: Callable[[], Arrays]) -> Arrays:
        return stored(self.folder / f"{name}.npz", key, lambda path: np.savez(path, **make()))

    def _scored(self, name: str, kind: Kind, arrays: Arrays) -> Scored:
        """Return one method's part of the arrays, for the judged requests alone."""
        score = arrays[f"score__{name}"][-len(self.experiment.judged) :]
        optional = {
            what: arrays.get(f"{what}__{name}")
            for what in ("p_cheap_fails", "familiarity", "parity")
        }
        train_s, score_s = arrays[f"train_s__{name}"].mean(), arrays[f"score_s__{name}"].sum()
        return Scored(
            name,
            kind,
            score,
            train_s=float(train_s),
            score_ms=float(score_s / len(score) * 1000.0),
            **optional,
        )


def _same_requests(arrays: Mapping[str, np.ndarray], data: BenchmarkSet) -> bool:
    """Return whether stored scores are of the same requests, outcomes and folds, in the same
    order.
    """
    if arrays["id"].tolist() != data.ids:
        return False
    pairs = (
        (arrays["cheap"], data.cheap),
        (arrays["frontier"], data.frontier),
        (arrays["fold"], data.fold),
    )
    return all(np.array_equal(stored, own) for stored, own in pairs)
