"""Light heads, and how requests are chosen for them: what the literature goes by, beside what
``difficulty label`` does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from benchmarks.lib.protocol import BenchmarkSet, FloatArray, apgr, read_traffic
from difficulty.labelling.telling import Sides, embed, telling_sizes
from difficulty.training.shipped import find_encoder, find_recipe

Rows = NDArray[np.intp]
Heads = Callable[[FloatArray], tuple[FloatArray, FloatArray]]
"""From embeddings to the probabilities that the cheap and that the frontier model fail."""


@dataclass(frozen=True, eq=False)
class LightSet:
    """A set as light heads read it."""

    data: BenchmarkSet
    vectors: FloatArray

    @classmethod
    def of(cls, source: Path) -> LightSet:
        """Read and embed a set."""
        traffic = read_traffic(source)
        encoder = find_encoder(find_recipe("fast").features)
        return cls(BenchmarkSet.of(traffic), embed(traffic, encoder))

    def fit(self, rows: Rows, weight: FloatArray | None = None) -> Heads:
        """Return heads that learned from some requests."""
        heads = [
            _head(self.vectors[rows], quality[rows] < 0.5, weight)
            for quality in (self.data.cheap, self.data.frontier)
        ]
        return lambda vectors: (heads[0](vectors), heads[1](vectors))

    def apgr(self, heads: Heads, asked: Rows) -> float:
        """Return APGR on some requests."""
        whole = np.zeros(len(self.data))
        whole[asked] = np.subtract(*heads(self.vectors[asked]))
        return float(apgr(whole, self.data, asked)(np.ones(len(self.data))))


def _head(
    vectors: FloatArray, failed: NDArray[np.bool_], weight: FloatArray | None
) -> Callable[[FloatArray], FloatArray]:
    if failed.all() or not failed.any():
        return lambda asked: np.full(len(asked), float(failed[0]))
    head = LogisticRegression(max_iter=200).fit(vectors, failed, sample_weight=weight)
    return lambda asked: np.asarray(head.predict_proba(asked)[:, 1])


@dataclass(frozen=True, eq=False)
class Situation:
    """What a method may look at: requests without a label, those with one, and heads."""

    vectors: FloatArray
    labelled: LightSet
    rows: Rows
    heads: Heads | None
    clusters: NDArray[np.intp]
    rng: np.random.Generator

    @property
    def unsure(self) -> FloatArray:
        """Standard deviation of the gain by the heads; alike for all without them."""
        return np.ones(len(self.vectors)) if self.heads is None else self.sides.unsure

    @property
    def sides(self) -> Sides:
        """What the heads say."""
        assert self.heads
        cheap, frontier = self.heads(self.vectors)
        return Sides((1.0 + cheap - frontier) / 2.0, cheap, frontier)

    @property
    def away(self) -> FloatArray:
        """Cosine distance to the nearest request with a label."""
        if not len(self.rows):
            return np.ones(len(self.vectors))
        near = (self.vectors @ self.labelled.vectors[self.rows].T).max(axis=1)
        return np.maximum(1.0 - near, 1e-3)


def committee(now: Situation) -> FloatArray:
    """Return how far six heads on resampled labels disagree about the gain."""
    if not len(now.rows):
        return np.ones(len(now.vectors))
    drawn = [now.rng.choice(now.rows, len(now.rows)) for _ in range(6)]
    gains = [np.subtract(*now.labelled.fit(rows)(now.vectors)) for rows in drawn]
    return np.asarray(np.std(gains, axis=0) + 1e-3)


def shipped(now: Situation) -> FloatArray:
    """Return what ``difficulty label`` goes by, without a threshold."""
    sides = None if now.heads is None else now.sides
    return telling_sizes(np.ones(len(now.vectors)), now.clusters, sides, None)


TELLING: dict[str, Callable[[Situation], FloatArray]] = {
    "kinds and unsure (shipped)": shipped,
    "kinds": lambda now: 1.0 / np.sqrt(np.bincount(now.clusters)[now.clusters]),
    "unsure": lambda now: np.maximum(now.unsure, 0.2 * now.unsure.mean()),
    "committee": committee,
    "dense and unsure": lambda now: (
        now.unsure * np.maximum(now.vectors @ now.vectors.mean(axis=0), 0.05)
    ),
    "far from labels": lambda now: now.away,
}
"""Sizes of the telling part, with known probabilities."""


def most_unsure(now: Situation, n: int) -> Rows:
    """Return the most uncertain requests."""
    return np.asarray(np.argsort(-now.unsure, kind="stable")[:n])


def k_center(now: Situation, n: int) -> Rows:
    """Return a greedy cover: always the request that is farthest from all that were taken."""
    distance, taken = now.away.copy(), []
    for _ in range(n):
        taken.append(int(np.argmax(distance)))
        distance = np.minimum(distance, 1.0 - now.vectors @ now.vectors[taken[-1]])
        distance[taken[-1]] = -1.0
    return np.array(taken)


def badge(now: Situation, n: int) -> Rows:
    """Return the k-means++ seeding on the gradients of both heads at their likelier outcome."""
    assert now.heads
    gradients = np.hstack([np.minimum(p, 1 - p)[:, None] * now.vectors for p in now.sides[1:]])
    taken = [int(np.argmax((gradients**2).sum(axis=1)))]
    distance = ((gradients - gradients[taken[0]]) ** 2).sum(axis=1)
    while len(taken) < n:
        distance[taken] = 0.0
        taken.append(int(now.rng.choice(len(distance), p=distance / distance.sum())))
        distance = np.minimum(distance, ((gradients - gradients[taken[-1]]) ** 2).sum(axis=1))
    return np.array(taken)


TAKING = {"most unsure": most_unsure, "k-center": k_center, "BADGE": badge}
"""Methods whose choice has no known probabilities."""
