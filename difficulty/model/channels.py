"""Channels: one kind of vector with the head that reads it. A model has one or more; the simplest stands first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import softmax

from difficulty.features.ngrams import NgramFeatures
from difficulty.features.static import StaticEncoder
from difficulty.model.heads import Matrix, fit_classes
from difficulty.model.labelled import Tasks

__all__ = ["Channel", "NgramChannel", "NgramTaskChannel", "StaticChannel", "TaskGuessChannel", "embeddings_of", "task_channel_of"]

_MOST_GUESS_ROWS = 30_000
_NEVER = -1e4


class Channel(Protocol):
    """Vectors of requests in two steps: what never changes (``prepare``), then what is learned from the fit rows (``fit``)."""

    name: str
    strength: float
    """Inverse regularisation of the heads on these vectors."""

    def prepare(self, ids: Sequence[Sequence[int]], tasks: Tasks | None = None) -> Matrix:
        """Return one row a request; this is done once, folds take rows of it."""

    def fit(self, prepared: Matrix) -> Any:
        """Learn from prepared rows; returns the state that :meth:`transform` needs."""

    def transform(self, prepared: Matrix, state: Any) -> Matrix:
        """Return the vectors that heads read, of shape (n_requests, dim)."""


class NgramChannel:
    """Token n-grams; its state is the inverse document frequencies."""

    name = "ngrams"

    def __init__(self, vocabulary_size: int, *, buckets: int = 65_536, strength: float = 0.3) -> None:
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
    """Token n-grams with a column of 1 for the request's task, so that the n-grams only explain what the task does not.

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
        self.tasks = tuple(tasks)
        self.strength = ngrams.strength
        self._column_of = {task: column for column, task in enumerate(self.tasks)}

    def known(self, tasks: Tasks | None, n: int) -> NDArray[np.bool_]:
        """Return, for each of n requests, whether its task has a column."""
        if tasks is None:
            return np.zeros(n, dtype=np.bool_)
        return np.array([task in self._column_of for task in tasks], dtype=np.bool_)

    def prepare(self, ids: Sequence[Sequence[int]], tasks: Tasks | None = None) -> sp.csr_array:
        """Return n-gram counts and task columns, side by side."""
        columns = [self._column_of.get(task or "", -1) for task in tasks or [None] * len(ids)]
        rows = np.flatnonzero(np.array(columns, dtype=np.int64) >= 0)
        places = (rows, [columns[row] for row in rows])
        marks = sp.csr_array((np.ones(len(rows)), places), shape=(len(columns), len(self.tasks)))
        return sp.csr_array(sp.hstack([self.ngrams.prepare(ids), marks], format="csr"))

    def fit(self, prepared: Matrix) -> NDArray[np.float64]:
        """Return the inverse document frequencies of the n-grams."""
        return self.ngrams.fit(prepared[:, : self.ngrams.features.dim])

    def transform(self, prepared: Matrix, state: NDArray[np.float64]) -> sp.csr_array:
        """Return weighted n-grams of unit length, with the task columns as they are."""
        dim = self.ngrams.features.dim
        weighted = self.ngrams.transform(prepared[:, :dim], state)
        return sp.csr_array(sp.hstack([weighted, prepared[:, dim:]], format="csr"))


class StaticChannel:
    """Static embeddings; nothing is learned from the traffic."""

    name = "static"

    def __init__(self, encoder: StaticEncoder, *, strength: float = 0.003) -> None:
        self.encoder = encoder
        self.strength = strength

    def prepare(self, ids: Sequence[Sequence[int]], tasks: Tasks | None = None) -> NDArray[np.float64]:
        """Return embeddings."""
        return self.encoder.encode(ids)

    def fit(self, prepared: Matrix) -> None:
        """Learn nothing."""

    def transform(self, prepared: Matrix, state: None) -> Matrix:
        """Return the embeddings as they are."""
        return prepared


class TaskGuessChannel:
    """How likely the request belongs to each task of the training traffic, guessed from its static embedding.

    Tasks are easier to learn than outcomes: a task has many samples and no noise, and what a request's task is says much of what it
    needs. The guess reads the text alone, so it serves requests whose task is not known.

    Parameters
    ----------
    encoder : StaticEncoder
    tasks : sequence of str
        Tasks that can be guessed; samples of others form one more class, samples without a task are left out.
    strength, guess_strength : float
        Inverse regularisation of the heads on the guess, and of the guess itself.
    """

    name = "task guess"

    def __init__(self, encoder: StaticEncoder, tasks: Sequence[str], *, strength: float = 1.0, guess_strength: float = 0.02) -> None:
        self.encoder = encoder
        self.tasks = tuple(tasks)
        self.strength = strength
        self.guess_strength = guess_strength
        self._class_of = {task: number for number, task in enumerate(self.tasks)}

    def prepare(self, ids: Sequence[Sequence[int]], tasks: Tasks | None = None) -> NDArray[np.float64]:
        """Return embeddings and, as last column, the class of the task: -1 where it is not known."""
        told = tasks or [None] * len(ids)
        classes = [-1 if task is None else self._class_of.get(task, len(self.tasks)) for task in told]
        return np.column_stack([self.encoder.encode(ids), np.array(classes, dtype=np.float64)])

    def fit(self, prepared: Matrix) -> NDArray[np.float64]:
        """Return weights of shape (dim + 1, n_tasks + 1), the bias in the last row; a class that does not occur is never guessed."""
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
        return np.asarray(softmax(prepared[:, :-1] @ state[:-1] + state[-1], axis=1), dtype=np.float64)


def embeddings_of(channel: Channel, prepared: Matrix) -> NDArray[np.float64] | None:
    """Return the unit vectors among what a channel prepared; ``None`` where it has none."""
    if isinstance(channel, StaticChannel):
        return np.asarray(prepared)
    return np.asarray(prepared[:, :-1]) if isinstance(channel, TaskGuessChannel) else None


def task_channel_of(channels: Sequence[Channel], tasks: Sequence[str]) -> NgramTaskChannel | None:
    """Return the task channel that goes with some channels: ``None`` without tasks, or where the first channel is not n-grams."""
    first = channels[0]
    return NgramTaskChannel(first, tasks) if tasks and isinstance(first, NgramChannel) else None
