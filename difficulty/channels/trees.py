"""Trees on what the tokens of a request are like: how many digits, question words, brackets, rare
words there are, at its beginning and at its end, and what it is about.

The other channels are linear; trees see that a long request with formulas is not a long one plus
one with formulas. They are grown on the gain itself, once for all requests and, where tasks are
known, once for what the mean gain of the task leaves over.

What trees read is exact: a few small integers a token, their sums, and quotients of those, so that
Python and a graph fall on the same side of every split. Principal components of the embedding are
read from a table of integers a token too: of the token vectors that a static encoder consists of,
or that a transformer starts from. Of encoders without them, and of transformers in models of
before, components are numbers as the encoder gives them.
"""

from __future__ import annotations

import json
import string
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from difficulty.channels import Channel, Tasks
from difficulty.channels.gains import GainTarget, leave_one_out
from difficulty.channels.heads import LinearHead, Matrix
from difficulty.channels.shards import IdRows, is_many, read_blocks
from difficulty.channels.task_columns import BesideMeanChannel, TaskChannel
from difficulty.channels.tree_arrays import (
    TreeArrays,
    arrays_of,
    count_below,
    following,
    split_places,
    tree_attributes,
)
from difficulty.conversation.request_numbers import NUMBERS, numbers_of
from difficulty.encoders.base import Encoder, StaticEncoder
from difficulty.metrics.coded_names import look_up
from difficulty.tokens import TokenRows, check_ids, flattened

if TYPE_CHECKING:
    from difficulty.tensors import RequestTensors, Tensor

FloatArray = NDArray[np.float64]
State: TypeAlias = "dict[str, NDArray[Any]]"

_NEAR_AN_END = 48
"""Tokens that are the beginning of a request, and that are its end."""
_ITERATIONS = (30, 60, 100, 150, 200, 260)
_FEW_ROWS, _MOST_OF_FEW = 3_000, 100
_MANY_ROWS = 15_000
"""With more, a third of them tells how many trees are best."""
_LEAST_ROWS = 80
"""Gains that a tree needs: fewer cannot be split in two leaves."""
_MOST_ROWS = 20_000
_UNKNOWN = -1.0
"""A number of the request that is not known; those that are known are 0 or more."""
_GROWTH: dict[str, Any] = {
    "learning_rate": 0.04,
    "max_leaf_nodes": 8,
    "min_samples_leaf": 40,
    "l2_regularization": 10.0,
    "max_features": 0.15,
    "max_bins": 64,
    "early_stopping": False,
    "random_state": 0,
}

_NEGATIONS = "not except false incorrect least never cannot without unless neither nor no"
_QUESTIONS = "what which who when where why how"
_AMOUNTS = (
    "each every per half twice total percent more less times remaining left sum difference average"
    " many much"
)
_FILLERS = "the a an of to in and is that for it on as with was by be are at from this or"
_CONDITIONS = "if then suppose given assume let when because therefore however although"
_PERSONS = "i he she you we they my his her your their me"
_ORDERS = (
    "find calculate compute determine explain describe write list evaluate prove show solve"
    " following best most statement true all none above both"
)
_WORDS = [
    frozenset(words.split())
    for words in (_NEGATIONS, _QUESTIONS, _AMOUNTS, _FILLERS, _CONDITIONS, _PERSONS, _ORDERS)
]
_SIGNS = (
    "?",
    "$",
    ("\\", "_", "{", "}"),
    tuple("+-*/=^<>"),
    tuple("()[]"),
    ('"', "'"),
    ",",
    ".",
    ":",
)
N_KINDS = 25
_COUNTED = [2, 3, 5, 6, 7, 8, 9, 16, 17, 18, 20]
"""Kinds of which trees see the number of tokens, beside the share."""


class _TreeRows(NamedTuple):
    """What is read of n requests: the number of tokens, the sums and the class; the numbers, if
    they are read; and what components are read from.
    """

    said: FloatArray
    numbers: FloatArray
    read: Matrix


class TreeChannel(Channel):
    """Two columns: the gain, and what it is beside the mean of the request's task.

    Parameters
    ----------
    encoder : Encoder
        Its tokenizer says what tokens are, its vectors what a request is about.
    tasks : sequence of str
        Tasks whose means are left out of the second column; none: it is 0.
    components : int, default 32
        Principal components of the embeddings that trees read.
    by_token : bool, optional
        Whether they are read from the encoder's token vectors; default: where an embedding is the
        mean of those.
    numbers : bool, default False
        Whether they read the numbers of the request too.
    """

    name = "trees"
    reads_embeddings = True
    knows_gain = True
    knows_failures = False
    fits_once = True
    reads_task_beside = True
    encoder: Encoder

    def __init__(
        self,
        encoder: Encoder,
        tasks: Sequence[str] = (),
        *,
        components: int = 32,
        by_token: bool | None = None,
        numbers: bool = False,
        strength: float = 1.0,
    ) -> None:
        self.encoder = encoder
        self.by_token = isinstance(encoder, StaticEncoder) if by_token is None else by_token
        self.vocabulary_size = encoder.vocabulary_size
        self.tasks = tuple(tasks)
        self.components = components
        self.reads_numbers = numbers
        self.strength = strength
        self._class_of = {task: number for number, task in enumerate(self.tasks)}

    @classmethod
    def from_features(
        cls, features: Any, encoder: Encoder, tasks: Sequence[str]
    ) -> TreeChannel | None:
        """Return it where the recipe has the section."""
        if not features.trees:
            return None
        settings = features.trees.as_dict() | {"numbers": bool(features.numbers)}
        by_token = getattr(encoder, "token_vectors", None) is not None
        return cls(encoder, tasks, by_token=by_token, **settings)

    def settings(self) -> dict[str, Any]:
        """Return the number of components, the tasks, and what models of before did not say."""
        settings: dict[str, Any] = {"components": self.components, "tasks": list(self.tasks)}
        if self.by_token != isinstance(self.encoder, StaticEncoder):
            settings |= {"by_token": self.by_token}
        return settings | ({"numbers": True} if self.reads_numbers else {})

    def beside_mean(self, tasks: Sequence[str]) -> TaskChannel:
        """Return the trees on what the mean of a task leaves over, with those means."""
        return TreesBesideMean(self, tasks)

    def prepare(self, ids: Sequence[Sequence[int]], tasks: Tasks | None = None) -> Matrix:
        """Return the number of tokens, sums of their kinds over all, the beginning and the end, the
        class of the task (-1 where it is not known), the numbers if they are read, and what
        components are read from: counts of the tokens, or the embedding.
        """
        encoder = self.encoder
        check_ids(ids, vocabulary=encoder.vocabulary_size, tokenizer=encoder.tokenizer_path)
        classes = look_up(
            tasks or [None] * len(ids), lambda task: self._class_of.get(task or "", -1), np.int64
        )
        if isinstance(ids, TokenRows) and is_many(len(ids)):
            return IdRows(ids, classes)
        said, numbers, read = self._read(ids, classes)
        if not self.by_token:
            return np.hstack([said, numbers, read])
        read = read.copy()  # its places are those of the ids themselves
        read.sum_duplicates()
        dense = sp.csr_array(np.hstack([said, numbers]))
        return sp.csr_array(sp.hstack([dense, read], format="csr"))

    def _read(self, ids: Sequence[Sequence[int]], classes: NDArray[np.int64]) -> _TreeRows:
        kinds = self._kinds.astype(np.float64)
        said = np.zeros((len(ids), 2 + 3 * N_KINDS))
        flat, ends = flattened(ids)
        sizes = np.diff(ends)
        said[:, 0] = sizes
        near, (starts, stops) = np.minimum(sizes, _NEAR_AN_END), (ends[:-1], ends[1:])
        parts = [
            _sums_between(flat, ends, kinds),
            # each row in two: up to where its beginning ends, or from where its end begins
            _sums_between(flat, _between(starts, starts + near, ends), kinds)[::2],
            _sums_between(flat, _between(starts, stops - near, ends), kinds)[1::2],
        ]
        said[:, 1:-1] = np.hstack(parts)
        said[:, -1] = classes
        numbers = np.zeros((len(ids), 0))
        if self.reads_numbers:
            found = numbers_of(ids)
            numbers = np.where(np.isnan(found), _UNKNOWN, found)
        if not self.by_token:
            return _TreeRows(said, numbers, self.encoder.encode(ids))
        shape = (len(ids), self.encoder.vocabulary_size)
        # a token stands once for each time that it occurs
        counts = sp.csr_array((np.ones(len(flat)), flat, ends.astype(flat.dtype)), shape=shape)
        return _TreeRows(said, numbers, counts)

    def fit(self, prepared: Matrix) -> State:
        """Return how components are read: integers by token, or weights of the embedding."""
        if isinstance(prepared, IdRows):
            prepared = prepared.thinned(_MOST_ROWS)
        said, _, read = self._parts(prepared)
        if not self.by_token:
            return {"components": _principal(np.asarray(read), self.components)}
        vectors = self.encoder.token_vectors  # type: ignore[attr-defined]
        means = (read @ vectors) / np.maximum(said[:, :1], 1.0)
        axes = vectors @ _principal(means, self.components)
        largest = np.abs(axes).max(axis=0, initial=1e-12)
        return {"components": np.rint(127.0 * axes / largest).astype(np.int8)}

    def fit_gain(
        self, prepared: Matrix, state: State, target: GainTarget, earlier: State | None = None
    ) -> tuple[State, LinearHead]:
        """Grow the trees; ``earlier`` says how many, where it is known."""
        classes = self._classes(prepared)
        grown = dict(state)
        left = target.gain - leave_one_out(target, classes, len(self.tasks))
        if isinstance(prepared, IdRows):  # no tree reads more
            rows = np.flatnonzero(~np.isnan(target.gain))
            rows = rows[:: 1 + len(rows) // _MOST_ROWS]
            prepared, target, left = prepared[rows], target.at(rows), left[rows]
            classes = classes[rows]
        values = self._values(prepared, state)
        told = np.where(classes >= 0, left, np.nan)
        for name, gain in (("plain", target.gain), ("beside", told)):
            # what helps all requests helps beside the mean as well
            known = earlier or (grown if name == "beside" else None)
            number = None if known is None else int(known["plain.iterations"])
            grown |= {
                f"{name}.{key}": value for key, value in _grow(values, gain, target, number).items()
            }
        return grown, LinearHead(np.array([1.0, 0.0]), 0.0)

    def transform(self, prepared: Matrix, state: State) -> FloatArray:
        """Return both columns, of shape (n_requests, 2)."""
        ensembles = [following(each) for each in _ensembles(state)]

        def followed(rows: Matrix) -> FloatArray:
            values = self._values(rows, state)
            return np.column_stack([ensemble(values) for ensemble in ensembles])

        return (
            read_blocks(prepared, followed) if isinstance(prepared, IdRows) else followed(prepared)
        )

    def export_vectors(self, requests: RequestTensors, state: State) -> Tensor:
        """Return both columns: sums over tokens by one product, then one ensemble of trees."""
        graph, kinds = requests.graph, self._kinds
        one = np.ones((len(kinds), 1), dtype=np.int8)  # summed it is the number of tokens
        axes = [state["components"]] if self.by_token else []
        table = np.hstack([one, kinds, *axes])
        # what is no token has a row of zeros, so it is in no sum
        rows = graph.constant(requests.table(table)).take(requests.rows.squeeze(1))
        mask = requests.mask.widen(1)
        # all tokens are near, of the beginning those up to a place, of the end those from one on
        place = mask.running_sum(2) * _of_parts(0, 1, -1) + mask.sum(2, keepdims=True) * _of_parts(
            0, 0, 1
        )
        near = (place <= _of_parts(0, _NEAR_AN_END, _NEAR_AN_END - 1)).cast(np.float32)
        sums = near @ rows.cast(np.float32)
        means = sums / sums.cut(0, 1, axis=2).at_least(1.0)
        width = table.shape[1]
        values = graph.concat([sums, means], axis=2).reshape([0, 6 * width])
        if not self.by_token:
            axis = state["components"].astype(np.float32)
            values = graph.concat([values, requests.embed(self.encoder) @ axis], axis=1)
        columns = _columns(width, self.components, by_token=self.by_token)
        if self.reads_numbers:
            known = requests.unknown_numbers.where(_UNKNOWN, requests.numbers)
            values = graph.concat([values, known], axis=1)
            start = 6 * width + (0 if self.by_token else self.components)
            columns = np.concatenate([columns, start + np.arange(len(NUMBERS))])
        return values.trees(tree_attributes(_ensembles(state), columns))

    @property
    def _kinds(self) -> NDArray[np.int8]:
        return kinds_of_tokens(self.encoder.tokenizer_path, self.encoder.vocabulary_size)

    def _values(self, prepared: Matrix, state: State) -> NDArray[np.float32]:
        """Return what splits compare, each as float32 arithmetic in the graph gives it."""
        said, numbers, read = self._parts(prepared)
        n, sums = said[:, :1], said[:, 1:-1]
        near = np.minimum(n, _NEAR_AN_END)
        sizes = np.maximum(np.repeat(np.hstack([n, near, near]), N_KINDS, axis=1), 1.0)
        means = sums.astype(np.float32) / sizes.astype(np.float32)
        counted = sums[:, _COUNTED]
        components = np.asarray(read @ state["components"].astype(np.float64), dtype=np.float32)
        if self.by_token:
            components /= np.maximum(n, 1.0).astype(np.float32)
        return np.hstack([n, counted, means, components, numbers]).astype(np.float32)

    def _classes(self, prepared: Matrix) -> NDArray[np.int64]:
        """Return the class of each request's task, -1 where it is not known."""
        if isinstance(prepared, IdRows):
            return prepared.classes
        return np.asarray(self._parts(prepared)[0][:, -1], dtype=np.int64)

    def _parts(self, prepared: Matrix) -> _TreeRows:
        """Return prepared rows in their parts."""
        if isinstance(prepared, IdRows):
            return self._read(prepared.ids, prepared.classes)
        start = 2 + 3 * N_KINDS
        end = start + len(NUMBERS) * self.reads_numbers
        said = prepared[:, :end]
        dense = np.asarray(said if isinstance(said, np.ndarray) else said.toarray(), np.float64)
        return _TreeRows(dense[:, :start], dense[:, start:], prepared[:, end:])


class TreesBesideMean(BesideMeanChannel):
    """The second column of trees and the task's mean gain."""

    share = 2.0

    def fit_gain(
        self, prepared: Matrix, state: Any, target: GainTarget, earlier: Any = None
    ) -> tuple[Any, LinearHead]:
        """Return a head that adds both."""
        if "beside.column" not in state:  # judged alone, as by a search: nobody grew them before
            alone = self._own(prepared)
            state = self.beside.fit_gain(alone, state, target, earlier)[0]
        means, mean = self.means(prepared, target)
        return state, LinearHead(np.concatenate([[0.0, 1.0], means - mean]), mean)


def _between(
    starts: NDArray[np.int64], cuts: NDArray[np.int64], ends: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return where rows end that are cut in two."""
    return np.append(np.column_stack([starts, cuts]).ravel(), ends[-1])


def _sums_between(
    flat: NDArray[np.int32], ends: NDArray[np.int64], kinds: FloatArray
) -> FloatArray:
    """Return the sum of the kinds of each row's tokens: whole numbers, which are exact."""
    shape = (len(ends) - 1, len(kinds))
    return np.asarray(sp.csr_array((np.ones(len(flat)), flat, ends), shape=shape) @ kinds)


def kinds_of_tokens(path: Path, n: int) -> NDArray[np.int8]:
    """Return what each token is like, of shape (n, 25): its length, whether it continues a word, a
    number, a long number, a sign and which, other than ASCII, a letter; which of seven lists of
    words it is in; whether it is a long word; and last the logarithm of its id, times 12.

    Saved models read the table as well: a change of it needs another name of the channel.

    Parameters
    ----------
    path : Path
        Of a ``tokenizer.json``.
    n : int
        Number of token ids.
    """
    return _kinds_of(path.read_bytes(), n)


@lru_cache(maxsize=4)
def _kinds_of(content: bytes, n: int) -> NDArray[np.int8]:
    # By content: another file may lie at the same path by now.
    known = json.loads(content)["model"]["vocab"]
    pairs = (
        known.items()
        if isinstance(known, dict)
        else ((piece, number) for number, (piece, _) in enumerate(known))
    )
    table = np.zeros((n, N_KINDS), dtype=np.int8)
    for token, number in pairs:
        if number < n:
            table[number, :-1] = _kind(token)
    table[:, -1] = np.rint(12.0 * np.log1p(np.arange(n))).clip(0, 127)
    return table


def _kind(token: str) -> list[int]:
    continues = token.startswith("##")
    word = token[2:] if continues else token.removeprefix("Ġ").removeprefix("▁")
    return [
        min(len(word), 127),
        continues,
        word.isdigit(),
        word.isdigit() and len(word) >= 3,
        len(word) == 1 and word in string.punctuation,
        *(word in signs if isinstance(signs, tuple) else word == signs for signs in _SIGNS),
        any(ord(letter) > 127 for letter in word),
        len(word) == 1 and word.isalpha(),
        *(word in words for words in _WORDS),
        len(word) >= 9 and not continues,
    ]


def _of_parts(*values: float) -> NDArray[np.float32]:
    """Return a number for all tokens, the beginning and the end, of shape (3, 1)."""
    return np.array(values, dtype=np.float32)[:, None]


def _principal(vectors: FloatArray, n: int) -> FloatArray:
    """Return the axes along which vectors differ most, of shape (dim, n)."""
    centred = vectors - vectors.mean(axis=0)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :n]
    # an axis has two directions: that of its largest entry is taken
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    wide = np.zeros((vectors.shape[1], n))
    wide[:, : axes.shape[1]] = axes * np.where(signs == 0.0, 1.0, signs)
    return wide


def _grow(
    values: NDArray[np.float32], gain: FloatArray, target: GainTarget, number: int | None
) -> State:
    """Return an ensemble as arrays, and how many trees were grown."""
    rows = np.flatnonzero(~np.isnan(gain))
    rows = rows[:: 1 + len(rows) // _MOST_ROWS]
    if len(rows) < _LEAST_ROWS or np.ptp(gain[rows]) == 0.0:
        mean = np.average(gain[rows], weights=target.weight[rows]) if len(rows) else 0.0
        return arrays_of([], float(mean), []) | {"iterations": np.array(0)}
    edges = [split_places(column) for column in values[rows].T]
    x, y, w = count_below(values[rows], edges), gain[rows], target.weight[rows]
    number = number or _best_number(x, y, w, target.folds(3)[rows])
    number = number if len(x) > _FEW_ROWS else min(number, _MOST_OF_FEW)
    model = HistGradientBoostingRegressor(**_GROWTH, max_iter=number)
    model.fit(x, y, sample_weight=_unequal(w))
    trees = [tree.nodes for (tree,) in model._predictors]
    base = float(np.ravel(model._baseline_prediction)[0])
    return arrays_of(trees, base, edges) | {"iterations": np.array(number)}


def _best_number(
    x: NDArray[np.float32], y: FloatArray, w: FloatArray, fold: NDArray[np.int64]
) -> int:
    """Return the number of trees with the least squared error on requests that they did not see: of
    one part where those are many, else of all in turn.
    """
    tried = [n for n in _ITERATIONS if len(x) > _FEW_ROWS or n <= _MOST_OF_FEW]
    errors = np.zeros(len(tried))
    for number in np.unique(fold)[: 1 if len(x) > _MANY_ROWS else None]:
        seen, asked = fold != number, fold == number
        model = HistGradientBoostingRegressor(**_GROWTH, max_iter=tried[-1])
        model.fit(x[seen], y[seen], sample_weight=_unequal(w[seen]))
        for count, guess in enumerate(model.staged_predict(x[asked]), 1):
            if count in tried:
                errors[tried.index(count)] += np.dot(w[asked], (guess - y[asked]) ** 2)
    return tried[int(errors.argmin())]


def _unequal(weight: FloatArray) -> FloatArray | None:
    """Return weights that differ; without any, a third of the sums over rows need not be made."""
    return weight if np.ptp(weight) > 0.0 else None


def _ensembles(state: State) -> list[TreeArrays]:
    """Return both ensembles, by the names of their arrays."""
    prefixes = ("plain.", "beside.")
    return [
        {key.removeprefix(own): one for key, one in state.items() if key.startswith(own)}
        for own in prefixes
    ]


def _columns(width: int, components: int, *, by_token: bool) -> NDArray[np.int64]:
    """Return where the graph has each value: for all tokens, the beginning and the end sums stand
    there, then means, in either first the number of tokens; then components of an embedding.
    """
    counted, kinds = 1 + np.array(_COUNTED), 1 + np.arange(N_KINDS)
    means = np.concatenate([(2 * part + 1) * width + kinds for part in range(3)])
    start = width + 1 + N_KINDS if by_token else 6 * width
    return np.concatenate([[0], counted, means, start + np.arange(components)])
