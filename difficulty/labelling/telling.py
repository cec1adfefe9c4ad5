"""How much a request may teach: sizes for the telling part of a draw, and what lies side by side.

Without a score there is the text alone: requests are clustered by their embeddings (k-means on the
static token table), and a cluster counts by the root of its number of requests, so that rare kinds
are met earlier than by chance and common ones still most often.

With a score there is also how unsure it is: the standard deviation of the gain, if both models fail
with the probabilities that the score tells, independently of each other. It is what an optimal
draw for the mean gain goes by (Neyman), and no request is sure enough to be left out. Where there
is a threshold, requests near to it by rank count more: those are the ones that a better score would
move to the other side.

References
----------
Neyman (1934), "On the two different aspects of the representative method"; Bodo, Minier and Csato
(2011), "Active learning with clustering"; Zhang et al. (2020), "State-of-the-art in active
learning", on what holds up without tuning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans

from difficulty.encoders.base import Encoder
from difficulty.metrics.arrays import FloatArray, IntArray
from difficulty.text import TextView
from difficulty.tokens import RequestTokenizer
from difficulty.traffic.stored.tokenized import tokenize
from difficulty.traffic.table import Traffic

_CHARS, _TOKENS = 2_000, 512
_LEAST_CLUSTERS, _MOST_CLUSTERS = 8, 128
_FITTED = 10_000
"""Requests that centres are found by."""
_NEAR = 0.15
"""Ranks, as a share of all, within which a request is near to the threshold."""
_LEAST_UNSURE = 0.2
"""Of the mean standard deviation: what the surest request counts at least."""


class Sides(NamedTuple):
    """What a scorer says of n requests, arrays of shape (n,)."""

    score: FloatArray
    p_cheap_fails: FloatArray | None = None
    p_frontier_fails: FloatArray | None = None

    @classmethod
    def of(cls, outputs: FloatArray | Mapping[str, NDArray[np.floating]]) -> Sides:
        """Return it from the outputs of a scorer by name, or from the score alone."""
        if not isinstance(outputs, Mapping):
            return cls(np.asarray(outputs, dtype=np.float64))
        names = ("difficulty_score", "p_cheap_fails", "p_frontier_fails")
        values = (outputs.get(name) for name in names)
        score, *rest = (None if each is None else np.asarray(each, float) for each in values)
        assert score is not None
        return cls(score, *rest)

    def at(self, rows: IntArray) -> Sides:
        """Return some requests."""
        return Sides(*(None if each is None else each[rows] for each in self))  # type: ignore[arg-type]

    @property
    def unsure(self) -> FloatArray:
        """Standard deviation of the gain of each request; of the score alone that of a win."""
        if self.p_cheap_fails is None:
            p = np.clip(self.score, 0.0, 1.0)
            return np.asarray(np.sqrt(p * (1.0 - p)))
        cheap = self.p_cheap_fails * (1.0 - self.p_cheap_fails)
        if self.p_frontier_fails is None:
            return np.asarray(np.sqrt(cheap))
        frontier = self.p_frontier_fails * (1.0 - self.p_frontier_fails)
        return np.asarray(np.sqrt(cheap + frontier))


def embed(traffic: Traffic, encoder: Encoder) -> FloatArray:
    """Return unit vectors of shape (n, dim); of long requests head and tail."""
    tokenizer = RequestTokenizer.from_file(encoder.tokenizer_path, max_tokens=_TOKENS)
    rows = tokenize(traffic, view=TextView(max_chars=_CHARS), tokenizer=tokenizer)
    return encoder.encode([list(ids) for ids in rows.ids])


def clusters_of(vectors: FloatArray, n: int, *, seed: int) -> IntArray:
    """Return the cluster of each request, shape (n_requests,): about one for every eight requests
    that are to be drawn.
    """
    distinct = len(np.unique(vectors[:1000].round(6), axis=0)) if len(vectors) else 0
    wanted = int(np.clip(n // 8, _LEAST_CLUSTERS, _MOST_CLUSTERS))
    n_clusters = min(wanted, distinct, max(1, len(vectors) // 4))
    if n_clusters < 2:
        return np.zeros(len(vectors), dtype=np.intp)
    rng = np.random.default_rng(seed)
    sample = rng.permutation(len(vectors))[:_FITTED]
    means = MiniBatchKMeans(n_clusters, random_state=seed, n_init=1, batch_size=1024)
    means.fit(vectors[sample])
    return np.asarray(means.predict(vectors), dtype=np.intp)


def telling_sizes(
    counts: FloatArray, clusters: IntArray, sides: Sides | None, threshold: float | None
) -> FloatArray:
    """Return what each unit may teach, of shape (n_units,), in no particular unit.

    Parameters
    ----------
    counts : ndarray of shape (n_units,)
        Requests of each: copies teach nothing that the first did not.
    clusters : ndarray of shape (n_units,)
    sides : Sides, optional
        What a scorer says of them.
    threshold : float, optional
        Of its score.
    """
    in_cluster = np.bincount(clusters)[clusters]
    sizes = 1.0 / np.sqrt(in_cluster)
    if sides is None:
        return np.asarray(sizes)
    unsure = sides.unsure
    sizes = sizes * np.maximum(unsure, _LEAST_UNSURE * unsure.mean() + 1e-9)
    if threshold is not None:
        sizes = sizes * _nearness(sides.score, threshold)
    return np.asarray(sizes)


def _nearness(score: FloatArray, threshold: float) -> FloatArray:
    """Return 2 for a request at the threshold and 1 for those far away, by ranks."""
    rank = np.argsort(np.argsort(score, kind="stable"), kind="stable") / max(len(score) - 1, 1)
    place = float(np.mean(score <= threshold))
    return np.asarray(1.0 + np.exp(-0.5 * ((rank - place) / _NEAR) ** 2))


def reasons(sides: Sides | None, threshold: float | None, n_clusters: int) -> Iterator[str]:
    """Yield what the telling part goes by."""
    yield f"rare kinds of requests ({n_clusters:,} clusters of the texts)"
    if sides is not None:
        yield "requests of which the score is unsure what the frontier model gains"
    if sides is not None and threshold is not None:
        yield f"requests near to the threshold {threshold:.3g}"
