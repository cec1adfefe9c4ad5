"""Task columns: beside a channel's vectors a column of 1 for the request's task, so that the
vectors only explain what the task does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from difficulty.channels import Channel, Tasks
from difficulty.channels.gains import GainTarget, leave_one_out, task_means
from difficulty.channels.heads import LinearHead, Matrix, fit_ridge
from difficulty.channels.shards import Beside, is_many
from difficulty.metrics.coded_names import look_up


class TaskMarks:
    """The columns of many requests, four bytes each.

    Parameters
    ----------
    classes : ndarray of shape (n,), int32
        Column of each request's task, -1 where it has none.
    n_tasks : int
    """

    def __init__(self, classes: NDArray[np.int32], n_tasks: int) -> None:
        self.classes = classes
        self.shape = len(classes), n_tasks

    def __getitem__(self, rows: Any) -> TaskMarks:
        """Return some rows."""
        return TaskMarks(self.classes[rows], self.shape[1])

    def __matmul__(self, coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the rows times coefficients."""
        return np.asarray(np.append(coefficients, 0.0)[self.classes])

    def pulled(self, residual: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the transposed rows times a number each."""
        sums = np.bincount(self.classes + 1, weights=residual, minlength=self.shape[1] + 1)
        return np.asarray(sums[1:], dtype=np.float64)

    pulled_squares = pulled
    """The same of the rows' squares, which are 1 as well."""

    def toarray(self) -> NDArray[np.float64]:
        """Return them as a matrix."""
        return np.asarray(self.classes[:, None] == np.arange(self.shape[1]), dtype=np.float64)


class TaskColumns:
    """A column of 1 for each of some tasks; others count as not known."""

    def __init__(self, tasks: Sequence[str]) -> None:
        self.tasks = tuple(tasks)
        self._column_of = {task: column for column, task in enumerate(self.tasks)}

    def known(self, tasks: Tasks | None, n: int) -> NDArray[np.bool_]:
        """Return, for each of n requests, whether its task has a column."""
        if tasks is None:
            return np.zeros(n, dtype=np.bool_)
        return look_up(tasks, self._column_of.__contains__, np.bool_)

    def marks(self, tasks: Tasks | None, n: int) -> sp.csr_array | TaskMarks:
        """Return the columns of n requests."""
        columns = look_up(
            tasks or [None] * n, lambda task: self._column_of.get(task or "", -1), np.int64
        )
        if is_many(n):
            return TaskMarks(columns.astype(np.int32), len(self.tasks))
        rows = np.flatnonzero(columns >= 0)  # others have no mark at all
        return sp.csr_array((np.ones(len(rows)), (rows, columns[rows])), shape=(n, len(self.tasks)))


class TaskChannel(Channel):
    """A channel's vectors and, as last columns, the request's task.

    Parameters
    ----------
    beside : Channel
        Its vectors are as without the task.
    tasks : sequence of str
        Tasks that have a column, at least one; others count as not known.
    """

    def __init__(self, beside: Channel, tasks: Sequence[str]) -> None:
        self.beside = beside
        self.columns = TaskColumns(tasks)
        self.name = f"{beside.name}+task"
        self.strength = beside.strength
        self.share = beside.share
        self.earns_share = beside.earns_share
        self.is_light = beside.is_light

    def prepare(self, ids: Sequence[Sequence[int]], tasks: Tasks | None = None) -> Matrix:
        """Return what the channel prepares and the task columns, side by side."""
        return _side_by_side(self.beside.prepare(ids, tasks), self.columns.marks(tasks, len(ids)))

    def marked(self, prepared: Matrix, tasks: Tasks | None) -> Matrix:
        """Return what the channel prepared and the task columns; the first is not copied."""
        return Beside(prepared, self.columns.marks(tasks, prepared.shape[0]))

    def fit(self, prepared: Matrix) -> Any:
        """Return what the channel learns."""
        return self.beside.fit(self._own(prepared))

    def transform(self, prepared: Matrix, state: Any) -> Matrix:
        """Return the channel's vectors, with the task columns as they are."""
        return self.beside_vectors(self.beside.transform(self._own(prepared), state), prepared)

    def beside_vectors(self, vectors: Matrix, prepared: Matrix) -> Matrix:
        """Return the channel's vectors of some prepared rows and the task columns."""
        return _side_by_side(vectors, self._marks(prepared))

    def stored(self, head: LinearHead, state: Any) -> LinearHead:
        """Return the head as the channel stores it; what it has for tasks stays as it is."""
        return self.beside.stored(head, state)

    def settings(self) -> dict[str, Any]:
        """Return the channel's settings and the tasks."""
        return self.beside.settings() | {"tasks": list(self.columns.tasks)}

    def _own(self, prepared: Matrix) -> Matrix:
        """Return what the channel prepared."""
        if isinstance(prepared, Beside):
            return prepared.left
        return prepared[:, : -len(self.columns.tasks)]

    def _marks(self, prepared: Matrix) -> Matrix:
        """Return the task columns."""
        if isinstance(prepared, Beside):
            return prepared.right
        return prepared[:, -len(self.columns.tasks) :]


class BesideMeanChannel(TaskChannel):
    """A channel's vectors say what the mean gain of the request's task leaves over.

    Parameters
    ----------
    beside : Channel
    tasks : sequence of str
        As in :class:`TaskChannel`.
    penalty : float, default 1
        Of the ridge regression on the vectors.
    """

    knows_gain = True
    knows_failures = False

    def __init__(self, beside: Channel, tasks: Sequence[str], *, penalty: float = 1.0) -> None:
        super().__init__(beside, tasks)
        self.name = f"{beside.name}+mean"
        self.is_light = False
        self.penalty = penalty

    def fit_gain(
        self, prepared: Matrix, state: Any, target: GainTarget, earlier: Any = None
    ) -> tuple[Any, LinearHead]:
        """Return a head that adds the task's mean gain and a ridge regression of what the mean of
        the others of its task leaves over.
        """
        means, mean = self.means(prepared, target)
        left = target.gain - leave_one_out(target, self._classes(prepared), len(means))
        vectors = self.beside.transform(self._own(prepared), state)
        rest = self.beside.stored(
            fit_ridge(vectors, left, target.weight, penalty=self.penalty), state
        )
        return state, LinearHead(
            np.concatenate([rest.coefficients, means - mean]), mean + rest.intercept
        )

    def means(self, prepared: Matrix, target: GainTarget) -> tuple[NDArray[np.float64], float]:
        """Return the mean gain of each task, and that of all requests."""
        return task_means(target, self._classes(prepared), len(self.columns.tasks))

    def _classes(self, prepared: Matrix) -> NDArray[np.int64]:
        """Return the column of each request's task; -1 where it has none."""
        marks = self._marks(prepared)
        if isinstance(marks, TaskMarks):
            return marks.classes.astype(np.int64)
        marks = sp.csr_array(marks)
        classes = np.full(marks.shape[0], -1, dtype=np.int64)
        classes[np.repeat(np.arange(marks.shape[0]), np.diff(marks.indptr))] = marks.indices
        return classes


def _side_by_side(vectors: Matrix, marks: Matrix) -> Matrix:
    """Return both as one matrix, sparse where the vectors are; of many requests side by side."""
    if not isinstance(vectors, np.ndarray) and not sp.issparse(vectors):
        return Beside(vectors, marks)
    if isinstance(vectors, np.ndarray) and vectors.dtype == np.float32:
        return Beside(vectors, marks)  # wide vectors of many requests, which are not to be copied
    if isinstance(vectors, np.ndarray):
        return np.hstack([vectors, marks if isinstance(marks, np.ndarray) else marks.toarray()])
    if isinstance(marks, TaskMarks):
        marks = marks.toarray()
    return sp.csr_array(sp.hstack([vectors, sp.csr_array(marks)], format="csr"))
