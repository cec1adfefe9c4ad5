"""Channels: one kind of vector with the head that reads it. A model has one or more; the simplest
stands first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import softmax

from difficulty.encoders.base import Encoder
from difficulty.features.ngrams import NgramFeatures
from difficulty.model.centres import unit_centres
from difficulty.model.heads import LinearHead, Matrix, fit_classes
from difficulty.model.held_out import held_out
from difficulty.model.labelled import Tasks

_MOST_GUESS_ROWS = 30_000
_NEVER = -1e4
_FURTHEST = 3.0
_LEAST_SPREAD = 0.1


class Channel(Protocol):
    """Vectors of requests in two steps: what never changes (``prepare``), then what is learned from
    the fit rows (``fit``).
    """

    name: str
    strength: float
    """Inverse regularisation of the heads on these vectors."""

    def prepare(self, ids: Sequence[Sequence[int]], tasks: Tasks | None = None) -> Matrix:
        """Return one row a request; this is done once, folds take rows of it."""

    def fit(self, prepared: Matrix) -> Any:
        """Learn from prepared rows; returns the state that :meth:`transform` needs."""

    def transform(self, prepared: Matrix, state: Any) -> Matrix:
        """Return the vectors that heads read, of shape (n_requests, dim)."""


class TaskColumns:
    """A column of 1 for each of some tasks; others count as not known."""

    def __init__(self, tasks: Sequence[str]) -> None:
        self.tasks = tuple(tasks)
        self._column_of = {task: column for column, task in enumerate(self.tasks)}

    def known(self, tasks: Tasks | None, n: int) -> NDArray[np.bool_]:
        """Return, for each of n requests, whether its task has a column."""
        if tasks is None:
            return np.zeros(n, dtype=np.bool_)
        return np.array([task in self._column_of for task in tasks], dtype=np.bool_)

    def marks(self, tasks: Tasks | None, n: int) -> sp.csr_array:
        """Return the columns of n requests."""
        columns = np.array(
            [self._column_of.get(task or "", -1) for task in tasks or [None] * n], dtype=np.int64
        )
        rows = np.flatnonzero(columns >= 0)
        return sp.csr_array((np.ones(len(rows)), (rows, columns[rows])), shape=(n, len(self.tasks)))


class TaskChannel(Channel, Protocol):
    """A channel whose last columns are the request's task, one for each task; the columns before
    are those of a channel without it.
    """

    columns: TaskColumns

    @property
    def dim(self) -> int:
        """Number of columns before those of the tasks."""


class NgramChannel:
    """Token n-grams; its state is the inverse document frequencies."""

    name = "ngrams"

    def __init__(
        self, vocabulary_size: int, *, buckets: int = 65_536, strength: float = 0.3
    ) -> None:
        self.features = NgramFeatures(vocabulary_size, buckets=buckets)
        self.strength = strength

    def prepare(self, ids: Sequence[Sequence[int]], tasks: Tasks | None = None) -> sp.csr_array:
        """Return n-gram counts."""
        return self.features.counts(ids)

    def fit(self, prepared: Matrix) -> NDArray[np.float64]:
        """Return the inverse document frequencies."""
        return self.features.inverse_frequencies(prepared)

    def transform(self, prepared: Matrix, state: NDArray[np.float64]) -> sp.csr_array:
        """Return weighted n-grams of unit length."""
        return self.features.weigh(prepared, state)


class NgramTaskChannel:
    """Token n-grams with a column of 1 for the request's task, so that the n-grams only explain
    what the task does not.

    Parameters
    ----------
    ngrams : NgramChannel
        The n-grams; they are weighted as without the task.
    tasks : sequence of str
        Tasks that have a column; others count as not known.
    """

    name = "ngrams+task"

    def __init__(self, ngrams: NgramChannel, tasks: Sequence[str]) -> None:
        self.ngrams = ngrams
        self.columns = TaskColumns(tasks)
        self.strength = ngrams.strength

    @property
    def dim(self) -> int:
        """Number of columns before those of the tasks."""
        return self.ngrams.features.dim

    def prepare(self, ids: Sequence[Sequence[int]], tasks: Tasks | None = None) -> sp.csr_array:
        """Return n-gram counts and task columns, side by side."""
        return sp.csr_array(
            sp.hstack([self.ngrams.prepare(ids), self.columns.marks(tasks, len(ids))], format="csr")
        )

    def fit(self, prepared: Matrix) -> NDArray[np.float64]:
        """Return the inverse document frequencies of the n-grams."""
        return self.ngrams.fit(prepared[:, : self.dim])

    def transform(self, prepared: Matrix, state: NDArray[np.float64]) -> sp.csr_array:
        """Return weighted n-grams of unit length, with the task columns as they are."""
        weighted = self.ngrams.transform(prepared[:, : self.dim], state)
        return sp.csr_array(sp.hstack([weighted, prepared[:, self.dim :]], format="csr"))


class EmbeddingChannel:
    """Embeddings as they are; nothing is learned from the traffic."""

    name = "embedding"

    def __init__(self, encoder: Encoder, *, strength: float = 0.003) -> None:
        self.encoder = encoder
        self.strength = strength

    def prepare(
        self, ids: Sequence[Sequence[int]], tasks: Tasks | None = None
    ) -> NDArray[np.float64]:
        """Return embeddings."""
        return self.encoder.encode(ids)

    def fit(self, prepared: Matrix) -> None:
        """Learn nothing."""

    def transform(self, prepared: Matrix, state: None) -> Matrix:
        """Return the embeddings as they are."""
        return prepared


class EmbeddingTaskChannel:
    """Embeddings with a column of 1 for the request's task."""

    name = "embedding+task"

    def __init__(self, embedding: EmbeddingChannel, tasks: Sequence[str]) -> None:
        self.embedding = embedding
        self.columns = TaskColumns(tasks)
        self.strength = embedding.strength

    @property
    def dim(self) -> int:
        """Number of columns before those of the tasks."""
        return self.embedding.encoder.dim

    def prepare(
        self, ids: Sequence[Sequence[int]], tasks: Tasks | None = None
    ) -> NDArray[np.float64]:
        """Return embeddings and task columns, side by side."""
        return np.hstack(
            [self.embedding.prepare(ids), self.columns.marks(tasks, len(ids)).toarray()]
        )

    def fit(self, prepared: Matrix) -> None:
        """Learn nothing."""

    def transform(self, prepared: Matrix, state: None) -> Matrix:
        """Return the columns as they are."""
        return prepared


class NeighbourChannel:
    """Which kinds of requests a request is near to: its cosines with centres of the traffic, as
    shares that add up to 1.

    Heads on the shares are a smooth form of nearest neighbours: every centre learns how requests
    around it fare. Unlike stored neighbours they cost the same however large the traffic was, and
    no single request is in the scorer.

    Parameters
    ----------
    encoder : Encoder
    centres : int, default 256
        Most centres.
    sharpness : float, default 10
        Shares are ``softmax(sharpness * cosine)``.
    strength : float, default 0.001
        Inverse regularisation of the heads.
    """

    name = "neighbours"

    def __init__(
        self,
        encoder: Encoder,
        *,
        centres: int = 256,
        sharpness: float = 10.0,
        strength: float = 0.001,
    ) -> None:
        self.encoder = encoder
        self.centres = centres
        self.sharpness = sharpness
        self.strength = strength

    def prepare(
        self, ids: Sequence[Sequence[int]], tasks: Tasks | None = None
    ) -> NDArray[np.float64]:
        """Return embeddings."""
        return self.encoder.encode(ids)

    def fit(self, prepared: Matrix) -> NDArray[np.float64]:
        """Return the centres, unit vectors of shape (n_centres, dim)."""
        return unit_centres(np.asarray(prepared), most=self.centres, seed=0)

    def transform(self, prepared: Matrix, state: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share of each centre, of shape (n_requests, n_centres)."""
        return np.asarray(softmax(self.sharpness * (prepared @ state.T), axis=1), dtype=np.float64)


class LengthChannel:
    """How long the request is: the logarithm of its tokens on the scale of the traffic, and its
    square.

    N-grams and embeddings are brought to unit length, so they know nothing of it.
    """

    name = "length"
    dim = 2

    def __init__(self, *, strength: float = 1.0) -> None:
        self.strength = strength

    def prepare(
        self, ids: Sequence[Sequence[int]], tasks: Tasks | None = None
    ) -> NDArray[np.float64]:
        """Return the number of tokens, of shape (n_requests, 1)."""
        return np.array([[len(row)] for row in ids], dtype=np.float64)

    def fit(self, prepared: Matrix) -> NDArray[np.float64]:
        """Return mean and standard deviation of the logarithm."""
        logs = np.log1p(np.asarray(prepared))
        return np.array([logs.mean(), max(float(logs.std()), _LEAST_SPREAD)])

    def transform(self, prepared: Matrix, state: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the standard score, cut at 3 either way, and its square minus 1, of shape
        (n_requests, 2).
        """
        score = np.clip(
            (np.log1p(np.asarray(prepared)) - state[0]) / state[1], -_FURTHEST, _FURTHEST
        )
        return np.hstack([score, score**2 - 1.0])


class TaskGuessChannel:
    """How likely the request belongs to each task of the training traffic, guessed from its
    embedding.

    Tasks are easier to learn than outcomes: a task has many samples and no noise, and what a
    request's task is says much of what it needs. The guess reads the text alone, so it serves
    requests whose task is not known.

    Parameters
    ----------
    encoder : Encoder
    tasks : sequence of str
        Tasks that can be guessed; samples of others form one more class, samples without a task are
        left out.
    strength, guess_strength : float
        Inverse regularisation of the heads on the guess, and of the guess itself.
    """

    name = "task guess"

    def __init__(
        self,
        encoder: Encoder,
        tasks: Sequence[str],
        *,
        strength: float = 1.0,
        guess_strength: float = 0.02,
    ) -> None:
        self.encoder = encoder
        self.tasks = tuple(tasks)
        self.strength = strength
        self.guess_strength = guess_strength
        self._class_of = {task: number for number, task in enumerate(self.tasks)}

    def prepare(
        self, ids: Sequence[Sequence[int]], tasks: Tasks | None = None
    ) -> NDArray[np.float64]:
        """Return embeddings and, as last column, the class of the task: -1 where it is not
        known.
        """
        told = tasks or [None] * len(ids)
        classes = [
            -1 if task is None else self._class_of.get(task, len(self.tasks)) for task in told
        ]
        return np.column_stack([self.encoder.encode(ids), np.array(classes, dtype=np.float64)])

    def fit(self, prepared: Matrix) -> NDArray[np.float64]:
        """Return weights of shape (dim + 1, n_tasks + 1), the bias in the last row; a class that
        does not occur is never guessed.
        """
        classes = prepared[:, -1].astype(np.int64)
        rows = np.flatnonzero(classes >= 0)
        rows = rows[:: 1 + len(rows) // _MOST_GUESS_ROWS]
        found = fit_classes(prepared[rows, :-1], classes[rows], strength=self.guess_strength)
        weights = np.zeros((prepared.shape[1], len(self.tasks) + 1))
        weights[-1] = _NEVER
        for number, column in found.items():
            weights[:, number] = column
        return weights

    def transform(self, prepared: Matrix, state: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability of each class, of shape (n_requests, n_tasks + 1)."""
        return np.asarray(
            softmax(prepared[:, :-1] @ state[:-1] + state[-1], axis=1), dtype=np.float64
        )


class TunedChannel:
    """Embeddings of an encoder that was fine-tuned on the fit samples, read by the heads that it
    was tuned with.

    The encoder saw the outcomes of the fit samples, so what it says of them is worth nothing for
    judging or combining it; only samples of held-out groups count there.

    Parameters
    ----------
    encoder : Encoder
    held_out : float
        Share of the groups that the encoder did not see.
    heads : pair of LinearHead, optional
        Of the cheap and of the frontier model; the second may be ``None``. Needed to fit a model,
        not to load one.
    """

    name = "tuned"
    strength = 1.0

    def __init__(
        self,
        encoder: Encoder,
        *,
        held_out: float,
        heads: tuple[LinearHead, LinearHead | None] | None = None,
    ) -> None:
        self.encoder = encoder
        self.held_out = held_out
        self.heads = heads

    def unseen(self, groups: Sequence[str]) -> NDArray[np.bool_]:
        """Return, for each request, whether the encoder did not see its group."""
        return held_out(groups, self.held_out)

    def prepare(
        self, ids: Sequence[Sequence[int]], tasks: Tasks | None = None
    ) -> NDArray[np.float64]:
        """Return embeddings."""
        return self.encoder.encode(ids)

    def fit(self, prepared: Matrix) -> None:
        """Learn nothing more."""

    def transform(self, prepared: Matrix, state: None) -> Matrix:
        """Return the embeddings as they are."""
        return prepared


def embeddings_of(channel: Channel, prepared: Matrix) -> NDArray[np.float64] | None:
    """Return the unit vectors among what a channel prepared; ``None`` where it has none."""
    if isinstance(channel, EmbeddingChannel | NeighbourChannel | TunedChannel):
        return np.asarray(prepared)
    return np.asarray(prepared[:, :-1]) if isinstance(channel, TaskGuessChannel) else None


def task_channels_of(channels: Sequence[Channel], tasks: Sequence[str]) -> list[TaskChannel]:
    """Return the channels with task columns that go with some channels: none without tasks, or
    where the first channel is not n-grams.
    """
    first = channels[0]
    if not tasks or not isinstance(first, NgramChannel):
        return []
    embeddings = [channel for channel in channels if isinstance(channel, EmbeddingChannel)]
    return [
        NgramTaskChannel(first, tasks),
        *(EmbeddingTaskChannel(channel, tasks) for channel in embeddings),
    ]
