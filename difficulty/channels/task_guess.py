"""How likely the request belongs to each task of the training traffic, guessed from its embedding.

Tasks are easier to learn than outcomes: a task has many samples and no noise, and what a request's
task is says much of what it needs. The guess reads the text alone, so it serves requests whose
task is not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from difficulty.channels import Tasks
from difficulty.channels.embedding import EncoderChannel
from difficulty.channels.gains import GainTarget, task_means
from difficulty.channels.heads import LinearHead, Matrix, fit_classes
from difficulty.channels.shards import Embeddings, IdRows, is_many, read_blocks
from difficulty.encoders.base import Encoder
from difficulty.metrics.coded_names import look_up
from difficulty.recipe import FeatureSettings
from difficulty.tokens import TokenRows

if TYPE_CHECKING:
    from difficulty.tensors import RequestTensors, Tensor

_MOST_ROWS = 20_000
# exp(-1e4) is 0 in float32 too.
_NEVER = -1e4


class TaskGuessChannel(EncoderChannel):
    """The probability of each task, and of any other.

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
    knows_gain = True

    def __init__(
        self,
        encoder: Encoder,
        tasks: Sequence[str],
        *,
        strength: float = 1.0,
        guess_strength: float = 0.02,
    ) -> None:
        super().__init__(encoder, strength=strength)
        self.tasks = tuple(tasks)
        self.guess_strength = guess_strength
        self._class_of = {task: number for number, task in enumerate(self.tasks)}

    @classmethod
    def from_features(
        cls, features: FeatureSettings, encoder: Encoder, tasks: Sequence[str]
    ) -> TaskGuessChannel | None:
        """Return it where the recipe has embeddings and the traffic names tasks."""
        wanted = features.embedding and tasks and features.tasks and features.tasks.guess
        return cls(encoder, tasks) if wanted else None

    def settings(self) -> dict[str, Any]:
        """Return the strength of the guess, and the tasks."""
        return {"guess_strength": self.guess_strength, "tasks": list(self.tasks)}

    def prepare(self, ids: Sequence[Sequence[int]], tasks: Tasks | None = None) -> Matrix:
        """Return embeddings and, last, the class of the task: -1 where it is not known."""
        others = len(self.tasks)
        classes = look_up(
            tasks or [None] * len(ids),
            lambda task: -1 if task is None else self._class_of.get(task, others),
            np.int64,
        )
        if isinstance(ids, TokenRows) and is_many(len(ids)):
            return self._rows(ids, classes)
        return self._beside(self.encoder.encode(ids), classes)

    def _beside(self, embeddings: NDArray[np.float64], classes: NDArray[np.int64]) -> Matrix:
        return np.column_stack([embeddings, classes.astype(np.float64)])

    def embeddings(self, prepared: Matrix) -> Embeddings | None:
        """Return the prepared rows but for the class."""
        if isinstance(prepared, IdRows):
            return super().embeddings(prepared)
        return np.asarray(prepared[:, :-1])

    def fit(self, prepared: Matrix) -> NDArray[np.float64]:
        """Return weights of shape (dim + 1, n_tasks + 1), the bias in the last row."""
        classes = self._classes(prepared)
        rows = np.flatnonzero(classes >= 0)
        # Every so many, so that all parts of the traffic are among them.
        rows = rows[:: 1 + len(rows) // _MOST_ROWS]
        embeddings = self.embeddings(prepared)
        assert embeddings is not None
        columns = fit_classes(embeddings[rows], classes[rows], strength=self.guess_strength)
        weights = np.zeros((self.encoder.dim + 1, len(self.tasks) + 1))
        weights[-1] = _NEVER  # a class that does not occur is not to be guessed
        for number, column in columns.items():
            weights[:, number] = column
        return weights

    def fit_gain(
        self, prepared: Matrix, state: Any, target: GainTarget, earlier: Any = None
    ) -> tuple[Any, LinearHead]:
        """Return a head that gives the mean gain of the tasks, each as likely as guessed."""
        classes = self._classes(prepared)
        return state, LinearHead(task_means(target, classes, len(self.tasks) + 1)[0], 0.0)

    def _classes(self, prepared: Matrix) -> NDArray[np.int64]:
        """Return the class of each request's task."""
        if isinstance(prepared, IdRows):
            return prepared.classes
        return np.asarray(prepared[:, -1], dtype=np.int64)

    def transform(self, prepared: Matrix, state: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability of each class, of shape (n_requests, n_tasks + 1)."""
        if isinstance(prepared, IdRows):
            return read_blocks(prepared, lambda block: _guessed(block.embedded(), state))
        return _guessed(prepared[:, :-1], state)

    def export_vectors(self, requests: RequestTensors, state: NDArray[np.float64]) -> Tensor:
        """Return the probabilities."""
        return requests.embed(self.encoder).affine(state[:-1], state[-1]).softmax(1)


def _guessed(
    embeddings: NDArray[np.floating[Any]], state: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.asarray(softmax(embeddings @ state[:-1] + state[-1], axis=1), dtype=np.float64)
