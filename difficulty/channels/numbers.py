"""What functions a request offers and how they fit its question: numbers that its token ids cannot
carry.

The numbers are counts and quotients (:mod:`difficulty.conversation.request_numbers`). Their
logarithms are brought to a common scale and cut, so that a schema of a size that nobody had in
training moves a score no further than the largest that somebody had. A number that is not known
counts as the mean; a column says whether the request has none, so that heads learn what it means to
offer nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from difficulty.channels import Channel, Tasks
from difficulty.channels.heads import Matrix
from difficulty.channels.task_columns import TaskChannel
from difficulty.conversation.request_numbers import numbers_of
from difficulty.encoders.base import Encoder
from difficulty.recipe import FeatureSettings

if TYPE_CHECKING:
    from difficulty.tensors import RequestTensors, Tensor

_FURTHEST = 4.0
_LEAST_SPREAD = 0.05


class NumbersChannel(Channel):
    """The logarithms of the numbers on the scale of the traffic, and whether there are none."""

    name = "numbers"
    share = 2.0
    reads_numbers = True

    def __init__(self, *, strength: float = 0.02) -> None:
        self.strength = strength

    @classmethod
    def from_features(
        cls, features: FeatureSettings, encoder: Encoder, tasks: Sequence[str]
    ) -> NumbersChannel | None:
        """Return it where the recipe has the section."""
        settings = features.numbers
        return cls(strength=settings.strength) if settings else None

    def prepare(
        self, ids: Sequence[Sequence[int]], tasks: Tasks | None = None
    ) -> NDArray[np.float64]:
        """Return the numbers, of shape (n_requests, 25), NaN where they are not known."""
        return numbers_of(ids).astype(np.float64)

    def fit(self, prepared: Matrix) -> NDArray[np.float64]:
        """Return mean and standard deviation of the logarithms, of shape (2, 25)."""
        logs = np.log1p(np.asarray(prepared))
        known = ~np.isnan(logs)
        n = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, logs, 0.0).sum(axis=0) / n
        variance = np.where(known, (logs - mean) ** 2, 0.0).sum(axis=0) / n
        return np.stack([mean, np.maximum(np.sqrt(variance), _LEAST_SPREAD)])

    def transform(self, prepared: Matrix, state: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return standard scores, cut at 4 either way and 0 where not known, and 1 where none is
        known, of shape (n_requests, 26).
        """
        numbers = np.asarray(prepared)
        known = ~np.isnan(numbers)
        score = (np.log1p(np.where(known, numbers, 0.0)) - state[0]) / state[1]
        cut = np.where(known, np.clip(score, -_FURTHEST, _FURTHEST), 0.0)
        return np.hstack([cut, ~known.any(axis=1, keepdims=True)])

    def export_vectors(self, requests: RequestTensors, state: NDArray[np.float64]) -> Tensor:
        """Return the same of the graph's input ``features``."""
        mean, deviation = state
        numbers, unknown = requests.numbers, requests.unknown_numbers
        # What is not known is what has the mean logarithm.
        filled = unknown.where(np.expm1(mean)[None].astype(np.float32), numbers)
        score = (filled + 1.0).log().affine(np.diag(1.0 / deviation), -mean / deviation)
        nothing = unknown.cast(np.float32).min(1)
        return requests.graph.concat([score.clip(-_FURTHEST, _FURTHEST), nothing], axis=1)

    def with_tasks(self, tasks: Sequence[str]) -> TaskChannel:
        """Return the numbers with task columns."""
        return TaskChannel(self, tasks)
