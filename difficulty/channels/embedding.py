"""Embeddings as they are; other kinds that read embeddings build on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from difficulty.channels import Channel, Tasks
from difficulty.channels.heads import Matrix
from difficulty.channels.shards import EmbeddedRows, Embeddings, IdRows, KeptVectors, is_many
from difficulty.channels.task_columns import BesideMeanChannel, TaskChannel
from difficulty.encoders.base import Encoder
from difficulty.recipe import FeatureSettings
from difficulty.tokens import TokenRows

if TYPE_CHECKING:
    from difficulty.tensors import RequestTensors, Tensor


class EncoderChannel(Channel):
    """A channel whose prepared rows are embeddings; nothing is learned from the traffic."""

    reads_embeddings = True
    earns_share = True
    encoder: Encoder

    def __init__(self, encoder: Encoder, *, strength: float) -> None:
        self.encoder = encoder
        self.vocabulary_size = encoder.vocabulary_size
        self.strength = strength

    def prepare(self, ids: Sequence[Sequence[int]], tasks: Tasks | None = None) -> Matrix:
        """Return embeddings; of many requests what they are made of."""
        if isinstance(ids, TokenRows) and is_many(len(ids)):
            return self._rows(ids, np.full(len(ids), -1, dtype=np.int64))
        return self.encoder.encode(ids)

    def _rows(self, ids: TokenRows, classes: NDArray[np.int64]) -> IdRows:
        """Return many requests as they are prepared; kinds that read one encoder share vectors."""
        key = f"vectors of {self.encoder.digest}"
        return IdRows(ids, classes, ids.made.setdefault(key, KeptVectors(ids, self.encoder.encode)))

    def transform(self, prepared: Matrix, state: Any) -> Matrix:
        """Return embeddings, of many requests in four bytes a number."""
        if isinstance(prepared, IdRows):
            return prepared.embedded()
        return prepared

    def embeddings(self, prepared: Matrix) -> Embeddings | None:
        """Return the prepared rows."""
        if isinstance(prepared, IdRows):
            return EmbeddedRows(prepared)
        return np.asarray(prepared)

    def export_vectors(self, requests: RequestTensors, state: Any) -> Tensor:
        """Return the embeddings."""
        return requests.embed(self.encoder)


class EmbeddingChannel(EncoderChannel):
    """Embeddings as they are."""

    name = "embedding"

    def __init__(
        self, encoder: Encoder, *, strength: float = 0.003, mean_penalty: float | None = None
    ) -> None:
        super().__init__(encoder, strength=strength)
        self.mean_penalty = mean_penalty

    @classmethod
    def from_features(
        cls, features: FeatureSettings, encoder: Encoder, tasks: Sequence[str]
    ) -> EmbeddingChannel | None:
        """Return it where the recipe has embeddings, unless a guess of the task reads them."""
        settings = features.embedding
        # a guess of the task takes their place, unless the recipe wants both
        guessed = bool(tasks and features.tasks and features.tasks.guess)
        if not settings or (guessed and not settings.beside_guess):
            return None
        return cls(encoder, strength=settings.strength, mean_penalty=settings.mean_penalty)

    def settings(self) -> dict[str, Any]:
        """Return what models of before did not say."""
        return {"mean_penalty": self.mean_penalty} if self.mean_penalty else {}

    def with_tasks(self, tasks: Sequence[str]) -> TaskChannel | None:
        """Return embeddings with task columns, unless they stand beside the mean of the task."""
        return None if self.mean_penalty else TaskChannel(self, tasks)

    def beside_mean(self, tasks: Sequence[str]) -> TaskChannel | None:
        """Return embeddings that say what the mean gain of a task leaves over."""
        if not self.mean_penalty:
            return None
        return BesideMeanChannel(self, tasks, penalty=self.mean_penalty)
